"""Features of tables by hand, in float64; a fit with features comes back from its folder bit for bit."""

import json

import numpy as np
import pytest

from rlnut import UsageError, fit, load
from rlnut.cli import main
from rlnut.data.catalogue import load_dataset
from rlnut.features.columns import TABLE, Columns, over_table
from rlnut.features.parsing import parse_features

X = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 2.0]])
BOX = Columns.of(X)


def phi(*words: str, x=X, columns=BOX):
    return over_table(words, columns, 7)(x)


def test_columns_by_hand():
    assert BOX[:3] == ([0, 1], [4, 3], [2, 2]) and BOX.whole
    assert BOX.deviation == pytest.approx([np.sqrt(8 / 3), np.sqrt(2 / 3)])
    assert Columns.of(np.array([[0.5, 7], [1.5, 7]])).deviation == [0.5, 1]
    same = Columns.of(X, alike=True)
    assert same.mean == [2, 2] and same.deviation == pytest.approx([X.std()] * 2) and same.low == [0, 0]
    assert Columns(**json.loads(json.dumps(BOX._asdict()))) == Columns.of(X)


def test_maps_by_hand():
    x, z = X.T
    assert phi("power:2").tolist() == (X**2).tolist()
    columns = {tuple(column) for column in phi("polynomial:2").T.tolist()}
    assert columns == {tuple(c.tolist()) for c in (x, z, x * x, x * z, z * z)}
    assert phi("power", "power:3").tolist() == np.hstack([X, X**3]).tolist()
    unit = (X - [0, 1]) / [4, 2]
    waves = {tuple(np.round(c, 12)) for c in phi("fourier:1").T}
    assert waves == {tuple(np.round(np.cos(np.pi * unit @ c), 12)) for c in ([0, 1], [1, 0], [1, 1])}
    bumps = phi("rbf:2")
    corner = np.exp(-0.5 * (unit**2).sum(1))  # of the centre (0, 0), width 1
    assert bumps.shape == (3, 4) and np.allclose(bumps[:, 0], corner)
    tiles = phi("tiles:4", x=np.array([[1.0, 2.0], [99.0, 2.0], [4.0, 2.0]]))
    assert (tiles.sum(1) == 4).all() and (tiles[1] == tiles[2]).all() and (tiles[0] != tiles[1]).any()
    assert phi("one-hot").tolist() == [[1, 0, 0, 0, 0, 1, 0, 0], [0, 0, 1, 0, 0, 0, 0, 1], [0, 0, 0, 0, 1, 0, 1, 0]]
    assert phi("aggregation:2").tolist() == [[1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0]]  # 0 1 2 | 3 4 and 1 2 | 3


def test_random_fourier_is_the_gaussian_kernel_of_standardised_columns():
    features = phi("random-fourier:20000")
    z = (X - X.mean(0)) / X.std(0)
    squares = ((z[:, None] - z) ** 2).sum(-1)
    np.testing.assert_allclose(features @ features.T, np.exp(-squares / 2 / 2), atol=0.03)  # width² = p = 2
    np.testing.assert_array_equal(features, phi("random-fourier:20000"))
    assert (over_table(["random-fourier:5"], BOX, 8)(X) != over_table(["random-fourier:5"], BOX, 7)(X)).any()


@pytest.mark.parametrize("words", [f"{name}:2" if numbers else name for name, numbers in TABLE.items()])
def test_no_map_holds_a_constant_and_each_says_its_size(words):
    x = np.random.default_rng(0).integers(0, 5, (40, 2)).astype(float)
    made = over_table([words], Columns.of(x), 0)
    found = made(x)
    assert found.shape == (40, made.dim) and found.dtype.kind == "f" and not (np.ptp(found, 0) == 0).all()
    assert not (found == 1).all(0).any()


def test_many_columns_have_their_polynomial_without_the_whole_grid():
    x = np.random.default_rng(0).normal(size=(3, 30))
    assert over_table(["polynomial:2"], Columns.of(x))(x).shape == (3, 30 + 30 * 31 // 2)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("ploynomial:2", "Did you mean polynomial"),
        ("polynomial:0", "takes a degree >= 1"),
        ("power:0", "takes a whole number"),
        ("one-hot:3", "takes no number"),
        ("fourier:x", "takes a whole number"),
        ("fourier:²", "takes a whole number"),  # str.isdigit() is True and int() fails
        ("fourier:٣", "takes a whole number"),
        ("fourier:" + "9" * 5000, "takes a whole number"),
        ("polynomial:9999", "at most 10,000,000"),
    ],
)
def test_words_that_mean_nothing(words, text):
    with pytest.raises(UsageError, match=text):
        phi(words)


def test_rows_that_do_not_suit():
    with pytest.raises(UsageError, match="for whole numbers"):
        phi("one-hot", columns=Columns.of(X / 2))
    with pytest.raises(UsageError, match="column 0 is constant"):
        phi("tiles", columns=Columns.of(np.array([[1.0, 2], [1, 3]])))
    assert parse_features("mlp")[0] == "mlp"  # a word of `rlnut predict`, not of tables
    with pytest.raises(UsageError, match="unknown features 'mlp'"):
        phi("mlp")


def test_the_lectures_three_features_of_the_current(tmp_path):
    """θI, θI², θ₀ + θ₁I + θ₂I² on V = 5I: what least squares over these columns gives."""
    data = load_dataset("ohm")
    current, y = data.x_train[:, 0], data.y_train
    for words, free, table in (
        (("power:1",), False, current[:, None]),
        (("power:2",), False, current[:, None] ** 2),
        (("polynomial:2",), True, np.stack([np.ones_like(current), current, current**2], 1)),
    ):
        found = fit("linear", "ohm", features=words, intercept=free, progress=False)
        theta = np.linalg.lstsq(table, y)[0]
        coef = np.atleast_1d(found.result["coef"])
        np.testing.assert_allclose([found.result["intercept"], *coef] if free else coef, theta, rtol=1e-9)
        guess = theta @ np.array([1, 0.7, 0.49])[3 - len(theta) :] if free else theta[0] * table_of(words, 0.7)
        assert found.predict([[0.7]])[0] == pytest.approx(guess)


def table_of(words, current):
    return current ** int(words[0][-1])


def test_a_bent_boundary_is_found_kept_and_applied(tmp_path, capsys):
    words = ["fit", "logistic", "xor", "--features", "polynomial:2", "--out", str(tmp_path / "x"), "--json"]
    assert main(words) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["test_accuracy"] > 0.9 and np.shape(result["coef"]) == (5,)
    found = fit("ridge", "wine", features=("random-fourier:50", "power"), seed=3, out=tmp_path / "w", progress=False)
    x = load_dataset("wine").x_test
    np.testing.assert_array_equal(load(tmp_path / "w").outputs(x), found.outputs(x))
    assert found.test_accuracy == found.judged(x, load_dataset("wine").y_test)["accuracy"]
    assert main(["predict", str(tmp_path / "x"), "xor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == result["test_accuracy"]


def test_a_high_degree_loses_no_digits_in_prediction():
    """Alternating coefficients of 1e5 cancel: float32 would be wrong in the second digit."""
    x = np.linspace(0, 1, 40)[:, None]
    y = np.cos(12 * x[:, 0])
    found = fit("linear", (x, y, x, y), features=("polynomial:12",), progress=False)
    assert found.test_mse is not None and found.test_mse < 1e-8
    np.testing.assert_allclose(found.predict(x), y, atol=5e-4)
    assert np.abs(found.result["coef"]).max() > 1e4
