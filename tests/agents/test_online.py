"""On-line control: every member against the book's boxes as plain loops, and its traces against their forward view."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlnut import oracle
from rlnut.agents.action_values import linear_values, network_values
from rlnut.agents.online import OnlineHyper, OnlineRule, classic_agent
from rlnut.agents.online_rules import NextValue
from rlnut.envs.probes import GAMMA, PROBES
from rlnut.features import maps
from rlnut.learner.behaviour import boltzmann_behaviour, epsilon_greedy_behaviour, sample, ucb_behaviour
from rlnut.learner.explore import linear_schedule
from rlnut.learner.traces import Cut, TraceKind
from rlnut.networks.architectures import mlp
from rlnut.types import Transition

S, A, T, EPSILON = 5, 3, 60, 0.25
RATE = linear_schedule(EPSILON, EPSILON, 1)
# features that overlap: state s has ones at s and s + 1
PAIRS = maps.binary(lambda s: s.reshape(-1, 1) + np.arange(2, dtype=np.int32), S + 1)
X = np.eye(S + 1)[:S] + np.eye(S + 1)[1:]


def stream(seed: int = 0, envs: int = 1) -> Transition:
    """T random steps of N environments, with terminations and truncations; after an end a new state."""
    rng = np.random.default_rng(seed)
    s = rng.integers(S, size=(T + 1, envs)).astype(np.int32)
    after = rng.integers(S, size=(T, envs)).astype(np.int32)
    end, terminated = rng.random((T, envs)) < 0.15, rng.random((T, envs)) < 0.5
    after = np.where(end, after, s[1:])
    discount = np.where(end & terminated, 0, 0.9).astype(np.float32)
    reward = rng.normal(size=(T, envs)).astype(np.float32)
    action = rng.integers(A, size=(T, envs)).astype(np.int32)
    return Transition(s[:-1], action, reward, discount, after, end, np.ones((T, envs), bool))


def learned(rule: OnlineRule, numbers: OnlineHyper, seen: Transition, w: np.ndarray) -> np.ndarray:
    """The weights after `learn`, from weights w [K, A, d]; in float64."""

    def run(seen: Transition, w: Any) -> Any:
        agent = classic_agent(rule, numbers, linear_values(PAIRS, A), epsilon_greedy_behaviour, RATE)
        state = agent.init(jax.random.key(0), jax.tree.map(lambda a: a[0], seen))
        state = jax.tree.map(lambda a: a.astype(float) if a.dtype == jnp.float32 else a, state)
        state = state._replace(fit=state.fit._replace(params={"w": w.reshape(len(w), -1)}))
        return agent.learn(state, seen)[0].fit.params["w"]

    with jax.enable_x64(True):
        seen = jax.tree.map(lambda a: a.astype(float) if a.dtype == np.float32 else a, seen)
        return np.asarray(jax.jit(run)(seen, w)).reshape(w.shape)


def soft(q: np.ndarray, epsilon: float) -> np.ndarray:
    """ε-soft greedy probabilities of one state."""
    p = np.full(A, epsilon / A)
    p[q.argmax()] += 1 - epsilon
    return p


def steps_of(seen: Transition) -> list[tuple]:
    flat = jax.tree.map(lambda a: np.asarray(a)[:, 0], seen)
    return list(zip(flat.obs, flat.action, flat.reward.astype(float), flat.discount.astype(float), flat.next_obs,
                    flat.end, strict=True))  # fmt: skip


def box(name: str, w: np.ndarray, seen: Transition, alpha: float, lam: float = 0.0, n: int = 1) -> np.ndarray:
    """Plain loops of S&B: 6.4, 6.6 (expected), 6.5 and n-step Sarsa (7.2), and Sarsa(λ) (12.7); w [A, d]."""
    w, rows = w.copy(), steps_of(seen)

    def q(s: int) -> np.ndarray:
        return w @ X[s]

    z, q_old = np.zeros_like(w), 0.0
    last = T if name in ("q", "expected") and n == 1 else T - n  # the last ones still wait for what comes next
    for t in range(last if name != "expected" or n == 1 else T - n + 1):
        s, a, r, D, s2, end = rows[t]
        target, factor, k = r, D, t
        while k < t + n - 1 and not rows[k][5]:
            k += 1
            target, factor = target + factor * rows[k][2], factor * rows[k][3]
        s2, end_k = rows[k][4], rows[k][5]
        if name == "q":
            v = q(s2).max()
        elif name == "expected" or end_k:
            v = soft(q(s2), EPSILON) @ q(s2)
        else:
            v = q(s2)[rows[k + 1][1]]
        delta, x = target + factor * v - q(s)[a], X[s]
        if name in ("q", "expected", "sarsa"):
            w[a] += alpha * delta * x
            continue
        old = q(s)[a]
        if name == "dutch":
            if t == 0 or rows[t - 1][5]:
                z, q_old = np.zeros_like(w), old
            decay = 0.0 if t == 0 else rows[t - 1][3] * lam
            z = decay * z
            z[a] += (1 - alpha * (z[a] @ x)) * x
            w = w + alpha * (delta + old - q_old) * z
            w[a] -= alpha * (old - q_old) * x
            q_old = v
            continue
        if name == "clearing":
            z[:, x != 0] = 0
        if name in ("replacing", "clearing"):
            z[a, x != 0] = 1
        else:
            z[a] += x
        w = w + alpha * delta * z
        z = np.zeros_like(w) if end else D * lam * z
    return w


W0 = np.random.default_rng(5).normal(size=(1, A, S + 1))


@pytest.mark.parametrize(("name", "n"), [("q", 1), ("expected", 1), ("expected", 3), ("sarsa", 1), ("sarsa", 3)])
def test_targets_without_traces_equal_the_books_boxes(name: str, n: int) -> None:
    kinds: dict[str, NextValue] = {"q": "max", "expected": "behaviour", "sarsa": "sampled"}
    found = learned(OnlineRule(kinds[name], n=n), OnlineHyper(0.1), stream(), W0)[0]
    np.testing.assert_allclose(found, box(name, W0[0], stream(), 0.1, n=n), atol=1e-10)


@pytest.mark.parametrize("trace", ["accumulating", "replacing", "clearing", "dutch"])
def test_sarsa_lambda_equals_the_books_boxes(trace: TraceKind) -> None:
    """Features overlap, so the kinds of trace differ."""
    found = learned(OnlineRule("sampled", cut="none", trace=trace), OnlineHyper(0.1, 0.7), stream(), W0)[0]
    np.testing.assert_allclose(found, box(trace, W0[0], stream(), 0.1, 0.7), atol=1e-10)
    other = box("accumulating" if trace != "accumulating" else "dutch", W0[0], stream(), 0.1, 0.7)
    assert np.abs(found - other).max() > 1e-3


@pytest.mark.parametrize(("cut", "trace"), [("none", "accumulating"), ("watkins", "replacing"), ("peng", "replacing")])
def test_lambda_0_is_the_one_step_method(cut: Cut, trace: TraceKind) -> None:
    found = learned(OnlineRule("max", cut=cut, trace=trace), OnlineHyper(0.1, 0.0), stream(), W0)[0]
    np.testing.assert_allclose(found, box("q", W0[0], stream(), 0.1), atol=1e-10)


@pytest.mark.parametrize("cut", ["none", "watkins", "peng", "tree-backup", "retrace"])
def test_traces_equal_their_forward_view(cut: Cut) -> None:
    """With a step size so small that weights stand still, the sum of updates is Σ (y − q) x, y from the definitions."""
    seen, lam, soft_epsilon, alpha = stream(3), 0.8, 0.1, 1e-7
    of: dict[Cut, NextValue] = {"none": "behaviour", "watkins": "max", "peng": "max"}
    found = (learned(OnlineRule(of.get(cut, "soft"), cut=cut), OnlineHyper(alpha, lam, soft_epsilon), seen, W0) - W0)[
        0
    ] / alpha
    rows = steps_of(seen)
    q, q2 = np.array([W0[0] @ X[r[0]] for r in rows]), np.array([W0[0] @ X[r[4]] for r in rows])
    a, r, D, end = (np.array([row[i] for row in rows]) for i in (1, 2, 3, 5))
    taken = q[np.arange(T), a]
    b = np.array([soft(row, EPSILON) for row in q])[np.arange(T), a]
    epsilon = {"none": EPSILON, "watkins": 0.0, "peng": 0.0}.get(cut, soft_epsilon)
    pi = np.array([soft(row, epsilon) for row in q])[np.arange(T), a]
    next_v = np.array([soft(row, epsilon) @ row for row in q2])
    path = oracle.Trajectory(q.max(1) if cut == "peng" else taken, r, D, next_v, end)
    y = {
        "none": lambda: oracle.q_lambda(path, lam),
        "watkins": lambda: oracle.retrace(path, (taken == q.max(1)) * 1.0, lam),
        "peng": lambda: oracle.lambda_return(path, lam),
        "tree-backup": lambda: oracle.retrace(path, pi, lam),
        "retrace": lambda: oracle.retrace(path, pi / b, lam),
    }[cut]()
    expected = np.zeros_like(W0[0])
    for t in range(T):
        expected[a[t]] += (y[t] - taken[t]) * X[rows[t][0]]
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_double_q_by_hand() -> None:
    """One transition: the table that learns selects the next action, the other one says what it is worth."""
    w = np.zeros((2, A, S + 1))
    w[0, :, 3], w[1, :, 3] = [1.0, 5, 2], [10.0, 20, 30]  # s' = 2 sees weights 2 and 3
    numbers = (np.int32(0), np.int32(1), np.float32(7), np.float32(0.5), np.int32(2), False, True)
    obs, action, reward, discount, next_obs, end, valid = (np.array([[x]]) for x in numbers)
    one = Transition(obs, action, reward, discount, next_obs, end, valid)
    found = learned(OnlineRule("max", double=True), OnlineHyper(0.1), one, w)
    first, second = w.copy(), w.copy()
    first[0, 1, :2] += 0.1 * (7 + 0.5 * 20)  # selected by table 0 (action 1), valued by table 1
    second[1, 1, :2] += 0.1 * (7 + 0.5 * 2)  # selected by table 1 (action 2), valued by table 0
    assert np.allclose(found, first) or np.allclose(found, second)
    many = jax.tree.map(lambda a: np.repeat(a, 64, 1), one)
    both = learned(OnlineRule("max", double=True), OnlineHyper(1e-9), many, w) - w
    assert 10 < both[0, 1, 0] / (1e-9 * 17) < 54  # a fair coin for each environment
    np.testing.assert_allclose(both[0, 1, 0] / 17 + both[1, 1, 0] / 8, 64e-9, rtol=1e-6)


def test_several_environments_add_their_updates_and_keep_traces_of_their_own() -> None:
    seen, alpha = stream(7, envs=3), 1e-7
    rule, numbers = OnlineRule("sampled", cut="none"), OnlineHyper(alpha, 0.9)
    together = learned(rule, numbers, seen, W0) - W0
    alone = np.zeros_like(W0)
    for lane in np.eye(3, dtype=bool):
        alone = alone + learned(rule, numbers, jax.tree.map(lambda a, lane=lane: a[:, lane], seen), W0) - W0
    np.testing.assert_allclose(together / alpha, alone / alpha, atol=1e-3)


def test_rows_that_are_no_experience_change_nothing() -> None:
    """The reset step of Gymnasium's NEXT_STEP mode after each end, for traces, n steps and waiting updates."""
    seen = stream(2)
    seen.end[-1] = False  # what waits at the end waits in both
    index = np.repeat(np.arange(T), np.where(seen.end[:, 0], 2, 1))
    again = np.r_[False, index[1:] == index[:-1]]
    padded = jax.tree.map(lambda a: a[index], seen)
    padded = padded._replace(
        valid=~again[:, None], end=padded.end & ~again[:, None], reward=padded.reward + again[:, None]
    )
    for rule in (OnlineRule("sampled", n=2), OnlineRule("sampled", cut="none", trace="dutch")):
        cut = learned(rule, OnlineHyper(0.1, 0.7), seen, W0), learned(rule, OnlineHyper(0.1, 0.7), padded, W0)
        np.testing.assert_allclose(*cut, atol=1e-12)


