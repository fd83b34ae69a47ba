"""Windows of experience: what is read, what is carried, and that a network with a memory solves what needs one."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import rlnut
from rlnut.agents.catalogue import DQN, DRQN, RecurrentPQN
from rlnut.envs.make import EnvName
from rlnut.envs.recall import Recall, RecallFunc
from rlnut.envs.spaces import read_spaces
from rlnut.learner.prioritised_replay import prioritised_windows
from rlnut.learner.replay import ReplayRows
from rlnut.learner.sequence_replay import windows
from rlnut.networks.recurrent_networks import CELLS, scan
from rlnut.types import Look, Transition, Window, call


def lived(ends: list[int], gamma: float = 0.5) -> Transition:
    """One environment; observation t is 10 t, its successor 10 t + 1 (unless it goes on), the carry is −t."""
    steps = len(ends)
    t = np.arange(steps, dtype=np.float32)[:, None]
    end = np.array(ends, bool)[:, None]
    after = np.where(end, 10 * t + 1, 10 * (t + 1))
    discount = np.full_like(t, gamma)
    return Transition(10 * t, t.astype(np.int32), t, discount, after, end, np.ones_like(end), carry=(-t[..., None],))


def test_a_window_by_hand() -> None:
    """Steps 0 … 7, step 2 ends an episode; the window from step 1: rows 10, 20, 21 (last), 30, 40, 50, …, n = 2."""
    memory = windows(32, length=4, burn_in=1, n=2)
    seen = lived([0, 0, 1, 0, 0, 0, 0, 0])
    first = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), seen)
    state = memory.add(memory.init(first, 8), seen)
    got = memory.read(state, ReplayRows(jnp.array([1]), jnp.array([0])))
    now, then = got.window, got.next_window
    assert now is not None and then is not None
    np.testing.assert_array_equal(np.asarray(got.obs)[[0, 2, 3]], [20, 30, 40])
    np.testing.assert_array_equal(np.asarray(got.next_obs)[[0, 2, 3]], [21, 50, 60])
    np.testing.assert_array_equal(now.obs[0], [10, 20, 21, 30, 40, 50, 60])
    np.testing.assert_array_equal(now.begin[0], [False, False, False, True, False, False, False])
    np.testing.assert_array_equal(now.carry[0], [[-1]])
    np.testing.assert_array_equal(now.at[0], [1, 2, 3, 4])  # 20, then the last observation, then 30, 40
    np.testing.assert_array_equal(got.valid, [True, False, True, True])
    np.testing.assert_array_equal(np.asarray(got.action)[[0, 2, 3]], [2, 3, 4])
    np.testing.assert_allclose(np.asarray(got.reward)[[0, 2, 3]], [2, 3 + 0.5 * 4, 4 + 0.5 * 5])
    np.testing.assert_allclose(np.asarray(got.discount)[[0, 2, 3]], [0.5, 0.25, 0.25])
    np.testing.assert_array_equal(np.asarray(then.at[0])[[0, 2, 3]], [2, 5, 6])  # 21, 50, 60
    assert memory.weigh is not None
    np.testing.assert_allclose(
        memory.weigh(state, ReplayRows(jnp.array([1]), jnp.array([0])), jnp.int32(0)), np.array([4, 0, 4, 4]) / 3
    )


def full_ring(ends: list[int]) -> tuple[Any, Any]:
    """A memory of 11 rows after the steps of `ends`, whose episodes begin with the carry 7; and its state."""
    memory = windows(10, length=3, burn_in=1, n=1, start=lambda envs: (np.full((envs, 1), 7.0, np.float32),))
    seen = lived(ends)
    seen = seen._replace(fresh=np.roll(seen.end, 1, 0) | (np.arange(len(ends)) == 0)[:, None])
    first = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), seen)
    state = memory.init(first, 1)
    for t in range(len(ends)):
        state = memory.add(state, jax.tree.map(lambda a, t=t: a[t : t + 1], seen))
    return memory, state


@pytest.mark.parametrize(
    ("ends", "begins"),
    [([0] * 15, False), ([0] * 4 + [1] + [0] * 11, False), ([0, 0, 0, 1] + [0] * 10, True)],
    ids=["in an episode", "in a later episode", "at the beginning of an episode"],
)
def test_the_oldest_row_of_a_full_ring_keeps_what_was_carried_into_it(ends: list[int], begins: bool) -> None:
    """The newest row lies before it and says nothing: the stored carry is the actor's, −t, or the start."""
    memory, state = full_ring(ends)
    oldest = (state.replay.head + 1) % 11
    got = memory.read(state, ReplayRows(oldest, jnp.array([0])))
    window = got.window
    assert window is not None
    t = float(window.obs[0, 0]) / 10
    assert window.obs[0].tolist()[:2] == [10 * t, 10 * (t + 1)] and ends[int(t)] == 0
    assert not window.begin[0].any()
    assert window.carry[0].tolist() == [[7.0 if begins else -t]]
    np.testing.assert_array_equal(got.valid, [True] * 3)


