"""Errors: a status for each kind, near misses first, then the whole list."""

from __future__ import annotations

import pytest

from rlnut.errors import RlnutError, UsageError, unknown


def test_status():
    assert (RlnutError.status, UsageError.status) == (1, 2)
    assert issubclass(UsageError, RlnutError) and issubclass(UsageError, ValueError)


@pytest.mark.parametrize(
    "given, near",
    [("cartpole-v1", "CartPole-v1"), ("CartPol-v1", "CartPole-v1"), ("Acrobat-v1", "Acrobot-v1"), ("dqm", "dqn")],
)
def test_near_miss_comes_before_the_list(given: str, near: str):
    names = ["dqn", "Acrobot-v1", "CartPole-v1", *(f"Other{i}-v0" for i in range(60))]
    said = str(unknown("environment", given, names))
    assert said.startswith(f"unknown environment {given!r}. Did you mean {near}")
    assert all(name in said.partition("Known: ")[2].split(", ") for name in names)


def test_nothing_near():
    assert str(unknown("agent", "zzz", ["dqn", "abc"])) == "unknown agent 'zzz'. Known: abc, dqn"
