"""DQN on probe environments with known Q, and the pieces that compose it."""

from __future__ import annotations

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlnut
from rlnut import DQN
from rlnut.control.host_loop import host_loop
from rlnut.envs.probes import GAMMA, PROBES
from rlnut.envs.vector import EnvList
from rlnut.learner.agent import Pace, periodic, polyak

QUICK = DQN(gamma=GAMMA, hidden=(16,), batch=32, replay=2000, learning_starts=64, train_every=32, gradient_steps=32,
            target_every=20, lr=1e-2, epsilon_start=1.0, epsilon_end=1.0)  # fmt: skip


@pytest.mark.parametrize("probe", ["Both", "Limit"])
def test_whole_runs_come_to_the_true_q(probe):
    """The loop and the environments with the learner; the learners alone on every probe: test_family.py."""
    run = rlnut.train(QUICK, f"rlnut/Probe{probe}-v0", steps=1600, eval_every=10**6, eval_episodes=1,
                      final_episodes=1, quiet=True)  # fmt: skip
    known = PROBES[probe]
    for obs in known.observations:
        truth = [known.q(obs, a) for a in range(known.actions)]
        np.testing.assert_allclose(run.q([obs]), truth, atol=0.05, err_msg=f"{probe} at {obs}")


def test_updates_are_owed_exactly_for_any_number_of_environments():
    """One update for every 10 transitions from the 100th on, whatever the size of a round."""
    pace = Pace(starts=100, every=10, updates=3, batch=1)
    for envs in (1, 3, 7, 10, 16):
        round_steps = pace.round_length(envs) * envs
        done, steps = 0, 0
        while steps < 1000:
            owed = int(pace.due(steps + round_steps) - pace.due(steps))
            assert owed <= pace.most(round_steps)
            steps += round_steps
            done += owed
            expected = 3 * len([s for s in range(100, steps + 1) if (s - 100) % 10 == 0])
            assert done == expected


def learner(config: DQN, envs: int = 2, env: str = "CartPole-v1"):
    vector = EnvList(lambda: gym.make(env), envs)
    agent = config.build(vector.spec)
    return agent, host_loop(agent, vector, config.gamma)


def test_the_target_network_is_copied_on_time():
    _, loop = learner(DQN(learning_starts=16, train_every=16, gradient_steps=1, target_every=3, hidden=(8,)))
    run = loop.start(0)
    matches = []
    for _ in range(7):
        run, _ = loop.advance(run)
        same = jax.tree.map(lambda a, b: bool(jnp.array_equal(a, b)), run.agent.fit.params, run.agent.target)
        matches.append(all(jax.tree.leaves(same)))
    assert matches == [False, False, True, False, False, True, False]


def test_environments_explore_independently_and_one_seed_is_one_run():
    config = DQN(hidden=(8,), learning_starts=10**6)

    def actions(seed: int) -> np.ndarray:
        _, loop = learner(config, 4)
        run = loop.start(seed)
        for _ in range(30):
            run, _ = loop.advance(run)
        return np.asarray(run.agent.memory.action)[: int(run.agent.memory.filled)]

    first = actions(0)
    assert all(not np.array_equal(first[:, i], first[:, j]) for i in range(4) for j in range(i))
    np.testing.assert_array_equal(first, actions(0))
    assert not np.array_equal(first[:40], actions(1)[:40])


def test_any_jax_module_fits_in():
    """A model of the user's own, by two plain functions, in place of the default network."""

    def network(shape):
        def init(key, x):
            return {"w": jax.random.normal(key, (x.shape[-1], *shape)) * 0.1}

        return rlnut.Model(init, lambda params, x: x @ params["w"])

    run = rlnut.train(QUICK, "rlnut/ProbeAction-v0", network=network, steps=400, final_episodes=1, quiet=True)
    assert run.policy.params[1]["w"].shape == (1, 2)


def test_target_networks_by_hand():
    """θ = 4, θ⁻ = 2: copied at every third update; or a quarter of the way."""
    theta, target = {"w": jnp.array(4.0)}, {"w": jnp.array(2.0)}
    assert [float(periodic(3).update(theta, target, jnp.int32(k))["w"]) for k in (1, 2, 3, 4)] == [2, 2, 4, 2]
    assert float(polyak(0.25).update(theta, target, jnp.int32(1))["w"]) == 2.5
