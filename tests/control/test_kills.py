"""Processes that are killed at any moment and resumed, and what a folder is worth when that happens to it."""

from __future__ import annotations

import contextlib
import importlib.util
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium as gym
import jax
import numpy as np
import pytest
from helpers.run_folders import differing_files

import rlnut
from rlnut import DQN, RlnutError
from rlnut.control import native_loop
from rlnut.control.checkpoints import on_host, read_checkpoint
from rlnut.control.host_loop import Loop
from rlnut.control.recipe import BEFORE, CHECKPOINT, CONFIG, POLICY, SUMMARY, identity
from rlnut.control.run_files import RunFiles
from rlnut.control.run_folder import Recipe
from rlnut.control.run_records import checked_log, read_summary
from rlnut.envs.functional import func_vector
from rlnut.envs.twins import twin
from rlnut.runtime.arrays import owned, read_arrays
from rlnut.runtime.files import read_json, write_json
from rlnut.runtime.log import METRICS_FILE
from rlnut.runtime.wrappers import time_limit

WALK = "rlnut/ChainWalk4-v0"  # episodes of 100 steps; a walk that never ends is given up after 10,000
SMALL = DQN(hidden=(4,), batch=4, replay=50, learning_starts=16)
COURSE: dict[str, Any] = {"steps": 200, "eval_every": 64, "eval_episodes": 1, "final_episodes": 2, "log_every": 16}
ROOT = Path(__file__).resolve().parents[2]


def kills() -> ModuleType:
    """benchmarks/kills.py, where there is a checkout."""
    path = ROOT / "benchmarks" / "kills.py"
    if not path.exists():
        pytest.skip("these tests run away from a checkout")
    found = importlib.util.spec_from_file_location("kills", path)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules["kills"] = module  # where its classes look for their own annotations
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    rlnut.train(SMALL, WALK, out=folder, quiet=True, **COURSE)
    return folder


# --- real processes

VICTIM = f"""
import sys
import rlnut
from rlnut.control import checkpoints
from rlnut.control.observers import Newest
checkpoints.SECONDS, checkpoints.SHARE, reached = 0.0, 1e9, Newest.__call__
def show(self, look):
    reached(self, look)
    print(look.step, flush=True)
Newest.__call__ = show
rlnut.train(rlnut.DQN(hidden=(4,), batch=4, replay=50, learning_starts=16), {WALK!r}, out=sys.argv[1], quiet=True,
            **{COURSE!r})
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_processes_that_are_killed_at_random_times(whole: Path, tmp_path: Path):
    """Side by side, while a checkpoint is written at every look; `benchmarks/kills.py` does more of it."""
    names, draw, victims = ("SIGKILL", "SIGTERM"), random.Random(3), []
    with contextlib.ExitStack() as held:
        for name in names:
            words = [sys.executable, "-c", VICTIM, str(tmp_path / name)]
            pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            victims.append(held.enter_context(subprocess.Popen(words, **pipes)))
            held.callback(victims[-1].kill)
        for name, victim in zip(names, victims, strict=True):
            for _ in range(draw.randrange(2, 20)):  # looks, of 26
                assert victim.stdout is not None and victim.stdout.readline()
            time.sleep(draw.uniform(0, 0.005))
            victim.send_signal(getattr(signal, name))
        for victim in victims:
            _, said = victim.communicate(timeout=300)
            assert "Error" not in said, said
    for name in names:
        if not (tmp_path / name / SUMMARY).exists() or read_json(tmp_path / name / SUMMARY)["interrupted"]:
            rlnut.resume(tmp_path / name, quiet=True)
        assert differing_files(whole, tmp_path / name) == [], name
        assert read_summary(tmp_path / name)["eval"] == read_summary(whole)["eval"]


@pytest.mark.slow
def test_fifty_kills_of_every_agent(tmp_path: Path):
    assert kills().main(["--kills=52", f"--folder={tmp_path}"]) == 0


# --- what a kill leaves


def test_the_first_file_is_the_one_that_a_run_needs_to_be_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Killed before anything else is written, the folder is not lost."""
    folder = tmp_path / "run"

    def die(path: Path, content: str | bytes) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rlnut.runtime.log.atomic_write", die)
    with pytest.raises(KeyboardInterrupt):
        rlnut.train(SMALL, WALK, out=folder, quiet=True, **COURSE)
    assert [path.name for path in folder.iterdir()] == [CONFIG]
    assert Recipe(folder).config == SMALL.planned(200, 1)


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def test_a_torn_checkpoint_never_takes_the_place_of_the_good_one(copy: Path):
    """The next checkpoint moves the newest away: that must be the one which the run goes on from."""
    good = (copy / BEFORE).read_bytes()
    (copy / CHECKPOINT).write_bytes((copy / CHECKPOINT).read_bytes()[:1000])
    RunFiles(copy, read_json(copy / CONFIG)).open(read_checkpoint(copy))
    assert (copy / CHECKPOINT).read_bytes() == good and not (copy / BEFORE).exists()


