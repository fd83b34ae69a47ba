"""Targets written down as their definitions: slow, obvious, in float64, to test fast code against (ours and yours).

A trajectory is T rows, with terminations and truncations anywhere: row t went from s_t to s_{t+1} with reward
reward[t] and discount[t] = γ(1 − terminated); end[t] says that the episode ended there. v[t] = v(s_t), and next_v[t]
is the value of the true successor. For action values v[t] = q(s_t, a_t). Every function returns the targets y [T];
`n` limits a target to n steps, None lets it run to the end of the episode.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np


class Trajectory(NamedTuple):
    """One trajectory of T rows."""

    v: np.ndarray  # [T] v(s_t), or q(s_t, a_t)
    reward: np.ndarray  # [T]
    discount: np.ndarray  # [T] γ(1 − terminated)
    next_v: np.ndarray  # [T] v(s_{t+1}), or Σ_a π(a|s_{t+1}) q(s_{t+1}, a)
    end: np.ndarray  # [T] terminated | truncated

    def last(self, t: int) -> int:
        """The last row of t's episode, or of the trajectory."""
        return next((k for k in range(t, len(self.end)) if self.end[k]), len(self.end) - 1)

    def ahead(self, t: int, n: int | None) -> range:
        """The rows that count in a target of row t: n of them, or all to the end of the episode."""
        return range(t, self.last(t) + 1 if n is None else min(self.last(t), t + n - 1) + 1)

    def delta(self, t: int) -> float:
        """δ_t = r_{t+1} + D_t v(s_{t+1}) − v(s_t)."""
        return float(self.reward[t] + self.discount[t] * self.next_v[t] - self.v[t])


def n_step(path: Trajectory, n: int) -> np.ndarray:
    """G_{t:t+n} = Σ_{k<m} (Π D) r + (Π D) v(s_{t+m}), m = min(n, steps left) (S&B 7.1)."""
    return np.array([_n_step_from(path, t, n) for t in range(len(path.v))])


def _n_step_from(path: Trajectory, t: int, n: int) -> float:
    h = min(t + n - 1, path.last(t))
    total = sum(math.prod(path.discount[t:k]) * path.reward[k] for k in range(t, h + 1))
    return float(total + math.prod(path.discount[t : h + 1]) * path.next_v[h])


def lambda_return(path: Trajectory, lam: float) -> np.ndarray:
    """G^λ_t = (1 − λ) Σ_{n<L} λⁿ⁻¹ G_{t:t+n} + λᴸ⁻¹ G_{t:t+L}, L the steps left (S&B 12.3)."""
    y = []
    for t in range(len(path.v)):
        left = path.last(t) - t + 1
        mixed = sum(lam ** (n - 1) * _n_step_from(path, t, n) for n in range(1, left))
        y.append((1 - lam) * mixed + lam ** (left - 1) * _n_step_from(path, t, left))
    return np.array(y)


def importance(path: Trajectory, rho: np.ndarray, lam: float = 1.0, n: int | None = None) -> np.ndarray:
    """V, per decision: G_t = ρ_t (r + D((1 − λ) v(s') + λ G_{t+1})) + (1 − ρ_t) v(s_t) (S&B 12.22; λ = 1: 7.13)."""

    def target(t: int, end: int) -> float:
        later = path.next_v[t] if t == end else (1 - lam) * path.next_v[t] + lam * target(t + 1, end)
        return rho[t] * (path.reward[t] + path.discount[t] * later) + (1 - rho[t]) * path.v[t]

    return np.array([target(t, path.ahead(t, n)[-1]) for t in range(len(path.v))])


