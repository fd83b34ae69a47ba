"""Recurrent networks: one way to scan a cell over time, and three cells that differ in one step: Elman, LSTM, GRU.

A `Cell` carries what it remembers from step to step, so an agent can carry it through an episode as well:

    carry = cell.start(θ, B);   carry, y = cell.step(θ, carry, x_t);   carry = restart(cell, θ, carry, ended)

and `scan(cell, θ, x [B, T, D])` is that loop over whole windows, compiled. Cells are written against the array's own
namespace: NumPy in, NumPy out. Rows are vectors, so z W means what the papers write as W z.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlnut.errors import UsageError
from rlnut.networks.layers import dropout, head, serial, sigmoid
from rlnut.types import Array, Example, Key, Model, Network, Params, Shape, Shaped, namespace

Carry = tuple[Array, ...]  # what a cell remembers, [B, H] each; the first is its output y


class Cell(NamedTuple):
    """One step of a recurrent network, (carry, x) -> (carry, y); `inputs` is the part that does not need the carry."""

    init: Callable[[Key, Example], Params]  # (key, x [..., D]) -> θ
    start: Callable[[Params, int], Carry]  # (θ, B) -> the carry before the first step
    inputs: Callable[[Params, Array], Array]  # (θ, x [..., D]) -> z [..., kH], for all time steps at once
    advance: Callable[[Params, Carry, Array], Carry]  # (θ, carry, z [B, kH]) -> carry

    def step(self, params: Params, carry: Carry, x: Array) -> tuple[Carry, Array]:
        """(θ, carry, x [B, D]) -> (carry, y [B, H])."""
        carry = self.advance(params, carry, self.inputs(params, x))
        return carry, carry[0]


def _cell(width: int, gates: int, parts: int, advance: Callable[[Params, Carry, Array], Carry]) -> Cell:
    """A cell with z = x W + b for `gates` gates of `width` units, whose carry has `parts` arrays that start at 0."""
    if width < 1:
        raise UsageError(f"a recurrent layer needs at least one unit, got {width}")

    def init(key: Key, x: Example) -> Params:
        w_key, u_key = jax.random.split(key)
        glorot, orthogonal = jax.nn.initializers.glorot_uniform(), jax.nn.initializers.orthogonal()
        w = [glorot(k, (x.shape[-1], width), jnp.float32) for k in jax.random.split(w_key, gates)]
        u = [orthogonal(k, (width, width), jnp.float32) for k in jax.random.split(u_key, gates)]
        return {"w": jnp.concatenate(w, 1), "u": jnp.concatenate(u, 1), "b": jnp.zeros(gates * width)}

    def start(params: Params, rows: int) -> Carry:
        u = params["u"]
        return (namespace(u).zeros((rows, width), u.dtype),) * parts

    return Cell(init, start, lambda params, x: x @ params["w"] + params["b"], advance)


def rnn(width: int) -> Cell:
    """hₜ = tanh(xₜ W + b + hₜ₋₁ U), y = h [B, H] (Elman 1990)."""

    def advance(params: Params, carry: Carry, z: Array) -> Carry:
        (h,) = carry
        return (namespace(z).tanh(z + h @ params["u"]),)

    return _cell(width, 1, 1, advance)


def lstm(width: int) -> Cell:
    """(i, f, g, o) = xₜ W + b + hₜ₋₁ U;  cₜ = σ(f) cₜ₋₁ + σ(i) tanh(g);  hₜ = σ(o) tanh(cₜ), y = h [B, H].

    Hochreiter & Schmidhuber (1997) with the forget gate of Gers et al. (2000), whose bias starts at 1.
    """

    def advance(params: Params, carry: Carry, z: Array) -> Carry:
        h, c = carry
        z = z + h @ params["u"]
        i, f, g, o = (z[..., k * width : (k + 1) * width] for k in range(4))
        tanh = namespace(z).tanh
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        return sigmoid(o) * tanh(c), c

    cell = _cell(width, 4, 2, advance)

    def init(key: Key, x: Example) -> Params:
        params = cell.init(key, x)
        return params | {"b": params["b"].at[width : 2 * width].set(1.0)}

    return cell._replace(init=init)


def gru(width: int) -> Cell:
    """(r, u) = σ(xₜ Wᵣᵤ + bᵣᵤ + hₜ₋₁ Uᵣᵤ);  n = tanh(xₜ Wₙ + bₙ + r (hₜ₋₁ Uₙ + c));  hₜ = u hₜ₋₁ + (1 − u) n = y.

    Cho et al. (2014), with the reset gate r after the product with Uₙ as in cuDNN, so that one product serves all.
    """

    def advance(params: Params, carry: Carry, z: Array) -> Carry:
        (h,) = carry
        v = h @ params["u"]
        gates = sigmoid(z[..., : 2 * width] + v[..., : 2 * width])
        r, u = gates[..., :width], gates[..., width:]
        n = namespace(z).tanh(z[..., 2 * width :] + r * (v[..., 2 * width :] + params["c"]))
        return (u * h + (1 - u) * n,)

    cell = _cell(width, 3, 1, advance)
    return cell._replace(init=lambda key, x: cell.init(key, x) | {"c": jnp.zeros(width)})


CELLS: dict[str, Callable[[int], Cell]] = {"rnn": rnn, "lstm": lstm, "gru": gru}


def restart(cell: Cell, params: Params, carry: Carry, where: Shaped[Array, " B"]) -> Carry:
    """The carry with the rows `where` [B] (an episode begins there) back at the cell's start."""
    return _pick(where, cell.start(params, len(where)), carry)


