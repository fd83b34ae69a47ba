"""How healthy learning is: numbers of one update on rows of the memory that is thrown away afterwards.

|δ| quantiles, how far θ⁻ is behind θ, gradient and update relative to θ, units that are never active, the effective
rank of the last hidden features, the age of what is replayed. `value_probe` is the program of an agent that
`value_agent` composes, with random keys of its own: what is learned and drawn does not depend on it. It runs a few
times in a run, so what counts is the time to trace and compile it: only what needs the network or the memory is in it,
and the statistics are pure functions of its arrays, in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np

from rlnut.learner.bellman import BellmanProblem
from rlnut.learner.readout import Readout
from rlnut.learner.replay import AgeFn, Memory, Rows
from rlnut.networks.hidden_layers import outputs_and_hidden_layers
from rlnut.regression.core import Regression
from rlnut.runtime.keys import light_key
from rlnut.types import Array, Params, Shaped

if TYPE_CHECKING:
    from rlnut.learner.agent import AgentState, Pace, TargetNetwork

ROWS = 512  # in a probe
RANK_DELTA = 0.01  # δ of srank_δ (Kumar et al. 2021)
DELTA_COLUMNS = ("delta_median", "delta_90", "delta_max")
HIDDEN_COLUMNS = ("dead_units", "feature_rank")  # of networks with hidden layers


class Probed(NamedTuple):
    """What a probe of B rows and D draws found, in arrays; None where an agent has no such thing. A pytree."""

    params: tuple[Array, ...]  # the leaves of θ
    delta: Array | None = None  # [B] y − q(s, a)
    counts: Array | None = None  # [B] bool: the row is experience
    gradient: Array | None = None  # [] ‖∂E/∂θ‖
    updated: tuple[Array, ...] | None = None  # the leaves of θ' after one update on the probe
    q: Array | None = None  # [B, A] q(s, ·); of several choices [B, D, K]
    target_q: Array | None = None  # the same of θ⁻
    mask: Array | None = None  # actions allowed there; None: all
    rows: Rows = ()  # places [D] in the memory
    age: Array | np.ndarray | None = None  # [D] steps of all environments since the row was seen
    active: tuple[Array, ...] = ()  # of each hidden layer [units] bool: not 0 in some row
    features: Array | None = None  # [B', width] of the last hidden layer


ProbeFn = Callable[["AgentState", Rows], Probed]  # (state, rows of its memory; None: it draws them itself)


class HealthProbe(NamedTuple):
    """How an agent is probed."""

    run: ProbeFn
    columns: tuple[str, ...]  # the names of its numbers
    host: bool = False  # reads the arrays as they are; nothing needs to be compiled
    sample: Callable[[AgentState], Rows] | None = None  # rows for `run`, from the host
    age: AgeFn | None = None  # of rows in the memory, on the host


def probed(probe: HealthProbe, state: AgentState, run: ProbeFn) -> Probed:
    """What a probe finds, in NumPy; run: `probe.run`, compiled where that pays."""
    rows = None if probe.sample is None else probe.sample(state)
    found: Probed = jax.tree.map(np.asarray, run(state, rows))
    return found if probe.age is None else found._replace(age=probe.age(state.memory, found.rows))


def value_probe(
    core: Regression,
    problem: BellmanProblem,
    memory: Memory,
    readout: Readout,
    pace: Pace,
    target: TargetNetwork | None,
) -> HealthProbe:
    """The probe of an agent: `ROWS` rows, drawn as learning draws them, and one update on them."""
    draws, host = max(1, ROWS // pace.window), memory.sample

    def sample(state: AgentState) -> Rows:
        assert host is not None
        return host(state.memory, np.random.default_rng(int(state.steps)), draws)

    def probe(state: AgentState, rows: Rows) -> Probed:
        key = jax.random.fold_in(light_key(state.replay_key), state.steps)
        rows_key, problem_key, target_key = jax.random.split(key, 3)
        rows = memory.draw(state.memory, rows_key, draws) if rows is None else rows
        seen, params = memory.read(state.memory, rows), state.fit.params
        batch = problem(params, state.target if target else params, seen, problem_key)
        if memory.weigh is not None:
            weight = memory.weigh(state.memory, rows, state.steps)
            batch = batch._replace(weight=weight if batch.weight is None else weight * batch.weight)
        start = state.fit._replace(key=light_key(state.fit.key))
        factor = state.changes.lr
        fit, metrics, outputs = core.step(start, batch) if factor is None else core.step(start, batch, factor)
        everything, layers = outputs_and_hidden_layers(core.predict, params, seen.x)
        frozen = None
        if target is not None:
            read = target.read(lambda theta, x, _: core.predict(theta, x)) if target.read else None
            frozen = read(state.target, seen.x, target_key) if read else core.predict(state.target, seen.x)
        return Probed(
            params=tuple(jax.tree.leaves(params)),
            delta=readout.mean(batch.y) - readout.q(outputs[:, None])[:, 0],
            counts=seen.valid,
            gradient=metrics["gradient"],
            updated=tuple(jax.tree.leaves(fit.params)),
            q=readout.q(everything),
            target_q=None if frozen is None else readout.q(frozen),
            mask=seen.mask,
            rows=rows if memory.age else (),
            active=tuple((layer.units != 0).reshape(-1, layer.units.shape[-1]).any(0) for layer in layers),
            features=layers[-1].rows if layers else None,
        )

    names = (*DELTA_COLUMNS, "gradient_share", "update_share", *(("target_drift",) if target else ()), *HIDDEN_COLUMNS)
    columns = (*names, *(("replay_age",) if memory.age else ()), "weight_norm")
    return HealthProbe(probe, columns, sample=sample if host else None, age=memory.age)


def weights_probe(weights: Callable[[Params], Params]) -> HealthProbe:
    """The probe of an agent whose δ are known without one: its weights only, of which the others are 0."""

    def probe(state: AgentState, rows: Rows) -> Probed:
        return Probed(tuple(jax.tree.leaves(weights(state.fit.params))))

    return HealthProbe(probe, (*DELTA_COLUMNS, "weight_norm"), host=True)


def has_hidden_layers(params: Params) -> bool:
    """Are there matrices of weights for more than one layer?"""
    return sum(leaf.ndim > 1 for leaf in jax.tree.leaves(params)) > 1


def delta_quantiles(delta: Shaped[np.ndarray, " B"]) -> dict[str, float]:
    """Median, 0.9-quantile and maximum of |δ|; linear between order statistics, as NumPy has them."""
    if not len(delta) or not np.isfinite(delta).all():
        return {}
    return dict(zip(DELTA_COLUMNS, np.quantile(np.abs(delta), (0.5, 0.9, 1.0)).tolist(), strict=True))


def dead_share(active: Sequence[np.ndarray]) -> float:
    """The share of hidden units, over all layers, that are 0 in every row (Sokar et al. 2023, τ = 0)."""
    return 1 - sum(int(layer.sum()) for layer in active) / sum(len(layer) for layer in active)


def dead_layer(active: Sequence[np.ndarray]) -> int:
    """The first hidden layer, from 1, all of whose units are 0 in every row; 0: none."""
    return next((i + 1 for i, layer in enumerate(active) if not layer.any()), 0)


def effective_rank(features: Shaped[np.ndarray, "B D"], delta: float = RANK_DELTA) -> int:
    """srank_δ: the least k with Σ_{i≤k} σᵢ >= (1 − δ) Σᵢ σᵢ, σ the singular values (Kumar et al. 2021, definition 1).

    "Implicit under-parameterization inhibits data-efficient deep reinforcement learning", ICLR 2021. 0 of zeros.
    """
    wide = np.asarray(features if len(features) >= features.shape[1] else features.T, np.float64)
    squared = np.linalg.eigvalsh(wide.T @ wide)[::-1]
    sigma = np.sqrt(np.where(squared > 1e-14 * squared[0], squared, 0))  # the rest is rounding
    if not sigma.sum():
        return 0
    return int(np.argmax(sigma.cumsum() >= (1 - delta) * sigma.sum() * (1 - 1e-9))) + 1


def health_numbers(probed: Probed, learned: Sequence[bool]) -> dict[str, float]:
    """The numbers of a probe by name; learned: is a leaf of θ a weight (or a statistic that is kept with the weights)?

    A number that is not finite, or of no rows, is left out.
    """
    before = [np.asarray(leaf, np.float64) for leaf, one in zip(probed.params, learned, strict=True) if one]
    norm = norm_of(before)
    row = {"weight_norm": norm}
    rows = None if probed.counts is None else np.asarray(probed.counts)
    if probed.delta is not None and rows is not None:
        row |= delta_quantiles(np.asarray(probed.delta)[rows])
    if probed.gradient is not None and norm:
        row["gradient_share"] = float(probed.gradient) / norm
    if probed.updated is not None and norm:
        after = [np.asarray(leaf, np.float64) for leaf, one in zip(probed.updated, learned, strict=True) if one]
        row["update_share"] = norm_of([a - b for a, b in zip(after, before, strict=True)]) / norm
    if probed.target_q is not None and rows is not None and rows.any():
        row["target_drift"] = drift(probed, rows)
    if probed.active:
        row["dead_units"] = dead_share([np.asarray(layer) for layer in probed.active])
    if probed.features is not None and rows is not None and rows.any():
        features = of_experience(np.asarray(probed.features), rows)
        if np.isfinite(features).all():
            row["feature_rank"] = effective_rank(features)
    if probed.age is not None:
        row["replay_age"] = float(np.asarray(probed.age, np.float64).mean())
    return {name: value for name, value in row.items() if np.isfinite(value)}


def norm_of(leaves: Sequence[np.ndarray]) -> float:
    """√Σ x² over all leaves."""
    with np.errstate(over="ignore", invalid="ignore"):  # of a learner that diverges
        return float(np.sqrt(sum(np.square(leaf).sum() for leaf in leaves)))


def drift(probed: Probed, rows: Shaped[np.ndarray, " B"]) -> float:
    """The mean of |q(s, a) − q⁻(s, a)| over the actions allowed in each row, and over rows that are experience."""
    with np.errstate(over="ignore", invalid="ignore"):
        q, target_q = (np.asarray(values, np.float64) for values in (probed.q, probed.target_q))
        apart = np.abs(q - target_q)[rows]
        allowed = True if probed.mask is None else np.broadcast_to(np.asarray(probed.mask)[rows], apart.shape)
        return float(np.mean(apart, axis=tuple(range(1, apart.ndim)), where=allowed).mean())


def of_experience(features: Shaped[np.ndarray, "M D"], rows: Shaped[np.ndarray, " B"]) -> Shaped[np.ndarray, "K D"]:
    """The features of rows that are experience, at most `ROWS`, evenly chosen; M a multiple of B (fractions of IQN)."""
    if len(features) % len(rows) == 0:
        features = features[np.repeat(rows, len(features) // len(rows))]
    return features[np.linspace(0, len(features) - 1, min(ROWS, len(features))).astype(int)]
