"""Hand-made features φ(x): fixed functions that make a linear model θᵀφ(x) bend.

A `Features` has no parameters to learn, so it composes with everything: call it on NumPy or JAX arrays
(inside jit too), `compose(scale, φ)` it, or put `φ.model` before a linear head with `networks.serial`.
Scaling is fitted by making it: `standardize(x_train)` holds the mean and spread of x_train for ever.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from numpy.typing import ArrayLike

from rlnut.errors import UsageError
from rlnut.networks.layers import function
from rlnut.types import Array, Key, Model, namespace

LARGEST = 10_000_000  # features; more is a mistake in the order or the number of tiles


class Features(NamedTuple):
    """A feature map: φ(x) is `phi(x)`, rows in [B, k] (or [B] for one number a row), rows out [B, dim]."""

    apply: Callable[[Array], Array]  # x [B, k] -> φ(x) [B, dim]
    dim: int  # number of features
    rate: np.ndarray | None = None  # [dim] factor of the step size α of each feature; None = 1
    active: Callable[[Array], Array] | None = None  # x -> int32 [B, n]: the features that are 1, when few are not 0

    def __call__(self, x: Array) -> Array:
        return self.apply(x)

    @property
    def model(self) -> Model:
        """The same map as a layer without parameters, for `networks.serial`."""
        return function(self.apply)


def rows(x: Array, dims: int) -> Array:
    """x as floats [B, dims]; [B] is read as [B, 1]. Raises UsageError if the columns are not `dims`."""
    table = x.reshape(len(x), -1)
    if table.shape[1] != dims:
        raise UsageError(f"these features take {dims} numbers a row, got {table.shape[1]} (array of shape {x.shape})")
    return table if namespace(x).issubdtype(table.dtype, np.floating) else table.astype(float)


def _constant(values: Array, like: Array) -> Array:
    """A fixed array in the library and precision of `like`."""
    return namespace(like).asarray(values, dtype=like.dtype)


def shown_number(count: int) -> str:
    """A number for people: 4,096, or about 10^5490."""
    return f"{count:,}" if count < 10**15 else f"about 10^{math.log10(count):.0f}"


def _check_size(dim: int, what: str) -> None:
    if dim > LARGEST:
        raise UsageError(f"{what} has {shown_number(dim)} features or states; at most {LARGEST:,} are allowed")


def compose(*maps: Features) -> Features:
    """One map after the other, compose(f, g)(x) = g(f(x)): a scaling first, then the features."""
    if not maps:
        raise UsageError("compose needs at least one feature map")

    def through(x: Array, steps: Sequence[Callable[[Array], Array]]) -> Array:
        for step in steps:
            x = step(x)
        return x

    before, last = [m.apply for m in maps[:-1]], maps[-1]
    active = partial(through, steps=[*before, last.active]) if last.active else None
    return Features(partial(through, steps=[*before, last.apply]), last.dim, last.rate, active)


def concatenate(*maps: Features) -> Features:
    """Features side by side: φ(x) = (φ₁(x), φ₂(x), …)."""
    if not maps:
        raise UsageError("concatenate needs at least one feature map")
    starts = np.cumsum([0, *(m.dim for m in maps)])
    rates = [np.ones(m.dim) if m.rate is None else m.rate for m in maps]
    rate = None if all(m.rate is None for m in maps) else np.concatenate(rates)

    def active(x: Array) -> Array:
        return namespace(x).concatenate([m.active(x) + int(s) for m, s in zip(maps, starts, strict=False)], 1)  # type: ignore[misc]

    def apply(x: Array) -> Array:
        return namespace(x).concatenate([m.apply(x) for m in maps], 1)

    return Features(apply, int(starts[-1]), rate, active if all(m.active for m in maps) else None)


def fit_features(x: Array, *steps: Callable[[Array], Features]) -> Features:
    """Fit steps to data in order, each to what the steps before it made of x, and compose them.

    >>> import numpy as np
    >>> phi = fitted(np.array([[1.0], [3.0]]), standardize, lambda z: polynomial(z.shape[1], 2))
    >>> phi(np.array([[3.0]])).tolist()
    [[1.0, 1.0, 1.0]]
    """
    maps = []
    for step in steps:
        maps.append(step(x))
        x = maps[-1].apply(x)
    return compose(*maps)


def affine(shift: np.ndarray, scale: np.ndarray, clip: bool = False) -> Features:
    """(x − shift)/scale for each column, optionally clipped to [0, 1]."""

    def apply(x: Array) -> Array:
        z = rows(x, len(shift))
        z = (z - _constant(shift, z)) / _constant(scale, z)
        return namespace(z).clip(z, 0, 1) if clip else z

    return Features(apply, len(shift))


def standardize(x: Array) -> Features:
    """(x − mean)/std of each column of x [B, k] (std with 1/B); a constant column becomes 0."""
    return affine(*shift_and_scale(x))


def shift_and_scale(x: Array) -> tuple[np.ndarray, np.ndarray]:
    """What `standardize` holds: shift and scale [k]."""
    table = np.asarray(x, np.float64).reshape(len(x), -1)
    if not (len(table) and np.isfinite(table).all()):
        raise UsageError("standardize needs at least one row, and finite numbers only")
    std = table.std(0)
    constant = table.min(0) == table.max(0)  # its std is rounding noise, not a scale
    return np.where(constant, table[:1].mean(0), table.mean(0)), np.where(constant | (std == 0), 1.0, std)


def min_max(low: ArrayLike, high: ArrayLike, clip: bool = False) -> Features:
    """(x − low)/(high − low): the box [low, high] becomes [0, 1]ᵏ; `clip` keeps values outside at its edge."""
    lo, hi = bounds(low, high)
    return affine(lo, hi - lo, clip)


def bounds(low: ArrayLike, high: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Checked bounds of a box, float64 [k] each: finite and low < high in every dimension."""
    lo, hi = np.atleast_1d(np.asarray(low, np.float64)), np.atleast_1d(np.asarray(high, np.float64))
    if lo.shape != hi.shape or lo.ndim != 1:
        raise UsageError(f"low and high must be as many numbers as x has columns, got {lo.shape} and {hi.shape}")
    for i, (a, b) in enumerate(zip(lo, hi, strict=True)):
        if not (np.isfinite(a) and np.isfinite(b) and a < b and np.isfinite(b - a)):
            raise UsageError(f"dimension {i} must have finite bounds with low < high, got [{a:g}, {b:g}]")
    return lo, hi


