"""Batch control: LSPI's chain walks, FQI against value iteration of the counts, CQL's equation, checks of files."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers.environments import Corridor

import rlnut
from rlnut import UsageError
from rlnut.agents.offline import by_parts, fitted_iteration, fitted_q
from rlnut.agents.offline_settings import CQL, FQI, LSPI, NFQ
from rlnut.envs import transitions
from rlnut.envs.make import EnvName
from rlnut.envs.vector import EnvList
from rlnut.learner.bellman import conservative, q_problem
from rlnut.regression.core import regression
from rlnut.runtime.files import read_json
from rlnut.types import Look, Model, Transition

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)

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


CORRIDOR = [-5.0, -4, -3, -2, -1]


@pytest.mark.parametrize("way", ["played", "file", "next masks only"])
@pytest.mark.parametrize(
    "config",
    [
        FQI(gamma=1.0, iterations=20, ridge=1e-9),
        LSPI(gamma=1.0, iterations=20, ridge=1e-9),
        NFQ(gamma=1.0, iterations=12, hidden=(), lr=0.1, epochs=60, batch=64),
        CQL(gamma=1.0, iterations=12, hidden=(), lr=0.1, epochs=60, batch=64),
    ],
    ids=lambda config: type(config).__name__,
)
def test_no_target_comes_from_a_forbidden_action(config: Any, way: str, tmp_path: Any) -> None:
    """A corridor whose second action is forbidden, and never in the data: its value stays 0, and must not be a maximum.

    CQL pushes actions apart that are not in the data; with one allowed action there is nothing to push, if masks of
    obs are known.
    """
    if isinstance(config, CQL) and way == "next masks only":
        config = config.replace(conservative=1e-6)  # its penalty needs the masks of obs, too
    corridor = EnvList(Corridor, 2)
    arrays = transitions.collect(corridor, 100, 0)
    assert set(arrays) == {*transitions.KEYS, *transitions.MASKS} and (arrays["masks"] == [True, False]).all()
    if way != "played":
        if way == "next masks only":
            del arrays["masks"]
        transitions.save_transitions(tmp_path / "corridor.npz", arrays)
        config = config.replace(data=str(tmp_path / "corridor.npz"))
    run = rlnut.train(config, Corridor, steps=100, num_envs=2, **QUIET)
    tight = isinstance(config, FQI)
    np.testing.assert_allclose(run.q(np.arange(5))[:, 0], CORRIDOR, atol=1e-4 if tight else 0.05)
    assert run.evaluation.returns == [-5.0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"masks": np.ones((3, 2))}, "has masks without next_masks"),
        ({"next_masks": np.ones((3, 3))}, r"next_masks must be true or false \[3, 2\], got float64\[3, 3\]"),
        ({"next_masks": np.full((3, 2), 2)}, "next_masks must hold 0 and 1 only, row 0"),
        ({"next_masks": np.array([[1, 1], [0, 0], [1, 1]])}, "next_masks allows no action in row 1"),
        (
            {"next_masks": np.ones((3, 2)), "masks": np.array([[1, 0], [1, 0], [0, 1]])},
            "of row 2 is forbidden by masks",
        ),
    ],
)
def test_masks_that_do_not_fit_are_refused(change: dict[str, np.ndarray], reason: str) -> None:
    arrays = {key: np.zeros(3, int) for key in transitions.KEYS} | change
    with pytest.raises(UsageError, match=reason):
        transitions.checked_transitions(arrays, vector().spec, 0.9, "data.npz")


def test_a_mask_after_the_end_allows_everything() -> None:
    """Nothing is asked there; no −∞ · 0 may reach a target."""
    arrays = {key: np.zeros(3, int) for key in transitions.KEYS} | {"next_masks": np.zeros((3, 2))}
    seen = transitions.checked_transitions(arrays | {"terminated": np.ones(3, int)}, vector().spec, 0.9, "data.npz")
    assert np.asarray(seen.next_mask).all()


def test_an_iteration_of_cql_is_gradient_descent_on_its_equation() -> None:
    """Kumar et al. (2020), eq. 4, for a table: q <- q − α ∂/∂q mean(½(y − q(s,a))² + β(log Σ exp q − q(s,a))).

    y is of q as it was before the iteration, over the actions allowed next; forbidden ones cost nothing.
    """
    beta, alpha, gamma = 0.7, 0.3, 0.8
    q = RNG.normal(size=(3, 4)).astype(np.float32)
    s, a, after = (RNG.integers(n, size=40, dtype=np.int32) for n in (3, 4, 3))
    mask = RNG.random((40, 4)) < 0.6
    mask[np.arange(40), a] = True
    next_mask = RNG.random((40, 4)) < 0.6
    next_mask[:, 2] = True
    reward, end = RNG.normal(size=40).astype(np.float32), RNG.random(40) < 0.3
    discount = np.where(end, 0, gamma).astype(np.float32)
    seen = Transition(s, a, reward, discount, after, end, np.ones(40, bool), mask, next_mask)
    model = Model(lambda key, x: jnp.asarray(q), lambda params, x: params[x])
    core = regression(model, optimizer=optax.sgd(alpha), output_penalty=conservative(beta))
    problem = q_problem(lambda params, x, key: core.predict(params, x))
    agent = fitted_q(core, problem, 2, 40, False)
    one_row = jax.tree.map(lambda x: x[:1], seen)
    state, metrics = agent.learn(agent.init(KEY, one_row), jax.tree.map(lambda x: x[:, None], seen))
    y = reward + discount * np.where(next_mask, q[after], -np.inf).max(1)
    by_hand = q.astype(float)
    for _ in range(2):
        slope = np.zeros_like(by_hand)
        powers = np.where(mask, np.exp(by_hand[s]), 0)
        chances = powers / powers.sum(1, keepdims=True)
        cost = (y - by_hand[s, a]) ** 2 / 2 + beta * (np.log(powers.sum(1)) - by_hand[s, a])
        delta = np.abs(y - by_hand[s, a])
        for k in range(40):
            slope[s[k]] += beta * chances[k] / 40
            slope[s[k], a[k]] += (by_hand[s[k], a[k]] - y[k] - beta) / 40
        by_hand -= alpha * slope
    np.testing.assert_allclose(state.fit.params, by_hand, rtol=1e-5, atol=1e-6)
    assert float(metrics["cost"]) == pytest.approx(cost.mean(), rel=1e-5)
    assert float(metrics["delta"]) == pytest.approx(delta.mean(), rel=1e-5)  # without the penalty's slope
    assert float(metrics["value"]) == pytest.approx(y.mean(), rel=1e-5)


def test_targets_in_parts_are_those_at_once() -> None:
    """Also where the last part is not full."""
    seen = small(50)
    flat = jax.tree.map(lambda x: x[:, 0], seen)

    def problem(rows: Transition) -> tuple:
        assert len(rows.reward) in (50, 16)
        return rows.reward * 2 + rows.obs, rows.action, None

    whole, parts = problem(flat), by_parts(problem, flat, 16)
    jax.tree.map(np.testing.assert_array_equal, parts, whole)


def test_invalid_rows_count_nothing() -> None:
    """Rewards of a million in rows that are no experience do not reach the weights."""
    seen = small(64)
    valid = np.arange(64)[:, None] % 4 > 0
    wild = seen._replace(valid=valid, reward=np.where(valid, seen.reward, 1e6).astype(np.float32))
    model = Model(lambda key, x: jnp.zeros((2, 2)), lambda params, x: params[x])
    core = regression(model, optimizer=optax.sgd(1.0))
    problem = q_problem(lambda params, x, key: core.predict(params, x))
    iteration = jax.jit(fitted_iteration(core, problem, 50, 64))
    fit = core.init(KEY, np.zeros(1, np.int32))
    fit, _ = iteration(fit, KEY, jax.tree.map(lambda x: x[:, 0], wild))
    np.testing.assert_allclose(fit.params, [[0, 1], [2, 3]], atol=0.05)


def test_words_that_mean_nothing_are_refused(tmp_path) -> None:
    (tmp_path / "bad.npz").write_bytes(b"no zip")
    with pytest.raises(UsageError, match="it is not an"):
        transitions.load_transitions(str(tmp_path / "bad.npz"), vector().spec, 0.9)
    with pytest.raises(UsageError, match="no such file"):
        transitions.load_transitions(str(tmp_path / "none.npz"), vector().spec, 0.9)
    for config, training, reason in (
        (LSPI(features="mlp"), {}, "not solved by least squares"),
        (FQI(low=(0.0,)), {}, "have no effect on a table"),
        (FQI(), {"native": True}, "--native has no effect"),
        (FQI(), {"until": 1.0}, "--until has no effect"),
        (FQI(), {"normalise": True}, "--normalise has no effect"),
        (FQI(), {"reward_clip": 1.0}, "--reward-clip has no effect"),
    ):
        with pytest.raises(UsageError, match=reason):
            rlnut.train(config, "rlnut/ChainWalk4-v0", **QUIET | {"steps": 10} | training)


def episode(observations: Any, actions: Any, **more: Any) -> SimpleNamespace:
    """A Minari episode of four steps that ends."""
    return SimpleNamespace(
        observations=observations, actions=actions, rewards=np.arange(4.0), terminations=np.array([0, 0, 0, 1], bool),
        truncations=np.zeros(4, bool), **more,
    )  # fmt: skip


def served(monkeypatch: pytest.MonkeyPatch, *episodes: Any) -> None:
    minari = pytest.importorskip("minari")
    found = SimpleNamespace(iterate_episodes=lambda: list(episodes))
    monkeypatch.setattr(minari, "load_dataset", lambda name: found)


def test_minari_observations_and_actions_of_several_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the environment's own spaces store them, row by row; masks from infos or from the observations."""
    cards = (np.array([12, 15, 20, 20, 20]), np.array([3, 4, 5, 6, 7]), np.array([0, 1, 0, 1, 0]))
    served(monkeypatch, episode(cards, np.array([1, 1, 0, 0])), episode(cards, np.array([0, 0, 1, 1])))
    alone = transitions.from_minari("blackjack/x-v0")
    np.testing.assert_array_equal(alone["obs"][:4], np.stack(cards, 1)[:-1])
    seen = transitions.load_transitions("minari:blackjack/x-v0", vector("Blackjack-v1").spec, 0.9)
    np.testing.assert_array_equal(np.asarray(seen.obs)[:4, 0], np.stack(cards, 1)[:-1])
    np.testing.assert_array_equal(np.asarray(seen.next_obs)[4:, 0], np.stack(cards, 1)[1:])
    np.testing.assert_array_equal(np.asarray(seen.action)[:, 0], [1, 1, 0, 0, 0, 0, 1, 1])
    told = {"observation": np.arange(5), "action_mask": np.array([[1, 0]] * 5)}
    served(monkeypatch, episode(told, np.zeros(4, int)))
    spec = EnvList(lambda: Corridor("observation"), 1).spec
    assert (np.asarray(transitions.load_transitions("minari:c/x-v0", spec, 1).next_mask)[:3, 0] == [1, 0]).all()
    infos = {"action_mask": np.array([[1, 0]] * 4 + [[0, 0]])}
    served(monkeypatch, episode(np.arange(5), np.zeros(4, int), infos=infos))
    seen = transitions.load_transitions("minari:c/x-v0", EnvList(Corridor, 1).spec, 1)
    np.testing.assert_array_equal(np.asarray(seen.mask)[:, 0], [[1, 0]] * 4)
    np.testing.assert_array_equal(np.asarray(seen.next_mask)[:, 0], [[1, 0]] * 3 + [[1, 1]])
    with pytest.raises(UsageError, match="minari:c/x-v0 is of another environment"):
        transitions.load_transitions("minari:c/x-v0", spec, 1)
    served(monkeypatch, episode(np.arange(4), np.zeros(4, int)))
    with pytest.raises(UsageError, match="episode 0 has 4 observations and 4 actions"):
        transitions.from_minari("c/x-v0")


