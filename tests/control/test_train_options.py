"""Types of options: what a type checker knows of `train` and of configs is what they take."""

from __future__ import annotations

import inspect
import types
import typing
from dataclasses import fields
from typing import Any

import pytest

import rlnut
from rlnut import UsageError
from rlnut.agents.catalogue import AGENTS
from rlnut.control.settings import RunSettings
from rlnut.control.train_options import TrainOptions
from rlnut.control.training import divided
from rlnut.prediction.methods import Prediction
from rlnut.settings import Settings
from rlnut.supervised.linear_settings import LINEAR_MODELS
from rlnut.supervised.network_settings import MODELS

CONFIGS: list[type[Settings]] = [
    RunSettings,
    *AGENTS.own.values(),
    Prediction,
    *MODELS.values(),
    *LINEAR_MODELS.values(),
]


def atoms(hint: Any) -> set[Any]:
    """A union's members, and a Literal's values."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return set().union(*map(atoms, typing.get_args(hint)))
    return set(typing.get_args(hint)) if typing.get_origin(hint) is typing.Literal else {hint}


def test_keywords_of_train_are_the_options_of_runs_and_agents() -> None:
    wanted: dict[str, set[Any]] = {}
    configs: list[type[Settings]] = [RunSettings, *AGENTS.own.values()]
    for config in configs:
        hints = typing.get_type_hints(config)
        for field in fields(config):
            wanted.setdefault(field.name, set()).update(atoms(hints[field.name]))
    wanted.pop("network")  # a keyword of `train` itself, which is a function there
    assert {name: atoms(hint) for name, hint in typing.get_type_hints(TrainOptions).items()} == wanted


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.__name__)
def test_checkers_know_every_choice(config: type[Settings]) -> None:
    hints = typing.get_type_hints(config)
    for field in fields(config):
        if (choices := field.metadata.get("choices")) is not None:
            known = atoms(hints[field.name]) - {type(None)}
            wide = field.name in ("trace", "solver")  # of the base; one of its subclasses has more
            assert set(choices) <= known if wide else set(choices) == known, field.name


def test_train_and_training_have_one_signature() -> None:
    one, other = inspect.signature(rlnut.train), inspect.signature(rlnut.training)
    assert one.parameters == other.parameters and list(one.parameters)[:3] == ["agent", "env", "seed"]
    assert (one.return_annotation, other.return_annotation) == ("Trained", "RunLooks")
    assert "batch" in inspect.signature(rlnut.DQN).parameters


def test_other_names_are_understood_when_a_config_is_made() -> None:
    named: Any = rlnut.DQN
    assert named(learning_rate=0.5, buffer_size=99) == rlnut.DQN(lr=0.5, replay=99)
    assert divided("dqn", "CartPole-v1", {"learning_rate": 0.5, "total_timesteps": 7}) == ({"lr": 0.5}, {"steps": 7})
    with pytest.raises(UsageError, match="learning_rate is another name of lr: give one of them"):
        named(learning_rate=0.5, lr=0.5)
    with pytest.raises(UsageError, match="unknown DQN option 'nothing_like_it'"):
        named(nothing_like_it=3)
    with pytest.raises(TypeError, match="positional"):
        named(*range(100))
