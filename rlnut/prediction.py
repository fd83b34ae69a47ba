"""`rlnut predict` in Python: learn V_π or Q_π, and lay the truth beside it.

The environment is played first (`experience`), then everything is learned from the stream in one compiled loop
(`agents.td`, `agents.lstd`), and the weights at K moments are compared with the exact values (`exact`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from rlnut import basis
from rlnut.agents import expected, lstd, td
from rlnut.errors import RlnutError, UsageError
from rlnut.exact import (
    action_values,
    chain,
    ends,
    occupied,
    pair_chain,
    policy_iteration,
    reachable,
    truth,
    visits,
)
from rlnut.experience import simulate
from rlnut.finite import Finite, observed, outcomes
from rlnut.fixed_points import (
    bellman_residual,
    emphatic_fixed_point,
    linear_errors,
    projection,
    rms,
    td_error,
    td_fixed_point,
)
from rlnut.methods import METHODS, Method, Prediction
from rlnut.sweeps import make_rows, sweep, table

RECORDS = 50  # points of a learning curve


class Answer(NamedTuple):
    """What was learned, and how wrong it is."""

    values: np.ndarray  # [S] (or [S, A]) mean over runs, NaN where a state cannot be reached
    truth: np.ndarray  # the same of V_π (Q_π)
    rmse: float  # mean over runs of the plain RMS error over reachable states
    curve: np.ndarray  # [K] the same while learning
    weights: np.ndarray  # [d] of the first run
    exact: dict[str, Any]  # td_fixed_point, projection, bellman_residual: {weights, values, rmse}
    errors: dict[str, float]  # √VE, √BE, √PBE, √TDE of the first run under the behaviour's distribution
    alarm: str  # "" or why it diverged
    settings: dict[str, Any]  # gamma, features, alpha, … that were chosen


def policy_of(finite: Finite, word: str | None, gamma: float) -> np.ndarray:
    """π [S, A]: "uniform", "optimal", or (None) the problem's own, else uniform over the actions that count."""
    S, A, _ = finite.mdp.P.shape
    if word == "optimal":
        return policy_iteration(finite.mdp, gamma).policy
    if word is None and finite.policy is not None:
        return finite.policy
    allowed = np.ones((S, A)) if finite.allowed is None else finite.allowed.astype(float)
    return allowed / allowed.sum(1, keepdims=True)


def predict_finite(
    name: str, finite: Finite, config: Prediction, policy: np.ndarray | str | None = None, seed: int = 0
) -> Answer:
    """Evaluate π on a finite problem by METHODS[name].

    Raises UsageError where the combination means nothing, RlnutError where episodes do not end.
    """
    method, mdp = METHODS[name], finite.mdp
    S, A, _ = mdp.P.shape
    gamma = next(g for g in (config.gamma, finite.gamma, 0.99) if g is not None)
    pi = policy_of(finite, policy, gamma) if policy is None or isinstance(policy, str) else policy
    acting = _behaviour(finite, config.behaviour, pi)
    seen = occupied(mdp, pi, acting)
    _accept(name, method, config, finite, pi, acting, seen)
    v = truth(mdp, pi, gamma, acting)
    X, words = basis.over_states(config.features, finite)
    if basis.parse(words)[0] == "mlp":
        raise UsageError("--features mlp is for boxes: a table is exact on numbered states")
    process, d = chain(mdp, pi), visits(chain(mdp, acting))
    pairs = config.values == "q"
    right = np.where(seen[:, None], action_values(mdp, np.where(seen, v, 0), gamma), v[:, None]) if pairs else v
    if finite.observe is not None:  # what can be known where states look alike
        right = observed(right, d, finite.observe)
    if pairs:
        process, d = pair_chain(mdp, pi), (d[:, None] * acting).reshape(-1)
        X = np.einsum("sd,ab->sabd", X, np.eye(A)).reshape(S * A, -1)
    w0 = _start(finite, config, X.shape[1])
    lam = method.trace(config)
    ratio = np.where(acting > 0, pi**2 / np.where(acting > 0, acting, 1), 0).sum(1)
    spread = float(ratio[seen].max()) if config.correction == "importance" else 1.0
    alpha, falling = step_size(method, config, float((X[d > 0] ** 2).sum(1).max()), gamma, lam, spread)
    beta = config.beta if config.beta is not None else alpha
    if config.expected:
        path = expected.iterate(method.expected, process, X, d, gamma, w0, alpha, config.steps, beta, lam)
        weights = path[np.linspace(0, config.steps, min(RECORDS, config.steps) + 1).astype(int)[1:]][None]
    else:
        key = jax.random.key(seed)
        stream = simulate(finite, pi, acting, gamma, key, config.runs, config.episodes, _steps(config))
        rows = make_rows(stream, method, config, A if pairs else None, falling, record_count(method, config))
        nexts = np.einsum("sa,sad->sd", pi, X.reshape(S, A, -1)) if pairs else X
        weights = _learn(method, X, nexts, rows, w0, alpha, lam, beta, key)
    chosen = settings_used(method, config, gamma, words, alpha)
    if pairs:
        seen = (seen[:, None] & ((pi > 0) | (acting > 0))).reshape(-1)
    known = _Truth(finite, pi, acting, process, d, gamma)
    return _answer(weights, X, right, seen, known, chosen, w0, "emphatic" in method.rule)


