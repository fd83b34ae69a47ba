"""Exact distributions of returns, and the fixed points of categorical and quantile learning.

    G(s) = R + γ G(S')  in law  (Bellman 1957; Bellemare, Dabney & Rowland 2023, eq. 2.10)

All work on the `Outcomes` of a finite problem under a policy π [S, A], in float64; after an episode's end the return
is 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array

from rlnut.errors import RlnutError, UsageError
from rlnut.truth.dynamic_programming import NEVER_ENDS, Chain, check_gamma, ends, reachable, solve_chain, values
from rlnut.truth.outcomes import Jumps, Outcomes, jumps
from rlnut.truth.transition_matrices import DENSE_TABLE, Matrix

SWEEPS = 200_000
NOISY = "with Gaussian noise in the rewards, only the mean and the variance of the return are exact"


class Law(NamedTuple):
    """A distribution on finitely many numbers."""

    values: np.ndarray  # [K] rising
    chances: np.ndarray  # [K] sum 1


def mean_chain(law: Outcomes, policy: np.ndarray) -> Chain:
    """The chain of means over states under π: what `dynamic_programming.chain` makes of the problem's tables."""
    step = jumps(law, policy)
    S = len(law.below)
    r = np.zeros(S)
    np.add.at(r, step.state, step.chance * step.reward)
    at, chance = (step.state, step.successor), step.chance * step.goes_on
    if law.below.shape[1] * S**2 > DENSE_TABLE:
        P: Matrix = coo_array((chance, at), (S, S)).tocsr()
        P.eliminate_zeros()
    else:
        P = np.zeros((S, S))
        np.add.at(P, at, chance)
    return Chain(P, r, np.diff(law.start, prepend=0))


def _lasting(law: Outcomes, policy: np.ndarray, gamma: float) -> np.ndarray:
    """States that have a return, bool [S]: all for γ < 1, else those that certainly end; refused if others occur."""
    process = mean_chain(law, policy)
    if check_gamma(gamma) < 1:
        return np.ones(len(process.r), bool)
    known = ends(process)
    if (lost := reachable(process) & ~known).any():
        raise UsageError(NEVER_ENDS.format(state=int(np.argmax(lost))))
    return known


def return_variance(law: Outcomes, policy: np.ndarray, gamma: float) -> np.ndarray:
    """Var[G | s] = m − v² with m = E[R² + 2γRv'] + γ² P m (Sobel 1982): [S]; NaN where no return is defined."""
    process, step = mean_chain(law, policy), jumps(law, policy)
    v = values(process, gamma)
    later = step.goes_on * np.nan_to_num(v)[step.successor]
    moment = np.zeros(len(v))
    square = step.reward**2 + step.noise**2 + 2 * gamma * step.reward * later
    np.add.at(moment, step.state, step.chance * square)
    return solve_chain(process, moment, gamma, gamma**2) - v**2


def return_law(
    law: Outcomes, policy: np.ndarray, gamma: float, state: int, tolerance: float = 1e-9, most: int = 1_000_000
) -> Law:
    """The distribution of G from `state`, by following every path and merging those that agree up to `tolerance`.

    Paths are cut when their chance in all, or what the rest of a return can still change, is below `tolerance`; rests
    and merged returns count as their means, so the mean is exact. γ = 1: only equal returns are merged.
    Raises RlnutError beyond `most` different returns.
    """
    step, known = jumps(law, policy), _lasting(law, policy, gamma)
    _refuse_noise(step)
    if not known[state]:
        raise UsageError(NEVER_ENDS.format(state=state))
    v = np.nan_to_num(values(mean_chain(law, policy), gamma))
    first = np.searchsorted(step.state, np.arange(len(v) + 1))
    reach = float(np.abs(step.reward).max(initial=0)) / (1 - gamma) if gamma < 1 else np.inf
    cuts = np.log(tolerance / max(reach, 2 * tolerance)) / np.log(gamma) + 1 if 0 < gamma < 1 else 1
    grain = tolerance / cuts if gamma < 1 else 1e-12  # each step may merge what lies so near
    place, total, chance = np.array([state]), np.zeros(1), np.ones(1)
    done_values, done_chances = [np.zeros(0)], [np.zeros(0)]
    weight = 1.0
    while len(place) and chance.sum() > tolerance and weight * reach > tolerance:
        count = first[place + 1] - first[place]
        parent = np.repeat(np.arange(len(place)), count)
        j = np.arange(len(parent)) - np.repeat(np.cumsum(count) - count, count) + first[place][parent]
        g, p, on = total[parent] + weight * step.reward[j], chance[parent] * step.chance[j], step.goes_on[j]
        done_values.append(g[~on])
        done_chances.append(p[~on])
        place, total, chance = _merge(step.successor[j][on], g[on], p[on], grain)
        weight *= gamma
        if len(place) > most:
            raise RlnutError(f"more than {most:,} different returns from state {state}: raise `tolerance` or `most`")
    found = np.concatenate([*done_values, total + weight * v[place]])
    _, merged, chances = _merge(np.zeros(len(found), int), found, np.concatenate([*done_chances, chance]), grain)
    return Law(merged, chances / chances.sum())