def test_files_cut_anywhere_fall_back_or_are_refused(copy: Path, capsys: pytest.CaptureFixture[str]):
    """The checkpoint falls back to the one before it; what else is torn is refused in one line."""
    before = read_arrays(copy / BEFORE).meta["steps"]
    for name in (CHECKPOINT, POLICY, CONFIG):
        content = (copy / name).read_bytes()
        header = 8 + int.from_bytes(content[:8], "little") if name != CONFIG else 100
        cuts = {0, 1, 7, 8, 9, header - 1, header, header + 1, len(content) // 2, len(content) - 2}
        for size in sorted(cuts):
            (copy / name).write_bytes(content[:size])
            if name == CHECKPOINT:
                assert read_checkpoint(copy).meta["steps"] == before
                assert "continuing from the previous checkpoint" in capsys.readouterr().err
            else:
                with pytest.raises(RlnutError, match=rf"{name} is damaged") as caught:
                    rlnut.load_policy(copy)
                assert "\n" not in str(caught.value)
        (copy / name).write_bytes(content)
    for name in (CHECKPOINT, BEFORE):
        (copy / name).write_bytes(b"x")
    with pytest.raises(RlnutError, match=r"checkpoint\.safetensors is damaged"):
        read_checkpoint(copy)


# --- a summary and a log that are not of this run


def test_a_log_that_was_edited_and_a_summary_of_another_run_are_refused(whole: Path, copy: Path):
    assert checked_log(copy) and read_summary(copy) == read_summary(whole)
    assert not {"sha256", "run", "metrics"} & set(read_summary(copy))
    text = (copy / METRICS_FILE).read_text()
    (copy / METRICS_FILE).write_text(text.replace("16,", "17,", 1))
    with pytest.raises(RlnutError, match=r"metrics\.csv is damaged or was edited"):
        checked_log(copy)
    of_another = identity(read_json(copy / CONFIG) | {"seed": 1})
    write_json(copy / SUMMARY, read_json(copy / SUMMARY) | {"run": of_another})
    with pytest.raises(RlnutError, match=r"summary\.json does not belong to config\.json"):
        read_summary(copy)
    (copy / SUMMARY).unlink()  # as of a run that is at work: its log grows
    assert checked_log(copy)


# --- arrays that are given away, and visits


def aligned(leaf: Any) -> Any:
    """A copy in memory that JAX takes over as it is, where it takes over any; keys of JAX as they are."""
    if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return leaf
    leaf = np.asarray(leaf)
    room = np.empty(leaf.nbytes + 64, np.uint8)
    start = -room.ctypes.data % 64
    found = room[start : start + leaf.nbytes].view(leaf.dtype).reshape(leaf.shape)
    found[...] = leaf
    return found


def places(tree: Any) -> set[int]:
    """Where the arrays of NumPy (or of JAX) of a pytree are in memory."""
    leaves = jax.tree.leaves(tree)
    plain = [x for x in leaves if not isinstance(x, int) and not jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)]
    return {x.ctypes.data if isinstance(x, np.ndarray) else x.unsafe_buffer_pointer() for x in plain if x.size}


@pytest.fixture(scope="module")
def loop() -> Loop:
    env = gym.make(WALK)
    vector = func_vector(twin(env), 2, time_limit(env))
    return native_loop.native_loop(SMALL.build(vector.spec), vector, 0.9, 64)


def test_what_is_restored_is_in_memory_of_its_own(loop: Loop):
    """It is given away to compiled programs, which write over it: memory of NumPy's is somebody else's."""
    run = loop.start(0)
    saved = run._replace(**{name: jax.tree.map(aligned, getattr(run, name)) for name in run._fields if name != "steps"})
    known = jax.tree.map(np.array, (saved.look, saved.returns, saved.lengths))
    again = loop.restore(saved._replace(agent=owned(saved.agent)))
    assert not places(again) & places(saved)
    for _ in range(3):
        run, again = loop.advance(run, 48)[0], loop.advance(again, 48)[0]
    jax.tree.map(np.testing.assert_array_equal, on_host(run.agent.fit.params), on_host(again.agent.fit.params))
    jax.tree.map(np.testing.assert_array_equal, (saved.look, saved.returns, saved.lengths), known)


def test_a_visit_of_a_compiled_run_ends_in_time(loop: Loop, monkeypatch: pytest.MonkeyPatch):
    """Where rounds are slow, a visit is cut short, so that a run can be stopped and saved; nothing else changes."""
    whole, metrics = loop.advance(loop.start(0), 64)
    monkeypatch.setattr(native_loop, "LONGEST", 1e-9)
    run, seen, again = loop.start(0), [0], []
    while run.steps < 64:
        run, some = loop.advance(run, 64)
        seen.append(run.steps)
        again += some
    assert set(np.diff(seen)) == {64 // len(metrics)} and repr(again) == repr(metrics)
    jax.tree.map(np.testing.assert_array_equal, on_host(run.agent.fit.params), on_host(whole.agent.fit.params))
