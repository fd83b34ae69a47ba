"""Pictures of predictions: one scale for what is learned and what is true, numbers that can be read, arrows that point
where an action leads."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.axes import Axes

import rlnut
from rlnut.envs.garnet import garnet
from rlnut.envs.tabular import from_env
from rlnut.prediction.defaults import SettingsUsed
from rlnut.prediction.grid_maps import action_letters, cell_words, grid_maps, text_colour
from rlnut.prediction.plots import PredictionWords, box_scale, prediction_figure
from rlnut.prediction.result import PredictionResult
from rlnut.runtime.plotting import save_figure
from rlnut.truth.finite import Finite

pytestmark = pytest.mark.figures


def lake(name: str = "FrozenLake-v1") -> Finite:
    found = from_env(gym.make(name))
    assert found is not None
    return found


def result(values: np.ndarray, truth: np.ndarray, policy: np.ndarray | None = None) -> PredictionResult:
    used = SettingsUsed(gamma=1.0, features="one-hot", lam=None, alpha=None, averaged=False)
    return PredictionResult(values, truth, 0.0, np.ones(3), None, {}, {}, "", used, [], policy=policy)


def test_equal_colours_are_equal_numbers() -> None:
    """Learned .59 for a true .43 has another colour, and the difference a map of its own around 0."""
    true, learned = np.zeros(16), np.zeros(16)
    true[14], learned[14], learned[4], true[9], learned[9] = 0.43, 0.59, -0.2, np.nan, np.nan
    ours, truth, wrong = grid_maps(result(learned, true), lake())
    assert (ours.scale.vmin, ours.scale.vmax) == (truth.scale.vmin, truth.scale.vmax) == (-0.2, 0.59)
    assert wrong.values[3, 2] == pytest.approx(0.16) and wrong.values[1, 0] == pytest.approx(-0.2)
    assert np.isnan(wrong.values[2, 1]) and np.isnan(ours.values[2, 1])
    assert wrong.scale(0.0) == 0.5 and wrong.scale.vmax == pytest.approx(0.2)
    assert ours.colours(ours.scale(0.59)) != truth.colours(truth.scale(0.43))


def test_true_values_beyond_what_was_learned_are_within_the_scale() -> None:
    """-55 learned and -100 true on a box: 4 dots among 1,681 points."""
    scale = box_scale(np.append(np.linspace(-55, -20, 1000), np.nan), np.array([-100.0, -90, -50, -10]))
    assert (scale.vmin, scale.vmax) == (-100, -10)
    flat = box_scale(np.full(5, np.nan), np.array([2.0]))
    assert 0 < flat(2.0) < 1


def test_arrows_lead_where_actions_lead() -> None:
    assert action_letters(lake()) == ["←", "↓", "→", "↑"]  # as Gymnasium's documentation lists them
    assert action_letters(lake("CliffWalking-v1")) == ["↑", "→", "↓", "←"]
    assert action_letters(garnet(6, 3, 6, 0)._replace(shape=(2, 3))) == ["0", "1", "2"]  # anywhere from anywhere


def test_a_deterministic_policy_is_drawn_and_greedy_actions_of_q() -> None:
    problem = lake()
    down = np.eye(4)[np.ones(16, int)]
    marks = grid_maps(result(np.zeros(16), np.zeros(16), down), problem)[0].marks
    assert marks[0, 0] == "↓" and marks[1, 1] == ""  # a hole: nothing is done there
    even = np.full((16, 4), 0.25)
    assert (grid_maps(result(np.zeros(16), np.zeros(16), even), problem)[0].marks == "").all()
    learned, true = np.zeros((16, 4)), np.zeros((16, 4))
    learned[0, 2], true[0, 3] = 0.5, 0.75
    ours, truth, wrong = grid_maps(result(learned, true), problem)
    assert (ours.marks[0, 0], truth.marks[0, 0]) == ("→", "↑") and wrong.values[0, 0] == -0.25
    assert (ours.marks.ravel()[1:] == "").all()  # all actions are equal there


def test_numbers_in_cells() -> None:
    words = cell_words(np.array([[0.434, -0.0001], [np.nan, 0.59]]))
    assert words.tolist() == [["0.43", "0.00"], ["", "0.59"]]
    assert cell_words(np.array([[-13.0, 0.0]])).tolist() == [["-13", "0"]]
    assert cell_words(np.array([[0.434, 0.1]]), 3).tolist() == [["0.434", "0.100"]]
    assert cell_words(np.array([[2e9]])).tolist() == [["2.0e+09"]]
    assert cell_words(np.zeros((1, 1))).tolist() == [["0.0"]]


@pytest.mark.parametrize("name", ["viridis", "RdBu_r"])
def test_text_stands_out(name: str) -> None:
    """Contrast of at least 4.5 (WCAG 2, AA) on every colour of the map."""

    def luminance(colour: tuple[float, ...]) -> float:
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
        return float(np.dot(parts, (0.2126, 0.7152, 0.0722)))

    for x in np.linspace(0, 1, 256):
        background = colormaps[name](x)
        text = {"black": 0.0, "white": 1.0}[text_colour(background)]
        high, low = sorted((luminance(background), text), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5


def ticks(axis: Axes) -> list[float]:
    """Of the x axis, within its limits."""
    low, high = axis.get_xlim()
    return [tick for tick in axis.get_xticks() if low <= tick <= high]


def test_states_and_steps_have_whole_ticks(tmp_path: Path) -> None:
    """RandomWalk19, 300 steps of two runs: whole states, steps instead of percent, the spread over runs."""
    out = tmp_path / "o"
    found = rlnut.predict("td-lambda", "rlnut/RandomWalk19-v0", steps=300, runs=2, seed=4, out=out, image="svg")
    assert (out / "values.svg").stat().st_size > 5000
    figure: Any = prediction_figure(found, None, PredictionWords("t", ("seed 4",)))
    above, below = figure.axes
    for axis in (above, below):
        assert len(ticks(axis)) > 2 and all(tick == round(tick) for tick in ticks(axis))
    curve = below.lines[0]
    assert curve.get_xdata()[-1] == 300 and below.get_xlabel() == "steps"
    assert found.curve_se is not None and found.curve_se[-1] > 0
    band = below.collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx((found.curve + found.curve_se).max())


def test_the_spread_is_the_standard_error_over_runs() -> None:
    errors: list[np.ndarray] = []
    found = rlnut.predict(
        "td0", "rlnut/RandomWalk5-v0", steps=60, runs=3, callbacks=[lambda look: errors.append(look.errors)]
    )
    each = np.array(errors)
    np.testing.assert_allclose(found.curve, each.mean(1))
    np.testing.assert_allclose(np.asarray(found.curve_se), each.std(1, ddof=1) / 3**0.5)


def test_a_divergence_is_written_on_the_figure_with_its_weights() -> None:
    found = rlnut.predict("td0", "rlnut/Baird-v0", steps=1000, alpha=0.1, seed=1)
    figure: Any = prediction_figure(found, None, PredictionWords("td0 on Baird"))
    above, below, weights = figure.axes
    assert found.alarm and below.get_title(loc="left") == "Diverged" and "diverged" in figure.get_suptitle()
    assert "deadly triad" in figure.get_supxlabel() and above.get_yscale() == "symlog"
    assert len(weights.lines) == 8
    assert [line.get_ydata()[-1] for line in weights.lines] == pytest.approx(found.weights)


def test_a_lake_shows_what_its_cells_are(tmp_path: Path) -> None:
    out = tmp_path / "o"
    rlnut.predict("lstd", "FrozenLake-v1", steps=300, out=out)
    assert (out / "values.png").stat().st_size > 5000
    cells = np.array(list("SFFFFHFHFFFHHFFG"))
    figure: Any = prediction_figure(result(np.zeros(16), np.zeros(16)), lake(), PredictionWords("t", cells=cells))
    for axis in figure.axes[:3]:
        written = "".join(text.get_text() for text in axis.texts if text.get_fontweight() == "bold")
        assert written == "SFFFFHFHFFFHHFFG"
    learned, true = (figure.axes[i].images[0].get_clim() for i in (0, 1))
    assert learned == true


def test_figures_of_every_kind_are_drawn(tmp_path: Path) -> None:
    words = PredictionWords("t", names=("position", "velocity"))
    nan = prediction_figure(result(np.full(16, np.nan), np.full(16, np.nan)), lake(), words)
    wide = prediction_figure(result(np.arange(16.0), np.arange(16.0)), Finite(lake().mdp, shape=(1, 16)), words)
    found = rlnut.predict("td0", "MountainCar-v0", gamma=0.5, steps=60, states=2, rollouts=2)
    box = prediction_figure(found, None, words)
    assert (box.axes[0].get_xlabel(), box.axes[0].get_ylabel()) == ("position", "velocity")
    assert box.axes[0].get_legend() is None  # it would hide a part of the map
    for i, figure in enumerate((nan, wide, box)):
        save_figure(figure, tmp_path / f"{i}.png")
        assert (tmp_path / f"{i}.png").stat().st_size > 5000
