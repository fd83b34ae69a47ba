"""What a notebook shows: a bar that is drawn again in one output, and results as a line with a picture."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest

import rlnut
from rlnut.runtime.log import Progress
from rlnut.runtime.notebook import in_notebook, line_picture


class Output:
    """What one output of a cell has shown, one after the other."""

    def __init__(self, content: Any) -> None:
        self.shown = [content]

    def update(self, content: Any, raw: bool) -> None:
        assert raw
        self.shown.append(content)


@pytest.fixture
def outputs(monkeypatch: pytest.MonkeyPatch) -> list[Output]:
    """IPython as far as it is used, in a kernel."""
    found: list[Output] = []

    def display(content: Any, raw: bool, display_id: bool) -> Output:
        assert raw and display_id
        found.append(Output(content))
        return found[-1]

    package, inner = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    package.get_ipython = lambda: types.SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    inner.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", inner)
    return found


def test_one_output_says_compiling_and_then_the_numbers(outputs: list[Output], capsys: Any) -> None:
    assert in_notebook()
    progress = Progress(100, 0, start="compiling …")
    progress.show(40, {"step": 40, "return": 12.5}, plain=True)
    progress.say("a line")
    progress.show(100, {"step": 100, "return": 20.0}, plain=True)
    progress.close()
    (one,) = outputs
    texts = [content["text/plain"] for content in one.shown]
    assert "compiling …" in texts[0] and "0/100" in texts[0]
    assert "40/100" in texts[1] and "return 12.5" in texts[1]
    assert "100/100" in texts[-1] and "100%" in texts[-1]
    assert "<pre" in one.shown[-1]["text/html"]
    assert capsys.readouterr().err == "a line\n"


def test_quiet_shows_nothing(outputs: list[Output]) -> None:
    Progress(100, 0, quiet=True).show(40, {"step": 40}, plain=True)
    assert outputs == []


def test_predict_and_fit_say_compiling(outputs: list[Output]) -> None:
    rlnut.predict("td0", "rlnut/RandomWalk5-v0", steps=200)
    rlnut.fit("mlp", "iris", hidden=(4,), epochs=1)
    firsts = [one.shown[0]["text/plain"] for one in outputs]
    assert len(firsts) == 2 and all("compiling …" in text for text in firsts)


def test_outside_a_notebook_there_is_no_output() -> None:
    assert not in_notebook()


def test_a_picture_spans_what_it_shows() -> None:
    picture = line_picture([0, 50, 100, 150], [1.0, float("nan"), 3.0, 2.0], "greedy return")
    assert 'points="5.0,75.0 198.3,5.0 295.0,40.0"' in picture and "from 1 to 3, step 0 to 150" in picture
    assert line_picture([1], [2.0], "cost") == ""


def test_results_are_short_and_have_a_picture() -> None:
    options: dict[str, Any] = {"steps": 400, "eval_every": 100, "eval_episodes": 1, "final_episodes": 2, "quiet": True}
    run = rlnut.train("q-learning", "rlnut/RandomWalk5-v0", **options)
    assert "greedy return" in repr(run) and "over 2 episodes; 400 steps" in repr(run) and len(repr(run)) < 300
    assert run._repr_html_().count("<svg") == 1
    fit = rlnut.fit("ridge", "diabetes", quiet=True)
    assert repr(fit).startswith("FittedModel(ridge") and len(repr(fit)) < 200
    found = rlnut.predict("lstd", "rlnut/RandomWalk5-v0", steps=500, quiet=True)
    assert repr(found).startswith("PredictionResult(RMS error 0.") and len(repr(found)) < 200
