"""XLA's operations in NumPy: each is a function (options, *arrays) -> array, as jax.lax defines the one of its name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

Options = dict[str, Any]
Evaluate = Callable[..., Any]
LARGEST = 2**31  # bytes of an array that an operation makes of nothing


def _shape(shape: list[int]) -> tuple[int, ...]:
    if math.prod(shape) * 4 > LARGEST:
        raise ValueError(f"an array of shape {shape}")
    return tuple(shape)


def broadcast_in_dim(o: Options, x: np.ndarray) -> np.ndarray:
    """x with its axes at `broadcast_dimensions` of `shape`."""
    shape, places = _shape(o["shape"]), o["broadcast_dimensions"]
    inner = [1] * len(shape)
    for axis, place in enumerate(places):
        inner[place] = x.shape[axis]
    return np.broadcast_to(x.reshape(inner), shape)


def dot_general(o: Options, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Σ over the contracted axes, side by side over the batch axes, which come first."""
    (left, right), (left_batch, right_batch) = o["dimension_numbers"]
    if not left_batch:
        return np.tensordot(x, y, (left, right))
    first, second = list(range(x.ndim)), list(range(x.ndim, x.ndim + y.ndim))
    for a, b in zip([*left, *left_batch], [*right, *right_batch], strict=True):
        second[b] = first[a]
    batch = [first[a] for a in left_batch]
    free = [i for a, i in enumerate(first) if a not in left and a not in left_batch]
    free += [i for b, i in enumerate(second) if b not in right and b not in right_batch]
    return np.einsum(x, first, y, second, [*batch, *free], optimize=True)