def _pick(where: Shaped[Array, " B"], yes: Carry, no: Carry) -> Carry:
    xp = namespace(no[0])
    return tuple(xp.where(where[:, None], a, b) for a, b in zip(yes, no, strict=True))


def scan(
    cell: Cell,
    params: Params,
    x: Shaped[Array, "B T D"],
    mask: Array | None = None,
    begin: Array | None = None,
    carry: Carry | None = None,
) -> tuple[Carry, Shaped[Array, "B T H"]]:
    """The cell over windows x [B, T, D] -> (last carry, y [B, T, H]); the products x W of all steps are one.

    `mask` [B, T]: False is padding, where carry and y stay what they were, so a padded row ends as it would alone.
    `begin` [B, T]: True puts the carry back to the start before that step (an episode begins within the window).
    `carry`: what is remembered from before the window; None is the cell's start.
    """
    x = jnp.swapaxes(jnp.asarray(x), 0, 1)  # time first
    steps, rows = x.shape[:2]
    first = cell.start(params, rows)
    given = {"mask": mask, "begin": begin}
    for name, flags in given.items():
        if flags is not None and flags.shape != (rows, steps):
            raise ValueError(f"{name} must be [B, T] = {[rows, steps]}, got {list(flags.shape)}")
    timed: dict[str, jax.Array] = {
        name: jnp.asarray(flags, bool).T for name, flags in given.items() if flags is not None
    }

    def step(before: Carry, now: tuple[Array, dict[str, jax.Array]]) -> tuple[Carry, Array]:
        z, at = now
        before = _pick(at["begin"], first, before) if "begin" in at else before
        after = cell.advance(params, before, z)
        after = _pick(at["mask"], after, before) if "mask" in at else after
        return after, after[0]

    last, y = jax.lax.scan(step, first if carry is None else carry, (cell.inputs(params, x), timed))
    return last, jnp.swapaxes(y, 0, 1)


def lengths_mask(lengths: Shaped[Array, " B"], steps: int) -> Shaped[Array, "B T"]:
    """Lengths [B] -> mask [B, T]: True in the first `lengths` steps."""
    return namespace(lengths).arange(steps) < lengths[:, None]


def reader(*cells: Cell) -> Model:
    """Layers of cells that read a sequence: x [B, T, ...] -> the last layer's y [B, H] at each row's end.

    A step whose numbers are all NaN is padding (`scan`'s mask): sequences of unequal length share one array so.
    """

    def split(x: Array) -> tuple[Array, Array | None]:
        x = x.reshape(*x.shape[:2], math.prod(x.shape[2:]))
        if not jnp.issubdtype(x.dtype, jnp.floating):
            return x, None
        there = ~jnp.isnan(x).all(-1)
        return jnp.where(there[..., None], x, 0), there

    def init(key: Key, x: Array) -> Params:
        params, wide = [], split(x)[0]
        for cell, k in zip(cells, jax.random.split(key, len(cells)), strict=True):
            params.append(cell.init(k, wide))
            wide = jax.eval_shape(lambda p, x, cell=cell: scan(cell, p, x)[1], params[-1], wide)
        return tuple(params)

    def apply(params: Params, x: Array) -> Array:
        y, mask = split(x)
        for cell, theta in zip(cells, params, strict=True):
            last, y = scan(cell, theta, y, mask)
        return last[0]

    return Model(init, apply, name="recurrent")


def recurrent(cell: Callable[[int], Cell] = lstm, hidden: tuple[int, ...] = (128,), drop: float = 0.0) -> Network:
    """Sequences [B, T, ...] through a layer of `cell` for each width in `hidden`, then a linear head on the last y.

    `drop` puts a `dropout` before the head.
    """
    if not hidden:
        raise UsageError("a recurrent network needs at least one layer")

    def build(shape: Shape) -> Model:
        return serial(reader(*map(cell, hidden)), *([dropout(drop)] if drop else []), head(tuple(shape)))

    return build
