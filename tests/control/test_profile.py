"""Where the time of a run went: the parts add up to the whole, and asking changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import SHORT, run_main

import rlnut
from rlnut.control.profile import Profile, profile_table, untimed


class Clock:
    """Time that passes only when somebody works."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float) -> str:
        self.now += seconds
        return f"{seconds:g} s"


def test_parts_are_told_apart_and_add_up():
    """A round of 1 s itself, in which acting takes 2 s and stepping 3 s, of which 0.5 s go into a store inside it."""
    clock = Clock()
    profile = Profile(clock)
    act, store = profile("act", clock.work), profile("store", clock.work)

    def stepping() -> str:
        store(0.5)
        return clock.work(2.5)

    step = profile("environment", stepping)
    for _ in range(2):
        assert act(2.0) == "2 s" and step() == "2.5 s"
        clock.work(1.0)
    seconds = profile.end()
    assert seconds == {"environment": 5.0, "act": 4.0, "other": 2.0, "store": 1.0}
    assert list(seconds) == ["environment", "act", "other", "store"]  # the most first
    assert sum(seconds.values()) == clock.now - 100


def test_a_part_that_raises_has_ended():
    clock = Clock()
    profile = Profile(clock)

    def fails() -> None:
        clock.work(1.0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        profile("environment", fails)()
    clock.work(2.0)
    assert profile.end() == {"environment": 1.0, "other": 2.0}


def test_compilation_is_a_part_of_its_own_whoever_caused_it():
    """Learning takes 10 s, 7 of them to compile: tracing 1 s inside of tracing 3 s, then 4 s in the compiler."""
    clock = Clock()
    profile = Profile(clock)

    def learning() -> None:
        clock.work(2.0)
        clock.work(1.0)
        profile.compiled(1.0)
        clock.work(1.0)
        profile.compiled(3.0)  # with the second before it, and one of the two before that
        clock.work(4.0)
        profile.compiled(4.0)
        clock.work(2.0)

    profile("learn", learning)()
    assert profile.end() == {"compile": 7.0, "learn": 3.0, "other": 0.0}


def test_what_jax_compiles_is_heard_of_until_the_end():
    import jax
    import jax.numpy as jnp

    x = jnp.arange(3.0)
    profile = Profile()
    jax.jit(lambda x: x * 1.2345)(x).block_until_ready()
    heard = profile.end()["compile"]
    assert heard > 0
    jax.jit(lambda x: x * 2.3456)(x).block_until_ready()
    assert profile.seconds["compile"] == heard


def test_the_table_has_shares_and_microseconds_of_a_step():
    lines = profile_table({"learn": 3.0, "act": 1.0}, 1000)
    assert [line.split() for line in lines[1:]] == [
        ["learn", "3.00", "75.0%", "3,000.0"],
        ["act", "1.00", "25.0%", "1,000.0"],
        ["in", "all", "4.00", "100.0%", "4,000.0"],
    ]


def test_without_a_profile_functions_are_what_they_were():
    assert untimed("act", len) is len


COURSE: dict[str, Any] = {"eval_every": 100, "eval_episodes": 1, "final_episodes": 1, "quiet": True}


@pytest.mark.parametrize("native", [False, True])
def test_a_run_on_the_host_and_a_compiled_one(native: bool, tmp_path: Path):
    """Every part has its time, no time is negative, wall_s and the curve are all of it; same bytes as without."""
    agent = rlnut.DQN(learning_starts=50, batch=8, hidden=(8,))
    runs = {
        asked: rlnut.train(
            agent, "CartPole-v1", steps=200, native=native, out=tmp_path / str(asked), profile=asked, **COURSE
        )
        for asked in (False, True)
    }
    assert runs[False].profile is None
    seconds = runs[True].profile
    assert seconds is not None and min(seconds.values()) >= -1e-9
    learning = {"play and learn"} if native else {"act", "environment", "store", "learn"}
    assert set(seconds) == learning | {"evaluate", "checkpoint", "compile", "log", "callbacks", "curve", "other"}
    assert sum(seconds.values()) >= runs[True].wall_s + seconds["curve"] - 1e-3
    summaries = {asked: json.loads((tmp_path / str(asked) / "summary.json").read_text()) for asked in runs}
    assert summaries[True]["profile"] == seconds and "profile" not in summaries[False]
    for name in ("policy.safetensors", "checkpoint.safetensors", "metrics.csv"):
        assert (tmp_path / "True" / name).read_bytes() == (tmp_path / "False" / name).read_bytes()


def test_an_offline_run(tmp_path: Path):
    course = COURSE | {"profile": True}
    run = rlnut.train("fqi", "CartPole-v1", steps=300, **course)
    assert run.profile is not None and {"environment", "learn", "evaluate", "other"} <= set(run.profile)


def test_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    words = ["train", "dqn", "CartPole-v1", *SHORT, "--profile", f"--out={tmp_path / 'a'}", "--json"]
    status, out, err = run_main(capsys, *words)
    profile = json.loads(out)["runs"][0]["profile"]
    assert status == 0 and {"act", "learn", "compile", "other"} <= set(profile)
    rows = {line.split()[0] for line in err.splitlines() if line.endswith(tuple("0123456789")) and "%" in line}
    assert rows == {*profile, "in"}
