"""Whatever ends a run, and whenever: the folder can be gone on with, and comes out as if nothing had happened."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from helpers.commands import contents
from helpers.run_folders import differing_files, recorded
from safetensors.numpy import save_file

import rlnut
import rlnut.agents
from rlnut import DQN, RlnutError, UsageError
from rlnut.control import checkpoints
from rlnut.control.observers import Newest
from rlnut.control.recipe import BEFORE, CHECKPOINT, CONFIG, POLICY, SUMMARY
from rlnut.control.result import Trained
from rlnut.control.run_loop import RunLook
from rlnut.runtime.arrays import read_arrays
from rlnut.runtime.files import read_json, write_json
from rlnut.runtime.locks import locked

pytestmark = pytest.mark.usefixtures("shared_programs")
SMALL = DQN(hidden=(8,), batch=8, replay=60, learning_starts=32, target_every=5, epsilon_steps=150)
SHORT: dict[str, Any] = {"steps": 160, "eval_every": 64, "eval_episodes": 2, "final_episodes": 2, "log_every": 24}


class Odd(Exception):
    """Of a user's environment."""


class Lab(gym.Env):
    """Random rewards, episodes of 7 steps; `at` counts the steps of all copies until `fault` happens."""

    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)
    fault: Callable[[], None] | None = None
    at = taken = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.count = 0
        return self._obs(), {}

    def _obs(self) -> np.ndarray:
        return self.np_random.uniform(-1, 1, 2).astype(np.float32)

    def step(self, action: Any) -> Any:
        Lab.taken += 1
        if Lab.fault is not None and Lab.taken >= Lab.at:
            Lab.fault()
        self.count += 1
        return self._obs(), float(action) + self.np_random.normal(), self.count >= 7, False, {}


def bomb(at: int, fault: Callable[[], None] | None) -> None:
    Lab.at, Lab.taken, Lab.fault = at, 0, staticmethod(fault) if fault else None


@pytest.fixture(autouse=True)
def healthy() -> Any:
    bomb(0, None)
    yield
    bomb(0, None)


def go(folder: Path, **changes: Any) -> Trained:
    return rlnut.train(SMALL, Lab, num_envs=3, out=folder, seed=5, quiet=True, **(SHORT | changes))


