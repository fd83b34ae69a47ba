"""Datasets: what is refused, and splits that are disjoint and stratified."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlnut.data.catalogue import load_dataset
from rlnut.data.dataset import Dataset, checked_dataset, split_rows, subset
from rlnut.errors import UsageError


@settings(max_examples=60)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=60), st.floats(0.05, 0.95), st.integers(0, 9))
def test_split_is_disjoint_complete_seeded_and_stratified(y, share, seed):
    y = np.array(y)
    if not 0 < round(share * len(y)) < len(y):
        with pytest.raises(UsageError, match="leaves one side empty"):
            split_rows(len(y), share, seed, y)
        return
    for labels in (None, y):
        kept, held = split_rows(len(y), share, seed, labels)
        assert sorted([*kept, *held]) == list(range(len(y)))
        again = split_rows(len(y), share, seed, labels)
        assert kept.tolist() == again[0].tolist() and held.tolist() == again[1].tolist()
    for label, count in zip(*np.unique(y, return_counts=True), strict=True):
        in_held = int(np.sum(y[held] == label))
        assert in_held <= count - 1
        assert in_held == min(int(share * count), count - 1) or abs(in_held - share * count) < 1


def test_seeds_and_shares_differ():
    y = np.arange(100) % 2
    assert split_rows(100, 0.2, 0, y)[1].tolist() != split_rows(100, 0.2, 1, y)[1].tolist()
    assert np.bincount(y[split_rows(100, 0.3, 0, y)[1]]).tolist() == [15, 15]


def test_a_subset_of_rows_sorted_by_class_has_every_class_in_proportion():
    """Rows sorted by label, as in mnist-5k and iris: the first 30 of 100 would be one class."""
    y = np.repeat([0, 1, 2], (50, 30, 20))
    x = np.arange(100.0)[:, None]
    some = subset(Dataset(x, y, x[::-1], y[::-1]), 30, 10)
    assert np.bincount(some.y_train).tolist() == [15, 9, 6] and np.bincount(some.y_test).tolist() == [5, 3, 2]
    assert np.array_equal(y[some.x_train[:, 0].astype(int)], some.y_train)
    assert subset(some, 10**6, 10**6).x_train is some.x_train
    other = subset(Dataset(x, y, x, y), 30, 10, seed=1)
    assert other.x_train.tolist() != some.x_train.tolist() and len(other.x_test) == 10
    values = subset(Dataset(x, x[:, 0], x, x[:, 0]), 30, 10)  # sorted values: no classes, but not the smallest ones
    assert values.y_train.max() > 60 and values.y_train.min() < 40


X = np.arange(12.0).reshape(6, 2)
Y = np.array([0, 1, 2, 0, 1, 2])


def test_labels_decide_between_classes_and_values():
    found = checked_dataset(load_dataset((X, ["b", "a", "b", "a", "b", "a"], X, ["a"] * 6)))
    assert found.classes == ("a", "b")
    assert found.y_train.tolist() == [1, 0, 1, 0, 1, 0] and found.y_train.dtype == np.int32
    assert checked_dataset(Dataset(X, Y * 10, X, Y * 10)).classes == (0, 10, 20)
    assert checked_dataset(Dataset(X, Y > 0, X, Y > 0)).classes == (False, True)
    assert checked_dataset(Dataset(X, Y * 0.5, X, Y * 0.5)).classes is None
    assert checked_dataset(Dataset(X, Y * 1.0, X, Y * 1.0), "classification").y_test.tolist() == Y.tolist()
    values = checked_dataset(Dataset(X, Y, X, Y), "regression")
    assert values.classes is None and values.y_train.dtype == float
    assert checked_dataset(Dataset(X.astype(int), Y, X.astype(int), Y)).x_train.dtype == float
    assert checked_dataset(Dataset(X.astype(np.uint8), Y, X.astype(np.uint8), Y)).x_train.dtype == np.uint8


def spoiled(array: np.ndarray, place: tuple, value: float) -> np.ndarray:
    array = array.astype(float)
    array[place] = value
    return array


@pytest.mark.parametrize(
    "parts, task, text",
    [
        ((spoiled(X, (3, 1), np.nan), Y, X, Y), "auto", "x_train has 1 value that is not finite.*row 3, column 1"),
        ((X, Y, spoiled(X, (5, 0), np.inf), Y), "auto", "x_test has 1 value that is not finite.*row 5, column 0"),
        ((X, spoiled(Y, (2,), np.nan), X, Y * 1.0), "auto", "y_train has 1 value that is not finite.*row 2"),
        ((X, Y[:5], X, Y), "auto", "x_train has 6 rows but y_train has shape"),
        ((X, Y, X[:, :1], Y), "auto", "must be alike"),
        ((X[:, 0], Y, X[:, 0], Y), "auto", r"x\[:, None\]"),
        ((X[:0], Y[:0], X, Y), "auto", "x_train has no rows"),
        ((X, np.zeros(6, int), X, np.zeros(6, int)), "auto", "single class, 0"),
        ((X, Y, X, Y + 1), "auto", "y_test has the label 3 .row 2."),
        ((X, Y + 0.5, X, Y), "classification", "numbers such as 0.5"),
        ((X, np.array(["a"] * 6), X, Y), "regression", "must hold numbers"),
        ((X, np.stack([Y, Y], 1), X, Y), "auto", "one label a row"),
        ((X, np.stack([Y, Y], 1) * 1.0, X, Y * 1.0), "auto", "same columns"),
        ((np.array([["a", "b"]] * 6), Y, X, Y), "auto", "x_train must hold numbers"),
        ((X, Y, X, Y), "classify", "unknown task"),
        (([[1, 2], [3]], [0, 1], X, Y), "auto", "x_train has rows of unequal length"),
    ],
)
def test_bad_data_is_refused_in_one_line(parts, task, text):
    with pytest.raises(UsageError, match=text) as caught:
        checked_dataset(load_dataset(parts), task)
    assert "\n" not in str(caught.value)


def test_wrong_names_and_words():
    with pytest.raises(UsageError, match="Did you mean mnist"):
        load_dataset("mnits")
    with pytest.raises(UsageError, match=r"X and y, or \(x_train"):
        load_dataset((X, Y, X))
    with pytest.raises(UsageError, match="no effect with arrays"):
        load_dataset((X, Y, X, Y), "folder")