class _Truth(NamedTuple):
    finite: Finite
    policy: np.ndarray
    acting: np.ndarray
    process: Any
    d: np.ndarray
    gamma: float


def settings_used(method: Method, config: Prediction, gamma: float, words: str, alpha: float) -> dict[str, Any]:
    """What the run chose where the user left it open; None: the method has none."""
    lam = None if method.lam == 1 else method.trace(config)
    return {"gamma": gamma, "features": words, "lam": lam, "alpha": alpha if "alpha" in method.uses else None}


def _steps(config: Prediction) -> int | None:
    return None if config.episodes is not None else config.steps


def _start(finite: Finite, config: Prediction, dim: int) -> np.ndarray:
    if config.initial is not None:
        return np.full(dim, config.initial)
    own = finite.weights is not None and len(finite.weights) == dim
    return np.array(finite.weights, np.float64) if own else np.zeros(dim)


def _behaviour(finite: Finite, word: str, pi: np.ndarray) -> np.ndarray:
    if word == "uniform":
        return policy_of(finite, "uniform", 0.0)
    return finite.behaviour if word == "own" and finite.behaviour is not None else pi


def _accept(
    name: str, method: Method, config: Prediction, finite: Finite, pi: np.ndarray, acting: np.ndarray, seen: np.ndarray
) -> None:
    """Refuse what means nothing, with the reason."""
    off = not np.allclose(pi[seen], acting[seen])
    if off and method.on_policy:
        raise UsageError(f"{name} is on-policy only ({method.on_policy}): --behaviour policy, or another method")
    if off and config.values == "q" and method.fold:
        raise UsageError(f"{name} for Q is on-policy only: use td-lambda with --correction retrace or tree-backup")
    visited = occupied(finite.mdp, acting)
    if (missing := (pi > 0) & (acting == 0) & visited[:, None]).any() and config.correction != "none":
        s, a = np.argwhere(missing)[0]
        raise UsageError(f"the behaviour never takes action {a} in state {s}, as the policy does: give another b")
    if (method.fold == "episode" or config.episodes is not None or name == "batch-mc") and not config.expected:
        process = chain(finite.mdp, acting)
        if (lost := reachable(process) & ~ends(process)).any():
            advice = "give --steps instead of --episodes" if config.episodes else f"{name} needs them to"
            raise UsageError(f"episodes are not certain to end from state {int(np.argmax(lost))}: {advice}")


def step_size(
    method: Method, config: Prediction, largest: float, gamma: float, trace: float, spread: float = 1.0
) -> tuple[float, bool]:
    """α, and whether it falls in the course of the run; `largest` is max ‖∇v‖², `trace` λ.

    Traces and the emphasis add up to 1/(1 − γλ) and 1/(1 − γ) gradients, so α is divided by that, and off-policy by
    `spread` = max E_b[ρ²].
    """
    if config.alpha is not None:
        return config.alpha, False
    share, long = 0.5 / spread, max(1 - gamma * trace, 0.05)
    if method.fold == "episode":
        share, long = 0.1, 1.0
    elif method.rule.get("emphatic"):
        share, long = 0.1, max(1 - gamma, 0.01)
    elif "gradient" in method.rule:
        share = 0.25
    return float(share * long / max(1e-12, largest)), not config.expected


