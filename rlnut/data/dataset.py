"""What a dataset is, the checks that it must pass, and how rows are held out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rlnut.errors import UsageError, counted, unknown

if TYPE_CHECKING:
    from rlnut.data.table_code import TableCode

TASKS = ("auto", "classification", "regression")


class Dataset(NamedTuple):
    """Rows to learn from and rows to judge by; they are disjoint. Without test rows nothing is said of new rows."""

    x_train: np.ndarray  # [N, ...]
    y_train: np.ndarray  # [N] labels, or [N] or [N, K] values; `checked_dataset` makes of labels places in `classes`
    x_test: np.ndarray
    y_test: np.ndarray
    classes: tuple | None = None  # the labels that y may hold, in order; None: values, or not looked at yet
    name: str = "arrays"
    columns: tuple[str, ...] = ()  # of x, where they have names
    target: str | None = None  # the name of y
    note: str = ""  # how the user's file was understood
    weight: np.ndarray | None = None  # [N] how often each training row counts
    code: TableCode | None = None  # how x was made of the columns of a table; None: they are x


FILES = (".csv", ".npy", ".npz", ".parquet")  # of the user's own tables


def checked_dataset(dataset: Dataset, task: str = "auto", sequences: bool = False) -> Dataset:
    """The dataset with x uint8 or float, and y float (regression) or int32 indices into `classes` (classification).

    `task` auto: labels that are integers, booleans or text are classes, other numbers are values. Refused, with the
    place: lengths and shapes that do not fit, values that are not finite, fewer than two classes, a class that only
    the test rows have. `sequences`: NaN may follow the end of a row (see `inputs`).
    """
    if task not in TASKS:
        raise unknown("task", task, TASKS)
    x_train, x_test = (inputs(name, getattr(dataset, name), sequences) for name in ("x_train", "x_test"))
    y_train, y_test = as_array("y_train", dataset.y_train), as_array("y_test", dataset.y_test)
    if x_train.shape[1:] != x_test.shape[1:] or x_train.dtype.kind != x_test.dtype.kind:
        shown = [f"{x.dtype}{list(x.shape)}" for x in (x_train, x_test)]
        raise UsageError(f"x_train is {shown[0]} but x_test is {shown[1]}: their rows must be alike")
    for name, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
        if y.ndim == 0 or len(x) != len(y):
            raise UsageError(f"x_{name} has {counted(len(x), 'row')} but y_{name} has shape {y.shape}")
        if len(y) == 0 and name == "train":
            raise UsageError("x_train has no rows")
    if dataset.weight is not None:
        weight = as_array("weight", dataset.weight)
        if weight.shape != (len(y_train),) or weight.dtype.kind not in "biuf" or not np.isfinite(weight).all():
            raise UsageError(
                f"weight must hold a finite number for each of the {counted(len(y_train), 'training row')}"
            )
        if weight.min() < 0 or not weight.any():
            raise UsageError("weight must hold numbers >= 0, not all 0")
        dataset = dataset._replace(weight=weight.astype(float))
    classify = dataset.classes is not None or (task == "auto" and y_train.dtype.kind != "f") or task == "classification"
    if not classify:
        y_train, y_test = targets("y_train", y_train), targets("y_test", y_test)
        if y_train.shape[1:] != y_test.shape[1:]:
            raise UsageError(f"y_train {y_train.shape} and y_test {y_test.shape} must have the same columns")
        return dataset._replace(x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    if task == "regression":
        raise UsageError(f"the labels of {dataset.name} are classes: task regression does not fit them")
    classes = dataset.classes or tuple(labels("y_train", y_train).tolist())
    if len(classes) < 2:
        raise UsageError(f"y_train holds a single class, {classes[0]!r}: at least two are needed")
    known = np.asarray(classes)
    y_train, y_test = indices("y_train", y_train, known), indices("y_test", y_test, known)
    return dataset._replace(x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test, classes=classes)


def as_array(name: str, values: object) -> np.ndarray:
    """`values` as an array; rows of unequal length are refused."""
    try:
        return np.asarray(values)
    except ValueError:
        raise UsageError(
            f"{name} has rows of unequal length: give an array (rnn, lstm and gru: rlnut.pad makes one of sequences)"
        ) from None


def inputs(name: str, x: object, sequences: bool = False) -> np.ndarray:
    """x [N, ...] as uint8 or float, finite; of `sequences` [N, T, ...] steps after the end may be NaN altogether."""
    x = as_array(name, x)
    if x.dtype.kind not in "biuf":
        raise UsageError(f"{name} must hold numbers, got {x.dtype}")
    if x.ndim < 2:
        raise UsageError(f"{name} must have the shape [rows, features], got {list(x.shape)}: perhaps x[:, None]?")
    if x.dtype == np.uint8:
        return x
    x = x if x.dtype.kind == "f" else x.astype(float)
    if (not sequences and x.ndim == 2) or np.isfinite(x).all():
        return _finite(name, x)
    over = _after_the_end(x)
    if over.any() and not sequences:
        raise UsageError(f"{name} has rows of unequal length (NaN after their end): only rnn, lstm and gru read such")
    _finite(name, np.where(over.reshape(over.shape + (1,) * (x.ndim - 2)), 0, x))
    return x


def _after_the_end(x: np.ndarray) -> np.ndarray:
    """[N, T]: the steps of x [N, T, ...] from which on all is NaN, but never a row's first."""
    gone = np.isnan(x).reshape(*x.shape[:2], -1).all(-1)
    over = np.logical_and.accumulate(gone[:, ::-1], 1)[:, ::-1]
    over[:, 0] = False
    return over


