"""Tables: synthetic ones hold their truth, real ones are what they are known to be."""

import numpy as np
import pytest

from rlnut import UsageError
from rlnut.data.small_tables import REAL, SYNTHETIC, held_out, load_table, ohm, real, sparse, thermal
from rlnut.linear_models.lasso import lasso
from rlnut.linear_models.least_squares import least_squares
from rlnut.linear_models.logistic import logistic


def test_models_find_the_truth_of_synthetic_tables():
    current = ohm(5000)
    assert least_squares(current.x, current.y).coef[0] == pytest.approx(current.truth["theta"][0], abs=0.03)
    many = sparse(2000)
    fit = lasso(many.x, many.y, 0.1)
    assert np.flatnonzero(fit.coef).tolist() == np.flatnonzero(many.truth["theta"]).tolist()
    states = thermal(100_000)
    found = logistic(states.x, states.y).solution
    assert found.coef[0] == pytest.approx(-1.0, abs=0.05) and found.intercept == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("name", ["spirals", "xor"])
def test_what_a_line_cannot_separate(name: str):
    table = SYNTHETIC[name](4000)
    fit = logistic(table.x, table.y)
    assert (fit.predict(table.x) == table.y).mean() < 0.7
    if name == "xor":
        product = (table.x[:, :1] * table.x[:, 1:]) * 10
        assert (logistic(product, table.y, 1e-6).predict(product) == table.y).mean() > 0.98


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [("iris", (150, 4), 3), ("wine", (178, 13), 3), ("breast-cancer", (569, 30), 2), ("diabetes", (442, 10), None)],
)
def test_real_tables(name: str, shape: tuple, classes: int | None):
    table = real(name)
    assert table.x.shape == shape and len(table.columns) == shape[1]
    assert table.classify == (classes is not None)
    if classes:
        assert len(np.unique(table.y)) == classes


@pytest.mark.parametrize("name", [*SYNTHETIC, *REAL])
def test_train_and_test_rows_are_disjoint_seeded_and_stratified(name: str):
    table = load_table(name)
    found = held_out(table, name, 0.25, seed=3)
    again, other = held_out(table, name, 0.25, seed=3), held_out(table, name, 0.25, seed=4)
    rows = np.concatenate([found.x_train, found.x_test])
    key = np.sort([row.tobytes() for row in rows])
    assert (key == np.sort([row.tobytes() for row in table.x])).all()
    assert len(found.y_test) == pytest.approx(0.25 * len(table.y), abs=1)
    assert (found.x_test == again.x_test).all() and not np.array_equal(found.x_test, other.x_test)
    if table.classify:
        for label in np.unique(table.y):
            assert (found.y_test == label).mean() == pytest.approx((table.y == label).mean(), abs=0.02)


def test_a_table_is_no_file_and_an_unknown_one_is_refused():
    with pytest.raises(UsageError, match="--data has no effect"):
        load_table("ohm", "folder")
    with pytest.raises(UsageError, match="unknown table"):
        real("titanic")
