"""The learning of a supervised run: compiled mini-batch updates over shuffled epochs, watched and stopped from outside.

The same `Regression.update` as in RL does each step. Data stay on the device as they are stored (uint8 images), and
one compiled program does any stretch of an epoch, so that progress and Ctrl-C need not wait for the epoch's end.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from rlnut.errors import RlnutError
from rlnut.regression.core import Regression
from rlnut.regression.losses import Loss
from rlnut.runtime.devices import mesh, on_all, split, whole_outputs
from rlnut.runtime.interrupts import interrupts
from rlnut.runtime.log import Progress
from rlnut.supervised.augment import augmented
from rlnut.types import Array, Batch, Fit, Key, Params, Tree

SIZE = 512  # rows of one forward pass in `outputs`
SECONDS = 0.5  # of work between two looks at the clock
LINES = 20  # said of the epochs, at most about twice as many


class LabelledRows(NamedTuple):
    """Rows of a regression problem, as the model takes them."""

    x: np.ndarray  # [N, ...]
    y: np.ndarray  # [N] class positions, or [N, ...] values
    weight: np.ndarray | None = None  # [N] of mean 1


class Epoch(NamedTuple):
    """One row of the history. Without held-out rows the validation figures are None."""

    epoch: int
    cost: float  # mean over the epoch's updates, noise and penalty included
    validation_cost: float | None
    validation_score: float | None  # accuracy, or R² for regression
    seconds: float  # of its updates


FitAndCosts = tuple[Fit, jax.Array]  # what an epoch carries from update to update; costs [steps]


class Trainer(NamedTuple):
    """A compiled epoch, made by `trainer`."""

    steps: int  # updates in one epoch; rows that fill no batch wait for another epoch's shuffle
    stretch: Callable[..., FitAndCosts]  # (fit, costs [steps], x, y, order, start, stop, factor or None) -> fit, costs
    x: Array
    y: Array
    compile_s: float


class WatchedEpoch(Protocol):
    """What a look at an epoch came to."""

    stopping: bool
    factor: float | None  # of the step size of the next epochs; None: it was never changed


class LearnedParams(NamedTuple):
    """What `run_epochs` leaves."""

    params: Params
    history: tuple[Epoch, ...]  # of the whole epochs
    costs: np.ndarray  # [updates] of each update done
    factors: np.ndarray  # [updates] by which its step size was changed
    # "" (all epochs done), "early" (patience), "converged" (`stop`), "stopped" (a callback) or "interrupted" (Ctrl-C)
    ended: str

    @property
    def updates(self) -> int:
        """Updates done."""
        return len(self.costs)

    @property
    def seconds_per_epoch(self) -> float | None:
        """Median over the whole epochs."""
        return float(np.median([e.seconds for e in self.history])) if self.history else None


def trainer(
    core: Regression, fit: Fit, rows: LabelledRows, batch: int, shift: int, turn: float, key: Key, devices: int = 1
) -> Trainer:
    """Compile the epoch over `rows` in batches of `batch` <= N; `shift` and `turn` move images, by `key` and step.

    devices: each has all rows and works on its part of every batch.
    """
    steps = len(rows.x) // batch
    weight = None if rows.weight is None else jnp.asarray(rows.weight, jnp.float32)

    def stretch(
        fit: Fit, costs: Array, x: Array, y: Array, order: Array, start: Array, stop: Array, factor: Array | None = None
    ) -> FitAndCosts:
        def step(i: Array, carry: FitAndCosts) -> FitAndCosts:
            fit, costs = carry
            rows = split(jax.lax.dynamic_slice_in_dim(order, i * batch, batch), batch)
            inputs = augmented(x, rows, shift, turn, jax.random.fold_in(key, fit.step))
            drawn = Batch(inputs, y[rows], None, None if weight is None else weight[rows])
            fit, metrics = core.update(fit, drawn) if factor is None else core.update(fit, drawn, factor)
            return fit, costs.at[i].set(metrics["cost"])

        return jax.lax.fori_loop(start, stop, step, (fit, costs))

    began = time.perf_counter()
    x, y, fit = on_all((jnp.asarray(rows.x), jnp.asarray(rows.y), fit), devices)
    zero, order = np.int32(0), np.zeros(len(x), np.int32)
    usual, changed = (jax.jit(stretch, **whole_outputs(devices)) for _ in range(2))
    with mesh(devices):
        compiled = usual.lower(fit, np.zeros(steps, np.float32), x, y, order, zero, zero).compile()

    def work(fit: Fit, *arguments: Tree, factor: float | None = None) -> FitAndCosts:
        fit = on_all(fit, devices)
        if factor is None:
            return compiled(fit, *arguments)
        with mesh(devices):
            return changed(fit, *arguments, np.float32(factor))

    return Trainer(steps, work, x, y, time.perf_counter() - began)


def epoch(
    work: Trainer, fit: Fit, seed: int, number: int, factor: float | None = None
) -> Iterator[tuple[int, Fit, np.ndarray]]:
    """One epoch in stretches of about half a second: yields (updates done in it, Fit, their costs)."""
    order = np.random.default_rng((seed, number)).permutation(len(work.x)).astype(np.int32)
    done, size = 0, 1
    costs: Array = np.zeros(work.steps, np.float32)
    while done < work.steps:
        began = time.perf_counter()
        stop = min(done + size, work.steps)
        fit, costs = work.stretch(fit, costs, work.x, work.y, order, np.int32(done), np.int32(stop), factor=factor)
        seen = np.asarray(costs)[:stop]
        size = max(1, min(8 * size, int(SECONDS * (stop - done) / (time.perf_counter() - began))))
        done = stop
        yield done, fit, seen


def run_epochs(
    work: Trainer,
    fit: Fit,
    epochs: int,
    patience: int,
    seed: int,
    held: LabelledRows,
    verdict: Callable[[Params, LabelledRows], tuple[float, float]],
    report: Progress,
    keep: Callable[[Params], None] | None = None,
    stop: Callable[[Sequence[Epoch]], bool] | None = None,
    watch: Callable[[Sequence[Epoch], Params], WatchedEpoch] | None = None,
) -> LearnedParams:
    """All epochs, fewer with patience, Ctrl-C or where `stop` or `watch` say so.

    `keep` saves what is learnt after long epochs; `watch` is called after every one.

    With patience the parameters of the best validation cost are the result, else the last ones. Raises RlnutError when
    the cost is not finite.
    """
    history: list[Epoch] = []
    spent: list[np.ndarray] = []  # the costs of each epoch's updates
    factors: list[np.ndarray] = []
    watched: WatchedEpoch | None = None
    best, best_params, left, ended, kept = math.inf, fit.params, patience, "", time.perf_counter()
    with interrupts(
        lambda: report.say("stopping after this block of updates (press again to stop at once)")
    ) as stopped:
        for number in range(1, epochs + 1):
            began = time.perf_counter()
            factor = None if watched is None else watched.factor
            for done, latest, costs in epoch(work, fit, seed, number, factor):
                fit = latest
                if not np.isfinite(costs).all():
                    raise RlnutError(f"the cost is no longer finite in epoch {number}: try a smaller lr")
                report.move((number - 1) * work.steps + done, f"cost={costs.mean():.4f}")
                if stopped() and done < work.steps:
                    break
            else:
                seconds = time.perf_counter() - began
                cost, found = verdict(fit.params, held) if len(held.x) else (None, None)
                history.append(Epoch(number, float(costs.mean(dtype=float)), cost, found, seconds))
                if number % max(1, epochs // LINES) == 0 or number == epochs:
                    report.say(_line(history[-1], epochs))
                if cost is not None and cost < best:
                    best, best_params, left = cost, fit.params, patience
                else:
                    left -= 1
                if keep is not None and time.perf_counter() - kept >= SECONDS:
                    keep(best_params if patience else fit.params)
                    kept = time.perf_counter()
                watched = None if watch is None else watch(history, fit.params)
            spent.append(costs)
            factors.append(np.full(len(costs), 1.0 if factor is None else factor))
            if stopped() and (number < epochs or done < work.steps):
                ended = "interrupted"
            elif patience and left <= 0:
                ended = "early"
            elif stop is not None and stop(history):
                ended = "converged"
            elif watched is not None and watched.stopping:
                ended = "stopped"
            if ended:
                break
    params = best_params if patience and history else fit.params
    return LearnedParams(params, tuple(history), np.concatenate(spent), np.concatenate(factors), ended)


def _line(done: Epoch, epochs: int) -> str:
    held = ""
    if done.validation_cost is not None:
        held = f"  validation cost {done.validation_cost:.4f}, score {done.validation_score:.4f}"
    return f"epoch {done.epoch}/{epochs}  cost {done.cost:.4f}{held}  {done.seconds:.2f} s"


def outputs(predict: Callable[[Params, Array], Array], params: Params, x: np.ndarray) -> np.ndarray:
    """predict(θ, x) for any number of rows, SIZE at a time: memory stays small, and one program serves all.

    `predict` should be jitted. Fewer rows are padded to a power of two, 32 at least: few shapes are compiled, and a row
    has the same value alone as among others.
    """
    size = min(SIZE, max(32, 1 << max(len(x) - 1, 0).bit_length()))
    parts = []
    for start in range(0, max(len(x), 1), size):
        part = x[start : start + size]
        padding = [(0, size - len(part))] + [(0, 0)] * (x.ndim - 1)
        parts.append(np.asarray(predict(params, np.pad(part, padding)))[: len(part)])
    return np.concatenate(parts)


def judge(core: Regression, loss: Loss, classify: bool) -> Callable[[Params, LabelledRows], tuple[float, float]]:
    """(θ, rows) -> (mean ℓ, score) without noise or penalty, for the validation rows."""
    predict = jax.jit(core.predict)

    def verdict(params: Params, rows: LabelledRows) -> tuple[float, float]:
        found = outputs(predict, params, rows.x)
        return float(np.mean(np.asarray(loss(found, rows.y)), dtype=float)), accuracy_or_r2(found, rows.y, classify)

    return verdict


def accuracy_or_r2(outputs: np.ndarray, y: np.ndarray, classify: bool) -> float:
    """Accuracy of logits [B, M] for class positions y [B], or R² of values [B, ...] for y [B, ...]."""
    if classify:
        return float(np.mean(outputs.argmax(-1) == y))
    spread = float(np.sum((y - y.mean(0)) ** 2, dtype=float))
    return 1 - float(np.sum((y - outputs) ** 2, dtype=float)) / spread if spread else math.nan
