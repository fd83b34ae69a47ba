"""Callbacks of a prediction: they see every point of the curve, may stop it, and change nothing by looking."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rlnut
from rlnut import RlnutError, UsageError
from rlnut.prediction.result import BLOWN_UP, Alarm, PredictionLook
from rlnut.runtime.log import read_metrics

WALK = "rlnut/RandomWalk5-v0"
METHODS = ["td-lambda", "lstd", "fqe"]


@pytest.mark.parametrize("method", METHODS)
def test_a_callback_sees_the_whole_log_and_changes_nothing(method: str, tmp_path: Path):
    rows: list[dict[str, float]] = []
    last: list[PredictionLook] = []

    class Note:
        def on_look(self, look: PredictionLook) -> None:
            rows.append(look.row)
            last[:] = [look]

        def on_end(self, look: PredictionLook) -> None:
            assert look is last[0]
            rows.append({"end": 1.0})

    plain = rlnut.predict(method, WALK, steps=500, seed=1, out=tmp_path / "plain")
    watched = rlnut.predict(method, WALK, steps=500, seed=1, out=tmp_path / "watched", callbacks=[Note()])
    np.testing.assert_array_equal(plain.values, watched.values)
    assert rows == [*watched.log, {"end": 1.0}] and last[0].step <= last[0].total
    np.testing.assert_array_equal(last[0].values, watched.values)
    for path in (tmp_path / "plain").iterdir():
        assert path.read_bytes() == (tmp_path / "watched" / path.name).read_bytes(), path.name


def test_a_callback_may_stop_it(tmp_path: Path):
    def enough(look: PredictionLook) -> None:
        if look.step >= 100:
            look.stop()

    whole = rlnut.predict("td0", WALK, steps=500)
    part = rlnut.predict("td0", WALK, steps=500, out=tmp_path / "run", callbacks=[enough])
    count = sum(row["step"] < 100 for row in whole.log) + 1
    assert part.log == whole.log[:count] and 1 < count < len(whole.log) and part.rmse == whole.log[count - 1]["rmse"]
    assert len(read_metrics(tmp_path / "run" / "metrics.csv")) == count
    assert rlnut.load_values(tmp_path / "run").value(2) == part.value(2)


def test_a_callback_that_fails_ends_it_with_what_was_learned(tmp_path: Path):
    def careless(look: PredictionLook) -> None:
        raise KeyError("mine")

    with pytest.raises(
        RlnutError, match=r"the callback .*careless raised KeyError: 'mine' \(test_prediction_looks"
    ) as caught:
        rlnut.predict("td0", WALK, steps=500, out=tmp_path / "run", callbacks=[careless])
    assert {"metrics.csv", "values.png"} < {path.name for path in (tmp_path / "run").iterdir()}
    learned: Any = caught.value.learned
    assert len(learned.log) == 1 and rlnut.load_values(tmp_path / "run").value(2) == learned.value(2)


def test_what_is_no_callback_is_refused_before_anything_is_made(tmp_path: Path):
    wrong: Any
    for wrong in (3, [3]):
        with pytest.raises(UsageError, match="callbacks must be a list"):
            rlnut.predict("td0", WALK, steps=50, out=tmp_path / "run", callbacks=wrong)
    assert not (tmp_path / "run").exists()


def test_the_alarm_is_of_the_last_look():
    """|V| is 2 (RMS), the error at the start 0.5: above 20 it diverged, unless the method should end near there."""
    truth, weights = np.array([2.0, -2.0]), np.zeros((1, 1))

    def rings(*errors: float, end: float = 0.0) -> bool:
        watch = Alarm(0.5, truth, end)
        for error in errors:
            watch(PredictionLook({"step": 1, "rmse": error}, 1, weights, truth, np.array([error])))
        return watch.blown

    assert BLOWN_UP == 10 and rings(20.1) and rings(float("nan")) and rings(1.0, float("inf"))
    assert not rings(19.9) and not rings(50.0, 1.0) and not rings(29.0, end=10.0) and rings(31.0, end=10.0)
