"""The learned values of a prediction: v(s) or q(s, ·) of any state, and their file.

result = rlnut.predict("lstd", "CartPole-v1", out="there")
result.value(obs)                       # the mean over runs
rlnut.load_values("there").value(obs)   # the same, later
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from rlnut.agents import td
from rlnut.envs.space_records import recorded_space, space_record
from rlnut.envs.spaces import read_given
from rlnut.errors import RlnutError, UsageError
from rlnut.features.maps import Features
from rlnut.learner.reading import Mismatch
from rlnut.prediction.value_function import ObservationScale, ValueFunction, ValueRecipe, loaded_spec, value_function
from rlnut.runtime.arrays import load_arrays, load_meta, save_arrays
from rlnut.types import Array, Network

FILE = "values.safetensors"
Given = object  # an observation as the environment gives it, or several side by side: its space says what it is


@dataclass(frozen=True, eq=False)
class TableValues:
    """Values of a finite problem, state by state."""

    table: np.ndarray  # [S] or [S, A]
    shown: tuple[np.ndarray, ...] | None = None  # the observation of each state, where that is not its number

    def value(self, obs: Given) -> np.ndarray:
        """v(s) [] or q(s, ·) [A] of one state, [B] and [B, A] of several: numbers, or observations of the problem."""
        if isinstance(obs, tuple) and self.shown is not None:
            return self.table[self._numbers(obs)]
        return self.table[_numbers(obs, 0, len(self.table))]

    def _numbers(self, obs: tuple[ArrayLike, ...]) -> np.ndarray:
        """Numbers of the states that show (part, part, …), each [] or [B]."""
        assert self.shown is not None
        if len(obs) != len(self.shown):
            raise UsageError(f"an observation has {len(self.shown)} parts here, got {len(obs)}")
        same = [np.asarray(part)[..., None] == known for part, known in zip(obs, self.shown, strict=True)]
        found = np.logical_and.reduce(same)
        if not found.any(-1).all():
            raise UsageError(f"no state of this problem shows {obs!r}")
        return found.argmax(-1)

    def save(self, folder: Path) -> None:
        """Write FILE into the folder."""
        parts = {} if self.shown is None else {f"shown{i}": np.asarray(x) for i, x in enumerate(self.shown)}
        _save(folder, "table", {"table": self.table} | parts, {})


@dataclass(frozen=True, eq=False)
class FunctionValues:
    """A function of observations, with the weights of every run; values are means over runs."""

    function: ValueFunction
    weights: np.ndarray  # [N, d]
    BATCH: ClassVar[int] = 1024  # observations at once

    @cached_property
    def _read(self) -> Callable[[Array, td.Input], Array]:
        """(w [N, d], inputs [B, ...]) -> the mean over runs [B], compiled once."""
        at = self.function.model.at
        return jax.jit(lambda w, s: jax.vmap(lambda one: jax.vmap(lambda u: at(u, one)[0])(w).mean())(s))

    def value(self, obs: Given) -> np.ndarray:
        """v(s) [] or q(s, ·) [A] of one observation, or [B] and [B, A] of several, as the environment gives them.

        Of D decoupled choices of K: [D, K] and [B, D, K]; q(s, a) is their mean over D.
        """
        recipe = self.function.recipe
        try:
            many, one = read_given(self.function.spec, obs)
        except Mismatch as error:
            raise UsageError(
                f"the values of {self.function.spec.name} cannot be computed: they were given {error}"
            ) from None
        parts = [self._values(many[i : i + self.BATCH]) for i in range(0, len(many), self.BATCH)]
        found = np.concatenate(parts) if parts else np.zeros((0, *([recipe.actions] if recipe.actions else [])))
        if recipe.groups > 1:
            found = found.reshape(len(found), recipe.groups, -1)
        return found[0] if one else found

    def _values(self, obs: np.ndarray) -> np.ndarray:
        w, A = jnp.asarray(self.weights, jnp.float32), self.function.recipe.actions
        if not A:
            return np.asarray(self._read(w, jnp.asarray(obs)), np.float64)
        pairs = jnp.repeat(jnp.asarray(obs), A, 0), jnp.tile(jnp.eye(A), (len(obs), 1))
        return np.asarray(self._read(w, pairs), np.float64).reshape(-1, A)

    def save(self, folder: Path) -> None:
        """Write FILE into the folder."""
        arrays = {"weights": self.weights} | self.function.scale._asdict()
        spec = self.function.spec
        space = {"name": spec.name, "space": space_record(spec.observation_space)}
        _save(folder, "function", arrays, {"recipe": asdict(self.function.recipe), "observations": space})


Values = TableValues | FunctionValues


def load_values(folder: str | Path, features: Features | None = None, network: Network | None = None) -> Values:
    """The values that `rlnut predict … --out FOLDER` learned; use `value(obs)`.

    `features` and `network` are needed where a map or a network of your own was given to `predict`, which is not
    stored. Raises UsageError if this is not such a folder, RlnutError for a damaged file.
    """
    if not isinstance(folder, (str, Path)):
        raise UsageError(f"load_values takes the folder of a prediction, got {folder!r}")
    path = Path(folder) / FILE
    if not path.exists():
        raise UsageError(f"{folder} is not the folder of a prediction: it has no {FILE}")
    meta = load_meta(path, ("kind", "shapes"))
    arrays = load_arrays(path, {name: jax.ShapeDtypeStruct(*form) for name, form in _forms(path, meta).items()})
    try:
        if meta["kind"] not in ("table", "function"):
            raise ValueError(f"kind {meta['kind']!r}")
        if meta["kind"] == "table":
            shown = tuple(arrays[f"shown{i}"] for i in range(len(arrays) - 1))
            return TableValues(arrays["table"], shown or None)
        recipe = ValueRecipe().replace(**meta["recipe"])
        seen = meta.get("observations")  # older folders have none
        space = recipe.space if seen is None else recorded_space(seen["space"])
        spec = loaded_spec(space, "this folder" if seen is None else str(seen["name"]))
        function = value_function(recipe, ObservationScale(arrays["shift"], arrays["scale"]), spec, features, network)
        size = len(jax.eval_shape(function.model.init, jax.random.key(0)))
        weights = arrays["weights"]
    except UsageError:
        raise
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise RlnutError(f"{path} is damaged: {type(error).__name__}: {error}") from None
    if weights.ndim != 2 or weights.shape[1] != size:
        raise RlnutError(f"{path}: weights {list(weights.shape)} do not fit a function of {size:,} weights")
    return FunctionValues(function, weights)


def _save(folder: Path, kind: str, arrays: dict[str, np.ndarray], more: dict[str, object]) -> None:
    shapes = {name: [list(x.shape), str(x.dtype)] for name, x in arrays.items()}
    save_arrays(folder / FILE, arrays, {"kind": kind, "shapes": shapes} | more)


def _forms(path: Path, meta: dict) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Shape and type of every array, as the file says; the arrays are held to them."""
    try:
        return {name: (tuple(map(int, shape)), np.dtype(kind)) for name, (shape, kind) in meta["shapes"].items()}
    except (TypeError, ValueError, AttributeError) as error:
        raise RlnutError(f"{path} is damaged: {error}") from None


def _numbers(obs: Any, first: int, count: int) -> np.ndarray:
    """Numbers of states [] or [B], checked."""
    try:
        array = np.asarray(obs)
    except ValueError:
        raise UsageError(f"a state is a number {first} … {first + count - 1}, got {obs!r}") from None
    if array.dtype.kind not in "iu" or array.ndim > 1 or ((array < first) | (array >= first + count)).any():
        raise UsageError(f"a state is a number {first} … {first + count - 1}, got {obs!r}")
    return array
