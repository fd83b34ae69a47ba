"""Every target of reinforcement learning over trajectories [T, N]: one recursion, and rules that give its arguments.

    δ_t = r_{t+1} + D_t v'_t − v_t,                          D_t = γ(1 − terminated)
    y_t = v_t + u_t δ_t + D_t c (y_{t+1} − w_t),             the last term is 0 after the end of an episode

with v_t = v(s_t) and v'_t = v(s_{t+1}), which may come from two networks. n-step, λ-, importance-sampled, Retrace,
V-trace and tree-backup returns differ in the trace c, the gain u, and in what w_t the next row's target replaces:
v'_t in returns of state values (a λ-return mixes v'_t and y_{t+1}), q(s_{t+1}, a_{t+1}) in those of action values, and
v_{t+1} in V-trace, which sums TD errors. For state values c belongs to the step that it follows (c_t), for action
values to the action that it passes over (c_{t+1}). `end` (terminated or truncated) cuts the recursion; what a truncated
episode is worth comes through D_t and v'_t, which must be of the true successor. Works on JAX (in jit, vmap) and NumPy
arrays; time comes first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from rlnut.errors import UsageError, unknown
from rlnut.learner.traces import COEFFICIENTS, Cut, Passed, clipped
from rlnut.types import Array, namespace

Maps = TypeVar("Maps")  # one map for each row, as a pytree of arrays [T, ...]


STATE_CUTS: tuple[Cut, ...] = ("none", "importance", "v-trace")
ACTION_CUTS: tuple[Cut, ...] = ("none", "importance", "retrace", "tree-backup", "watkins")  # Peng's Q(λ): on_policy(λ)


class Correction(NamedTuple):
    """How a return is corrected: made by the functions below."""

    trace: Array | float  # c [T, N]
    gain: Array | float = 1.0  # u [T, N]
    ahead: bool = False  # action values: y_{t+1} replaces q(s_{t+1}, a_{t+1}) and is weighted by c_{t+1}
    summed: bool = False  # state values: TD errors are summed, y_{t+1} replaces v_{t+1}; else it replaces v'_t


def correction(cut: Cut, passed: Passed, lam: float | Array = 1.0, actions: bool = False) -> Correction:
    """By name: for V a row's own action is corrected, too, u = c/λ; for Q u = 1 and c is that of the next action.

    Raises UsageError for a coefficient that is not defined for V, or not for Q.
    """
    defined = ACTION_CUTS if actions else STATE_CUTS
    if cut not in defined:
        raise unknown(f"correction of {'action' if actions else 'state'} values", cut, defined)
    c = COEFFICIENTS[cut](passed)
    return Correction(lam * c, ahead=True) if actions else Correction(lam * c, c, summed=cut == "v-trace")


def on_policy(lam: float | Array) -> Correction:
    """c = λ, u = 1: λ-returns (S&B 12.2); λ = 1 the Monte-Carlo return, with `n` the n-step return (7.1)."""
    return correction("none", Passed(), lam)


def importance(rho: Array, lam: float | Array = 1.0, actions: bool = False) -> Correction:
    """Per-decision importance sampling, ρ = π/b: c = λρ, u = ρ for V (S&B 12.22), c = λρ, u = 1 for Q (7.14, 12.23)."""
    return correction("importance", Passed(rho), lam, actions)


def retrace(rho: Array, lam: float | Array = 1.0) -> Correction:
    """Q: c = λ min(1, ρ) (Munos et al. 2016); v(s') must be Σ_a π(a|s') q(s', a)."""
    return correction("retrace", Passed(rho), lam, True)


def tree_backup(taken: Array, lam: float | Array = 1.0) -> Correction:
    """Q: c = λπ(a|s) of the action taken (S&B 7.16, Precup et al. 2000); v(s') must be Σ_a π(a|s') q(s', a)."""
    return correction("tree-backup", Passed(pi=taken), lam, True)


def q_lambda(lam: float | Array = 1.0) -> Correction:
    """Q: c = λ, off-policy without correction (Harutyunyan et al. 2016); v(s') must be Σ_a π(a|s') q(s', a)."""
    return correction("none", Passed(), lam, True)


def v_trace(rho: Array, lam: float | Array = 1.0, clip_rho: float = 1.0, clip_c: float = 1.0) -> Correction:
    """V: u = min(ρ̄, ρ), c = λ min(c̄, ρ), TD errors summed (Espeholt et al. 2018, eq. 1)."""
    return Correction(lam * clipped(rho, clip_c), clipped(rho, clip_rho), summed=True)


def returns(
    v: Array,
    reward: Array,
    discount: Array,
    next_v: Array,
    end: Array,
    rule: Correction,
    n: int | None = None,
    next_q: Array | None = None,
) -> Array:
    """The targets y [T, N] of the recursion above; `n` limits it to n steps (n TD errors), None: to the episode.

    `v`, `next_v` are v_t and v'_t, for action values q(s_t, a_t) and the value of s_{t+1}. Where these come from two
    networks, `next_q` is w_t: q(s_{t+1}, a_{t+1}) by the network of `next_v` (None: v_{t+1}). All arrays are [T, N] (or
    [T]). Raises UsageError for n < 1, for shapes that differ, and for `next_q` with a rule of state values.
    """
    same_shape(v=v, reward=reward, discount=discount, next_v=next_v, end=end, next_q=v if next_q is None else next_q)
    if next_q is not None and not rule.ahead:
        raise UsageError(
            "next_q is for corrections of action values: importance(actions=True), retrace, tree_backup, …"
        )
    trace = jnp.broadcast_to(jnp.asarray(rule.trace), v.shape)
    if rule.ahead:
        trace = jnp.concatenate([trace[1:], trace[:1]])  # the last row has no next target
    errors = jnp.asarray(rule.gain * (reward + discount * next_v - v))
    factor = jnp.where(end, 0.0, discount * trace)
    nothing = (jnp.zeros_like(errors), jnp.ones_like(factor))
    steps = len(errors) if n is None else n
    replaced = next_q if rule.ahead or rule.summed else next_v
    if replaced is None:  # v_{t+1} itself: A_t = u_t δ_t + D_t c A_{t+1}, A = y − v
        return v + window(_affine, nothing, (errors, factor), steps)[0]
    # y_{t+1} − w_t = A_{t+1} + gap_t; the gap is 0 where all values are of one network
    gap = jnp.concatenate([v[1:] - replaced[:-1], jnp.zeros_like(v[:1])])
    total, product = window(_affine, nothing, (errors + factor * gap, factor), steps)
    if steps < len(errors):  # the last of n rows bootstraps: there y_{t+1} is w_t
        total = total - product * jnp.concatenate([gap[steps - 1 :], jnp.zeros_like(gap[: steps - 1])])
    return v + total


def _affine(f: tuple, g: tuple) -> tuple:
    """x -> f(g(x)) of x -> b + a x, as pairs (b, a)."""
    return f[0] + f[1] * g[0], f[1] * g[1]


class Folded(NamedTuple):
    """Transitions over up to n steps: y_t = reward + discount · v(next_obs of row `last`), whatever v will be then."""

    reward: Array  # [T, N] R = Σ_{k<m} γᵏ r
    discount: Array  # [T, N] γᵐ(1 − terminated)
    last: Array  # int32 [T, N] the row of the last step that counts


def fold(reward: Array, discount: Array, end: Array, n: int) -> Folded:
    """n-step transitions before any bootstrap (S&B 7.1): m = min(n, steps to the episode's end or the last row).

    O(T log n). With n >= T this is the Monte-Carlo return. Raises UsageError for n < 1 and shapes that differ.
    """
    same_shape(reward=reward, discount=discount, end=end)
    xp = namespace(reward)

    def compose(f: tuple, g: tuple) -> tuple:
        going_on = ~f[2]
        product = namespace(f[1] * going_on).where(f[2], f[1], f[1] * g[1])
        return f[0] + f[1] * going_on * g[0], product, f[2] | g[2]

    nothing = (xp.zeros_like(reward), xp.ones_like(discount), xp.zeros_like(end))
    total, product, _ = window(compose, nothing, (reward, discount, end), n)
    row = xp.arange(len(reward)).reshape(-1, *[1] * (reward.ndim - 1))
    stops = xp.where(end, row, len(reward) - 1)
    until = np.minimum.accumulate(stops[::-1])[::-1] if xp is np else jax.lax.cummin(stops, reverse=True)
    return Folded(total, product, xp.minimum(row + n - 1, until).astype(np.int32))


def window(compose: Callable[[Maps, Maps], Maps], identity: Maps, steps: Maps, n: int) -> Maps:
    """steps_t ∘ … ∘ steps_{t+n−1} for every t, by doubling, O(T log n), or backwards, O(T), if n >= T.

    Rows after the last count as `identity`.
    """
    if n < 1:
        raise UsageError(f"n must be >= 1, got {n}")
    rows = len(jax.tree.leaves(steps)[0])
    if n >= rows:  # to the end: one pass backwards
        last = jax.tree.map(lambda x: x[0], identity)
        return jax.lax.scan(lambda g, f: ((h := compose(f, g)), h), last, steps, reverse=True)[1]

    def later(tree: Maps, by: int) -> Maps:
        return jax.tree.map(lambda x, e: namespace(x).concatenate([x[by:], e[: min(by, rows)]]), tree, identity)

    total, offset, size = identity, 0, 1
    while n:
        if n % 2:
            total, offset = compose(total, later(steps, offset)), offset + size
        n //= 2
        if n:
            steps, size = compose(steps, later(steps, size)), 2 * size
    return total


def same_shape(**arrays: Array) -> None:
    """UsageError unless all arrays have one shape, so that nothing broadcasts into a wrong answer."""
    shapes = {name: jnp.shape(x) for name, x in arrays.items()}
    if len(set(shapes.values())) > 1:
        raise UsageError(
            "arrays of a trajectory must have one shape [T, N], got " + ", ".join(f"{k} {s}" for k, s in shapes.items())
        )
