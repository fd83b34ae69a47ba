"""The panel beside a frame says what the numbers say: lengths of bars, the chosen action, what is not allowed."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageColor

from rlnut.control.video_panel import HEIGHT, PANEL, TALLEST, Scene, ValuePanel, fitted
from rlnut.runtime.plotting import BLUE, ORANGE, UNREACHABLE


def runs(picture: Image.Image, colour: str) -> list[int]:
    """The widest run of a colour in each group of rows that has it."""
    seen = (np.asarray(picture)[:, -PANEL:] == ImageColor.getrgb(colour)).all(-1).sum(1)
    found, before = [], 0
    for width in [*seen.tolist(), 0]:
        if width > 30 and before <= 30:
            found.append(width)
        elif width > 30:
            found[-1] = max(found[-1], width)
        before = width
    return found


def moment(values: list[list[float]], action: list[int], allowed: np.ndarray | None = None) -> Scene:
    return Scene(Image.new("RGB", (400, 400)), 0, 3, 1.0, 4.0, np.array(values), np.array(action), allowed)


def test_bars_are_as_long_as_values_and_the_chosen_one_stands_out() -> None:
    panel = ValuePanel([["a", "b", "c"]], 1, "env")
    picture = panel.compose(moment([[1.0, 2.0, 4.0]], [2]))
    (one, two), (four,) = runs(picture, BLUE), runs(picture, ORANGE)
    assert abs(four - 4 * one) <= 6 and abs(two - 2 * one) <= 4
    forbidden = panel.compose(moment([[1.0, 2.0, 4.0]], [1], np.array([[True, True, False]])))
    assert len(runs(forbidden, UNREACHABLE)) == 1 and len(runs(forbidden, BLUE)) == 1


def test_bars_of_values_far_below_0_grow_with_the_value() -> None:
    panel = ValuePanel([["a", "b"]], 1, "env")
    panel.compose(moment([[-110.0, -100.0]], [1]))
    (low,), (high,) = runs(picture := panel.compose(moment([[-106.0, -101.0]], [1])), BLUE), runs(picture, ORANGE)
    assert low < high


def test_the_scale_holds_all_values_that_were_seen() -> None:
    """The same value has the same length later on, and a shorter one once larger values have been seen."""
    panel = ValuePanel([["a", "b", "c"]], 1, "env")
    (first,) = runs(panel.compose(moment([[0.0, 4.0, 8.0]], [2])), BLUE)
    assert runs(panel.compose(moment([[0.0, 4.0, 5.0]], [2])), BLUE) == [first]
    panel.compose(moment([[0.0, 0.0, 16.0]], [2]))
    (later,) = runs(panel.compose(moment([[0.0, 4.0, 8.0]], [2])), BLUE)
    assert abs(2 * later - first) <= 8


def test_every_number_of_actions_fits() -> None:
    for groups in ([["a"]], [[str(k) for k in range(18)]], [["x", "y", "z"]] * 6, [[str(k) for k in range(300)]]):
        values = [[float(k) for k in range(len(names))] for names in groups]
        picture = ValuePanel(groups, 3, "env").compose(moment(values, [0] * len(groups)))
        assert picture.size == (400 + PANEL, 400)
    equal = ValuePanel([["a", "b"]], 1, "env").compose(moment([[0.0, 0.0]], [0]))
    assert equal.size == (400 + PANEL, 400)
    lost = ValuePanel([["a", "b"]], 1, "env").compose(moment([[np.nan, np.inf]], [0]))
    assert lost.size == (400 + PANEL, 400)


def test_small_frames_are_enlarged_by_whole_factors_and_large_ones_reduced() -> None:
    assert fitted(Image.new("RGB", (10, 10))).size == (HEIGHT, HEIGHT)
    assert fitted(Image.new("RGB", (210, 160))).size == (210, 160)
    assert fitted(Image.new("RGB", (2 * TALLEST, TALLEST))).size == (TALLEST, TALLEST // 2)
    odd = ValuePanel([["a"]], 1, "env").compose(Scene(Image.new("RGB", (401, 403)), 0, 0, None, 0.0))
    assert odd.width % 2 == odd.height % 2 == 0
