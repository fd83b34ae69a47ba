"""Batch control: LSPI's chain walks, FQI against value iteration of the counts, CQL's loss by hand, checks of files."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlnut
from rlnut import UsageError
from rlnut.agents.offline import of_the_action
from rlnut.agents.offline_settings import CQL, FQI, LSPI, NFQ
from rlnut.envs import transitions
from rlnut.envs.make import EnvName
from rlnut.envs.vector import EnvList
from rlnut.runtime.files import read_json
from rlnut.types import Look, Transition

QUIET: dict[str, Any] = {"eval_episodes": 1, "final_episodes": 1, "quiet": True}


def vector(name: str = "rlnut/ChainWalk4-v0") -> EnvList:
    return EnvList(EnvName(name).make, 1)


def policies(config: Any, name: str, steps: int, iterations: int) -> tuple[list[str], np.ndarray]:
    """Greedy actions in all states after each iteration, and the last q."""
    walk = vector(name)
    seen = transitions.checked_transitions(transitions.collect(walk, steps, 0), walk.spec, config.gamma, "")
    agent = config.build(walk.spec)
    state = agent.init(jax.random.key(0), jax.tree.map(lambda a: a[0], seen))
    assert walk.spec.high is not None
    found, q, states = [], np.zeros(0), np.arange(int(walk.spec.high[0]) + 1)
    for _ in range(iterations):
        state, _ = agent.learn(state, seen)
        look: Any = Look(states, states < 0)
        q = np.asarray(agent.q(state.fit.params, (), look)[0])
        found.append("".join("LR"[a] for a in q.argmax(1)))
    return found, q


def test_lspi_on_the_chain_walks() -> None:
    """Lagoudakis & Parr (2003): 4 states RRLL, 20 states L¹⁰R¹⁰, from samples of the uniform policy."""
    path, _ = policies(LSPI(gamma=0.9, features="polynomial:2"), "rlnut/ChainWalk4-v0", 4000, 5)
    assert path[-1] == path[-2] == "RRLL"
    path, _ = policies(LSPI(gamma=0.9, features="polynomial:4"), "rlnut/ChainWalk20-v0", 20_000, 9)
    assert path[-1][:9] == "L" * 9 and path[-1][11:] == "R" * 9


def test_fitted_q_with_a_table_is_value_iteration_of_the_counts() -> None:
    """Each iteration is one backup of the empirical model; LSPI ends where it does."""
    walk = vector()
    seen = transitions.checked_transitions(transitions.collect(walk, 500, 1), walk.spec, 0.9, "")
    s, a, r, s2 = (np.asarray(x)[:, 0] for x in (seen.obs, seen.action, seen.reward, seen.next_obs))
    n, R, P = np.zeros((4, 2)), np.zeros((4, 2)), np.zeros((4, 2, 4))
    np.add.at(n, (s, a), 1)
    np.add.at(R, (s, a), r)
    np.add.at(P, (s, a, s2), 1)
    q = np.zeros((4, 2))
    agent = FQI(gamma=0.9, ridge=1e-9).build(walk.spec)
    state = agent.init(jax.random.key(0), jax.tree.map(lambda x: x[0], seen))
    look: Any = Look(np.arange(4), np.zeros(4, bool))
    for _ in range(3):
        state, _ = agent.learn(state, seen)
        q = (R + 0.9 * P @ q.max(1)) / n
        np.testing.assert_allclose(agent.q(state.fit.params, (), look)[0], q, rtol=1e-5)
    for _ in range(500):
        q = (R + 0.9 * P @ q.max(1)) / n
    agent = LSPI(gamma=0.9, ridge=1e-9).build(walk.spec)
    state = agent.init(jax.random.key(0), jax.tree.map(lambda x: x[0], seen))
    for _ in range(6):
        state, _ = agent.learn(state, seen)
    np.testing.assert_allclose(agent.q(state.fit.params, (), look)[0], q, rtol=1e-4)


def test_loss_of_the_action_by_hand() -> None:
    q, target = jnp.array([[1.0, 3.0], [2.0, 0.0]]), jnp.array([[4.0, 1.0], [5.0, 0.0]])
    np.testing.assert_allclose(of_the_action()(q, target), [0.5, 4.5])
    extra = np.log(np.exp([[1, 3], [2, 0]]).sum(1)) - [3, 2]
    np.testing.assert_allclose(of_the_action(2.0)(q, target), [0.5, 4.5] + 2 * extra, rtol=1e-6)


def small(rows: int = 64) -> Transition:
    rng = np.random.default_rng(0)
    s = rng.integers(2, size=(rows, 1)).astype(np.int32)
    a = rng.integers(2, size=(rows, 1)).astype(np.int32)
    a[:4, 0] = [0, 0, 0, 0]
    one = np.ones((rows, 1))
    return Transition(s, a, (s * 2.0 + a).astype(np.float32), (0.0 * one).astype(np.float32), s, one > 0, one > 0)


def test_networks_are_fitted_and_cql_lowers_what_the_data_do_not_hold() -> None:
    """One-step episodes of two states: NFQ comes to r(s, a); CQL is below it for an action that never occurs."""
    import gymnasium as gym
    from gymnasium import spaces

    from rlnut.envs.spaces import read_spaces

    class Two(gym.Env[Any, Any]):
        observation_space, action_space = spaces.Discrete(2), spaces.Discrete(3)

    spec, seen = read_spaces(Two()), small()
    found = {}
    for config in (NFQ(hidden=(16,), lr=0.03, epochs=60, batch=16), CQL(hidden=(16,), lr=0.03, epochs=60, batch=16)):
        agent = config.build(spec)
        state = jax.jit(lambda agent=agent: agent.init(jax.random.key(0), jax.tree.map(lambda x: x[0], seen)))()
        for _ in range(2):
            state, _ = agent.learn(state, seen)
        look: Any = Look(np.arange(2), np.zeros(2, bool))
        found[type(config)] = np.asarray(agent.q(jax.device_get(state.fit.params), (), look)[0])
    np.testing.assert_allclose(found[NFQ][:, :2], [[0, 1], [2, 3]], atol=0.05)
    assert (found[CQL][:, 2] < found[CQL][:, :2].min(1) - 1).all()


def test_a_run_from_a_file_is_the_run_from_its_transitions(tmp_path) -> None:
    walk = vector()
    transitions.save_transitions(tmp_path / "walk.npz", transitions.collect(walk, 400, 7))
    short = QUIET | {"steps": 400}
    run = rlnut.train(FQI(gamma=0.9, iterations=300), "rlnut/ChainWalk4-v0", seed=7, out=tmp_path / "a", **short)
    data = str(tmp_path / "walk.npz")
    other = rlnut.train(FQI(gamma=0.9, iterations=300, data=data), "rlnut/ChainWalk4-v0", out=tmp_path / "b", **short)
    np.testing.assert_array_equal(run.q(np.arange(4)), other.q(np.arange(4)))
    assert run.best_step < 300  # nothing changed any more
    assert read_json(tmp_path / "a" / "summary.json")["steps"] == 400 and (tmp_path / "a" / "curve.png").exists()
    np.testing.assert_array_equal(rlnut.load_policy(tmp_path / "a").q(np.arange(4)), run.q(np.arange(4)))
    with pytest.raises(UsageError, match="in one go"):
        rlnut.resume(tmp_path / "a")
    few = rlnut.train(FQI(gamma=0.9, iterations=2), "rlnut/ChainWalk4-v0", seed=7, **short)
    assert not np.array_equal(few.q(np.arange(4)), run.q(np.arange(4)))
    stiff = rlnut.train(FQI(gamma=0.9, iterations=2, ridge=10.0), "rlnut/ChainWalk4-v0", seed=7, **short)
    assert not np.array_equal(few.q(np.arange(4)), stiff.q(np.arange(4)))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"action": None}, "must hold the arrays obs, action, reward"),
        ({"extra": np.zeros(3)}, "must hold the arrays"),
        ({"reward": np.zeros(2)}, r"reward must have shape \[3\], T >= 1, got \[2\]"),
        ({"reward": np.array([0, np.nan, 0])}, "reward must be finite, row 1 is not"),
        ({"action": np.array([0, 1, 2])}, "action must be 0 … 1, got 2 in row 2"),
        ({"action": np.array([0.0, 1, 1])}, "action must hold integers, got float64"),
        ({"obs": np.array([0, 4, 1])}, "obs is outside the environment's states in row 1"),
        ({"next_obs": np.zeros((3, 2), int)}, "next_obs must have shape"),
        ({"terminated": np.zeros(3)}, "terminated must hold integers"),
    ],
)
def test_files_that_do_not_fit_are_refused(change, reason, tmp_path) -> None:
    arrays: dict[str, Any] = {key: np.zeros(3, int) for key in transitions.KEYS} | change
    path = tmp_path / "x.npz"
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    with pytest.raises(UsageError, match=reason):
        transitions.load_transitions(str(path), vector().spec, 0.9)


def test_words_that_mean_nothing_are_refused(tmp_path) -> None:
    (tmp_path / "bad.npz").write_bytes(b"no zip")
    with pytest.raises(UsageError, match="is not an"):
        transitions.load_transitions(str(tmp_path / "bad.npz"), vector().spec, 0.9)
    with pytest.raises(UsageError, match="no such file"):
        transitions.load_transitions(str(tmp_path / "none.npz"), vector().spec, 0.9)
    for config, training, reason in (
        (LSPI(features="mlp"), {}, "not solved by least squares"),
        (FQI(low=(0.0,)), {}, "mean nothing to a table"),
        (FQI(), {"native": True}, "--native means nothing"),
        (FQI(), {"until": 1.0}, "--until means nothing"),
    ):
        with pytest.raises(UsageError, match=reason):
            rlnut.train(config, "rlnut/ChainWalk4-v0", **QUIET | {"steps": 10} | training)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_minari_data(tmp_path, monkeypatch) -> None:
    """A data set of the package's own, recorded here: the steps that were played, ends and time limits told apart."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    minari, gym = pytest.importorskip("minari"), pytest.importorskip("gymnasium")
    recorder = minari.DataCollector(gym.make("FrozenLake-v1", max_episode_steps=9))
    rng, played = np.random.default_rng(0), []
    for episode in range(20):
        obs, _ = recorder.reset(seed=episode)
        end = False
        while not end:
            action = int(rng.integers(4))
            then, reward, terminated, truncated, _ = recorder.step(action)
            end = terminated or truncated
            played.append((obs, action, reward, 0 if terminated else 0.9, then, end))
            obs = then
    recorder.create_dataset(dataset_id="mine/lake-v0", algorithm_name="uniform", author="", author_email="")
    spec = vector("FrozenLake-v1").spec
    seen = transitions.load_transitions("minari:mine/lake-v0", spec, 0.9)
    columns = (seen.obs, seen.action, seen.reward, seen.discount, seen.next_obs, seen.end)
    for found, known in zip(columns, zip(*played, strict=True), strict=True):
        np.testing.assert_allclose(np.asarray(found)[:, 0], known)
    kinds = np.asarray(seen.discount)[np.asarray(seen.end)]
    assert 0 < (kinds > 0).sum() < len(kinds)
    with pytest.raises(UsageError, match="minari has no data set"):
        transitions.load_transitions("minari:no/such-v0", spec, 0.9)
