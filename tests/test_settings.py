"""Settings: what is out of range or of another type is refused by name; text, Python and JSON give the same values."""

from __future__ import annotations

import argparse
import json
import math
import pydoc
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlnut.agents.catalogue import AGENTS, DQN
from rlnut.agents.presets import FAMILIES, PRESETS
from rlnut.cli import Parser
from rlnut.commands.options import add_settings, chosen_settings, converter
from rlnut.control.settings import RunSettings
from rlnut.errors import UsageError
from rlnut.settings import Settings, kinds, setting
from rlnut.supervised.network_settings import MODELS


@dataclass(frozen=True)
class Bounds(Settings):
    closed: float = setting(0.5, "", low=0, high=1)
    open: float = setting(0.5, "", above=0, below=1)
    free: float = setting(0.0, "")
    count: int = setting(1, "", low=1)
    huge: int = setting(1, "", high=10**15)
    many: tuple[int, ...] = setting((1, 2), "", low=1)
    maybe: float | None = setting(None, "")
    word: str = setting("a", "", choices=("a", "b"))
    flag: bool = setting(False, "")


@pytest.mark.parametrize(
    "name, value",
    [
        ("closed", -1e-9), ("closed", 1 + 1e-9), ("open", 0.0), ("open", 1), ("free", math.nan), ("free", math.inf),
        ("free", -math.inf), ("free", 1e39), ("free", -1e39), ("free", "1"), ("free", None), ("free", True),
        ("free", 10**400), ("count", 0), ("count", 1.5), ("count", math.nan), ("count", math.inf), ("count", 2**31),
        ("count", -(2**40)), ("count", 10**400), ("count", "3"), ("count", True), ("huge", 10**15 + 1), ("many", 3),
        ("many", (1, 0)), ("many", (1, 1.5)), ("many", "12"), ("many", None), ("maybe", "none"), ("maybe", math.nan),
        ("word", "c"), ("word", 1), ("flag", 1), ("flag", "yes"), ("flag", None),
    ],
)  # fmt: skip
def test_refused_by_name(name: str, value: Any):
    with pytest.raises(UsageError, match=f"{name} (must|takes)|unknown {name}") as refused:
        Bounds(**{name: value})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "name, value, kept",
    [
        ("closed", 0, 0.0), ("closed", 1, 1.0), ("open", 1e-30, 1e-30), ("count", 1e5, 100_000),
        ("count", 2**31 - 1, 2**31 - 1),
        ("count", np.int64(7), 7), ("free", np.float32(0.5), 0.5), ("huge", 10**12, 10**12), ("many", [3, 4], (3, 4)),
        ("many", (), ()), ("maybe", None, None), ("maybe", 2, 2.0), ("word", "b", "b"),
    ],
)  # fmt: skip
def test_kept_in_its_own_type(name: str, value: Any, kept: Any):
    found = getattr(Bounds(**{name: value}), name)
    assert found == kept and type(found) is type(kept)


def test_an_unknown_field_is_refused_with_the_list():
    with pytest.raises(UsageError, match=r"unknown DQN option 'gama'. Did you mean gamma.*Known: activation"):
        DQN().replace(gama=0.5)


@given(st.floats(allow_nan=True, allow_infinity=True), st.floats(0, 1))
def test_ranges_hold(any_value: float, inside: float):
    assert Bounds(closed=inside).closed == inside
    if not 0 <= any_value <= 1:
        with pytest.raises(UsageError):
            Bounds(closed=any_value)


def parsed(config: Settings, words: list[str]) -> Settings:
    parser = Parser(prog="p", allow_abbrev=False)
    add_settings(parser, config, "options")
    return config.replace(**chosen_settings(parser.parse_args(words), config))


def words_of(config: Settings) -> list[str]:
    """A config as the words that a user would type."""
    words = []
    for f in fields(config):
        value, option = getattr(config, f.name), "--" + f.name.replace("_", "-")
        if isinstance(value, bool):
            words.append(option if value else "--no-" + option[2:])
        elif value is not None:
            words.append(f"{option}={','.join(map(str, value)) if isinstance(value, tuple) else value}")
    return words


