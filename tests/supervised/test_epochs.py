"""The learning of a fit: what is shuffled, held out, moved, stopped early or by Ctrl-C, and that it repeats."""

from __future__ import annotations

import os
import signal
from typing import Any

import jax
import numpy as np
import optax
import pytest
from helpers.problems import blobs, halves, line

from rlnut.data.catalogue import load_dataset
from rlnut.data.dataset import Dataset, checked_dataset
from rlnut.errors import RlnutError
from rlnut.runtime.log import Progress
from rlnut.supervised import epochs
from rlnut.supervised.fit import fit, prepare
from rlnut.supervised.fitted_model import load
from rlnut.supervised.network_settings import FitSettings

RNG = np.random.default_rng(0)


def test_train_validation_and_test_are_disjoint_and_scaled_by_the_training_rows_only():
    x = np.arange(100.0)[:, None]
    problem = checked_dataset(Dataset(x[:80], x[:80, 0] % 2 > 0, x[80:], x[80:, 0] % 2 > 0))
    parts = prepare(problem, FitSettings(validation=0.25), seed=3)
    assert parts.x_scale is not None
    seen = [set(parts.x_scale.back(rows.x).round(3).ravel().tolist()) for rows in parts[:3]]
    assert [len(s) for s in seen] == [60, 20, 20]
    assert set.union(*seen) == set(x.ravel())
    assert np.bincount(parts.held.y).tolist() == [10, 10]
    np.testing.assert_allclose([parts.train.x.mean(), parts.train.x.std()], [0, 1], atol=1e-6)
    other = prepare(problem, FitSettings(validation=0.25), seed=4)
    assert not np.array_equal(other.held.x, parts.held.x)


def test_same_seed_same_bytes_and_another_seed_others(tmp_path):
    data = halves(*blobs())
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        fit("mlp", data, hidden=(8,), epochs=3, validation=0.2, seed=seed, out=tmp_path / name, progress=False)
    a, b, c = ({p.name: p.read_bytes() for p in (tmp_path / n).iterdir() if p.name != "summary.json"} for n in "abc")
    assert set(a) == {"config.json", "model.safetensors", "metrics.csv", "curve.png", "confusion.png", "test.csv"}
    assert a == b
    assert a["model.safetensors"] != c["model.safetensors"]


def test_how_an_epoch_is_cut_into_stretches_changes_nothing(monkeypatch):
    data = halves(*blobs())
    learned = []
    for seconds in (0.0, 1e9):
        monkeypatch.setattr(epochs, "SECONDS", seconds)
        learned.append(fit("mlp", data, hidden=(8,), epochs=2, batch=10, progress=False).params)
    for one, other in zip(*map(jax.tree.leaves, learned), strict=True):
        np.testing.assert_array_equal(one, other)


def test_early_stopping_returns_the_best_epoch():
    """Labels without any pattern: the validation cost only gets worse, so the first epochs are the best."""
    x, y = RNG.normal(size=(60, 20)), RNG.integers(0, 2, 60)
    settings: dict[str, Any] = {
        "hidden": (64,),
        "dropout": 0,
        "lr": 0.01,
        "validation": 0.4,
        "seed": 5,
        "progress": False,
    }
    found = fit("mlp", (x, y, x, y), patience=3, epochs=50, **settings)
    costs = [e.validation_cost for e in found.epochs if e.validation_cost is not None]
    best = int(np.argmin(costs))
    assert found.result["ended"] == "early"
    assert len(costs) == best + 1 + 3
    problem = checked_dataset(load_dataset((x, y, x, y)))
    held = prepare(problem, FitSettings(validation=0.4), 5).held
    again = optax.losses.softmax_cross_entropy_with_integer_labels(found.model.apply(found.params, held.x), held.y)
    assert float(again.mean()) == pytest.approx(costs[best], rel=1e-5)


def test_outputs_in_parts_equal_the_whole(monkeypatch):
    monkeypatch.setattr(epochs, "SIZE", 4)
    x = RNG.normal(size=(11, 3))
    for n in (1, 3, 4, 11):
        np.testing.assert_array_equal(epochs.outputs(lambda params, x: params * x, 2.0, x[:n]), 2 * x[:n])


def test_a_cost_that_explodes_is_said_not_returned():
    x, y = line(100)
    with pytest.raises(RlnutError, match=r"no longer finite.*smaller lr"):
        fit("mlp", halves(x * 1e6, y), scale="none", optimizer=optax.sgd(1e9), progress=False)


def test_ctrl_c_keeps_what_was_learned(tmp_path, monkeypatch):
    x, y = blobs(400)
    move = Progress.move

    def press(report: Progress, updates: int, words: str) -> None:
        move(report, updates, words)
        if updates >= 12:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(epochs, "SECONDS", 0.0)  # look after each update
    monkeypatch.setattr(Progress, "move", press)
    found = fit("mlp", (x, y, x, y), batch=40, epochs=5, out=tmp_path / "out", progress=False)
    assert (found.result["ended"], found.result["updates"], found.result["epochs"]) == ("interrupted", 12, 1)
    np.testing.assert_array_equal(load(tmp_path / "out").predict(x), found.predict(x))
