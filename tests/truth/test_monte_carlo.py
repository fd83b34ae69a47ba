"""Monte-Carlo truth against exact values: states reached by copy or by playing again, actions, off-policy walks."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from rlnut.envs.walks import random_walk
from rlnut.errors import RlnutError
from rlnut.truth.monte_carlo import monte_carlo_truth


class NoCopy(gym.Wrapper):
    """An environment that refuses to be copied, as those with a physics engine do."""

    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("cannot pickle this")


class Forgetful(NoCopy):
    """… and that does not repeat itself either."""

    count = 0

    def step(self, action: Any) -> tuple:
        obs, *rest = super().step(action)
        type(self).count += 1
        return (obs + 1000 * self.count, *rest)


def even(obs: Any, rng: np.random.Generator) -> int:
    return int(rng.integers(2))


def make() -> gym.Env:
    return gym.make("rlnut/RandomWalk5-v0")


def test_states_that_are_played_again() -> None:
    found = monte_carlo_truth(lambda: NoCopy(make()), even, 1.0, 6, 200, 0)
    right = (found.obs + 1) / 6
    assert (np.abs(found.mean - right) < 4 * np.sqrt(0.25 / 200)).all() and len(set(found.obs)) > 1
    with pytest.raises(RlnutError, match="neither copied nor repeated"):
        monte_carlo_truth(lambda: Forgetful(make()), even, 1.0, 3, 2, 0)


def test_actions_come_first_and_the_walk_may_be_anothers() -> None:
    """Q of the uniform policy at states that a policy passes that mostly goes right."""
    walk = random_walk(5, left=0.0)
    found = monte_carlo_truth(make, even, 1.0, 8, 200, 1, lambda obs, rng: int(rng.random() < 0.9), True)
    v = np.concatenate([[0], np.arange(1, 6) / 6, [1]])
    assert found.actions is not None
    right = v[found.obs + 1 + 2 * found.actions - 1]
    assert (np.abs(found.mean - right) < 4 * np.sqrt(0.25 / 200) + 1e-9).all()
    assert found.actions.mean() > 0.6 and walk.gamma == 1


def test_what_is_cut_is_bounded() -> None:
    """−1 for ever: −(1 − γᴴ)/(1 − γ), and the bound is exactly what is missing."""
    found = monte_carlo_truth(lambda: gym.make("MountainCar-v0"), lambda obs, rng: 1, 0.9, 2, 2, 0)
    np.testing.assert_allclose(found.mean - found.bias, -10, atol=1e-9)
    assert 0 < found.bias < 1e-2
    assert monte_carlo_truth(make, even, 1.0, 2, 2, 0).bias == 0