def ordinary(
    path: Trajectory, rho: np.ndarray, n: int | None = None, actions: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Whole returns and their weights: G_{t:t+n} and Π ρ_k over its rows, of Q from t + 1 on (S&B 5.5, 7.9, 7.11)."""
    rows = [path.ahead(t, n) for t in range(len(path.v))]
    G = np.array([_n_step_from(path, t, len(ahead)) for t, ahead in enumerate(rows)])
    return G, np.array([math.prod(rho[k] for k in ahead[int(actions) :]) for ahead in rows])


def per_decision(path: Trajectory, rho: np.ndarray, n: int | None = None, actions: bool = False) -> np.ndarray:
    """G = Σ_k (Π_{i<=k} ρ_i)(Π_{i<k} D_i) r_k + (Π ρ)(Π D) v(s_{t+n}), for Q without ρ_t (S&B 5.14, 5.15)."""
    y = []
    for t in range(len(path.v)):
        ahead = path.ahead(t, n)
        ratio = {k: math.prod(rho[t + int(actions) : k + 1]) for k in ahead}
        total = sum(ratio[k] * math.prod(path.discount[t:k]) * path.reward[k] for k in ahead)
        y.append(total + ratio[ahead[-1]] * math.prod(path.discount[t : ahead[-1] + 1]) * path.next_v[ahead[-1]])
    return np.array(y)


def q_importance(path: Trajectory, rho: np.ndarray, lam: float = 1.0, n: int | None = None) -> np.ndarray:
    """Q, per decision: G_t = r + D(v̄(s') + λρ_{t+1} (G_{t+1} − q(s_{t+1}, a_{t+1}))) (S&B 12.23)."""
    return _corrected(path, lam * np.asarray(rho), n)


def retrace(path: Trajectory, rho: np.ndarray, lam: float = 1.0, n: int | None = None) -> np.ndarray:
    """Q: q + Σ_k (Π_{t<i<=k} D_{i−1} λ min(1, ρ_i)) δ_k (Munos et al. 2016, eq. 3)."""
    return _corrected(path, lam * np.minimum(1, rho), n)


def q_lambda(path: Trajectory, lam: float = 1.0, n: int | None = None) -> np.ndarray:
    """Q: q + Σ_k (Π_{t<i<=k} D_{i−1} λ) δ_k (Harutyunyan et al. 2016)."""
    return _corrected(path, np.full(len(path.v), lam), n)


def _corrected(path: Trajectory, c: np.ndarray, n: int | None) -> np.ndarray:
    """q + Σ_k (Π_{t<i<=k} D_{i−1} c_i) δ_k over n rows."""
    y = []
    for t in range(len(path.v)):
        rows = path.ahead(t, n)
        y.append(
            path.v[t]
            + sum(math.prod(path.discount[i - 1] * c[i] for i in range(t + 1, k + 1)) * path.delta(k) for k in rows)
        )
    return np.array(y)


def v_trace(
    path: Trajectory,
    rho: np.ndarray,
    lam: float = 1.0,
    clip_rho: float = 1.0,
    clip_c: float = 1.0,
    n: int | None = None,
) -> np.ndarray:
    """V: v + Σ_k (Π_{t<=i<k} D_i λ min(c̄, ρ_i)) min(ρ̄, ρ_k) δ_k (Espeholt et al. 2018, eq. 1)."""
    y = []
    for t in range(len(path.v)):
        total = path.v[t]
        for k in path.ahead(t, n):
            traces = math.prod(path.discount[i] * lam * min(clip_c, rho[i]) for i in range(t, k))
            total += traces * min(clip_rho, rho[k]) * path.delta(k)
        y.append(total)
    return np.array(y)


def tree_backup(path: Trajectory, q_next: np.ndarray, pi_next: np.ndarray, action: np.ndarray, n: int) -> np.ndarray:
    """Q: G_{t:t+n} = r + D(Σ_{a≠A'} π(a|s') q(s', a) + π(A'|s') G_{t+1:t+n}) (S&B 7.16), A' = action[t + 1].

    q_next, pi_next [T, A] are of s_{t+1}; path.next_v is not used. Leaves are bootstrapped with Σ_a π q.
    """

    def target(t: int, steps: int) -> float:
        leaf = pi_next[t] * q_next[t]
        if steps == 1 or t == path.last(t):
            return path.reward[t] + path.discount[t] * leaf.sum()
        taken = action[t + 1]
        others = leaf.sum() - leaf[taken]
        return path.reward[t] + path.discount[t] * (others + pi_next[t, taken] * target(t + 1, steps - 1))

    return np.array([target(t, n) for t in range(len(path.reward))])


def categorical_projection(values: np.ndarray, chances: np.ndarray, atoms: np.ndarray) -> np.ndarray:
    """Φ of C51 (Bellemare et al. 2017, eq. 7): mass at a value is shared between its two neighbours in `atoms`.

    values, chances [K] -> chances [M] on `atoms` [M], rising; values outside go to the edge. Inside, the mean is kept.
    """
    shared = np.zeros(len(atoms))
    for z, p in zip(np.clip(values, atoms[0], atoms[-1]), chances, strict=True):
        for j, atom in enumerate(atoms):
            if z == atom:
                shared[j] += p
            elif j + 1 < len(atoms) and atom < z < atoms[j + 1]:
                up = (z - atom) / (atoms[j + 1] - atom)
                shared[j] += p * (1 - up)
                shared[j + 1] += p * up
    return shared


def quantile_projection(values: np.ndarray, chances: np.ndarray, n: int) -> np.ndarray:
    """Π of QR-DQN (Dabney et al. 2018, lemma 2): θ_i = F⁻¹((2i + 1)/2n), i = 0 … n − 1: [n], nearest in W₁."""
    order = np.argsort(values, kind="stable")
    found = []
    for i in range(n):
        level, below = (2 * i + 1) / (2 * n), 0.0
        for k in order:
            below += chances[k]
            if below >= level - 1e-12:
                found.append(values[k])
                break
    return np.array(found)
