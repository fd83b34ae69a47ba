"""A run as a loop of one's own: looks, leaving early, callbacks. Whoever looks on changes no byte."""

from __future__ import annotations

import doctest
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from helpers.run_folders import differing_files

import rlnut
from rlnut import DQN, RlnutError, UsageError
from rlnut.control import checkpoints
from rlnut.control.observers import Checkpoints, Greedy, Newest
from rlnut.control.recipe import CONFIG, POLICY, SUMMARY
from rlnut.control.run_files import RunFiles
from rlnut.control.run_loop import RunLook
from rlnut.learner.config import AgentConfig
from rlnut.runtime.files import read_json
from rlnut.runtime.locks import locked
from rlnut.runtime.log import read_metrics

pytestmark = pytest.mark.usefixtures("shared_programs")
SMALL = DQN(hidden=(8,), batch=8, replay=60, learning_starts=32, target_every=5, epsilon_steps=150)
SHORT: dict[str, Any] = {"steps": 160, "eval_every": 64, "eval_episodes": 2, "final_episodes": 2, "log_every": 24}
SHORT |= {"quiet": True}


class Dice(gym.Env):
    """Random rewards, episodes of 7 steps; it knows which copies are open."""

    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)
    open_copies = 0

    def __init__(self) -> None:
        Dice.open_copies += 1

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.count = 0
        return self._obs(), {}

    def _obs(self) -> np.ndarray:
        return self.np_random.uniform(-1, 1, 2).astype(np.float32)

    def step(self, action: Any) -> Any:
        self.count += 1
        return self._obs(), float(action) + self.np_random.normal(), self.count >= 7, False, {}

    def close(self) -> None:
        Dice.open_copies -= 1


def run(folder: Path | None, **changes: Any) -> Any:
    return rlnut.training(SMALL, Dice, seed=5, out=folder, **(SHORT | {"num_envs": 3} | changes))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run by `train`."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    rlnut.train(SMALL, Dice, seed=5, out=folder, num_envs=3, **SHORT)
    return folder


def test_looks_tell_what_the_log_tells_and_end_in_what_train_gives(whole: Path, tmp_path: Path):
    steps, rows, evaluated = [], [], []
    looks = run(tmp_path / "run")
    for look in looks:
        steps.append(look.step)
        assert look.total == 162
        if look.row is not None:
            rows.append(look.row)
        if look.evaluation is not None:
            evaluated.append((look.step, look.evaluation.mean))
            assert look.row is not None and look.row["eval_mean"] == look.evaluation.mean
    assert steps == [*range(0, 163, 6), 162]  # rounds of 2 steps in 3 environments; the last one is judged
    log = read_metrics(tmp_path / "run" / "metrics.csv")
    assert [row["step"] for row in rows] == [row["step"] for row in log]
    assert [row["delta"] for row in rows[1:]] == [row["delta"] for row in log[1:]]
    assert evaluated == [(row["step"], row["eval_mean"]) for row in log if row["eval_mean"] == row["eval_mean"]]
    assert differing_files(whole, tmp_path / "run") == []
    done = looks.result()
    assert read_json(whole / SUMMARY)["eval"]["returns"] == done.evaluation.returns and done.steps == 162


@pytest.mark.parametrize("at", [0, 66, 100, 162])
def test_a_loop_that_is_left_leaves_a_run_to_go_on_with(at: int, whole: Path, tmp_path: Path):
    folder, before = tmp_path / "run", signal.getsignal(signal.SIGTERM)
    assert Dice.open_copies == 0
    for look in run(folder):
        if look.step >= at:
            break
    assert Dice.open_copies == 0 and signal.getsignal(signal.SIGTERM) == before
    with locked(folder):
        pass
    assert len(rlnut.load_policy(folder, env=Dice).evaluate(2).returns) == 2
    assert rlnut.resume(folder, env=Dice, quiet=True).steps == 162
    assert differing_files(whole, folder) == []


def test_an_exception_of_ones_own_comes_through_and_the_run_is_whole(whole: Path, tmp_path: Path):
    with pytest.raises(ZeroDivisionError), run(tmp_path / "run") as looks:
        for look in looks:
            if look.step > 50:
                raise ZeroDivisionError
    assert Dice.open_copies == 0 and not (tmp_path / "run" / SUMMARY).exists()
    rlnut.resume(tmp_path / "run", env=Dice, quiet=True)
    assert differing_files(whole, tmp_path / "run") == []


