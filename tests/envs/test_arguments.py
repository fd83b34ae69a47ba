"""`--env-arg`: every spelling of a value, the constructor's types, and the line that refuses what does not fit."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import pytest
from helpers.commands import run_main

from rlnut.envs.arguments import environment
from rlnut.errors import UsageError


class Typed(gym.Env):
    """One argument of each kind."""

    observation_space = action_space = gym.spaces.Discrete(2)

    def __init__(
        self,
        flag=True,
        count=5,
        rate=0.5,
        word="a",
        sizes=(1, 2),
        rows: list[int] | None = None,
        whatever=None,
        exact: float | None = None,
        *,
        table: dict | None = None,
    ) -> None:
        self.given = dict(vars())


class Open(gym.Env):
    """Takes anything."""

    observation_space = action_space = gym.spaces.Discrete(2)

    def __init__(self, flag: bool = False, **others: Any) -> None:
        self.others = others


for name, kind in (("Typed", Typed), ("Open", Open)):
    entry: Any = kind
    gym.register(f"test/{name}-v0", entry)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        *((f"flag={text}", False) for text in ("false", "False", "FALSE", "no", "No", "off", "0")),
        *((f"flag={text}", True) for text in ("true", "True", "yes", "on", "1")),
        *((f"count={text}", 1000) for text in ("1000", "1e3", "1_000", "1000.0")),
        ("rate=2", 2.0),
        ("rate=-.5", -0.5),
        ("rate=inf", float("inf")),
        *((f"word={text}", text) for text in ("no", "5", "True", "4x4", "1,2")),
        ("word='no'", "no"),
        ('word="None"', "None"),
        ("word=None", None),
        *((f"sizes={text}", (3, 4)) for text in ("[3, 4]", "(3, 4)", "3,4")),
        ("rows=[1, 2]", [1, 2]),
        ("rows=(1, 2)", [1, 2]),
        ("rows=null", None),
        ("exact=3", 3.0),
        ("exact=None", None),
        ('table={"a": [1]}', {"a": [1]}),
        ("whatever=False", False),
        ("whatever=null", None),
        ("whatever=1e3", 1000.0),
        ("whatever=(1, 2)", (1, 2)),
        ("whatever=text", "text"),
        ("whatever='no'", "no"),
        ("max_episode_steps=7", 7),
    ],
)
def test_spellings(word: str, value: Any) -> None:
    found = environment("test/Typed", [word])
    assert found.id == "test/Typed-v0"
    (given,) = found.kwargs.values()
    assert given == value and type(given) is type(value)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("flag=maybe", "flag takes bool .default True., got 'maybe'"),
        ("flag=2", "flag takes bool .default True., got '2'"),
        ("flag=None", "flag takes bool .default True., got 'None'"),
        ("count=4.5", "count takes int .default 5., got '4.5'"),
        ("count=yes", "count takes int .default 5., got 'yes'"),
        ("rate=fast", "rate takes float .default 0.5., got 'fast'"),
        ("sizes=3", "sizes takes tuple"),
        ("rows=many", "rows takes list, got 'many'"),
        ("exact=true", "exact takes float, got 'true'"),
        ("whatever=no", "may be a switch or text"),
        ("cuont=3", "unknown argument of test/Typed-v0 'cuont'. Did you mean count"),
        ("count", "takes NAME=VALUE, got 'count'"),
        ("=3", "takes NAME=VALUE"),
    ],
)
def test_what_does_not_fit_is_refused(word: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        environment("test/Typed-v0", [word])
    with pytest.raises(UsageError, match="given twice"):
        environment("test/Typed-v0", ["count=1", "count=2"])


def test_constructors_that_take_anything() -> None:
    assert environment("test/Open-v0", ["flag=no", "other=1"]).kwargs == {"flag": False, "other": 1}
    # ours: the options of the function that makes the tables, with the values of the registration
    assert environment("rlnut/RandomWalk5-v0", ["states=7", "left=-1"]).kwargs == {"states": 7, "left": -1.0}
    with pytest.raises(UsageError, match="Did you mean states"):
        environment("rlnut/RandomWalk5-v0", ["state=7"])
    with pytest.raises(UsageError, match=r"unknown argument of FrozenLake-v1 'is_slipery'. Did you mean is_slippery"):
        environment("FrozenLake-v1", ["is_slipery=false"])


@pytest.mark.parametrize("text", ["False", "no", "false", "0"])
def test_a_lake_that_is_not_slippery(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The optimal policy reaches the goal for certain; what was understood stands in the first line."""
    name = environment("FrozenLake-v1", [f"is_slippery={text}"])
    assert str(name) == "FrozenLake-v1(is_slippery=False)"
    made: Any = name.make().unwrapped
    assert {len(outcomes) for actions in made.P.values() for outcomes in actions.values()} == {1}
    status, out, _ = run_main(capsys, "check-env", "FrozenLake", "--env-arg", f"is_slippery={text}")
    assert status == 0 and "FrozenLake-v1(is_slippery=False):" in out and "100 steps" in out