@pytest.mark.parametrize("steps", [12, 15, 21, 22])
def test_a_window_ends_at_the_newest_row(steps: int) -> None:
    """Behind it lie the oldest rows of a full ring, which are not what came next: they weigh nothing."""
    memory, state = full_ring([0] * steps)
    head = int(state.replay.head[0])
    for back in range(1, 11):
        rows = ReplayRows(jnp.array([(head - back) % 11]), jnp.array([0]))
        known = np.arange(1, 4) < back  # of the rows after the burn-in those before the newest
        got = memory.read(state, rows)
        np.testing.assert_array_equal(got.valid, known)
        np.testing.assert_allclose(memory.weigh(state, rows, jnp.int32(0)), known / max(known.mean(), 1e-6))
        np.testing.assert_array_equal(np.asarray(got.reward)[known], (steps - back + np.arange(1, 4))[known])


@pytest.mark.parametrize(
    "options",
    [
        {"memory": "gru"}, {"memory": "lstm", "dueling": "mean"}, {"memory": "rnn", "loss": "quantile", "atoms": 3},
        {"memory": "gru", "loss": "iqn", "atoms": 3}, {"memory": "gru", "loss": "c51", "explore": "noisy"},
    ],
    ids=str,
)  # fmt: skip
def test_the_network_reads_a_window_as_the_actor_lived_it(options: dict[str, Any]) -> None:
    """Outputs over a window are those of single steps with the carry handed on, restarted at the second episode."""
    config = DQN(hidden=(8,), memory_size=5, **options)
    spec = read_spaces(EnvName("rlnut/Recall-v0").make())
    readout = config.make_readout(spec)
    model, actor = config.make_model(spec, None, readout)
    obs = jax.random.normal(jax.random.key(1), (3, 6, 2))
    params = model.init(jax.random.key(0), obs[:, 0])
    begin = np.zeros((3, 6), bool)
    begin[:, 0], begin[1, 3] = True, True
    at = jnp.broadcast_to(jnp.arange(6), (3, 6))
    stale = jax.tree.map(lambda a: a + 9.0, actor.carry(3))  # of an earlier episode: `begin` forgets it
    outputs = model.apply(params, Window(obs, jnp.asarray(begin), stale, at))
    whole = outputs.reshape(3, 6, *outputs.shape[1:])
    assert readout.q(outputs).shape == (18, 2)
    for kind in (jnp.asarray, np.asarray):
        theta, carry = jax.tree.map(kind, params), jax.tree.map(kind, stale)
        for t in range(6):
            values, carry = actor.step(theta, carry, Look(kind(obs[:, t]), kind(begin[:, t])), None)
            np.testing.assert_allclose(values, whole[:, t], rtol=1e-5, atol=1e-6)
    noise = jax.random.key(2)
    noisy = call(model, params, Window(obs, jnp.asarray(begin), stale, at), noise)
    drawn = noisy.shape != outputs.shape or bool((noisy != outputs).any())
    assert drawn == model.stochastic == (config.loss == "iqn" or config.explore == "noisy")


def test_windows_are_drawn_in_proportion_to_how_surprising_their_steps_were() -> None:
    """p = 0.9 max + 0.1 mean over the steps that are experience, P ∝ √p (α = ½), weights (min m / m)^β, by hand."""
    memory = prioritised_windows(windows(16, length=2, burn_in=1), 2, alpha=0.5, beta=1.0)
    seen = lived([0, 0, 0, 1])
    first = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), seen)
    state = memory.add(memory.init(first, 4), seen)
    assert memory.score is not None and memory.weigh is not None
    rows = ReplayRows(jnp.arange(4), jnp.zeros(4, int))  # learned from: steps (1, 2), (2, 3), (3, none), none
    surprise = jnp.array([1.0, 3, 2, 4, 5, 100, 100, 100])
    state = memory.score(state, rows, surprise)
    priority = np.array([0.9 * 3 + 0.1 * 2, 0.9 * 4 + 0.1 * 3, 5, 0]) + 1e-6
    np.testing.assert_allclose(state.mass[:4, 0], np.sqrt(priority), rtol=1e-5)
    assert float(state.mass.sum()) == pytest.approx(np.sqrt(priority).sum(), rel=1e-5)
    assert float(state.top) == pytest.approx(5 + 1e-6)
    draws = np.bincount(np.asarray(memory.draw(state, jax.random.key(0), 10_000).row), minlength=4)
    np.testing.assert_allclose(draws / 10_000, np.sqrt(priority) / np.sqrt(priority).sum(), atol=2e-4)
    there = np.array([1, 1, 1, 1, 1, 0, 0, 0])
    weights = np.repeat(np.sqrt(1e-6) / np.sqrt(priority), 2) * there / there.mean()
    np.testing.assert_allclose(memory.weigh(state, rows, jnp.int32(0)), weights, rtol=1e-4)