def probe_stream(steps: int = 3000) -> tuple[Transition, dict[int, tuple[str, float]]]:
    """Six lanes, one for each probe, under a uniform policy; observations numbered over all of them."""
    from rlnut.envs.probes import ProbeEnv

    numbers: dict[tuple[str, float], int] = {}
    rng, columns = np.random.default_rng(0), []
    for name in PROBES:
        env, rows = ProbeEnv(name), []
        obs, _ = env.reset(seed=0)
        for _ in range(steps):
            a = int(rng.integers(2))
            following, r, terminated, truncated, _ = env.step(np.int64(a))
            keys = [numbers.setdefault((name, float(o[0])), len(numbers)) for o in (obs, following)]
            rows.append((keys[0], a, r, GAMMA * (not terminated), keys[1], terminated or truncated, True))
            obs = env.reset()[0] if terminated or truncated else following
        columns.append(rows)
    parts = zip(*(zip(*column, strict=True) for column in columns), strict=True)
    kinds = (np.int32, np.int32, np.float32, np.float32, np.int32, bool, bool)
    arrays = (np.array(part).T.astype(kind) for part, kind in zip(parts, kinds, strict=True))
    state, action, reward, discount, after, end, valid = arrays
    return Transition(state, action, reward, discount, after, end, valid), {
        number: key for key, number in numbers.items()
    }