def grid(low: ArrayLike, high: ArrayLike, counts: Sequence[int]) -> np.ndarray:
    """Points of a regular grid over the box, edges included: [Π counts, k]; one count puts its point in the middle."""
    lo, hi = bounds(low, high)
    if len(counts) != len(lo) or min(counts) < 1:
        raise UsageError(f"counts must be {len(lo)} numbers >= 1, got {tuple(counts)}")
    _check_size(math.prod(counts), "this grid")
    axes = [np.linspace(a, b, n) if n > 1 else np.array([(a + b) / 2]) for a, b, n in zip(lo, hi, counts, strict=True)]
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], 1)


def _powers(dims: int, order: int) -> np.ndarray:
    """All c in {0 … order}ᵏ, the last dimension fastest: [(order+1)ᵏ, k]."""
    if dims < 1 or order < 0:
        raise UsageError(f"dims must be >= 1 and order >= 0, got {dims} and {order}")
    _check_size((order + 1) ** dims, f"order {order} in {dims} dimensions")
    return np.array(list(itertools.product(range(order + 1), repeat=dims)))


def monomials(exponents: Sequence[Sequence[int]] | np.ndarray) -> Features:
    """φᵢ(x) = Πⱼ xⱼ^cᵢⱼ for the given exponents c [p, k]: [[1]] is the lecture's θI, [[2]] its θI²."""
    c = np.asarray(exponents)
    if c.ndim != 2 or not c.size or not np.issubdtype(c.dtype, np.integer) or c.min() < 0:
        raise UsageError("exponents must be a table [features, dimensions] of integers >= 0")
    highest = int(c.max())

    def apply(x: Array) -> Array:
        z = rows(x, c.shape[1])
        xp = namespace(z)
        table = [xp.ones_like(z)]
        for _ in range(highest):
            table.append(table[-1] * z)
        powers = xp.stack(table, 1)  # [B, highest + 1, k]
        return xp.prod(powers[:, c.astype(np.int32), np.arange(c.shape[1], dtype=np.int32)], -1)

    return Features(apply, len(c))


def polynomial(dims: int, order: int, total: bool = False) -> Features:
    """Πⱼ xⱼ^cᵢⱼ with every cᵢⱼ in 0 … n (Sutton & Barto 2018, eq. 9.17): (n+1)ᵏ features, the first is 1.

    `total` keeps only those of total degree Σⱼ cᵢⱼ <= n. The lecture's θ₀ + θ₁I + θ₂I² is polynomial(1, 2).
    """
    if not total:
        return monomials(_powers(dims, order))
    if dims < 1 or order < 0:
        raise UsageError(f"dims must be >= 1 and order >= 0, got {dims} and {order}")
    _check_size(math.comb(dims + order, order), f"total degree {order} in {dims} dimensions")
    factors = (f for degree in range(order + 1) for f in itertools.combinations_with_replacement(range(dims), degree))
    return monomials(np.array(sorted(np.bincount(f, minlength=dims).tolist() for f in factors)))