def record_count(method: Method, config: Prediction) -> int:
    """K, the number of moments at which weights are kept; fewer where each costs a solve."""
    return min(RECORDS // 5 if method.solver == "lstd" else RECORDS, config.episodes or config.steps)


def _learn(
    method: Method,
    X: np.ndarray,
    nexts: np.ndarray,
    rows: td.Rows,
    w0: np.ndarray,
    alpha: Any,
    lam: Any,
    beta: Any,
    key: Any,
) -> np.ndarray:
    records = int(np.asarray(rows.slot)[np.asarray(rows.rate) > 0].max(initial=0)) + 1
    parts = (X, nexts, w0)
    if method.solver == "scan":
        return sweep(method, parts, rows, alpha, lam, beta, records, key)
    solve = lstd.lstd if method.solver == "lstd" else lstd.recursive_lstd
    return solve(table, parts, rows, lam, w0, records)


def _answer(
    weights: np.ndarray,
    X: np.ndarray,
    right: np.ndarray,
    seen: np.ndarray,
    known: _Truth,
    chosen: dict[str, Any],
    w0: np.ndarray,
    emphatic: bool,
) -> Answer:
    with np.errstate(all="ignore"):
        learned = np.einsum("sd,nkd->nks", X, weights.astype(np.float64))
        flat = right.reshape(-1)
        curve = np.sqrt(((learned[..., seen] - flat[seen]) ** 2).mean(-1)).mean(0)
        mean = _shown(learned[:, -1].mean(0), flat, seen)
    alarm = _alarm(curve, rms((X @ w0 - flat)[seen]), flat[seen], known, chosen)
    w, errors = weights[0, -1].astype(np.float64), {}
    if np.isfinite(w).all():
        errors = linear_errors(known.process, w, X, known.d, known.gamma, np.nan_to_num(flat))
        if right.ndim == 1:
            errors["tde"] = td_error(outcomes(known.finite), known.policy, X @ w, known.d, known.gamma)
    points = _points(X, flat, seen, known, 0.0 if chosen["lam"] is None else chosen["lam"], emphatic)
    return Answer(mean.reshape(right.shape), right, float(curve[-1]), curve, w, points, errors, alarm, chosen)


def _shown(values: np.ndarray, right: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Learned values; 0 where episodes only end, NaN where none can be."""
    return np.where(seen, values, np.where(right == 0, 0.0, np.nan))


def _points(
    X: np.ndarray, right: np.ndarray, seen: np.ndarray, known: _Truth, lam: float, emphatic: bool
) -> dict[str, Any]:
    """Where linear methods end: weights, values over states, their RMS error; None where there is no such point."""
    found: dict[str, Any] = {}
    v = np.nan_to_num(right)
    solve = {
        "td_fixed_point": lambda: td_fixed_point(known.process, X, known.d, known.gamma, lam),
        "projection": lambda: projection(v, X, known.d),
        "bellman_residual": lambda: bellman_residual(known.process, X, known.d, known.gamma),
    }
    if emphatic:
        solve["emphatic_fixed_point"] = lambda: emphatic_fixed_point(known.process, X, known.d, known.gamma, lam)
    for name, point in solve.items():
        try:
            w = point()
        except RlnutError:
            found[name] = None
            continue
        values = _shown(X @ w, right, seen)
        found[name] = {"weights": w, "values": values, "rmse": rms((values - right)[seen])}
    return found


def _alarm(curve: np.ndarray, before: float, right: np.ndarray, known: _Truth, chosen: dict[str, Any]) -> str:
    """Which members of the deadly triad (S&B 11.3) are at work, if the error exploded."""
    scale = max(before, rms(right), 1e-6)
    if np.isfinite(curve[-1]) and curve[-1] < 10 * scale:
        return ""
    off = not np.allclose(known.policy, known.acting)
    members = [
        ("function approximation", chosen["features"] != "one-hot"),
        ("bootstrapping", chosen["lam"] is not None and chosen["lam"] < 1),
        ("off-policy training", off),
    ]
    at_work = [name for name, here in members if here]
    return "diverged; of the deadly triad at work: " + (", ".join(at_work) or "none, so α is too large")