def test_two_runs_side_by_side(whole: Path, tmp_path: Path):
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    one, other = run(tmp_path / "one"), run(tmp_path / "other", steps=60)
    for _ in zip(one, other, strict=False):
        pass
    assert other.result().steps == 60 and one.result().steps == 72  # it had one look more
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    for name in ("one", "other"):
        rlnut.resume(tmp_path / name, 162, env=Dice, quiet=True)
        assert (whole / POLICY).read_bytes() == (tmp_path / name / POLICY).read_bytes()


def test_the_example_in_the_documentation_runs():
    module: Any = sys.modules[rlnut.training.__module__]
    for example in doctest.DocTestFinder().find(rlnut.training, module=module):
        assert doctest.DocTestRunner().run(example) == doctest.TestResults(failed=0, attempted=5)


def test_stop_ends_it_with_an_evaluation_and_a_result(tmp_path: Path):
    with run(tmp_path / "run") as looks:
        for look in looks:
            if look.step > 70:
                look.stop()
    done = looks.result()
    assert done.steps == 72 and not done.interrupted and len(done.evaluation.returns) == 2
    assert look.step == 72 and look.evaluation is not None  # the last look
    assert read_json(tmp_path / "run" / SUMMARY)["steps"] == 72


def test_the_policies_of_a_look_stay_good_and_a_look_does_not():
    looks, kept = run(None), []
    for look in looks:
        kept.append((look, look.policy, look.policy.q([0.5, 0.5]).copy()))
        if look.step >= 60:
            break
    for _, policy, q in kept:
        np.testing.assert_array_equal(policy.q([0.5, 0.5]), q)
    assert not np.array_equal(kept[0][2], kept[-1][2])
    for ask in (lambda look: look.policy, lambda look: look.best, RunLook.evaluate, RunLook.save):
        with pytest.raises(UsageError, match="this look is over"):
            ask(kept[0][0])
    assert kept[-1][0].best_step == 60 and looks.result().steps == 60


def test_the_best_policy_is_that_of_the_best_evaluation():
    best: list[tuple[float, int]] = []
    for look in run(None, eval_every=12):
        if look.evaluation is not None:
            best.append((look.evaluation.mean, look.step))
            assert look.best_step == max(best)[1]
            fresh = look.best.evaluate(2, seed=1).returns
            assert look.best_step != look.step or fresh == look.policy.evaluate(2, seed=1).returns


def test_words_are_checked_before_the_first_look():
    changes: list[dict[str, Any]] = [{"seed": -1}, {"stepps": 3}, {"callbacks": 3}, {"settings": 3}, {"network": 3}]
    for wrong in changes:
        with pytest.raises(UsageError):
            rlnut.training(SMALL, Dice, **wrong)
    assert Dice.open_copies == 0


def test_callbacks_that_look_on_change_no_byte(whole: Path, tmp_path: Path):
    seen: list[object] = []

    class All:
        def on_start(self, look: RunLook) -> None:
            seen.append(look.step)

        def on_look(self, look: RunLook) -> None:
            seen.extend([look.policy, look.best, look.row, look.metrics])

        def on_end(self, look: RunLook) -> None:
            seen.append("end")

    rlnut.train(SMALL, Dice, seed=5, out=tmp_path / "run", num_envs=3, callbacks=[All(), print_nothing], **SHORT)
    assert differing_files(whole, tmp_path / "run") == [CONFIG]  # it names the callbacks
    assert seen[0] == 0 and seen[-1] == "end" and seen.count("end") == 1


def print_nothing(look: RunLook) -> None:
    """A callback."""


def test_a_callback_may_stop_evaluate_and_save(tmp_path: Path):
    folder, returns = tmp_path / "run", []

    def ask(look: RunLook) -> None:
        if look.step == 30:
            returns.append(look.evaluate().mean)
            assert look.evaluate().mean == returns[0]
            look.save()
            assert checkpoints.read_checkpoint(folder).meta["steps"] == 30
        if look.step >= 48:
            look.stop()

    done = rlnut.train(SMALL, Dice, seed=5, out=folder, num_envs=3, callbacks=[ask], **SHORT)
    assert done.steps == 48
    log = {row["step"]: row["eval_mean"] for row in read_metrics(folder / "metrics.csv")}
    assert log[30] == returns[0] and list(log) == [24, 30, 48]


