"""`fit` on problems with known answers, on digits, on the command line, and when it is stopped or given nonsense."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rlnut
from rlnut import epochs
from rlnut.data import Dataset, checked, load_dataset
from rlnut.errors import RlnutError, UsageError
from rlnut.fitted import load, scale_of
from rlnut.models import CNN, MLP, MODELS, Softmax, Training
from rlnut.supervised import fit, prepare

RNG = np.random.default_rng(0)


def line(n=400):
    """y = 3 x₀ − 2 x₁ + 5 exactly, on inputs of very different scales; x₂ is constant."""
    x = np.stack([RNG.normal(size=n), 1000 + 50 * RNG.normal(size=n), np.full(n, 7.0)], 1)
    return x, 3 * x[:, 0] - 2 * x[:, 1] + 5


def blobs(n=300):
    """Three classes far apart, with names."""
    names = np.array(["left", "right", "top"])
    centres = np.array([[-5.0, 0.0], [5.0, 0.0], [0.0, 8.0]])
    labels = RNG.integers(0, 3, n)
    return centres[labels] + RNG.normal(size=(n, 2)), names[labels]


def halves(x, y):
    middle = len(x) // 2
    return x[:middle], y[:middle], x[middle:], y[middle:]


def test_a_line_is_found_in_the_data_s_own_units():
    x, y = line()
    found = fit("mlp", halves(x, y), hidden=(), lr=0.05, batch=20, epochs=100, progress=False)
    w, b = found.coefficients()
    np.testing.assert_allclose(w[:2], [3, -2], rtol=2e-3)
    assert w[2] * 7 + b == pytest.approx(5, abs=5)  # the constant column and b are one number; x₁ ~ 1000 magnifies w₁
    assert found.test_mse is not None and found.test_mse < 1e-3 * np.var(y)
    assert found.test_accuracy is None
    np.testing.assert_allclose(found.predict(x[:3]), y[:3], atol=1)
    assert found.result["objective"] == pytest.approx(0, abs=1e-4)
    assert found.score(x, y) > 0.999


def test_classes_come_back_with_their_names():
    x, y = blobs()
    found = fit("softmax", halves(x, y), lr=0.05, progress=False)
    assert found.classes == ("left", "right", "top")
    assert found.test_accuracy == 1.0 == found.score(x, y)
    assert found.predict(np.array([[-5.0, 0.0], [0.0, 8.0]])).tolist() == ["left", "top"]
    chance = found.predict_proba(x)
    np.testing.assert_allclose(chance.sum(1), 1, rtol=1e-5)
    w, b = found.coefficients()
    assert w.shape == (3, 2) and b.shape == (3,)
    logits = x @ w.T + b
    np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(1, keepdims=True), chance, atol=1e-4)


def test_converged_softmax_has_scikit_learns_coefficients():
    from sklearn.linear_model import LogisticRegression

    x, y = RNG.normal(size=(200, 3)), RNG.integers(0, 3, 200)
    lam = 0.01
    ours = fit("softmax", (x, y, x, y), scale="none", l2=lam, batch=200, epochs=2000, lr=0.02, progress=False)
    theirs = LogisticRegression(C=1 / (2 * lam * len(x)), tol=1e-8, max_iter=1000).fit(x, y)  # their penalty: ½‖w‖²
    w, b = ours.coefficients()
    np.testing.assert_allclose(w, theirs.coef_, atol=2e-3)
    np.testing.assert_allclose(b - b.mean(), theirs.intercept_ - theirs.intercept_.mean(), atol=2e-3)
    p = theirs.predict_proba(x)[np.arange(200), y]
    assert ours.result["objective"] == pytest.approx(-np.log(p).mean() + lam * np.sum(theirs.coef_**2), rel=1e-4)


def test_one_layer_cannot_learn_xor_and_two_can():
    x = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]] * 50)
    y = (x.sum(1) == 1).astype(int)
    assert (fit("softmax", (x, y, x, y), progress=False).test_accuracy or 0) <= 0.75
    settings: dict[str, Any] = {"hidden": (16,), "dropout": 0, "lr": 0.02, "epochs": 60}
    assert fit("mlp", (x, y, x, y), progress=False, **settings).test_accuracy == 1.0


def test_several_values_a_row_and_a_column_of_one():
    x = RNG.normal(size=(100, 2))
    for y in (x @ RNG.normal(size=(2, 3)), x[:, :1] * 2):
        found = fit(rlnut.linear(), (x, y, x, y), lr=0.05, epochs=200, progress=False)
        assert found.predict(x).shape == y.shape
        np.testing.assert_allclose(found.predict(x), y, atol=0.05)


def test_the_same_update_does_labels_and_bellman_targets():
    """One `Regression`: fitted to labels it is least squares, fitted to r + γ v(s′) it is TD(0)."""
    from rlnut import Batch
    from rlnut.regression import regression

    # chain 0 → 1 → end, reward 1 on each step, γ = ½: v = (1.5, 1)
    x, reward = jnp.eye(2), jnp.ones(2)
    core = regression(rlnut.linear()(()), optimizer=optax.sgd(0.5))
    update, start = jax.jit(core.update), core.init(jax.random.key(0), x)
    labels = targets = start
    for _ in range(300):
        labels, _ = update(labels, Batch(x, jnp.array([1.5, 1.0])))
        bootstrapped = reward + 0.5 * jnp.append(core.predict(targets.params, x)[1:], 0.0)
        targets, _ = update(targets, Batch(x, bootstrapped))
    for fitted in (labels, targets):
        np.testing.assert_allclose(core.predict(fitted.params, x), [1.5, 1.0], atol=1e-3)


def test_digits(mnist_source, tmp_path):
    """A few thousand digits; what the nearest class mean reaches (about .8) is passed by all."""
    whole = load_dataset(*mnist_source)
    part = Dataset(whole.x_train[:3000], whole.y_train[:3000], whole.x_test[:1000], whole.y_test[:1000], whole.classes)
    for name, low, changes in (
        ("softmax", 0.83, {}),
        ("mlp", 0.86, {"epochs": 4}),
        ("cnn", 0.84, {"epochs": 2, "channels": (8, 16), "lr": 3e-3, "batch": 64, "dropout": 0.1}),
    ):
        found = fit(name, part, progress=False, out=tmp_path / name, **changes)
        assert found.test_accuracy is not None and found.test_accuracy >= low, name
        again = load(tmp_path / name)
        np.testing.assert_array_equal(again.predict(part.x_test), found.predict(part.x_test))
        assert again.test_accuracy == found.test_accuracy


@pytest.mark.slow
@pytest.mark.parametrize("name, low", [("softmax", 0.920), ("mlp", 0.980), ("cnn", 0.990)])
def test_full_mnist_median_of_three_seeds(mnist_source, name, low):
    if not mnist_source.full:
        pytest.skip("the 60,000 digits are not on this machine")
    whole = load_dataset(*mnist_source)
    assert np.median([fit(name, whole, seed=seed).test_accuracy for seed in range(3)]) >= low


def test_train_validation_and_test_are_disjoint_and_scaled_by_the_training_rows_only():
    x = np.arange(100.0)[:, None]
    problem = checked(Dataset(x[:80], x[:80, 0] % 2 > 0, x[80:], x[80:, 0] % 2 > 0))
    parts = prepare(problem, Training(validation=0.25), seed=3)
    assert parts.x_scale is not None
    seen = [set(parts.x_scale.back(rows.x).round(3).ravel().tolist()) for rows in parts[:3]]
    assert [len(s) for s in seen] == [60, 20, 20]
    assert set.union(*seen) == set(x.ravel())
    assert np.bincount(parts.held.y).tolist() == [10, 10]
    np.testing.assert_allclose([parts.train.x.mean(), parts.train.x.std()], [0, 1], atol=1e-6)
    other = prepare(problem, Training(validation=0.25), seed=4)
    assert not np.array_equal(other.held.x, parts.held.x)


def test_scaling_by_hand():
    scale = scale_of(np.array([[1.0, 5.0], [3.0, 5.0]]), True)
    assert scale.forth(np.array([[5.0, 6.0]])).tolist() == [[3.0, 1.0]]  # a constant column keeps its unit
    assert scale.back(np.array([[3.0, 1.0]])).tolist() == [[5.0, 6.0]]


def test_same_seed_same_bytes_and_another_seed_others(tmp_path):
    data = halves(*blobs())
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        fit("mlp", data, hidden=(8,), epochs=3, validation=0.2, seed=seed, out=tmp_path / name, progress=False)
    a, b, c = ({p.name: p.read_bytes() for p in (tmp_path / n).iterdir() if p.name != "summary.json"} for n in "abc")
    assert set(a) == {"config.json", "model.safetensors", "metrics.csv", "curve.png"}
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
    costs = [e.validation_cost for e in found.history if e.validation_cost is not None]
    best = int(np.argmin(costs))
    assert found.result["ended"] == "early"
    assert len(costs) == best + 1 + 3
    problem = checked(load_dataset((x, y, x, y)))
    held = prepare(problem, Training(validation=0.4), 5).held
    again = optax.losses.softmax_cross_entropy_with_integer_labels(found.model.apply(found.params, held.x), held.y)
    assert float(again.mean()) == pytest.approx(costs[best], rel=1e-5)


def test_shifted_images_by_hand():
    x = jnp.arange(1, 10, dtype=jnp.uint8).reshape(1, 3, 3)
    seen = set()
    for seed in range(60):
        moved = np.asarray(epochs.shifted(x, jnp.array([0]), 1, jax.random.key(seed)))[0]
        down, right = np.argwhere(moved == 5)[0] - 1  # where the middle pixel went
        expected = np.zeros((5, 5), np.uint8)
        expected[1 + down : 4 + down, 1 + right : 4 + right] = x[0]
        np.testing.assert_array_equal(moved, expected[1:4, 1:4])
        seen.add((int(down), int(right)))
    assert len(seen) == 9


def test_outputs_in_parts_equal_the_whole(monkeypatch):
    monkeypatch.setattr(epochs, "SIZE", 4)
    x = RNG.normal(size=(11, 3))
    for n in (1, 3, 4, 11):
        np.testing.assert_array_equal(epochs.outputs(lambda params, x: params * x, 2.0, x[:n]), 2 * x[:n])


def test_a_model_of_another_library_and_a_given_optimiser():
    from rlnut import Model

    x, y = halves(*blobs())[:2]
    affine = Model(lambda key, x: jnp.zeros((x.shape[-1], 3)), lambda w, x: x @ w)
    found = fit(affine, (x, y, x, y), optimizer=optax.lion(0.01), progress=False)
    assert found.test_accuracy == 1.0
    with pytest.raises(UsageError, match=r"output has shape \[3\] a row, but y needs \[2\]"):
        fit(affine, (x, y == "top", x, y == "top"))


@pytest.mark.parametrize(
    "model, changes, text",
    [
        ("mpl", {}, "Did you mean mlp"),
        (3, {}, "model must be one of"),
        ("mlp", {"width": 3}, "unknown MLP option 'width'"),
        ("mlp", {"lr": -1.0}, "lr must be > 0"),
        ("mlp", {"hidden": (0,)}, "hidden must be >= 1"),
        ("mlp", {"patience": 2}, "set validation"),
        ("mlp", {"validation": 0.001}, "leaves one side empty"),
        ("mlp", {"shift": 1}, "shift moves images"),
        ("cnn", {}, "cnn needs images"),
        ("softmax", {"task": "regression"}, "must hold numbers"),
        ("mlp", {"optimizer": optax.sgd(0.1), "lr": 0.1}, "leave those settings out"),
    ],
)
def test_wrong_words_before_anything_is_made(model, changes, text, tmp_path):
    with pytest.raises(UsageError, match=text) as caught:
        fit(model, halves(*blobs(60)), out=tmp_path / "out", **changes)
    assert "\n" not in str(caught.value)


def test_softmax_wants_classes_and_small_images_want_less_pooling():
    with pytest.raises(UsageError, match="softmax classifies"):
        fit("softmax", halves(*line(20)))
    x, y = np.zeros((4, 3, 3)), np.array([0, 1, 0, 1])
    with pytest.raises(UsageError, match="vanish in 2 poolings"):
        fit("cnn", (x, y, x, y))


def test_predict_refuses_other_rows():
    found = fit("softmax", halves(*blobs(40)), epochs=1, progress=False)
    with pytest.raises(UsageError, match=r"x must be numbers \[rows, 2\]"):
        found.predict(np.zeros((1, 3)))
    with pytest.raises(UsageError, match="row 0, column 1"):
        found.predict(np.array([[0, np.nan]]))
    with pytest.raises(UsageError, match="not among the classes"):
        found.score(np.zeros((1, 2)), ["bottom"])
    regressed = fit("mlp", halves(*line(40)), epochs=1, progress=False)
    with pytest.raises(UsageError, match="regresses"):
        regressed.predict_proba(np.zeros((1, 3)))


def test_a_cost_that_explodes_is_said_not_returned():
    x, y = line(100)
    with pytest.raises(RlnutError, match=r"no longer finite.*smaller lr"):
        fit("mlp", halves(x * 1e6, y), scale="none", optimizer=optax.sgd(1e9), progress=False)


def test_an_output_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        fit("softmax", halves(*blobs(40)), out=tmp_path)
    assert (tmp_path / "kept").read_text() == "mine"


def test_damaged_folders_are_refused(tmp_path):
    fit("softmax", halves(*blobs(40)), epochs=1, out=tmp_path / "a", progress=False)
    fit(rlnut.linear(), halves(*blobs(40)), epochs=1, out=tmp_path / "b", progress=False)
    with pytest.raises(RlnutError, match="named model"):
        load(tmp_path / "b")
    assert load(tmp_path / "b", rlnut.linear()).predict(np.zeros((1, 2))).shape == (1,)
    (tmp_path / "a" / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(RlnutError, match="damaged"):
        load(tmp_path / "a")
    with pytest.raises(RlnutError, match="missing"):
        load(tmp_path / "nowhere")


def test_ctrl_c_keeps_what_was_learned(tmp_path, monkeypatch):
    x, y = blobs(400)
    move = epochs.Report.advance

    def press(report: epochs.Report, updates: int, cost: float) -> None:
        move(report, updates, cost)
        if updates >= 12:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(epochs, "SECONDS", 0.0)  # look after each update
    monkeypatch.setattr(epochs.Report, "advance", press)
    found = fit("mlp", (x, y, x, y), batch=40, epochs=5, out=tmp_path / "out", progress=False)
    assert (found.result["ended"], found.result["updates"], found.result["epochs"]) == ("interrupted", 12, 1)
    np.testing.assert_array_equal(load(tmp_path / "out").predict(x), found.predict(x))


def command(*words: str, **kwargs) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "rlnut", *words], capture_output=True, text=True, **kwargs)


def test_command_line_answers_with_the_contract_s_keys(mnist_source, tmp_path):
    name, data = mnist_source
    where = ["--data", data] if data else []
    done = command("fit", "softmax", name, *where, "--epochs", "1", "--out", str(tmp_path / "o"), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert {"model", "dataset", "train_size", "test_size", "test_accuracy", "epochs", "wall_s"} <= set(found)
    assert (found["train_size"], found["test_size"]) == ((60000, 10000) if mnist_source.full else (4000, 1000))
    assert np.shape(found["coef"]) == (10, 784) and np.shape(found["intercept"]) == (10,)
    assert len(done.stdout.splitlines()) == 1
    assert "7,850 parameters" in done.stderr and "epoch 1/1" in done.stderr
    x = load_dataset(*mnist_source)
    logits = x.x_test.reshape(-1, 784) / 255 @ np.transpose(found["coef"]) + found["intercept"]
    assert np.mean(logits.argmax(1) == x.y_test) == pytest.approx(found["test_accuracy"], abs=1e-3)
    again = command("fit", "softmax", name, *where, "--out", str(tmp_path / "o"))
    assert again.returncode == 2 and "exists already" in again.stderr


def test_help_lists_the_options_without_jax():
    probe = (
        "import sys; from rlnut.cli import main; code = main(['fit', 'mlp', '--help']);"
        "assert not {'jax', 'scipy', 'gymnasium', 'matplotlib'} & set(sys.modules), 'heavy'; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--hidden" in done.stdout and "--dropout" in done.stdout and "--channels" not in done.stdout


@pytest.mark.parametrize(
    "words, status, text",
    [
        (["mlpp", "mnist-5k"], 2, "Did you mean mlp"),
        (["mlp", "mnsit"], 2, "Did you mean mnist"),
        (["mlp", "mnist-5k", "--hiden", "3"], 2, "Did you mean --hidden"),
        (["mlp", "mnist-5k", "--lr", "x"], 2, "not of type float"),
        (["mlp", "mnist", "--data", "nowhere"], 2, "not a folder"),
        (["mlp", "mnist", "--data", "."], 1, "not found in"),
    ],
)
def test_command_line_refuses_in_one_line(words, status, text, tmp_path):
    from rlnut.cli import main

    done = command("fit", *words, cwd=tmp_path) if words == ["mlp", "mnist-5k", "--lr", "x"] else None
    if done is not None:
        assert (done.returncode, len(done.stderr.splitlines())) == (status, 1)
        assert text in done.stderr
        return
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        assert main(["fit", *words]) == status
    finally:
        os.chdir(here)


def test_every_named_model_has_settings_that_build():
    for name, kind in MODELS.items():
        model = kind().network()((3,))
        x = jnp.zeros((2, 28, 28))
        assert model.apply(model.init(jax.random.key(0), x), x).shape == (2, 3), name
    assert Softmax().linear and MLP(hidden=()).linear and not MLP().linear and not CNN().linear
