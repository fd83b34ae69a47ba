"""`rlnut fit` with the exactly solved models: one way with the networks, from Python and from the command line."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from helpers.problems import blobs, halves
from sklearn.datasets import load_iris

import rlnut
from rlnut import RlnutError, UsageError
from rlnut.choices import TABLES
from rlnut.cli import main
from rlnut.data.catalogue import DATASETS, load_dataset
from rlnut.data.small_tables import REAL, SYNTHETIC, load_table
from rlnut.regression.losses import squared
from rlnut.supervised.fit import fit
from rlnut.supervised.fitted_model import load
from rlnut.supervised.linear_settings import LINEAR_MODELS, RidgeSettings

KEYS = {"model", "dataset", "train_size", "test_size", "epochs", "wall_s", "coef", "intercept", "objective"}


def points(folder: Path, text: str = "I,V\n1,2.5\n2,4.5\n3,6.5\n4,8.5\n5,10.5\n") -> str:
    (folder / "points.csv").write_text(text)
    return str(folder / "points.csv")


@pytest.mark.parametrize(
    ("model", "dataset"),
    [
        ("linear", "iris"), ("linear", "ohm"), ("ridge", "diabetes"), ("lasso", "diabetes"),
        ("perceptron", "breast-cancer"), ("perceptron", "wine"), ("logistic", "xor"), ("logistic", "iris"),
    ],
)  # fmt: skip
def test_the_fitted_model_is_the_solution_and_survives_the_disk(model: str, dataset: str, tmp_path: Path):
    fitted = fit(model, dataset, out=tmp_path / "run", progress=False)
    data = load_dataset(dataset)
    result = fitted.result
    assert set(result) >= KEYS
    coef, intercept = np.array(result["coef"]), np.array(result["intercept"])
    s = data.x_test @ coef.T + intercept
    if fitted.classes is None:
        np.testing.assert_allclose(fitted.predict(data.x_test), s, rtol=1e-9)
        assert ((s - data.y_test) ** 2).mean() == pytest.approx(result["test_mse"])
    else:
        guess = (s >= 0).astype(int) if s.ndim == 1 else s.argmax(1)
        assert (fitted.predict(data.x_test) == guess).all()
        assert (guess == data.y_test).mean() == pytest.approx(result["test_accuracy"])
    again = load(tmp_path / "run")
    assert (again.predict(data.x_test) == fitted.predict(data.x_test)).all() and again.result == result


def test_a_large_mean_costs_no_digits():
    x = 1e6 + np.arange(40.0)[:, None]
    y = 3 * (x[:, 0] - 1e6)
    fitted = fit("linear", (x, y, x, y), progress=False)
    np.testing.assert_allclose(fitted.predict(x), y, atol=1e-6)


def test_text_classes(tmp_path: Path):
    rows = "".join(f"{i},{i % 7},{'hot' if i > 20 else 'cold'}\n" for i in range(40))
    path = points(tmp_path, "t,day,kind\n" + rows)
    fitted = fit("logistic", path, target="kind", progress=False)
    assert fitted.classes == ("cold", "hot")
    assert fitted.predict(np.array([[1.0, 3], [39, 3]])).tolist() == ["cold", "hot"]
    probability = fitted.predict_proba(np.array([[1.0, 3], [39, 3]]))
    assert probability[0, 0] > 0.9 and probability[1, 1] > 0.9


def test_command_line_with_your_own_file(tmp_path: Path, capsys: pytest.CaptureFixture):
    path = points(tmp_path)
    for words in ([path], ["file", "--data", path]):
        assert main(["fit", "linear", *words, "--target", "V", "--json"]) == 0
        said = capsys.readouterr()
        found = json.loads(said.out.splitlines()[-1])
        assert found["coef"] == pytest.approx([2]) and found["intercept"] == pytest.approx(0.5)
        assert found["dataset"] == "points.csv" and "regression" in said.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["linear", "ohm", "--target", "V"], "this dataset takes none"),
        (["linear", "file"], "a file is given once"),
        (["linear", "POINTS"], "say which column"),
        (["linear", "POINTS", "--target", "W"], "unknown column 'W'"),
        (["linear", "POINTS", "--data", "POINTS", "--target", "V"], "a file is given once"),
        (["lasso", "ohm", "--l2", "-1"], "l2 must be >= 0"),
        (["linear", "ohm", "--epochs", "3"], "unknown option '--epochs'"),
        (["linear", "ohm", "--data", "x"], "--data has no effect"),
        (["logistic", "ohm"], "no class labels"),
        (["linaer", "ohm"], "Did you mean linear"),
    ],
)
def test_wrong_words_are_one_line(words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture):
    path = points(tmp_path)
    assert main(["fit", *[path if word == "POINTS" else word for word in words]]) == 2
    said = capsys.readouterr().err.strip()
    assert message in said.splitlines()[-1]


def test_settings_objects_and_what_an_exact_model_refuses():
    assert rlnut.fit(RidgeSettings(l2=1.0), "diabetes", progress=False).result["l2"] == 1.0
    with pytest.raises(UsageError, match="has its own loss"):
        fit("linear", "ohm", loss=squared)
    with pytest.raises(UsageError, match="lasso has its own rule"):
        fit("lasso", "ohm", optimizer=optax.sgd(0.1), l1=0.1)
    with pytest.raises(UsageError, match="unknown Lasso option 'lr'"):
        fit("lasso", "ohm", lr=0.1)
    for config in (RidgeSettings(lr=3), RidgeSettings(steps=3, l2=1.0)):
        with pytest.raises(UsageError, match="is for a gradient solver, but solver is exact"):
            fit(config, "ohm")


def test_gradient_solvers_are_reached_by_name_and_as_optax_optimisers():
    exact = fit("ridge", "ohm", progress=False)
    for found in (
        fit("ridge", "ohm", solver="gd", progress=False),
        fit("ridge", "ohm", optimizer=optax.sgd(0.3, 0.5), progress=False),
    ):
        np.testing.assert_allclose(found.result["coef"], exact.result["coef"], rtol=1e-6)
        assert found.result["l2"] == exact.result["l2"] and found.result["gradient"] <= 1e-8
    steep = fit("logistic", "thermal", solver="gd", steps=3, balanced=True, progress=False)
    assert steep.result["epochs"] == 3 and steep.result["gradient"] > 1e-8


def test_tables_and_models_are_listed():
    assert set(TABLES) == {*SYNTHETIC, *REAL} <= set(DATASETS)
    assert all(len(load_table(name).y) for name in SYNTHETIC)
    assert list(LINEAR_MODELS) == ["linear", "ridge", "lasso", "perceptron", "logistic"]


def test_a_perceptron_that_has_not_settled_says_so(capsys: pytest.CaptureFixture[str]):
    """No plane separates two of iris's classes; of blobs far apart one does."""
    last = fit("perceptron", "iris", average=False)
    said = capsys.readouterr().err
    assert last.result["converged"] is False and "perceptron has not converged" in said and "(average)" in said
    averaged = fit("perceptron", "iris")
    said = capsys.readouterr().err
    assert averaged.result["converged"] is False and "the answer is the mean of all θ" in said
    assert averaged.score(*load_iris(return_X_y=True)) >= 0.97  # the best plane has .987 right
    apart = fit("perceptron", halves(*blobs()), epochs=100)
    assert apart.result["converged"] is True and "not converged" not in capsys.readouterr().err


def test_a_damaged_fit_is_refused(tmp_path: Path):
    """Bits turned in each file that the prediction comes from; weights that are not finite; wrong arguments."""
    fitted = fit("ridge", "diabetes", out=tmp_path / "a", progress=False)
    x = load_dataset("diabetes").x_test
    for name in ("model.safetensors", "config.json"):
        path = tmp_path / "a" / name
        whole = path.read_bytes()
        rng = np.random.default_rng(0)
        for place in rng.integers(0, len(whole), 25):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(damaged)
            try:
                again = load(tmp_path / "a")
            except RlnutError as error:
                assert "\n" not in str(error)
            else:  # spaces of the layout, which mean nothing
                np.testing.assert_array_equal(again.predict(x), fitted.predict(x))
        path.write_bytes(whole)
    assert load(tmp_path / "a").about["model"] == "ridge"
    lost = replace(fitted, params=jax.tree.map(lambda leaf: leaf * np.nan, fitted.params))
    lost.save_model(tmp_path / "a")
    with pytest.raises(RlnutError, match="not finite"):
        load(tmp_path / "a")
    with pytest.raises(UsageError, match="must be a path"):
        load(3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="network must be a function"):
        load(tmp_path / "a", "mlp")  # type: ignore[arg-type]
