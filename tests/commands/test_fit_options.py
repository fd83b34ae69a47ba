"""Every option of every model goes through `rlnut fit`: parsed, checked, and used to build what will learn."""

from __future__ import annotations

import inspect
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest

from rlnut import UsageError
from rlnut.cli import parse
from rlnut.commands.fit import NAMES
from rlnut.data.dataset import Dataset
from rlnut.regression.optimizers import optimizer
from rlnut.settings import kinds
from rlnut.supervised import fit as module
from rlnut.supervised.network_settings import MODELS, FitSettings
from rlnut.types import Network

GRADIENT = ["--solver", "gd"]
BESIDE = {  # what an option needs beside it, so that it has an effect
    "patience": ["--validation", "0.5"], "steps": GRADIENT, "lr": GRADIENT, "shift": ["--turn", "0"],
}  # fmt: skip
VALUES = {"features": "power:2", "hidden": "5,4", "channels": "3", "dims": "1", "lr": "1e-4"}


def words_of(f: Field, scalar: type) -> list[list[str]]:
    """The option with each of its choices, both ways of a switch, or some number in its range."""
    option = "--" + f.name.replace("_", "-")
    if scalar is bool:
        return [[option], ["--no-" + option[2:]]]
    if f.metadata.get("choices"):
        return [[option, choice] for choice in f.metadata["choices"]]
    if f.name in VALUES:
        return [[option, VALUES[f.name]]]
    low = f.metadata["low"] if f.metadata["low"] is not None else f.metadata["above"]
    return [[option, str(low + 1 if scalar is int else low + 0.25)]]


CASES = [
    pytest.param(name, f, scalar, id=f"{name}-{f.name}")
    for name, kind in NAMES.items()
    for f in fields(kind)
    for scalar, _, _ in [kinds(kind)[f.name]]
]


class Built(Exception):
    """Everything is built: learning would begin."""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of images, of signals [T, C], of rows, each with three classes; and rows with values."""
    folder = tmp_path_factory.mktemp("options")
    rng, y = np.random.default_rng(0), np.arange(24) % 3
    np.savez(folder / "images.npz", x=rng.integers(0, 256, (24, 16, 16)).astype(np.uint8), y=y)
    np.savez(folder / "signals.npz", x=rng.normal(size=(24, 16, 2)), y=y)
    np.savez(folder / "rows.npz", x=rng.normal(size=(24, 3)), y=y)
    np.savez(folder / "values.npz", x=rng.normal(size=(24, 3)), y=rng.normal(size=24))
    return {path.stem: path for path in folder.iterdir()}


@pytest.mark.parametrize(("name", "f", "scalar"), CASES)
def test_every_option_reaches_what_it_configures(
    name: str, f: Field, scalar: type, places: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    seen: list[Any] = []

    def build(problem: Dataset, config: FitSettings, network: Network, *rest: Any) -> None:
        """The shapes of the network and its optimiser, which costs nothing; then the end."""
        model, x = network((3,)), problem.x_train[:1].astype(np.float32)
        params = jax.eval_shape(model.init, jax.random.key(0), x)
        assert config.lr is not None and config.batch and config.epochs
        jax.eval_shape(optimizer(config.optimizer, config.lr, config.schedule, 10, config.decay).init, params)
        seen.append(config)
        raise Built

    monkeypatch.setattr(module, "prepared_learner", build)
    for words in words_of(f, scalar):
        data = "images" if name in MODELS else "values" if name == "lasso" else "rows"
        beside = BESIDE.get(f.name, []) if name in MODELS or f.name in ("lr", "steps") else []
        beside = [] if name in MODELS and beside == GRADIENT else beside
        beside = [*beside, "--l2", "0.1"] if name == "ridge" and beside else beside
        if words == ["--task", "regression"] and name == "resnet":
            beside = ["--smoothing", "0"]
        if name in ("rnn", "lstm", "gru"):
            data = "signals" if f.name not in ("shift", "turn") else data
        if words == ["--dims", "1"]:
            data, beside = "signals", ["--shift", "0", *(["--turn", "0"] if name == "resnet" else [])]
        command, args = parse(["fit", name, str(places[data]), *words, *beside])
        if name not in MODELS:
            assert command.run(args)["model"] == name
        elif name == "softmax" and words == ["--task", "regression"]:
            with pytest.raises(UsageError, match="softmax classifies"):
                command.run(args)
        else:
            with pytest.raises(Built):
                command.run(args)
            given = getattr(args, f.name)
            assert getattr(seen[-1], f.name) == given and given is not None


def test_no_option_shares_a_name_with_an_argument_of_fit():
    """`optimizer` does, on purpose: a name of the settings, or an optimiser of optax."""
    arguments = set(inspect.signature(module.fit).parameters) - {"settings"}
    for kind in NAMES.values():
        assert {f.name for f in fields(kind)} & arguments <= {"optimizer"}


def test_an_optimizer_by_name_is_the_one_of_optax():
    x, y = np.random.default_rng(0).normal(size=(40, 2)), np.arange(40) % 2
    options: dict[str, Any] = {"epochs": 2, "hidden": (4,), "progress": False}
    named = module.fit("mlp", (x, y, x, y), optimizer="sgd", lr=0.1, schedule="constant", **options)
    given = module.fit("mlp", (x, y, x, y), optimizer=optax.sgd(0.1), **options)
    np.testing.assert_allclose(named.predict_proba(x), given.predict_proba(x), rtol=1e-6)
    assert named.about["config"]["optimizer"] == "sgd"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seed": "x"}, "seed must be a whole number"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"seed": True}, "seed must be a whole number"),
        ({"optimizer": 3}, "optimizer must be one of adam, .* or one of optax, got 3"),
        ({"optimizer": "sdg"}, "unknown optimizer 'sdg'. Did you mean sgd"),
        ({"loss": "squared"}, "loss must be a function"),
        ({"epochs": 0}, "epochs must be >= 1"),
    ],
)
def test_wrong_arguments_of_fit_are_refused_when_it_is_called(wrong: dict[str, Any], message: str):
    x, y = np.zeros((4, 2)), np.arange(4) % 2
    with pytest.raises(UsageError, match=message):
        module.fit("mlp", (x, y, x, y), **wrong)