@given(
    st.builds(
        Bounds,
        closed=st.floats(0, 1),
        free=st.floats(-1e30, 1e30),
        count=st.integers(1, 2**31 - 1),
        many=st.lists(st.integers(1, 10**6), max_size=4).map(tuple),
        maybe=st.none() | st.floats(-1e30, 1e30),
        word=st.sampled_from(["a", "b"]),
        flag=st.booleans(),
    )
)
def test_text_and_json_round_trip(config: Bounds):
    assert parsed(Bounds(), words_of(config)) == config
    assert Bounds(**json.loads(json.dumps(asdict(config)))) == config


@pytest.mark.parametrize("cls", [*AGENTS.values(), *MODELS.values(), RunSettings], ids=lambda cls: cls.__qualname__)
def test_every_setting_has_help_a_range_and_a_default_that_is_kept(cls: type[Settings]):
    config = cls()
    assert parsed(config, []) == config
    assert parsed(config, words_of(config)) == config
    assert cls(**json.loads(json.dumps(asdict(config)))) == config
    limits = ("low", "above", "high", "below")
    for f in fields(cls):
        scalar, optional, _ = kinds(cls)[f.name]
        assert f.metadata["help"]
        bounded = any(f.metadata[limit] is not None for limit in limits)
        free = f.name in ("features", "initial")  # words that are checked where features are made; any value at all
        assert free or bounded or optional or scalar is bool or f.metadata["choices"], f"{f.name} takes anything"


@given(st.text(max_size=12))
def test_any_text_is_a_number_or_one_line(text: str):
    for scalar in (int, float):
        try:
            value = converter(scalar)(text)
        except argparse.ArgumentTypeError as error:
            assert str(error) == f"{text!r} is not of type {scalar.__name__}"
        else:
            assert type(value) is scalar


@pytest.mark.parametrize(
    "text, value", [("1e5", 100_000), ("-3", -3), ("9007199254740993", 9007199254740993), ("2.0", 2)]
)
def test_whole_numbers(text: str, value: int):
    assert converter(int)(text) == value


@pytest.mark.parametrize("pair", [*PRESETS, *FAMILIES], ids="-".join)
def test_presets_are_valid_and_change_something(pair: tuple[str, str]) -> None:
    preset, default = (PRESETS | FAMILIES)[pair], AGENTS[pair[0]]()
    assert set(preset) <= {"config", "training"}
    for base, part in ((default, "config"), (RunSettings(**default.training), "training")):
        chosen = preset.get(part, {})
        moved = asdict(base.replace(**chosen))
        assert {k: moved[k] for k in chosen} == chosen
        assert all(asdict(base)[k] != value for k, value in chosen.items())


@dataclass(frozen=True)
class Documented(Settings):
    """One line.

    And another.
    """

    size: int = setting(3, "how large", low=1, below=9)
    kind: str | None = setting(None, "what it is", choices=("a", "b"))
    widths: tuple[int, ...] = setting((1, 2), "how wide")


def test_the_docstring_of_a_config_lists_its_options():
    assert Documented.__doc__ == (
        "One line.\n\nAnd another.\n\nOptions:\n"
        "    size (int): how large (default 3; >= 1 and < 9)\n"
        "    kind (str | None): what it is (default None; a, b)\n"
        "    widths (tuple[int, ...]): how wide (default (1, 2))\n"
    )
    assert "size (int): how large" in pydoc.render_doc(Documented)

    @dataclass(frozen=True)
    class Child(Documented):
        more: float = setting(0.5, "and more")

    class Plain(Documented):
        """No dataclass."""

    assert str(Child.__doc__).startswith("Settings of Child.") and "more (float): and more (default 0.5)" in str(
        Child.__doc__
    )
    assert Plain.__doc__ == "No dataclass."


@pytest.mark.parametrize("name", [*AGENTS.own, *MODELS])
def test_every_option_of_an_agent_or_a_model_is_in_its_docstring(name: str):
    cls = AGENTS.own[name] if name in AGENTS.own else MODELS[name]
    lines = str(cls.__doc__).splitlines()
    for f in fields(cls):
        (line,) = (line for line in lines if line.startswith(f"    {f.name} ("))
        assert f.metadata["help"].split("\n")[0] in line and f"(default {f.default!r}" in line
