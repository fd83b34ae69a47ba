"""Learning beside the next round: which weights play which round, exact resume, and what it is refused for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlnut
from rlnut import DQN, UsageError
from rlnut.control.host_loop import Run, host_loop
from rlnut.control.run_folder import CHECKPOINT, POLICY
from rlnut.envs.vector import host_vector
from rlnut.errors import RlnutError
from rlnut.types import Look, transition

pytestmark = pytest.mark.usefixtures("shared_programs")
SMALL = DQN(hidden=(8,), batch=8, replay=60, learning_starts=16, target_every=3, epsilon_steps=100)
SHORT: dict[str, Any] = {"steps": 160, "eval_every": 64, "eval_episodes": 2, "final_episodes": 2, "log_every": 24}
SHORT |= {"quiet": True, "overlap": True, "num_envs": 2}


def cart_poles() -> Any:
    return host_vector(lambda: gym.make("CartPole-v1"), 2)


def by_hand(rounds: int) -> tuple[Any, list[int]]:
    """Round k is played by the weights that have learned rounds 1 … k − 2, and its ε is that of its own steps."""
    vector = cart_poles()
    agent = SMALL.planned(160, 2).build(vector.spec)
    length = agent.pace.round_length(2)
    start = host_loop(agent, vector, 0.99).start(3)
    state, look = start.agent, Look(vector.reset(3), np.ones(2, bool))
    weights, waiting, actions = [state.fit.params], None, []
    for k in range(rounds):
        noise = jax.tree.map(np.asarray, agent.draw(state._replace(steps=jnp.int32(k * 2 * length)), 2))
        rows = []
        for t in range(length):
            action, _ = agent.act(jax.tree.map(np.asarray, weights[k]), (), look, noise[t])
            step = vector.step(np.asarray(action))
            seen = (look.obs, action, step.reward, step.next_obs, step.terminated, step.truncated)
            rows.append(transition(*seen, 0.99, step.valid, fresh=look.fresh))
            look = Look(step.obs, step.terminated | step.truncated)
            actions.extend(np.asarray(action).tolist())
        if waiting is not None:
            state, _ = jax.jit(agent.learn)(state, waiting)
        weights.append(state.fit.params)
        waiting = jax.tree.map(lambda *a: np.stack(a), *rows)
    return state, actions


def test_the_weights_that_play_are_one_round_older():
    vector = cart_poles()
    agent = SMALL.planned(160, 2).build(vector.spec)
    loop = host_loop(agent, vector, 0.99, overlap=True)
    run: Run = loop.start(3)
    actions: list[int] = []
    for _ in range(12):
        run, _ = loop.advance(run)
        actions.extend(np.asarray(run.seen.action).reshape(-1).tolist())  # type: ignore[union-attr]
    state, wanted = by_hand(12)
    assert len(set(wanted)) == 2 and int(state.fit.step) > 5
    assert actions == wanted
    assert int(run.agent.steps) == run.steps - run.steps // 12 == int(state.steps)
    for got, want in zip(jax.tree.leaves(run.agent.fit.params), jax.tree.leaves(state.fit.params), strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-6)


def test_other_weights_than_without_it(tmp_path: Path):
    def trained(overlap: bool) -> np.ndarray:
        return rlnut.train(SMALL, "CartPole-v1", seed=1, **SHORT | {"overlap": overlap}).q(np.zeros(4, np.float32))

    assert not np.array_equal(trained(True), trained(False))


@pytest.mark.parametrize("at", [0, 72])
def test_left_and_gone_on_with_it_leaves_the_same_bytes(at: int, tmp_path: Path):
    rlnut.train(SMALL, "CartPole-v1", seed=5, out=tmp_path / "whole", **SHORT)
    for look in rlnut.training(SMALL, "CartPole-v1", seed=5, out=tmp_path / "left", **SHORT):
        if look.step >= at:
            break
    rlnut.resume(tmp_path / "left", steps=160, quiet=True)
    for name in (POLICY, CHECKPOINT, "metrics.csv"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "left" / name).read_bytes(), name


class Forgetful(gym.Env):
    """Not repeatable: a run that goes on starts new episodes."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)
    made = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        Forgetful.made += 1
        return np.array([Forgetful.made], np.float32), {}

    def step(self, action: Any) -> Any:
        Forgetful.made += 1
        return np.array([Forgetful.made], np.float32), 1.0, False, False, {}


def test_a_round_whose_episodes_are_given_up_ends_with_a_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = SHORT | {"steps": 64, "eval_every": 1000, "final_episodes": 1}

    def limited() -> gym.Env:
        return gym.wrappers.TimeLimit(Forgetful(), 50)

    for look in rlnut.training(SMALL, limited, seed=5, out=tmp_path / "run", **words):
        if look.step >= 32:
            break
    done = rlnut.resume(tmp_path / "run", env=limited, quiet=True)
    assert done.reached == 64 and "continues with new episodes" in capsys.readouterr().err


def test_where_it_has_no_effect_it_is_refused():
    with pytest.raises(UsageError, match="overlap has no effect with native"):
        rlnut.train(SMALL, "CartPole-v1", **SHORT | {"native": True})
    with pytest.raises(UsageError, match="overlap"):
        rlnut.train("fqi", "FrozenLake-v1", overlap=True, quiet=True)


def test_an_environment_that_fails_says_from_where_to_go_on(tmp_path: Path):
    class Breaks(gym.Wrapper):
        count = 0

        def step(self, action: Any) -> Any:
            Breaks.count += 1
            if Breaks.count == 100:
                raise ValueError("broken")
            return self.env.step(action)

    with pytest.raises(RlnutError, match=r"broken.*continues from step"):
        rlnut.train(SMALL, lambda: Breaks(gym.make("CartPole-v1")), out=tmp_path / "run", **SHORT)
