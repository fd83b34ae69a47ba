"""Callbacks and loggers of a fit: they see every epoch, may stop, save and change the step size, and change no byte."""

from __future__ import annotations

import doctest
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers.problems import blobs, halves

import rlnut
from rlnut import FitLook, Logger, RlnutError, TensorBoardLogger, UsageError
from rlnut.regression.optimizers import DIRECTIONS
from rlnut.runtime.loggers import LoggedRun
from rlnut.supervised.fitted_model import FittedModel

DATA = halves(*blobs())
SMALL: dict[str, Any] = {"hidden": (4,), "validation": 0.2, "batch": 16, "progress": False, "seed": 3}
PLAIN: dict[str, Any] = {"schedule": "constant", "decay": 0.0}


def fit(epochs: int = 5, **more: Any) -> FittedModel:
    return rlnut.fit("mlp", DATA, epochs=epochs, **(SMALL | more))


def same(one: Any, other: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, (one, other)), strict=True))


def test_callbacks_and_loggers_see_every_epoch_and_change_no_byte(tmp_path: Path):
    looks: list[FitLook] = []
    rows: list[tuple[int, dict[str, float]]] = []
    runs: list[LoggedRun] = []

    class Kept(Logger):
        def start(self, run: LoggedRun) -> None:
            runs.append(run)

        def log(self, step: int, numbers: Any) -> None:
            rows.append((step, dict(numbers)))

    class Note:
        def on_look(self, look: FitLook) -> None:
            looks.append(look)
            assert look.history.step.tolist() == list(range(1, look.step + 1))

        def on_end(self, look: FitLook) -> None:
            assert look is looks[-1]
            looks.append(look)

    fit(out=tmp_path / "plain")
    found = fit(out=tmp_path / "watched", callbacks=[Note()], loggers=[Kept(), TensorBoardLogger()])
    for name in ("config.json", "model.safetensors", "metrics.csv", "curve.png"):
        assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "watched" / name).read_bytes(), name
    assert [look.step for look in looks] == [1, 2, 3, 4, 5, 5] and looks[0].total == 5
    assert found.history == rlnut.history(tmp_path / "watched") == looks[-1].history
    assert [step for step, _ in rows] == [1, 2, 3, 4, 5] and runs[0].config["model"] == "mlp"
    assert rows[2][1] == {name: found.history[name][2] for name in ("cost", "validation_cost", "validation_score")}
    assert len(list((tmp_path / "watched" / "tensorboard").iterdir())) == 1


def test_a_callback_may_stop_it_and_gets_the_model_of_that_moment(tmp_path: Path):
    models: list[Any] = []

    def enough(look: FitLook) -> None:
        models.append(look.model)
        if look.step == 2:
            look.save()
            assert rlnut.load(tmp_path / "run").predict(DATA[2]).tolist() == look.model.predict(DATA[2]).tolist()
            look.stop()

    found = fit(out=tmp_path / "run", callbacks=[enough], **PLAIN)
    assert found.result["ended"] == "stopped" and found.result["epochs"] == 2 == len(models)
    assert same(found.params, models[-1].params) and not same(found.params, models[0].params)
    assert same(fit(2, **PLAIN).params, found.params)  # of 2 epochs of the same size


@pytest.mark.parametrize("name", ["adam", "momentum", "sgd"])
def test_another_step_size_is_that_of_the_optimiser(name: str):
    """Doubled after the first epoch: as an optimiser of optax with that schedule."""

    def change(look: FitLook) -> None:
        if look.step == 1:
            look.change(lr=0.02)

    changed = fit(3, lr=0.01, optimizer=name, **PLAIN, callbacks=[change])
    once = changed.result["updates"] // 3
    schedule = optax.scale_by_learning_rate(lambda count: jnp.where(count < once, 0.01, 0.02))
    said = fit(3, optimizer=optax.chain(DIRECTIONS[name](), schedule))
    for one, other in zip(*map(jax.tree.leaves, (changed.params, said.params)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
    assert not same(changed.params, fit(3, lr=0.01, optimizer=name, **PLAIN).params)


def test_what_cannot_be_changed_is_said():
    def change(look: FitLook) -> None:
        look.change(lr=0.1)

    with pytest.raises(RlnutError, match="the step size of an optimizer that was given cannot be changed"):
        fit(2, optimizer=optax.adam(1e-3), callbacks=[change])
    for wrong in (0, -1, float("inf"), "fast", True):
        with pytest.raises(RlnutError, match="lr must be > 0, got "):
            fit(2, callbacks=[lambda look, lr=wrong: look.change(lr=lr)])


def test_a_callback_that_fails_ends_it_with_what_was_learned(tmp_path: Path):
    def careless(look: FitLook) -> None:
        if look.step == 2:
            raise KeyError("mine")

    with pytest.raises(RlnutError, match=r"the callback .*careless raised KeyError: 'mine' \(test_fit_looks") as caught:
        fit(out=tmp_path / "run", callbacks=[careless])
    learned: Any = caught.value.learned
    assert learned.result["epochs"] == 2 and same(rlnut.load(tmp_path / "run").params, learned.params)


def test_callbacks_are_for_what_learns_in_epochs(tmp_path: Path):
    more: Any
    for more in ({"callbacks": [print]}, {"loggers": [TensorBoardLogger(tmp_path)]}):
        with pytest.raises(UsageError, match="ridge is solved at once: it has no epochs"):
            rlnut.fit("ridge", "line", **more)
    for more in ({"callbacks": 3}, {"loggers": 3}, {"loggers": [3]}):
        with pytest.raises(UsageError, match="must"):
            fit(out=tmp_path / "run", **more)
    assert not (tmp_path / "run").exists()


def test_the_example_in_the_documentation_runs():
    module: Any = sys.modules[FitLook.__module__]
    (example,) = doctest.DocTestFinder(recurse=False).find(FitLook, "FitLook", module)
    found = doctest.DocTestRunner().run(example)
    assert found.failed == 0 and found.attempted > 5