def test_actions_of_a_box_are_those_of_the_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = vector("Pendulum-v1").spec  # torques −2, 0, 2
    seen = np.random.default_rng(0).uniform(-1, 1, (5, 3)).astype(np.float32)
    served(monkeypatch, episode(seen, np.array([[-2.0], [0], [2], [0]], np.float32)))
    found = transitions.load_transitions("minari:p/x-v0", spec, 0.9)
    np.testing.assert_array_equal(np.asarray(found.action)[:, 0], [0, 1, 2, 1])
    served(monkeypatch, episode(seen, np.array([[-2.0], [0.3], [2], [0]], np.float32)))
    with pytest.raises(UsageError, match=r"action \[0\.3.*\] in row 1 is none of the 3 .* other --bins"):
        transitions.load_transitions("minari:p/x-v0", spec, 0.9)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ImportError("h5py is not installed. Please install it using `pip install minari[hdf5]`"), "^h5py is not inst"),
        (ImportError("pyarrow is not installed."), "needs a package that is not installed: pyarrow"),
        (FileNotFoundError("Dataset x not found locally"), "^minari has no data set 'x/y-v0'"),
        (ValueError("Malformed dataset name: x"), "^minari has no data set 'x/y-v0'"),
        (OSError("truncated file"), "cannot be read: OSError: truncated file"),
    ],
)
def test_minari_says_what_is_missing(error: Exception, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    minari = pytest.importorskip("minari")

    def fails(name: str) -> None:
        raise error

    monkeypatch.setattr(minari, "load_dataset", fails)
    with pytest.raises(UsageError, match=message):
        transitions.from_minari("x/y-v0")
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(UsageError, match=r"^minari is not installed: pip install"):
        transitions.from_minari("x/y-v0")


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