def fourier(dims: int, order: int) -> Features:
    """cos(π xᵀcᵢ), cᵢ in {0 … n}ᵏ, for x in [0, 1]ᵏ (Sutton & Barto 2018, eq. 9.18; Konidaris et al. 2011).

    `rate` is 1/‖cᵢ‖ (1 for cᵢ = 0): the step size that Konidaris et al. give each feature. The columns are in the order
    of the numbers c written out, the last dimension fastest: 00, 01, 10, 11 for k = 2, n = 1 (libraries differ here).
    """
    c = _powers(dims, order)
    norm = np.sqrt((c * c).sum(1))

    def apply(x: Array) -> Array:
        z = rows(x, dims)
        return namespace(z).cos(z @ _constant(np.pi * c.T, z))

    return Features(apply, len(c), 1 / np.where(norm == 0, 1, norm))


def rbf(centres: Array, width: ArrayLike) -> Features:
    """exp(−‖(x − cᵢ)/σ‖²/2) for centres c [p, k] (see `grid`) and a width σ, one number or one a dimension."""
    c = np.asarray(centres, np.float64).reshape(len(centres), -1)
    sigma = np.broadcast_to(np.asarray(width, np.float64), c.shape[1:])
    if not c.size or not np.isfinite(c).all() or not (np.isfinite(sigma) & (sigma > 0)).all():
        raise UsageError("rbf needs finite centres and a finite width > 0")

    def apply(x: Array) -> Array:
        z = rows(x, c.shape[1])
        distance = (z[:, None, :] - _constant(c, z)) / _constant(sigma, z)
        return namespace(z).exp(-0.5 * (distance * distance).sum(-1))

    return Features(apply, len(c))


def random_fourier(key: Key, dims: int, count: int, width: float = 1.0) -> Features:
    """√(2/D) cos(Wx + b), W ~ N(0, 1/σ²), b ~ U[0, 2π): φ(x)ᵀφ(y) ≈ exp(−‖x − y‖²/2σ²) (Rahimi & Recht 2007)."""
    if dims < 1 or count < 1 or not 0 < width < np.inf:
        raise UsageError(f"dims and count must be >= 1 and width > 0, got {dims}, {count} and {width}")
    _check_size(count, "this map")
    w_key, b_key = jax.random.split(key)
    w = np.asarray(jax.random.normal(w_key, (dims, count), np.float32), np.float64) / width
    b = np.asarray(jax.random.uniform(b_key, (count,), np.float32), np.float64) * 2 * np.pi

    def apply(x: Array) -> Array:
        z = rows(x, dims)
        return np.sqrt(2 / count).astype(z.dtype) * namespace(z).cos(z @ _constant(w, z) + _constant(b, z))

    return Features(apply, count)


def binary(active: Callable[[Array], Array], dim: int) -> Features:
    """Features that are 0 except at `active`(x) [B, n], where they are 1 (a number met twice counts twice)."""

    def apply(x: Array) -> Array:
        index = active(x)
        xp = namespace(index)
        b = xp.arange(len(index))[:, None]
        if xp is np:
            counts = np.bincount((b * dim + index).ravel(), minlength=len(index) * dim)
            return counts.reshape(len(index), dim).astype(np.float32)
        return xp.zeros((len(index), dim), np.float32).at[b, index].add(1)

    return Features(apply, dim, active=active)


def one_hot(n: int, start: int = 0) -> Features:
    """Integers start … start+n−1, [B] -> one feature each: θ is then a table. Numbers outside take the nearest."""
    return aggregation(n, n, start)


def aggregation(states: int, groups: int, start: int = 0) -> Features:
    """State aggregation (Sutton & Barto 2018, 9.3): integers start … start+states−1 in `groups` runs of equal length.

    When `groups` does not divide `states`, lengths differ by at most one. Numbers outside take the nearest.
    """
    if not 1 <= groups <= states:
        raise UsageError(f"groups must be >= 1 and <= the number of states {states}, got {groups}")
    _check_size(states, "this aggregation")
    group = (np.arange(states, dtype=np.int64) * groups // states).astype(np.int32)

    def active(x: Array) -> Array:
        index = x.reshape(len(x), -1)
        if index.shape[1] != 1:
            raise UsageError(f"these features take one integer a row, got an array of shape {x.shape}")
        xp = namespace(x)
        return xp.asarray(group)[xp.clip(index.astype(np.int32) - start, 0, states - 1)]

    return binary(active, groups)