def test_a_callback_that_fails_ends_the_run_with_what_was_learned(whole: Path, tmp_path: Path):
    def careless(look: RunLook) -> None:
        if look.step == 90:
            raise KeyError("mine")

    folder = tmp_path / "run"
    with pytest.raises(RlnutError) as caught:
        rlnut.train(SMALL, Dice, seed=5, out=folder, num_envs=3, callbacks=[careless], **SHORT)
    text = str(caught.value)
    assert "careless raised KeyError: 'mine' (test_run_loop.py:" in text and "\n" not in text
    assert text.endswith(f"; rlnut resume {folder} continues from step 90") and Dice.open_copies == 0
    learned: Any = caught.value.learned
    np.testing.assert_array_equal(rlnut.load_policy(folder, env=Dice).q([0.5, 0.1]), learned.q([0.5, 0.1]))
    seen: list[int] = []
    rlnut.resume(folder, env=Dice, quiet=True, callbacks=[lambda look: seen.append(look.step)])
    assert differing_files(whole, folder) == [CONFIG] and seen[0] == 90 and seen[-1] == 162


def test_ctrl_c_in_the_loop_of_ones_own(whole: Path, tmp_path: Path):
    looks = run(tmp_path / "run")
    for look in looks:
        if look.step == 60:
            os.kill(os.getpid(), signal.SIGINT)
    assert looks.result().interrupted and look.step == 60
    rlnut.resume(tmp_path / "run", env=Dice, quiet=True)
    assert differing_files(whole, tmp_path / "run") == []


POINTS = [(Newest, "__call__"), (Greedy, "play"), (Checkpoints, "__call__"), (Checkpoints, "save")]
POINTS += [(RunFiles, name) for name in ("write_row", "save", "save_policy", "finish")]
OFFLINE = ("fqi", "lspi", "nfq", "cql")
COURSES = {"host": 2, "native": 2, "fqi": 3, "lspi": 2, "nfq": 2, "cql": 1}


def course(kind: str) -> tuple[AgentConfig, Any, dict[str, Any]]:
    if kind in OFFLINE:
        small = {"hidden": (4,), "batch": 16} if kind in ("nfq", "cql") else {"features": "tiles:2"}
        config = rlnut.agents.AGENTS[kind]().replace(iterations=6, **small)
        return config, Dice, SHORT | {"steps": 90, "num_envs": 2}
    if kind == "native":
        return rlnut.SARSALambda(), "rlnut/RandomWalk5-v0", SHORT | {"steps": 128, "native": True, "num_envs": 2}
    return SMALL, Dice, SHORT | {"num_envs": 3}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The uninterrupted run of each kind, made once."""
    folder = tmp_path_factory.mktemp("finished")

    def of(kind: str) -> Path:
        config, env, more = course(kind)
        if not (folder / kind).exists():
            rlnut.train(config, env, seed=1, out=folder / kind, **more)
        return folder / kind

    return of


@pytest.mark.parametrize(("kind", "k"), [(kind, k) for kind, count in COURSES.items() for k in range(count)])
def test_killed_at_random_places_is_the_run_that_was_not(
    kind: str, k: int, finished: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Before or after any call that observes or writes; nothing is saved when it dies; twice in one run."""
    draw, (config, env, more), calls = random.Random(f"{kind} {k}"), course(kind), [0]
    monkeypatch.setattr(checkpoints, "SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "SHARE", draw.choice([0.0, 1e9]))

    def wrapped(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            calls[0] -= 1
            if calls[0] == 0:
                raise KeyboardInterrupt
            found = method(*args, **kwargs)
            calls[0] -= 1
            if calls[0] == 0:
                raise KeyboardInterrupt
            return found

        return call

    for home, name in POINTS:
        monkeypatch.setattr(home, name, wrapped(vars(home)[name]))
    folder = tmp_path / "run"
    calls[0] = draw.randrange(1, 60 if kind in OFFLINE else 150)
    try:
        rlnut.train(config, env, seed=1, out=folder, **more)
    except KeyboardInterrupt:
        calls[0] = draw.randrange(1, 30)
        try:
            rlnut.resume(folder, env=env, quiet=True)
        except KeyboardInterrupt:
            calls[0] = 0
            if not (folder / SUMMARY).exists():
                rlnut.resume(folder, env=env, quiet=True)
    assert differing_files(finished(kind), folder) == []
    found, known = read_json(folder / SUMMARY), read_json(finished(kind) / SUMMARY)
    assert found["eval"] == known["eval"] and found["best_step"] == known["best_step"]