def gather(o: Options, operand: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Slices of the operand that begin at the indices, whose last axis is a place (jax.lax.gather)."""
    numbers, sizes, batch = o["dimension_numbers"], o["slice_sizes"], indices.shape[:-1]
    starts = np.zeros((*batch, operand.ndim), np.int64)
    starts[..., numbers["start_index_map"]] = indices
    pairs = zip(numbers["operand_batching_dims"], numbers["start_indices_batching_dims"], strict=True)
    for axis, of_indices in pairs:
        count = batch[of_indices]
        starts[..., axis] = np.arange(count).reshape([count if i == of_indices else 1 for i in range(len(batch))])
    limit = np.array(operand.shape) - np.array(sizes)
    inside = ((starts >= 0) & (starts <= limit)).all(-1)
    starts = np.clip(starts, 0, limit)
    none = (None,) * operand.ndim
    each = [np.arange(n).reshape([n if i == axis else 1 for i in range(operand.ndim)]) for axis, n in enumerate(sizes)]
    found = operand[tuple(starts[(..., axis, *none)] + each[axis] for axis in range(operand.ndim))]
    if o["mode"] == "fill" and not inside.all():
        found = np.where(inside[(..., *none)], found, np.asarray(float(o["fill"])).astype(found.dtype))
    dropped = [*numbers["collapsed_slice_dims"], *numbers["operand_batching_dims"]]
    found = found.squeeze(tuple(len(batch) + axis for axis in dropped))
    return np.moveaxis(found, range(len(batch), found.ndim), numbers["offset_dims"])


def _every(x: np.ndarray, gaps: list[int]) -> np.ndarray:
    """Every gap-th row of the last axes."""
    index: tuple[Any, ...] = (..., *(slice(None, None, gap) for gap in gaps))
    return x[index]


def conv_general_dilated(o: Options, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """A convolution, as one product of all patches with the filters; no dilation of x, no groups of rows."""
    x_spec, w_spec, out_spec = o["dimension_numbers"]
    x, w = x.transpose(x_spec), w.transpose(w_spec)  # [N, C, ...], [D, C, ...]
    n, groups = x.ndim - 2, o["feature_group_count"]
    x = np.pad(x, [(0, 0), (0, 0), *[(max(a, 0), max(b, 0)) for a, b in o["padding"]]])
    if any(min(pair) < 0 for pair in o["padding"]):
        cut = [slice(max(-a, 0), size - max(-b, 0)) for (a, b), size in zip(o["padding"], x.shape[2:], strict=True)]
        x = x[(slice(None), slice(None), *cut)]
    sides = [(size - 1) * gap + 1 for size, gap in zip(w.shape[2:], o["rhs_dilation"], strict=True)]
    view = sliding_window_view(x, sides, tuple(range(2, 2 + n)))
    view = view[(slice(None), slice(None), *(slice(None, None, step) for step in o["window_strides"]))]
    view = _every(view, o["rhs_dilation"])
    axes = [1, *range(2 + n, 2 + 2 * n)], [1, *range(2, 2 + n)]
    each = zip(np.split(view, groups, 1), np.split(w, groups, 0), strict=True)
    out = np.concatenate([np.tensordot(patches, filters, axes) for patches, filters in each], -1)  # [N, ..., D]
    return np.moveaxis(out, -1, 1).transpose(np.argsort(out_spec))


def _window(reduce: Callable[..., np.ndarray], empty: Callable[[np.dtype], Any]) -> Evaluate:
    def evaluate(o: Options, x: np.ndarray) -> np.ndarray:
        if any(n != 1 for n in o["base_dilation"]):
            raise ValueError("a window over a dilated array")
        x = np.pad(x, o["padding"], constant_values=empty(x.dtype))
        sides = [(size - 1) * gap + 1 for size, gap in zip(o["window_dimensions"], o["window_dilation"], strict=True)]
        view = sliding_window_view(x, sides)[tuple(slice(None, None, step) for step in o["window_strides"])]
        view = _every(view, o["window_dilation"])
        return reduce(view, axis=tuple(range(x.ndim, 2 * x.ndim)))

    return evaluate


def _lowest(dtype: np.dtype) -> Any:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


def _highest(dtype: np.dtype) -> Any:
    return np.inf if dtype.kind == "f" else np.iinfo(dtype).max


def _over_axes(reduce: Callable[..., np.ndarray]) -> Evaluate:
    return lambda o, x: reduce(x, axis=tuple(o["axes"]))


def _running(accumulate: Callable[..., np.ndarray]) -> Evaluate:
    def evaluate(o: Options, x: np.ndarray) -> np.ndarray:
        axis = o["axis"]
        return np.flip(accumulate(np.flip(x, axis), axis=axis), axis) if o["reverse"] else accumulate(x, axis=axis)

    return evaluate


def _padded(o: Options, x: np.ndarray, value: np.ndarray) -> np.ndarray:
    """x in a larger array of `value`, with room between its rows; negative margins cut."""
    shape = [
        low + high + size + max(0, size - 1) * gap
        for (low, high, gap), size in zip(o["padding_config"], x.shape, strict=True)
    ]
    out = np.full(_shape(shape), value, x.dtype)
    into, of = [], []
    for (low, _, gap), size, room in zip(o["padding_config"], x.shape, shape, strict=True):
        places = low + np.arange(size) * (gap + 1)
        inside = (places >= 0) & (places < room)
        into.append(places[inside])
        of.append(np.flatnonzero(inside))
    out[np.ix_(*into)] = x[np.ix_(*of)]
    return out


def dynamic_slice(o: Options, x: np.ndarray, *starts: np.ndarray) -> np.ndarray:
    """A slice whose start is computed, moved inside the array."""
    begin = [int(np.clip(s, 0, n - k)) for s, n, k in zip(starts, x.shape, o["slice_sizes"], strict=True)]
    return x[tuple(slice(b, b + k) for b, k in zip(begin, o["slice_sizes"], strict=True))]


def select_n(o: Options, which: np.ndarray, *cases: np.ndarray) -> np.ndarray:
    """Of each place the case that `which` says."""
    return np.choose(which.astype(np.int64), cases) if which.ndim else cases[int(which)]


def bitcast(o: Options, x: np.ndarray) -> np.ndarray:
    """The same bytes as another type; an axis more or less where its size is another."""
    dtype, same = np.dtype(o["new_dtype"]), np.ascontiguousarray(x)
    if dtype.itemsize == x.dtype.itemsize:
        return same.view(dtype)
    if dtype.itemsize < x.dtype.itemsize:
        return same[..., None].view(dtype)
    return same.view(dtype)[..., 0]


def _divided(o: Options, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    if x.dtype.kind == "f":
        return x / y
    return np.sign(x) * np.sign(y) * (np.abs(x) // np.abs(y))  # towards zero


def _split(o: Options, x: np.ndarray) -> tuple[np.ndarray, ...]:
    return tuple(np.split(x, np.cumsum(o["sizes"])[:-1], o["axis"]))


def _cut(o: Options, x: np.ndarray) -> np.ndarray:
    steps = o["strides"] or [1] * x.ndim
    ranges = zip(o["start_indices"], o["limit_indices"], steps, strict=True)
    return x[tuple(slice(a, b, step) for a, b, step in ranges)]


def _iota(o: Options) -> np.ndarray:
    shape, axis = _shape(o["shape"]), o["dimension"]
    return np.broadcast_to(np.arange(shape[axis]).reshape([n if i == axis else 1 for i, n in enumerate(shape)]), shape)


def _powers(o: Options, x: np.ndarray) -> np.ndarray:
    return x ** x.dtype.type(o["y"])


def _lifted(f: Callable[..., Any]) -> Evaluate:
    return lambda o, *x: f(*x)


_ERF, _ERFC = (np.vectorize(f, otypes=[np.float64]) for f in (math.erf, math.erfc))

ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "max": np.maximum, "min": np.minimum, "rem": np.fmod,
    "pow": np.power, "atan2": np.arctan2, "neg": np.negative, "abs": np.abs, "sign": np.sign, "floor": np.floor,
    "ceil": np.ceil, "exp": np.exp, "exp2": np.exp2, "log": np.log, "log1p": np.log1p, "expm1": np.expm1,
    "sqrt": np.sqrt, "cbrt": np.cbrt, "square": np.square, "sin": np.sin, "cos": np.cos, "tan": np.tan,
    "tanh": np.tanh, "sinh": np.sinh, "cosh": np.cosh, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
    "is_finite": np.isfinite, "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal,
    "gt": np.greater, "ge": np.greater_equal, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
    "not": np.invert, "add_any": np.add, "shift_left": np.left_shift, "erf": _ERF, "erfc": _ERFC,
    "rsqrt": lambda x: 1 / np.sqrt(x), "logistic": lambda x: 1 / (1 + np.exp(-x)),
    "clamp": lambda low, x, high: np.minimum(np.maximum(x, low), high), "copy": lambda x: x, "copy_p": lambda x: x,
    "stop_gradient": lambda x: x, "real": lambda x: x,
}  # fmt: skip
OPERATIONS: dict[str, Evaluate] = {
    **{name: _lifted(f) for name, f in ELEMENTWISE.items()},
    "broadcast_in_dim": broadcast_in_dim,
    "reshape": lambda o, x: x.reshape(_shape(o["new_sizes"])),
    "squeeze": lambda o, x: x.squeeze(tuple(o["dimensions"])),
    "transpose": lambda o, x: x.transpose(o["permutation"]),
    "concatenate": lambda o, *x: np.concatenate(x, o["dimension"]),
    "stack": lambda o, *x: np.stack(x, o["axis"]),
    "convert_element_type": lambda o, x: x.astype(o["new_dtype"]),
    "bitcast_convert_type": bitcast,
    "round": lambda o, x: np.rint(x) if o["rounding_method"] == 1 else np.trunc(x + np.copysign(0.5, x)),
    "rev": lambda o, x: np.flip(x, tuple(o["dimensions"])),
    "dot_general": dot_general,
    "gather": gather,
    "conv_general_dilated": conv_general_dilated,
    "reduce_window_max": _window(np.max, _lowest),
    "reduce_window_min": _window(np.min, _highest),
    "reduce_window_sum": _window(np.sum, lambda dtype: 0),
    "reduce_sum": _over_axes(np.sum),
    "reduce_prod": _over_axes(np.prod),
    "reduce_max": _over_axes(np.max),
    "reduce_min": _over_axes(np.min),
    "reduce_and": _over_axes(np.all),
    "reduce_or": _over_axes(np.any),
    "argmax": lambda o, x: x.argmax(o["axes"][0]),
    "argmin": lambda o, x: x.argmin(o["axes"][0]),
    "cumsum": _running(np.cumsum),
    "cumprod": _running(np.cumprod),
    "cummax": _running(np.maximum.accumulate),
    "pad": _padded,
    "slice": _cut,
    "split": _split,
    "dynamic_slice": dynamic_slice,
    "select_n": select_n,
    "div": _divided,
    "integer_pow": _powers,
    "iota": _iota,
}
# what of an operation's parameters decides what it computes
OPTIONS: dict[str, tuple[str, ...]] = {
    "broadcast_in_dim": ("shape", "broadcast_dimensions"), "reshape": ("new_sizes",), "squeeze": ("dimensions",),
    "transpose": ("permutation",), "concatenate": ("dimension",), "stack": ("axis",),
    "convert_element_type": ("new_dtype",),
    "bitcast_convert_type": ("new_dtype",), "round": ("rounding_method",), "rev": ("dimensions",),
    "dot_general": ("dimension_numbers",), "gather": ("dimension_numbers", "slice_sizes", "mode", "fill"),
    "conv_general_dilated": (
        "window_strides", "padding", "lhs_dilation", "rhs_dilation", "dimension_numbers", "feature_group_count",
        "batch_group_count",
    ),
    **{
        f"reduce_window_{name}": ("window_dimensions", "window_strides", "padding", "base_dilation", "window_dilation")
        for name in ("max", "min", "sum")
    },
    **{f"reduce_{name}": ("axes",) for name in ("sum", "prod", "max", "min", "and", "or")},
    "argmax": ("axes",), "argmin": ("axes",), "cumsum": ("axis", "reverse"), "cumprod": ("axis", "reverse"),
    "cummax": ("axis", "reverse"), "pad": ("padding_config",), "slice": ("start_indices", "limit_indices", "strides"),
    "split": ("sizes", "axis"), "dynamic_slice": ("slice_sizes",), "integer_pow": ("y",),
    "iota": ("shape", "dimension"),
}  # fmt: skip


def supported(name: str, options: Options) -> bool:
    """Does `OPERATIONS` have this operation with these options?"""
    if name == "conv_general_dilated":
        return options["batch_group_count"] == 1 and all(n == 1 for n in options["lhs_dilation"])
    return name in OPERATIONS