MEMBERS = {
    "sarsa 2": OnlineRule("sampled", n=2),
    "expected": OnlineRule("behaviour"),
    "double": OnlineRule("max", double=True),
    "sarsa lambda": OnlineRule("sampled", cut="none", trace="dutch"),
    "peng": OnlineRule("max", cut="peng", trace="replacing"),
    "retrace": OnlineRule("soft", cut="retrace"),
}


@pytest.mark.parametrize("name", MEMBERS)
def test_probes_come_to_their_true_q(name: str) -> None:
    seen, numbers = probe_stream()
    values = linear_values(maps.one_hot(len(numbers)), 2, kind="table")
    agent = classic_agent(
        MEMBERS[name], OnlineHyper(0.05, 0.5, 0.1), values, epsilon_greedy_behaviour, linear_schedule(1.0, 1.0, 1)
    )
    state = agent.init(jax.random.key(0), jax.tree.map(lambda a: a[0], seen))
    state, _ = jax.jit(agent.learn)(state, seen)
    w = np.asarray(state.fit.params["w"]).mean(0).reshape(2, -1)
    for number, (probe, obs) in numbers.items():
        if probe == "Delay" and obs == 2:  # the observation of the end: nothing begins there
            continue
        for a in range(2):
            assert w[a, number] == pytest.approx(PROBES[probe].q(obs, a), abs=1e-2), (probe, obs, a)


