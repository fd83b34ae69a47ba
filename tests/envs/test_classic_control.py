"""The classic agents as people meet them: run folders, resume, options that all do something, refusals."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

import rlnut
from rlnut import UsageError
from rlnut.agents.action_values import values_of
from rlnut.agents.online import Noise
from rlnut.agents.online_settings import CLASSIC, SARSA, QLearning, Retrace, SARSALambda, WatkinsQ
from rlnut.envs.blackjack_tables import blackjack
from rlnut.envs.spaces import read_spaces
from rlnut.prediction.policies import as_table
from rlnut.truth.dynamic_programming import chain, values
from rlnut.types import Look, Transition


class Fake(gym.Env[Any, Any]):
    """An environment that has spaces and nothing else."""

    def __init__(self, observation: spaces.Space) -> None:
        self.observation_space, self.action_space = observation, spaces.Discrete(2)


STATES = read_spaces(Fake(spaces.Discrete(6, start=1)))
CAR = read_spaces(Fake(spaces.Box(np.array([-1.2, -0.07], np.float32), np.array([0.6, 0.07], np.float32))))
POLE = read_spaces(Fake(spaces.Box(-np.inf, np.inf, (4,), np.float32)))


def test_a_run_is_cut_resumed_and_evaluated_like_any_other(tmp_path) -> None:
    """Traces, waiting updates and visits are in the checkpoint: the same bytes as without the pause."""
    config = SARSALambda(lr=0.3, lr_power=0.2, epsilon_steps=100)
    short: dict[str, Any] = {"eval_every": 100, "eval_episodes": 1, "final_episodes": 2, "log_every": 50, "quiet": True}
    whole, part = tmp_path / "whole", tmp_path / "part"
    rlnut.train(config, "FrozenLake-v1", num_envs=2, steps=400, seed=3, out=whole, **short)
    rlnut.train(config, "FrozenLake-v1", num_envs=2, steps=230, seed=3, out=part, **short)
    run = rlnut.resume(part, steps=400, quiet=True)
    for name in ("policy.safetensors", "checkpoint.safetensors", "metrics.csv", "config.json"):
        assert (whole / name).read_bytes() == (part / name).read_bytes(), name
    assert run.q(np.arange(16)).shape == (16, 4)
    assert rlnut.load_policy(part).evaluate(3, seed=1).returns == run.evaluate(3, seed=1).returns


def experience(spec: Any, steps: int = 40) -> Transition:
    rng = np.random.default_rng(0)
    if spec.discrete:
        obs = rng.integers(1, 7, size=(steps + 1, 2)).astype(np.int32)
    else:
        obs = rng.uniform(spec.low, spec.high, size=(steps + 1, 2, 2)).astype(np.float32)
    end = rng.random((steps, 2)) < 0.1
    discount = np.where(end, 0, 0.9).astype(np.float32)
    reward = rng.normal(size=(steps, 2)).astype(np.float32)
    return Transition(obs[:-1], rng.integers(2, size=(steps, 2)).astype(np.int32), reward, discount, obs[1:], end,
                      np.ones((steps, 2), bool))  # fmt: skip


def outcome(config: Any, spec: Any = STATES) -> bytes:
    """The weights after some experience, and how the agent would act then."""
    agent, seen = config.build(spec), experience(spec)

    def run() -> Any:
        state = agent.init(jax.random.key(0), jax.tree.map(lambda a: a[0], seen))
        state, _ = agent.learn(state, seen)
        u = jnp.linspace(0, 0.99, 32)
        noise = Noise(u, jnp.full(32, agent.rate(state.steps)))
        action, _ = agent.act(state.fit.params, (), Look(seen.obs[:16].reshape(32, *spec.shape), u < 0), noise)
        return state.fit.params["w"], action

    return b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(jax.jit(run)()))


def test_every_option_changes_training() -> None:
    """γ reaches an agent through its experience; the rest, moved from its default, ends in other weights or actions."""
    other: dict[str, Any] = {
        "lr": 0.2, "lr_power": 0.5, "features": "aggregation:3", "initial": 1.0, "explore": "boltzmann",
        "epsilon_start": 0.2, "epsilon_end": 0.5, "epsilon_steps": 100, "n_step": 2, "lam": 0.5,
        "trace": "accumulating", "target_epsilon": 0.5,
    }  # fmt: skip
    reached = {"gamma", "low", "high"}
    for kind in (SARSA, Retrace):
        base: Any = kind(epsilon_steps=160)  # half-way when the experience ends
        reference = outcome(base)
        for name in {f.name for f in fields(kind)} - reached:
            assert outcome(base.replace(**{name: other[name]})) != reference, name
            reached.add(name)
    assert reached >= {f.name for config in CLASSIC.values() for f in fields(config)}
    reference = outcome(QLearning(), CAR)
    assert outcome(QLearning(low=(-1.5, -0.07)), CAR) != reference
    assert outcome(QLearning(high=(0.6, 0.1)), CAR) != reference
    assert outcome(QLearning(explore="ucb")) != outcome(QLearning())


@pytest.mark.parametrize(
    ("config", "spec", "reason"),
    [
        (lambda: SARSA(epsilon_start=2), STATES, "epsilon_start must be <= 1 for epsilon-greedy"),
        (lambda: SARSA(explore="boltzmann", epsilon_end=0), STATES, "it is a temperature"),
        (lambda: SARSA(explore="ucb"), CAR, "--explore ucb counts visits of states: it is for tables"),
        (lambda: SARSA(lr_power=0.5, features="mlp"), STATES, "--lr-power counts visits"),
        (lambda: SARSA(features="one-hot"), CAR, "one-hot is for numbered states"),
        (lambda: SARSA(features="own"), CAR, "an environment brings no features"),
        (lambda: SARSA(features="tails"), CAR, "tiles"),
        (lambda: SARSA(), POLE, "dimension 0 of the observation has no bounds.*--low and --high, 4 numbers"),
        (lambda: SARSA(low=(0.0,)), CAR, "--low takes 2 numbers"),
        (lambda: SARSA(low=(0.0,)), STATES, "--low and --high have no effect on a table"),
        (lambda: SARSA(initial=1, features="fourier"), CAR, "--initial is not supported for fourier"),
        (lambda: SARSA(initial=1, features="mlp"), CAR, "--initial has no effect on a network"),
        (lambda: SARSALambda(trace="dutch", features="mlp"), CAR, "--trace dutch is not supported for a network"),
        (lambda: WatkinsQ(features="fourier"), CAR, "--trace replacing is for features that are 0 or 1"),
        (lambda: WatkinsQ(trace="dutch"), CAR, "unknown trace 'dutch'"),
    ],
)
def test_what_means_nothing_is_refused(config, spec, reason) -> None:
    with pytest.raises(UsageError, match=reason):
        config().build(spec)


def test_initial_values_hold_everywhere() -> None:
    obs = np.array([[-1.0, 0.0], [0.5, 0.05]], np.float32)
    values = values_of("tiles:8", CAR, initial=-3.0)
    np.testing.assert_allclose(values.q(values.init(jax.random.key(0)), obs), -3, rtol=1e-5)


@pytest.mark.parametrize("words", ["tiles:4", "fourier:2", "polynomial:2", "rbf:3", "mlp:8"])
def test_reading_by_index_in_numpy_and_by_gradient_agree(words: str) -> None:
    """q = wᵀx for linear maps, and `add` moves q(s, a) by amount·‖x‖² and no other action of a linear map."""
    values = values_of(words, CAR)
    w = np.asarray(values.init(jax.random.key(1))) + 0.1 * np.random.default_rng(0).normal(
        size=len(values.init(jax.random.key(1)))
    ).astype(np.float32)
    obs, action = np.array([[-1.0, 0.02], [0.5, 0.05]], np.float32), np.array([1, 0])
    q, x = np.asarray(values.q(w, obs)), np.asarray(values.gradient(w, obs, action))
    if values.kind != "network":
        np.testing.assert_allclose((x @ w), q[[0, 1], action], rtol=1e-4, atol=1e-5)
    moved = np.asarray(values.add(w, obs, action, np.array([0.1, -0.2], np.float32)))
    np.testing.assert_allclose(moved - w, np.asarray(values.step(np.array([0.1, -0.2]), x)), rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("agent", "seed"), [*(("q-learning", seed) for seed in range(3)), ("double-q", 0)])
def test_blackjack_comes_to_the_value_of_the_game(agent: str, seed: int) -> None:
    """The exact value of the greedy policy is within 0.001 of the optimum, −0.043113."""
    game = blackjack()
    run = rlnut.train(agent, "Blackjack-v1", seed=seed, final_episodes=1, quiet=True)
    v = values(chain(game.mdp, as_table(run, game, 1)), 1)
    assert game.mdp.start @ np.nan_to_num(v) == pytest.approx(-0.043113, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("agent", "env", "bar"),
    [
        ("q-learning", "FrozenLake-v1", 0.70),
        ("double-q", "CliffWalking-v1", -13),
        ("expected-sarsa", "Taxi-v4", 7.7),
        ("sarsa-lambda", "MountainCar-v0", -110),
    ],
)
def test_presets_reach_their_bars(agent: str, env: str, bar: float) -> None:
    assert rlnut.train(agent, env, quiet=True).evaluation.mean >= bar