def go_on(folder: Path, **changes: Any) -> Any:
    return rlnut.resume(folder, env=Lab, quiet=True, **changes)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One uninterrupted run."""
    bomb(0, None)
    folder = tmp_path_factory.mktemp("whole") / "run"
    go(folder)
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def raising(error: BaseException) -> Callable[[], None]:
    def fault() -> None:
        raise error

    return fault


@pytest.mark.parametrize(
    "error", [Odd("a fault"), SystemExit(0), SystemExit("bye"), BaseException("base"), MemoryError()]
)
@pytest.mark.parametrize("at", [1, 2, 50])
def test_an_exception_in_the_environment_loses_nothing(
    error: BaseException, at: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "run"
    bomb(at, raising(error))
    with pytest.raises(RlnutError, match=rf"Lab.*: step\(\) number .* raised .*{type(error).__name__}") as caught:
        go(folder)
    assert caught.value.__cause__ is error and "\n" not in str(caught.value)
    kept = (at - 1) // 6 * 6  # rounds of 2 steps in 3 environments
    assert f"; rlnut resume {folder} continues from step {kept}" in str(caught.value)
    bomb(0, None)
    go_on(folder)
    assert differing_files(whole, folder) == []


def test_an_exception_in_an_evaluation_loses_nothing(whole: Path, tmp_path: Path):
    class Judge(Lab):
        def step(self, action: Any) -> Any:
            if broken:
                raise Odd("a fault")
            return super().step(action)

    folder, broken = tmp_path / "run", True
    with pytest.raises(
        RlnutError, match=r"Judge.*step\(\) number 1 .* raised Odd: a fault; rlnut resume .* continues from step 66"
    ):
        rlnut.train(SMALL, Lab, num_envs=3, out=folder, seed=5, quiet=True, eval_env=Judge, **SHORT)
    go_on(folder)
    assert differing_files(whole, folder) == [CONFIG]
    assert {k for k, v in recorded(folder).items() if recorded(whole).get(k) != v} == {"eval_env"}


@pytest.mark.parametrize("at", [0, 6, 30, 66, 72, 126, 156, 162])
def test_killed_at_any_time(at: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Checkpoints in every round, and nothing is saved when it dies: what is on the disk is enough."""
    monkeypatch.setattr(checkpoints, "SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "SHARE", 1e9)
    folder, reached = tmp_path / "run", Newest.__call__

    def die(self: Newest, look: RunLook) -> None:
        if look.step >= at:
            raise KeyboardInterrupt
        reached(self, look)

    monkeypatch.setattr(Newest, "__call__", die)
    with pytest.raises(KeyboardInterrupt):
        go(folder)
    monkeypatch.undo()
    (folder / f".{CHECKPOINT}.x.part").write_text("half a checkpoint")
    go_on(folder)
    assert differing_files(whole, folder) == []
    assert not list(folder.glob(".*"))


def test_killed_while_the_result_is_written(whole: Path, copy: Path):
    (copy / SUMMARY).unlink()
    run = go_on(copy)
    assert run.steps == read_json(whole / SUMMARY)["steps"] and differing_files(whole, copy) == []
    assert read_json(copy / SUMMARY)["eval"] == read_json(whole / SUMMARY)["eval"]
    with pytest.raises(UsageError, match="has 162 steps already"):
        go_on(copy)


@pytest.mark.parametrize("content", [None, b"", b"half"])
def test_a_torn_checkpoint_falls_back_to_the_one_before(
    content: bytes | None, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    part = tmp_path / "part"
    go(part, steps=100)
    assert read_arrays(part / BEFORE).meta["steps"] < read_arrays(part / CHECKPOINT).meta["steps"]
    whole_file = (part / CHECKPOINT).read_bytes()
    if content is None:
        (part / CHECKPOINT).unlink()
    else:
        (part / CHECKPOINT).write_bytes(whole_file[: len(whole_file) // 2] if content else b"")
    capsys.readouterr()
    go_on(part, steps=160)
    assert differing_files(whole, part) == []
    said = capsys.readouterr().err
    assert CHECKPOINT in said and "continuing from the previous checkpoint, of step" in said


def test_a_full_disk_leaves_the_older_checkpoint(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder, sync = tmp_path / "run", os.fsync

    def full() -> None:
        monkeypatch.setattr(os, "fsync", no_space)

    def no_space(handle: int) -> None:
        raise OSError(28, "No space left on device")

    bomb(40, full)
    with pytest.raises(RlnutError, match=rf"No space left on device; rlnut resume {folder} continues from step 0"):
        go(folder)
    monkeypatch.setattr(os, "fsync", sync)
    bomb(0, None)
    go_on(folder)
    assert differing_files(whole, folder) == []


def test_a_folder_that_is_deleted_comes_back(tmp_path: Path):
    folder = tmp_path / "run"
    bomb(40, lambda: shutil.rmtree(folder, ignore_errors=True))
    with pytest.raises(RlnutError, match=r"cannot write .*continues from step"):
        go(folder)
    bomb(0, None)
    assert go_on(folder).steps == 162


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_signals_end_a_run_that_can_be_gone_on_with(name: str, whole: Path, tmp_path: Path):
    """They reach the handler that was there before as soon as all is saved: without one they end the process."""
    number, heard = getattr(signal, name), list[bool]()

    def send() -> None:
        if Lab.taken == 40:
            os.kill(os.getpid(), number)

    before = signal.signal(number, lambda *_: heard.append((tmp_path / "run" / SUMMARY).exists()))
    try:
        bomb(40, send)
        assert go(tmp_path / "run").interrupted and heard == [True]
    finally:
        signal.signal(number, before)
    bomb(0, None)
    go_on(tmp_path / "run")
    assert differing_files(whole, tmp_path / "run") == []


def test_a_run_under_nohup_is_not_stopped(whole: Path, tmp_path: Path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        bomb(40, lambda: os.kill(os.getpid(), signal.SIGHUP))
        assert not go(tmp_path / "run").interrupted
    finally:
        signal.signal(signal.SIGHUP, before)
    assert differing_files(whole, tmp_path / "run") == []


def test_one_run_at_a_time_in_a_folder(copy: Path, tmp_path: Path):
    with locked(copy), pytest.raises(UsageError, match="is in use by another run"):
        go_on(copy, steps=300)
    tried: list[str] = []

    def again() -> None:
        if not tried:
            with pytest.raises(UsageError) as caught:
                go_on(tmp_path / "run")
            tried.append(str(caught.value))

    bomb(40, again)
    go(tmp_path / "run")
    assert "is in use by another run" in tried[0]
    assert go_on(copy, steps=200).steps >= 200 and not list(copy.glob(".*"))


# --- damage and edits


EDITS: list[tuple[str, dict[str, Any]]] = [
    ("config", {"gamma": 0.5}), ("config", {"lr": 0.1}), ("config", {"double": False}), ("config", {"n_step": 1}),
    ("training", {"reward_scale": 2.0}), ("training", {"eval_every": 32}), ("training", {"normalise": True}),
    ("seed", {}), ("agent", {}),
]  # fmt: skip


@pytest.mark.parametrize("how", ["by hand", "with a new checksum", "without a checksum"])
@pytest.mark.parametrize(("part", "change"), EDITS)
def test_an_edited_config_is_refused(part: str, change: dict[str, Any], how: str, copy: Path):
    found = json.loads((copy / CONFIG).read_text())
    stated = found.pop("sha256")
    found[part] = found[part] | change if change else {"seed": 6, "agent": "double-dqn"}.get(part)
    if how == "with a new checksum":
        write_json(copy / CONFIG, found)
    else:
        (copy / CONFIG).write_text(json.dumps(found | ({"sha256": stated} if how == "by hand" else {})))
    before = contents(copy)
    for use in (lambda: go_on(copy, steps=300), lambda: rlnut.load_policy(copy, env=Lab)):
        with pytest.raises(RlnutError, match=r"config\.json .*(edited|checksum)"):
            use()
    assert contents(copy) == before


def test_more_steps_are_no_edit(whole: Path, tmp_path: Path):
    go(tmp_path / "run", steps=70)
    go_on(tmp_path / "run", steps=100)
    go_on(tmp_path / "run", steps=160)
    assert differing_files(whole, tmp_path / "run") == []


def test_an_edited_log_is_refused(copy: Path):
    text = (copy / "metrics.csv").read_text()
    row = text.splitlines()[2]
    (copy / "metrics.csv").write_text(text.replace(row, row.replace(row.split(",")[2], "77", 1)))
    with pytest.raises(RlnutError, match=r"metrics\.csv is damaged or was edited"):
        go_on(copy, steps=300)


@pytest.mark.parametrize(
    ("version", "message"),
    [("99.0.0", "was written by rlnut 99.0.0"), ("x", "is not a version"), (3, "is not a version"), (None, "is not")],
)
def test_folders_of_other_versions(version: Any, message: str, copy: Path):
    write_json(copy / CONFIG, read_json(copy / CONFIG) | {"rlnut": version})
    for use in (lambda: go_on(copy, steps=300), lambda: rlnut.load_policy(copy, env=Lab)):
        with pytest.raises(RlnutError, match=message):
            use()


def changed_arrays(path: Path, meta: dict[str, Any], arrays: dict[str, np.ndarray] | None = None) -> None:
    """A file of arrays whose author knows how to make its checksum."""
    stored = read_arrays(path)
    save_file(stored.arrays | (arrays or {}), path, {"meta": json.dumps(stored.meta | meta)})


def test_weights_that_are_not_finite_are_refused(copy: Path):
    for name in (POLICY, CHECKPOINT):
        found = read_arrays(copy / name).arrays
        part = next(
            key for key in found if found[key].ndim == 2 and found[key].dtype == np.float32 and "opt" not in key
        )
        changed_arrays(copy / name, {}, {part: np.full_like(found[part], np.nan)})
    (copy / BEFORE).unlink()
    with pytest.raises(RlnutError, match=r"policy\.safetensors is damaged: it holds weights that are not finite"):
        rlnut.load_policy(copy, env=Lab)
    with pytest.raises(RlnutError, match=r"checkpoint\.safetensors is damaged"):
        go_on(copy, steps=300)


@pytest.mark.parametrize(
    "meta",
    [
        {"steps": -1}, {"steps": "x"}, {"steps": None}, {"steps": 1e400}, {"logged": -5}, {"logged": 10**9},
        {"best": 3}, {"best": [None]}, {"best": ["x", 1]}, {"best": [1.0, -1]}, {"extra": 3},
        {"extra": {"rounds": "x"}},
        {"extra": {"rounds": ["<f8", -1]}}, {"extra": {"rounds": ["what", 1]}}, {"steps": 160},
    ],
)  # fmt: skip
def test_counts_that_are_not_possible(meta: dict[str, Any], copy: Path):
    (copy / BEFORE).unlink()
    changed_arrays(copy / CHECKPOINT, meta)
    with pytest.raises(RlnutError, match=r"checkpoint\.safetensors (is damaged|does not fit)") as caught:
        go_on(copy, steps=300)
    assert "\n" not in str(caught.value)


def test_a_folder_of_an_earlier_version(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """No checksums, one checkpoint, the environments and the log's interval in its meta: as rlnut 0.1 left it."""
    part = tmp_path / "part"
    go(part, steps=100)
    (part / BEFORE).unlink()
    stored = read_arrays(part / CHECKPOINT)
    kept = {name: array for name, array in stored.arrays.items() if not name.startswith("['extra']")}
    extra = {name[len("['extra']['") : -2]: array for name, array in stored.arrays.items() if name not in kept}
    names = ("cost", "delta", "gradient", "value", "updates")
    episodes = [list(e) for e in zip(extra["episode_returns"].tolist(), extra["episode_lengths"].tolist(), strict=True)]
    interval = [episodes, [dict(zip(names, row, strict=True)) for row in extra["rounds"].tolist()]]
    env = {name.removeprefix("env_"): array.tolist() for name, array in extra.items() if name.startswith("env_")}
    meta = {key: stored.meta[key] for key in ("steps", "logged", "best")} | {"env": env, "interval": interval}
    save_file(kept, part / CHECKPOINT, {"meta": json.dumps(meta)})
    policy = read_arrays(part / POLICY)
    save_file(policy.arrays, part / POLICY, {"meta": json.dumps({"step": policy.meta["step"]})})
    for name in (CONFIG, SUMMARY):
        (part / name).write_text(json.dumps(read_json(part / name), indent=1))
    capsys.readouterr()
    assert len(rlnut.load_policy(part, env=Lab).evaluate(2).returns) == 2
    go_on(part, steps=160)
    assert capsys.readouterr().err == "" and differing_files(whole, part) in ([], [CHECKPOINT])
    one, other = (read_arrays(folder / CHECKPOINT) for folder in (whole, part))
    for name in set(one.arrays) - {name for name in one.arrays if "rivals" in name}:
        np.testing.assert_array_equal(one.arrays[name], other.arrays[name])
    spread = ("best_std", "rivals", "seen")  # of the evaluations, and of targets so far: not kept then
    assert {k: v for k, v in one.meta.items() if k not in spread} == {
        k: v for k, v in other.meta.items() if k not in spread
    }


def test_long_episodes_fit_into_a_checkpoint(tmp_path: Path):
    """What has no bound, the actions of the running episodes, is not in the header, which has one (100 MB)."""
    go(tmp_path / "run", steps=100)
    for name in (CHECKPOINT, BEFORE):
        with open(tmp_path / "run" / name, "rb") as file:
            assert int.from_bytes(file.read(8), "little") < 20_000


def test_checkpoints_take_a_small_share_of_the_time(monkeypatch: pytest.MonkeyPatch):
    clock = {"now": 0.0}
    monkeypatch.setattr(checkpoints.time, "perf_counter", lambda: clock["now"])
    saver, written = checkpoints.Saver(), 0
    saver.spent = saver.cost = 2.0  # of the first one, at the start
    saver.last = 2.0
    for second in range(3, 36_000):
        clock["now"] = float(second)
        if saver.due(second % 10 == 0, second, 36_000):
            written += 1
            saver.spent, saver.last, saver.step = saver.spent + 2.0, float(second), second
    assert saver.spent <= 0.02 * 36_000 and written >= 300


@pytest.mark.parametrize("total", [1_000, 20_000])
@pytest.mark.parametrize("cost", [0.01, 5.0, 50.0])
def test_no_more_than_a_minute_or_a_hundredth_of_the_run_is_lost(
    cost: float, total: int, monkeypatch: pytest.MonkeyPatch
):
    """However long it takes to write a checkpoint: a step each second, an evaluation every 500 steps."""
    clock = {"now": 0.0}
    monkeypatch.setattr(checkpoints.time, "perf_counter", lambda: clock["now"])
    saver, lost, last = checkpoints.Saver(), [], 0
    saver.step, saver.spent, saver.cost = 0, cost, cost
    for step in range(1, total):
        clock["now"] += 1.0
        lost.append(step - last)
        if saver.due(step % 500 == 0, step, total):
            clock["now"] += cost
            saver.spent, saver.last, saver.step, last = saver.spent + cost, clock["now"], step, step
    assert max(lost) <= max(60, total / 100) + 1  # and what was under way: a step
    assert saver.spent <= max(0.02 * clock["now"], 100 * cost)


@pytest.mark.parametrize("at", [0, 48, 96])
def test_a_native_run_that_was_killed(at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checkpoints, "SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "SHARE", 1e9)
    course = SHORT | {"steps": 128, "quiet": True, "native": True, "num_envs": 2}
    reached = Newest.__call__

    def die(self: Newest, look: RunLook) -> None:
        if look.step >= at:
            raise KeyboardInterrupt
        reached(self, look)

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    rlnut.train(SMALL, "rlnut/RandomWalk5-v0", out=whole, **course)
    monkeypatch.setattr(Newest, "__call__", die)
    with pytest.raises(KeyboardInterrupt):
        rlnut.train(SMALL, "rlnut/RandomWalk5-v0", out=killed, **course)
    monkeypatch.undo()
    rlnut.resume(killed, quiet=True)
    assert differing_files(whole, killed) == []


def test_a_batch_agent_that_is_ended_leaves_its_policy(tmp_path: Path):
    class Judge(Lab):
        def step(self, action: Any) -> Any:
            raise Odd("a fault")

    nfq = rlnut.agents.AGENTS["nfq"]().replace(hidden=(4,), iterations=5, epochs=1)
    with pytest.raises(RlnutError, match=r"Judge.* raised Odd: a fault"):
        rlnut.train(nfq, Lab, steps=60, eval_env=Judge, eval_episodes=1, out=tmp_path / "run", quiet=True)
    assert rlnut.load_policy(tmp_path / "run", env=Lab).q([0.0, 0.0]).shape == (2,)