@pytest.mark.parametrize("rule", [OnlineRule("max"), OnlineRule("max", cut="watkins")])
def test_a_network_learns_by_the_same_recursion(rule: OnlineRule) -> None:
    """One update is α δ ∂q/∂w, with the slope by finite differences."""
    seen = jax.tree.map(lambda a: a[:1], stream(1))
    seen = seen._replace(obs=seen.obs[..., None] * np.float32(0.3), next_obs=seen.next_obs[..., None] * np.float32(0.3))
    values = network_values(mlp((4,), "tanh")((A,)), jnp.zeros((1, 1)))
    agent = classic_agent(rule, OnlineHyper(0.5, 0.9), values, epsilon_greedy_behaviour, RATE)
    state = jax.jit(lambda: agent.init(jax.random.key(0), jax.tree.map(lambda a: jnp.asarray(a[0]), seen)))()
    w = np.asarray(state.fit.params["w"][0])
    after = np.asarray(jax.jit(agent.learn)(state, seen)[0].fit.params["w"][0])
    q = jax.jit(values.q)
    s, a, r, D, s2 = seen.obs[0], int(seen.action[0, 0]), seen.reward[0, 0], seen.discount[0, 0], seen.next_obs[0]
    delta = r + D * q(w, s2).max() - q(w, s)[0, a]
    bump = 1e-2 * np.eye(len(w), dtype=np.float32)
    slope = [float(q(w + h, s)[0, a] - q(w - h, s)[0, a]) / 2e-2 for h in bump]
    np.testing.assert_allclose(after - w, 0.5 * delta * np.array(slope), atol=2e-3)


def test_behaviours_by_hand() -> None:
    q = np.array([[1.0, 3, 3, 0], [2, 1, 0, 9]])
    mask = np.array([[True] * 4, [True, True, True, False]])
    rate = np.array([0.2, 0.4])
    expected = [[0.05, 0.45, 0.45, 0.05], [0.6 + 0.4 / 3, 0.4 / 3, 0.4 / 3, 0]]
    np.testing.assert_allclose(epsilon_greedy_behaviour(q, mask, rate), expected)
    np.testing.assert_allclose(
        epsilon_greedy_behaviour(jnp.asarray(q), jnp.asarray(mask), jnp.asarray(rate)), expected, rtol=1e-6
    )
    odds = np.exp(np.array([[1, 3, 3, 0], [2, 1, 0, -np.inf]]) / rate[:, None])
    np.testing.assert_allclose(boltzmann_behaviour(q, mask, rate), odds / odds.sum(1, keepdims=True))
    visits = np.array([[4.0, 1, 3, 1], [1, 0, 0, 9]])
    found = ucb_behaviour(q, mask, np.array([2.0, 2.0]), visits)
    bonus = q[0] + 2 * np.sqrt(np.log(9) / visits[0])
    np.testing.assert_allclose(found, [np.eye(4)[bonus.argmax()], [0, 0.5, 0.5, 0]])


def test_samples_follow_the_policy_and_never_its_zeros() -> None:
    u = (np.arange(1000) / 1000).astype(np.float32)
    policy = np.tile([[0.0, 0.25, 0, 0.75, 0]], (1000, 1))
    np.testing.assert_array_equal(np.bincount(sample(policy, u), minlength=5), [0, 250, 0, 750, 0])
    largest: Any = np.array([np.float32(1 - 2.0**-23)])
    assert sample(np.array([[0.3, 0.7, 0.0]], np.float32), largest)[0] == 1