def test_recall_is_the_task_it_says() -> None:
    check_env(Recall(), skip_render_check=True)
    func, key = RecallFunc(2), jax.random.key(0)
    state = func.initial(key)
    assert float(state.cue) in (-1, 1)
    right = jnp.int32(state.cue > 0)
    seen = []
    for t in range(3):
        obs = func.observation(state, key)
        after = func.transition(state, right if t == 2 else 1 - right, key)
        seen.append((obs.tolist(), float(func.reward(state, right, after, key)), bool(func.terminal(after, key))))
        state = after
    assert seen == [([float(state.cue), 0], 0, False), ([0, 0], 0, False), ([0, 1], 1, True)]


def trained(config: Any, steps: int) -> Any:
    run = rlnut.train(
        config, EnvName("rlnut/Recall-v0", {"delay": 3}), steps=steps, native=True, num_envs=8, quiet=True,
        eval_every=steps, log_every=steps, eval_episodes=40, final_episodes=60,
    )  # fmt: skip
    return run


def values(run: Any, cue: float) -> np.ndarray:
    """q along an episode that begins with `cue`."""
    agent, params = run.policy.agent, run.policy.params
    carry, rows = agent.carry(1), []
    for t in range(4):
        obs = np.array([[cue if t == 0 else 0, t == 3]], np.float32)
        q, carry = agent.q(params, carry, Look(obs, np.array([t == 0])))
        rows.append(np.asarray(q)[0])
    return np.array(rows)


@pytest.mark.slow
def test_a_memory_solves_what_a_feed_forward_net_cannot() -> None:
    """With a memory q is what it should be, γ^(3 − t); without one the last step is a coin toss, worth at most 0."""
    common: dict[str, Any] = {"gamma": 0.9, "lr": 3e-3, "hidden": (16,), "n_step": 1, "double": False}
    common |= {"epsilon_steps": 2_000, "target_every": 50, "learning_starts": 200, "train_every": 32, "replay": 5_000}
    with_memory = trained(DRQN(**common, memory="gru", memory_size=16, sequence=8, burn_in=0, gradient_steps=2), 12_000)
    assert with_memory.evaluation.mean == 1.0
    for cue, right in ((1.0, 1), (-1.0, 0)):
        q = values(with_memory, cue)
        np.testing.assert_allclose(q[:3], np.repeat([[0.9**3], [0.9**2], [0.9]], 2, 1), atol=0.1)
        np.testing.assert_allclose(q[3], [1, -1] if right == 0 else [-1, 1], atol=0.1)
    surprising = DQN(
        **common, memory="gru", memory_size=16, sequence=8, burn_in=0, gradient_steps=2, batch=16, prioritised=True,
        schedule="linear",
    )  # fmt: skip
    assert trained(surprising, 12_000).evaluation.mean == 1.0
    rounds = RecurrentPQN(
        gamma=0.9, lr=3e-3, hidden=(16,), memory="gru", memory_size=16, sequence=8, rollout=256, minibatches=4,
        epsilon_steps=10_000, lam=0.8,
    )  # fmt: skip
    assert trained(rounds, 40_000).evaluation.mean == 1.0
    without = trained(DQN(**common, gradient_steps=2), 4_000)
    assert abs(without.evaluation.mean) < 0.5


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_starts_from_the_carry_it_is_given(cell: str) -> None:
    made = CELLS[cell](3)
    params = made.init(jax.random.key(0), jnp.zeros((1, 2)))
    x = jax.random.normal(jax.random.key(1), (2, 4, 2))
    half, first = scan(made, params, x[:, :2])
    _, second = scan(made, params, x[:, 2:], carry=half)
    np.testing.assert_allclose(jnp.concatenate([first, second], 1), scan(made, params, x)[1], rtol=1e-6)
