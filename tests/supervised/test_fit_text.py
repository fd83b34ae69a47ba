"""What a fit says of itself: one line, its layers, its mistakes; and configs by what differs from their defaults."""

from __future__ import annotations

import numpy as np
import pytest

import rlnut
from rlnut.supervised.network_settings import MLP

X = np.repeat(np.eye(3), 20, 0) + 0.01 * np.random.default_rng(0).normal(size=(60, 3))
Y = np.repeat(np.array(["a", "b", "c"]), 20)


def test_a_fit_is_one_line_and_a_table_of_layers() -> None:
    found = rlnut.fit("mlp", X, Y, hidden=(4,), epochs=2, quiet=True)
    assert repr(found) == f"FittedModel(mlp on arrays, 48 training rows, test accuracy {found.test_accuracy:.4g})"
    lines = found.summary().splitlines()
    assert lines[1].split() == ["layer", "output", "parameters"]
    assert lines[-1].split() == ["total", str((3 + 1) * 4 + (4 + 1) * 3)]
    assert found.named_params["dense_1/w"].shape == (3, 4)
    line = rlnut.fit("linear", X[:, :1], X[:, 0] * 2, test=0, quiet=True)
    assert line.summary().splitlines()[0] == "linear on arrays, 60 training rows"
    assert line.summary().splitlines()[1:] == str(line.coefficient_table).splitlines()


def test_mistakes_are_counted_and_found() -> None:
    found = rlnut.fit("logistic", X, Y, test=0, quiet=True)
    wrong = Y.copy()
    wrong[[3, 45]] = "b"
    np.testing.assert_array_equal(found.confusion(X, wrong), [[19, 0, 0], [1, 20, 1], [0, 0, 19]])
    assert sorted(found.misread(X, wrong)) == [3, 45] and found.misread(X, Y).size == 0
    with pytest.raises(rlnut.UsageError, match="x has 60 rows but y has 59"):
        found.confusion(X, wrong[1:])
    with pytest.raises(rlnut.UsageError, match="only the predictions of a classification"):
        rlnut.fit("linear", X, X[:, 0], test=0, quiet=True).misread(X, X[:, 0])


def test_a_config_shows_what_differs_from_its_defaults() -> None:
    assert repr(MLP()) == "MLP()"
    assert repr(MLP(lr=0.01, hidden=(8,))) == "MLP(lr=0.01, hidden=(8,))"
    assert repr(rlnut.DQN(gamma=0.9)) == "DQN(gamma=0.9)"
    assert eval(repr(MLP(epochs=3)), {"MLP": MLP}) == MLP(epochs=3)
