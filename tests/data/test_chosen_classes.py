"""Some classes of a dataset, chosen by name; and the series of sunspots."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rlnut.cli import main
from rlnut.data.dataset import Dataset, checked_dataset, only_classes
from rlnut.data.time_series import FIRST_YEAR, sunspot_numbers, sunspots
from rlnut.errors import UsageError

TABLE = Dataset(np.arange(6.0)[:, None], np.array([3, 8, 1, 3, 8, 1]), np.arange(3.0)[:, None], np.array([1, 3, 8]))


def test_rows_of_two_classes():
    found = only_classes(TABLE._replace(weight=np.arange(6.0)), "8, 3")
    assert found.x_train[:, 0].tolist() == [0, 1, 3, 4] and found.y_train.tolist() == [3, 8, 3, 8]
    assert found.x_test[:, 0].tolist() == [1, 2] and found.classes == (3, 8) and found.name == "arrays 3,8"
    assert found.weight is not None and found.weight.tolist() == [0, 1, 3, 4]
    assert checked_dataset(found).y_test.tolist() == [0, 1]
    words = only_classes(TABLE._replace(y_train=np.array(list("abcabc")), y_test=np.array(list("abc"))), "a,c")
    assert words.y_train.tolist() == ["a", "c", "a", "c"]


@pytest.mark.parametrize(
    ("names", "message"), [("3,7", "unknown class '7'"), ("3", "two classes"), ("3,3", "two classes")]
)
def test_classes_that_are_refused(names: str, message: str):
    with pytest.raises(UsageError, match=message):
        only_classes(TABLE, names)
    with pytest.raises(UsageError, match="holds values"):
        only_classes(TABLE._replace(y_train=np.arange(6.0)), "3,8")


def test_command_learns_two_classes(capsys: pytest.CaptureFixture[str]):
    """Iris 0 and 1 can be separated by a plane, so that no test row is wrong."""
    assert main(["fit", "logistic", "iris", "--classes", "0,1", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["train_size"] == 80 and answer["test_size"] == 20 and answer["test_accuracy"] == 1


def test_sunspots_are_split_in_time():
    """1957 is the highest yearly mean of version 1, 190.2; the first test row forecasts 1950."""
    numbers, data = sunspot_numbers(), sunspots(20)
    assert len(numbers) == 309 and numbers.argmax() + FIRST_YEAR == 1957 and numbers.max() == 190.2
    assert data.x_train.shape == (230, 20, 1) and data.x_test.shape == (59, 20, 1)
    assert data.y_test[0] == numbers[250] == data.x_test[1, -1, 0] and data.y_test[-1] == numbers[-1]
