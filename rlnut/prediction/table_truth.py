"""What is known of a finite problem: exact values, the chains of its policies, and how wrong a value function is."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypedDict

import numpy as np

from rlnut.errors import RlnutError
from rlnut.prediction.methods import Prediction
from rlnut.truth.dynamic_programming import Chain, action_values, chain, occupied, pair_chain, true_values, visits
from rlnut.truth.finite import Finite, observed, outcomes
from rlnut.truth.fixed_points import bellman_residual, emphatic_fixed_point, projection, rms, td_errors, td_fixed_point
from rlnut.truth.outcomes import Outcomes, jumps
from rlnut.truth.return_distributions import return_variance
from rlnut.truth.transition_matrices import Matrix


class TableTruth(NamedTuple):
    """What is known of a finite problem, its policies and its truth."""

    finite: Finite
    law: Outcomes  # what can happen in it
    policy: np.ndarray  # π [S, A]
    acting: np.ndarray  # b [S, A]
    gamma: float
    pairs: bool
    process: Chain  # over states or pairs
    d: np.ndarray  # distribution of the behaviour over states or pairs
    right: np.ndarray  # [S] or [S, A] the truth
    seen: np.ndarray  # bool [S] or [S·A]: what counts in the error
    labels: tuple[str, ...]
    variance: np.ndarray  # Var[G | s] or Var[G | s, a], flat
    tde: Callable[[np.ndarray], float] | None  # v [S] -> √TDE; None: of Q there is none


def table_truth(finite: Finite, config: Prediction, pi: np.ndarray, acting: np.ndarray, gamma: float) -> TableTruth:
    """The truth of a finite problem: exact values, chains, distributions."""
    mdp, pairs = finite.mdp, config.values == "q"
    seen = occupied(mdp, pi, acting)
    v = true_values(mdp, pi, gamma, acting)
    process, d = chain(mdp, pi), visits(chain(mdp, acting))
    law, v0 = outcomes(finite), np.nan_to_num(v)
    begun = np.cumsum(seen / seen.sum())
    spread = return_variance(law._replace(start=np.where(begun > 1 - 1e-12, 1, begun)), pi, gamma)
    right = v
    if pairs:
        right = action_values(mdp, np.where(seen, v, 0), gamma)
        square = np.nan_to_num(spread) + v0**2
        spread = np.concatenate([_second_moment(law, a, gamma, v0, square)[:, None] for a in range(pi.shape[1])], 1)
        spread = (spread - right**2).reshape(-1)
        right = np.where(seen[:, None], right, v[:, None])
    if finite.observe is not None:  # what can be known where states look alike
        mean = observed(right, d, finite.observe)
        spread = spread + np.nan_to_num((right - mean).reshape(-1)) ** 2  # of G around it: what is hidden counts too
        right = mean
    if pairs:
        process, d = pair_chain(mdp, pi), (d[:, None] * acting).reshape(-1)
        seen = (seen[:, None] & ((pi > 0) | (acting > 0))).reshape(-1)
    names = tuple(finite.labels) or tuple(str(s) for s in range(len(v)))
    tde = None if pairs else td_errors(law, pi, d, gamma)
    return TableTruth(finite, law, pi, acting, gamma, pairs, process, d, right, seen, names, spread, tde)


def _second_moment(law: Outcomes, action: int, gamma: float, v: np.ndarray, square: np.ndarray) -> np.ndarray:
    """E[G² | s, a] = E[R² + 2γRv' + γ² E[G'²]] for one action: [S]; `square` is E[G² | s]."""
    S, A = law.below.shape[:2]
    step = jumps(law, np.eye(A)[np.full(S, action)])
    later = gamma * step.goes_on
    found = np.zeros(S)
    v, square = v[step.successor], square[step.successor]
    moment = step.reward**2 + step.noise**2 + later * (2 * step.reward * v + gamma * square)
    np.add.at(found, step.state, step.chance * moment)
    return found


def shown(values: np.ndarray, right: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Learned values; 0 where episodes only end, NaN where none can be."""
    return np.where(seen, values, np.where(right == 0, 0.0, np.nan))


def all_errors(known: TableTruth, v: np.ndarray, errors: dict[str, float]) -> dict[str, float]:
    """With √TDE (of V) and √RE added: RE = VE + Σ d Var[G|s] (S&B 11.22, 11.24)."""
    if known.tde is not None:
        errors["tde"] = known.tde(v)
    weighted = known.d > 0
    spread = float((known.d[weighted] * np.maximum(0, known.variance[weighted])).sum())
    return errors | {"re": float(np.sqrt(spread + errors["ve"] ** 2))}


class FixedPoint(TypedDict):
    """Where a linear method ends."""

    weights: np.ndarray  # [d]
    values: np.ndarray  # over states or pairs, as a report shows them
    rmse: float


def solved_fixed_points(
    X: Matrix, right: np.ndarray, known: TableTruth, lam: float, emphatic: bool
) -> dict[str, FixedPoint | None]:
    """Where linear methods end, by name; None where there is no such point."""
    found: dict[str, FixedPoint | None] = {}
    v, seen = np.nan_to_num(right), known.seen
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
        over = shown(X @ w, right, seen)
        found[name] = {"weights": w, "values": over, "rmse": rms((over - right)[seen])}
    return found
