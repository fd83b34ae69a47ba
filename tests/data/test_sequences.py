"""Memory sequences against their rules counted by hand, padding, and what recurrent models make of unequal lengths."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlnut import UsageError, fit, load
from rlnut.data.catalogue import load_dataset
from rlnut.data.dataset import Dataset, checked_dataset
from rlnut.data.sequences import MEMORY, memory, pad
from rlnut.supervised.scaling import scale_of


def rows(name: str, steps: int, n: int = 400):
    """Each row's steps up to its end, as lists, and y."""
    found = memory(name, steps, train=n, test=10)
    return [x[~np.isnan(x).all(1)] for x in found.x_train], found.y_train


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 30))
def test_recall_asks_for_the_first_symbol_after_distractors(steps):
    sequences, y = rows("recall", steps)
    for x, answer in zip(sequences, y, strict=True):
        symbols = x.argmax(1)
        assert (x.sum(1) == 1).all() and symbols[0] == answer < 4 and (symbols[1:] >= 4).all()
    assert {len(x) - 1 for x in sequences} <= set(range((steps + 1) // 2, steps + 1))
    assert max(map(len, sequences)) == steps + 1 and set(y) == {0, 1, 2, 3}


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 30))
def test_parity_counts_the_ones(steps):
    sequences, y = rows("parity", steps)
    assert [sum(bit == 1 for bit in x[:, 0]) % 2 for x in sequences] == y.tolist()
    assert {len(x) for x in sequences} <= set(range(1, steps + 1)) and max(map(len, sequences)) == steps


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 30))
def test_adding_sums_the_two_marked_numbers(steps):
    sequences, y = rows("adding", steps)
    for x, answer in zip(sequences, y, strict=True):
        first, second = np.flatnonzero(x[:, 1])
        assert first < steps // 2 <= second and len(x) == steps
        assert answer == pytest.approx(float(x[first, 0]) + float(x[second, 0]), rel=1e-6)
        assert x[:, 0].min() >= 0 and x[:, 0].max() <= 1


def test_without_memory_there_is_only_the_mean_to_say():
    assert memory("adding", 10).y_train.var() == pytest.approx(1 / 6, rel=0.05)  # two independent U[0, 1]
    assert memory("parity", 10).y_train.mean() == pytest.approx(1 / 2, abs=0.03)
    assert np.bincount(memory("recall", 10).y_train) / 10_000 == pytest.approx([1 / 4] * 4, abs=0.02)


@pytest.mark.parametrize("name", MEMORY)
def test_memory_sequences_are_seeded_and_their_test_rows_are_others(name):
    one, again, other = memory(name, 20), memory(name, 20), memory(name, 20, seed=1)
    np.testing.assert_array_equal(one.x_train, again.x_train)
    assert not np.array_equal(one.x_train, other.x_train, equal_nan=True)
    assert not np.array_equal(one.x_train[: len(one.x_test)], one.x_test, equal_nan=True)


def test_a_length_comes_with_the_name():
    assert load_dataset("recall:7").x_train.shape == (10_000, 8, 8) and load_dataset("recall:7").name == "recall:7"
    assert load_dataset("parity").x_test.shape[1] == MEMORY["parity"][1]
    for words, text in (
        ("recall:0", "between 1 and"), ("recall:x", "take a length, as in recall:20"), ("adding:1", "at least 2"),
        ("recall:²", "take a length"), ("recall:" + "9" * 5000, "take a length"), ("recall:", "take a length"),
        ("iris:3", "only recall, parity, adding take"), ("recal:3", "Did you mean"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=text):
            load_dataset(words)
    with pytest.raises(UsageError, match="made by rlnut"):
        load_dataset("recall:3", "folder")


def test_pad_puts_nan_after_each_end():
    x = pad([[[1, 2]], [[3, 4], [5, 6]]])
    np.testing.assert_array_equal(x, [[[1, 2], [np.nan] * 2], [[3, 4], [5, 6]]])
    several: list = [[], [[]], [[[1]], [[1, 2]]], [1.0]]
    for wrong in several:
        with pytest.raises(UsageError, match="sequences must have"):
            pad(wrong)


def test_padding_is_for_recurrent_models_and_only_after_the_end():
    x, y = pad([[1, 2], [3, 4, 5]]), np.array([0, 1])
    found = checked_dataset(Dataset(x, y, x, y), sequences=True)
    np.testing.assert_array_equal(found.x_train, x)
    with pytest.raises(UsageError, match="only rnn, lstm and gru read such"):
        checked_dataset(Dataset(x[..., None], y, x[..., None], y))
    hole = pad([[1, np.nan, 2], [np.nan, np.nan, np.nan]])
    with pytest.raises(UsageError, match="x_train has 2 values that are not finite; the first is in row 0, column 1"):
        checked_dataset(Dataset(hole, y, hole, y), sequences=True)


def test_the_scale_of_sequences_counts_every_step_once_and_no_padding():
    x = pad([[[1, 10]], [[3, 10], [5, 10]]])
    scale = scale_of(x, True, sequences=True)
    np.testing.assert_allclose(scale.mean, [3, 10])
    np.testing.assert_allclose(scale.deviation, [np.sqrt(8 / 3), 1])


def test_a_network_learns_unequal_sequences_and_predicts_for_other_lengths(tmp_path):
    """y is the sign of the last step: nothing that looks at padding, or at a fixed place, can know it."""
    rng = np.random.default_rng(0)
    sequences = [rng.choice([-1.0, 1.0], (n, 1)) for n in rng.integers(1, 5, 500)]
    y = np.array(["up" if s[-1] > 0 else "down" for s in sequences])
    x = pad(sequences)
    data = x[:400], y[:400], x[400:], y[400:]
    found = fit("rnn", data, hidden=(8,), lr=0.03, epochs=4, batch=20, out=tmp_path / "o", progress=False)
    assert found.test_accuracy == 1.0
    again = load(tmp_path / "o")
    longer = rng.choice([-1.0, 1.0], (20, 9, 1))
    assert again.predict(longer).tolist() == ["up" if s[-1] > 0 else "down" for s in longer]
    with pytest.raises(UsageError, match=r"x must be numbers \[rows, 4, 1\], got float64 \[2, 4, 2\]"):
        again.predict(np.zeros((2, 4, 2)))