def _merge(
    place: np.ndarray, total: np.ndarray, chance: np.ndarray, grain: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of one place whose totals round to one multiple of `grain` become their mean; sorted by place and total."""
    if not len(place):
        return place, total, chance
    key = np.round(total / grain)
    order = np.lexsort((key, place))
    place, total, chance, key = place[order], total[order], chance[order], key[order]
    new = np.r_[True, (np.diff(key) != 0) | (np.diff(place) != 0)]
    group, at = np.cumsum(new) - 1, np.flatnonzero(new)
    mass = np.bincount(group, chance)
    return place[at], np.bincount(group, chance * total) / mass, mass


def categorical_fixed_point(
    law: Outcomes, policy: np.ndarray, gamma: float, atoms: np.ndarray, tolerance: float = 1e-14
) -> np.ndarray:
    """p = ΦT p, where C51 ends (Bellemare et al. 2017; Rowland et al. 2018): chances [S, M] on `atoms` [M], rising.

    T is the distributional Bellman operator, Φ the categorical projection. Means are kept while r + γz stays within the
    atoms, so Σ p z = V there; what lies outside is moved to the edge. Sweeps until no chance moves by `tolerance`.
    """
    atoms = np.asarray(atoms, np.float64)
    if atoms.ndim != 1 or len(atoms) < 2 or not (np.diff(atoms) > 0).all():
        raise UsageError(f"atoms must be at least two rising numbers, got {atoms.tolist()}")
    step, known = jumps(law, policy), _lasting(law, policy, gamma)
    _refuse_noise(step)
    S, M = len(law.below), len(atoms)
    # from atom k of the successor to two neighbours j of r + γ z_k; an end is a single atom at 0
    on, off = np.flatnonzero(step.goes_on), np.flatnonzero(~step.goes_on)
    low, up = _neighbours(step.reward[on][:, None] + gamma * atoms, atoms)
    to, of = step.state[on][:, None] * M + low, step.successor[on][:, None] * M + np.arange(M)
    chance = step.chance[on][:, None]
    T = coo_array(
        (
            np.concatenate([(chance * (1 - up)).ravel(), (chance * up).ravel()]),
            (np.concatenate([to.ravel(), to.ravel() + 1]), np.concatenate([of.ravel()] * 2)),
        ),
        (S * M, S * M),
    ).tocsr()
    low, up = _neighbours(step.reward[off], atoms)
    ended = np.zeros(S * M)
    np.add.at(ended, step.state[off] * M + low, step.chance[off] * (1 - up))
    np.add.at(ended, step.state[off] * M + low + 1, step.chance[off] * up)
    p = np.full(S * M, 1 / M)
    for _ in range(SWEEPS):
        new = ended + T @ p
        moved = np.abs(new - p).max()
        p = new
        if moved <= tolerance:
            found = p.reshape(S, M)
            found[~known] = np.nan
            return found / found.sum(1, keepdims=True)
    raise RlnutError(f"the categorical fixed point did not converge in {SWEEPS:,} sweeps: last change {moved:.3g}")


def _neighbours(x: np.ndarray, atoms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The atom below each x, and the share of its mass that goes to the atom above."""
    x = np.clip(x, atoms[0], atoms[-1])
    low = np.clip(np.searchsorted(atoms, x, "right") - 1, 0, len(atoms) - 2)
    return low, (x - atoms[low]) / (atoms[low + 1] - atoms[low])


def quantile_fixed_point(
    law: Outcomes, policy: np.ndarray, gamma: float, n: int, tolerance: float = 1e-13
) -> np.ndarray:
    """θ = ΠT θ, where QR-DQN ends (Dabney et al. 2018): n quantiles of equal mass for each state, [S, n], rising.

    Π takes F⁻¹ at the midpoints (2i + 1)/2n. It does not keep means, so (1/n) Σ θ differs from V: the bias of QR, which
    falls with n. Where F⁻¹ is an interval the lower end is taken.
    """
    if n < 1:
        raise UsageError(f"the number of quantiles must be >= 1, got {n}")
    step, known = jumps(law, policy), _lasting(law, policy, gamma)
    _refuse_noise(step)
    S = len(law.below)
    levels = (2 * np.arange(n) + 1) / (2 * n)
    # one row for each particle: n of the successor, or one 0 at an end; rows of a state lie together
    count = np.where(step.goes_on, n, 1)
    row = np.repeat(np.arange(len(count)), count)
    particle = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    chance, reward, state = (step.chance / count)[row], step.reward[row], step.state[row]
    scale = gamma * step.goes_on[row]
    source = step.successor[row] * n + particle
    first = np.searchsorted(state, np.arange(S))
    theta = np.zeros((S, n))
    for _ in range(SWEEPS):
        x = reward + scale * theta.reshape(-1)[source]
        order = np.lexsort((x, state))
        # states one after another: F of state s runs from s to s + 1
        F = np.cumsum(chance[order])
        at = np.searchsorted(F, levels + np.arange(S)[:, None] - 1e-10)
        new = x[order][np.maximum(np.minimum(at, len(x) - 1), first[:, None])]
        moved = np.abs(new - theta)[known].max(initial=0)
        theta = new
        if moved <= tolerance * max(1.0, float(np.abs(theta[known]).max(initial=0))):
            theta[~known] = np.nan
            return theta
    raise RlnutError(f"the quantile fixed point did not converge in {SWEEPS:,} sweeps: last change {moved:.3g}")


def _refuse_noise(step: Jumps) -> None:
    if (step.noise > 0).any():
        raise UsageError(NOISY)
