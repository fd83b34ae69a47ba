"""Figures of values and policies: what is drawn are the numbers of `value_map`."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from helpers.policies import tabled, untrained

from rlnut.control.cell_maps import mosaic
from rlnut.control.maps import value_maps
from rlnut.control.value_grids import value_map

pytestmark = pytest.mark.figures


def texts(axis: Any) -> list[str]:
    return [text.get_text() for text in axis.texts]


def test_a_lake_has_learned_exact_and_difference() -> None:
    q = np.zeros((16, 4))
    q[:, 1] = np.arange(16) / 20  # down everywhere
    figure: Any = value_maps(tabled(gym.make("FrozenLake-v1", is_slippery=False), q, gamma=0.9))
    learned, exact, wrong = figure.axes[:3]
    assert learned.get_title(loc="left").startswith("learned") and exact.get_title(loc="left").startswith("exact")
    assert learned.images[0].norm is exact.images[0].norm
    values = learned.images[0].get_array()
    assert values[2, 0] == np.float32(0.4) and values.mask[1, 1]
    assert wrong.images[0].get_array()[2, 0] == pytest.approx(0.4 - 0.9**3, rel=1e-6)
    assert "↓\n0.40" in [text.replace("0.400", "0.40") for text in texts(learned)] and texts(learned).count("H") == 4
    assert any(text.startswith("×") for text in texts(wrong))
    assert "γ = 0.9" in str(figure.get_supxlabel())


def test_slices_are_laid_out_by_the_coordinates_that_are_held() -> None:
    found = value_map(tabled("Taxi-v4", np.arange(3000).reshape(500, 6), gamma=0.9))
    whole = mosaic(found, [one.v for one in found.slices], np.nan)
    assert whole.shape == (5 * 6 - 1, 4 * 6 - 1)
    assert np.isnan(whole[5]).all() and np.isnan(whole[:, 5]).all()
    np.testing.assert_array_equal(whole[12:17, 6:11], found.slices[2 * 4 + 1].v)  # passenger 2, destination 1


def test_a_box_has_values_actions_and_the_cost_to_go() -> None:
    policy = untrained("MountainCar-v0", scale=2.0)
    figure = value_maps(policy)
    names = [axis.get_title(loc="left") or axis.get_title() for axis in figure.axes]
    assert names[0] == "max q(s, a)" and "greedy action" in names
    assert any("max q" in name for name in names[2:]) and figure.axes[0].get_xlabel() == "position"


def test_a_walk_is_a_line_above_its_actions() -> None:
    figure: Any = value_maps(tabled("rlnut/RandomWalk5-v0", np.eye(5, 2), gamma=0.5))
    above, below = figure.axes
    assert above.get_legend_handles_labels()[1] == ["exact v*", "learned max q(s, a)"]
    assert above.get_lines()[1].get_ydata().tolist() == [1, 1, 0, 0, 0]
    assert [label.get_text() for label in below.get_yticklabels()] == ["left", "right"]