def targets(name: str, y: np.ndarray) -> np.ndarray:
    """y [N] or [N, K] as float, finite."""
    if y.dtype.kind not in "biuf":
        raise UsageError(f"{name} must hold numbers for regression, got {y.dtype}")
    if y.ndim > 2:
        raise UsageError(f"{name} must have the shape [rows] or [rows, columns], got {list(y.shape)}")
    return _finite(name, y if y.dtype.kind == "f" else y.astype(float))


def labels(name: str, y: np.ndarray) -> np.ndarray:
    """The different labels in y [N], in order."""
    if y.ndim != 1:
        raise UsageError(f"{name} must hold one label a row, got {list(y.shape)}")
    if y.dtype.kind == "f" and not np.array_equal(_finite(name, y), np.round(y)):
        raise UsageError(f"{name} holds numbers such as {y[y != np.round(y)][0]:g}: they are no class labels")
    try:
        return np.unique(y)
    except TypeError:
        raise UsageError(f"{name} mixes labels of different types") from None


def indices(name: str, y: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Labels [N] -> their positions in `known` (in order), int32; a label that is not there is refused."""
    found = labels(name, y)
    new = [label for label in found.tolist() if label not in set(known.tolist())]
    if new:
        row = int(np.flatnonzero(y == new[0])[0])
        raise UsageError(f"{name} has the label {new[0]!r} (row {row}), which is not among the classes learned")
    return np.searchsorted(known, y).astype(np.int32)


def _finite(name: str, values: np.ndarray) -> np.ndarray:
    bad = ~np.isfinite(values)
    if bad.any():
        row, *column = np.argwhere(bad)[0].tolist()
        place = f"row {row}" + (f", column {column[0] if len(column) == 1 else column}" if column else "")
        count = int(bad.sum())
        what = f"{counted(count, 'value')} that {'is' if count == 1 else 'are'} not finite"
        raise UsageError(f"{name} has {what}; the first is in {place}")
    return values


def only_classes(dataset: Dataset, names: str) -> Dataset:
    """The rows of some classes, given as text with commas between: "3,8" leaves two digits of MNIST.

    UsageError for fewer than two, for one that the training rows do not have, and where y holds values.
    """
    y = np.asarray(dataset.y_train)
    if y.ndim != 1 or y.dtype.kind == "f":
        raise UsageError(f"classes are chosen from labels, but y of {dataset.name} holds values")
    known = {str(label): label for label in np.unique(y).tolist()}
    wanted = list(dict.fromkeys(name.strip() for name in names.split(",")))
    if missing := [name for name in wanted if name not in known]:
        raise unknown("class", missing[0], known)
    if len(wanted) < 2:
        raise UsageError(f"at least two classes are needed, as in 3,8; got {names!r}")
    kept = sorted(known[name] for name in wanted)
    train, test = np.isin(y, kept), np.isin(dataset.y_test, kept)
    return dataset._replace(
        x_train=np.asarray(dataset.x_train)[train],
        y_train=y[train],
        x_test=np.asarray(dataset.x_test)[test],
        y_test=np.asarray(dataset.y_test)[test],
        classes=tuple(kept),
        weight=None if dataset.weight is None else np.asarray(dataset.weight)[train],
        name=f"{dataset.name} {','.join(map(str, kept))}",
    )


def subset(dataset: Dataset, train: int, test: int, seed: int = 0) -> Dataset:
    """At most `train` and `test` rows of a dataset, drawn by `seed`; its first rows may be sorted by class.

    Labels (integers, booleans or text) keep their proportions.
    """

    def some(x: np.ndarray, y: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
        if rows >= len(y):
            return x, y
        chosen = split_rows(len(y), rows / len(y), seed, None if y.dtype.kind == "f" else y)[1]
        return x[chosen], y[chosen]

    x_train, y_train = some(np.asarray(dataset.x_train), np.asarray(dataset.y_train), train)
    x_test, y_test = some(np.asarray(dataset.x_test), np.asarray(dataset.y_test), test)
    return dataset._replace(x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)


def split_rows(n: int, share: float, seed: int, y: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers 0 … n−1 -> (kept, held), disjoint and in order; `share` of them are held.

    With labels y [n] the held rows have every class in proportion, and no class is held as a whole.
    """
    if not 0 < round(share * n) < n:
        raise UsageError(f"a share of {share:g} of {counted(n, 'row')} leaves one side empty")
    order = np.random.default_rng(seed).permutation(n)
    if y is None:
        held = order[: round(share * n)]
        return np.setdiff1d(order, held), np.sort(held)
    _, group, count = np.unique(y[order], return_inverse=True, return_counts=True)
    quota = count * share
    take = np.floor(quota).astype(int)
    largest = np.argsort(take - quota, kind="stable")[: round(share * n) - take.sum()]
    take[largest] += 1
    take = np.minimum(take, count - 1)
    grouped = np.argsort(group, kind="stable")
    rank = np.empty(n, int)  # of each row within its class
    rank[grouped] = np.arange(n) - np.repeat(np.cumsum(count) - count, count)
    return np.sort(order[rank >= take[group]]), np.sort(order[rank < take[group]])
