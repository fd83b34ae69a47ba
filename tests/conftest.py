"""What several tests share."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import hypothesis
import psutil
import pytest
from helpers.shapes import check_shapes

# before JAX starts: tests compile much and run little, so LLVM's optimisation is left out (half the time of the suite);
# not for the slow ones (-m slow), which run long. Workers of xdist inherit the choice.
SLOW = any("slow" in word.replace("not slow", "", 1) for word in sys.argv)
QUICK = "--xla_backend_optimization_level=0"
if version("jaxlib").startswith("0.10."):  # another version may not know the flag, and would stop
    QUICK += " --xla_cpu_use_fusion_emitters=false"
os.environ.setdefault("XLA_FLAGS", "" if SLOW else QUICK)
# a worker for each core: threads of BLAS beside it would only wait for one another
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# what one test or worker has compiled serves the others, and the next run
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).resolve().parents[1] / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.05")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")

check_shapes()
hypothesis.settings.register_profile("rlnut", deadline=None)  # no test asserts a time
hypothesis.settings.load_profile("rlnut")

WORKER = 1.5 * 2**30  # bytes of memory that one worker may need
KEPT = 2**30  # bytes of a process from which compiled programs are dropped


def memory() -> int:
    """Bytes that are free on this machine, or in its container."""
    free = psutil.virtual_memory().available
    with contextlib.suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        free = min(free, int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    return free


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """`-n auto`: a worker for each core, but no more than there is memory for."""
    if os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS"):
        return None  # the user's word, which pytest-xdist reads
    return max(1, min(psutil.cpu_count(logical=False) or 1, os.cpu_count() or 1, int(memory() / WORKER)))


class Footprint:
    """Drops what JAX has compiled whenever the process has grown by much, and gives the memory back."""

    def __init__(self) -> None:
        self.process, self.limit = psutil.Process(), KEPT

    def check(self) -> None:
        if self.process.memory_info().rss < self.limit:
            return
        import jax

        jax.clear_caches()
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):  # glibc keeps what was freed until it is asked
            ctypes.CDLL(None).malloc_trim(0)
        self.limit = max(KEPT, self.process.memory_info().rss + KEPT // 4)


FOOTPRINT = Footprint()


@pytest.fixture(autouse=True)
def small_footprint() -> Iterator[None]:
    """Thousands of compiled programs are gigabytes; the next test reads the ones it needs from the cache on disk."""
    yield
    FOOTPRINT.check()


@pytest.fixture(autouse=True)
def figures(request: pytest.FixtureRequest) -> Iterator[None]:
    """Drawn where the test is about them: a run's curve takes longer than its steps."""
    with pytest.MonkeyPatch.context() as patch:
        if request.node.get_closest_marker("figures") is None:
            from helpers.figures import leave_blank

            leave_blank(patch)
        yield


def reached(handle: int) -> None:
    """In the place of `os.fsync`: the file is open; that it outlives a power cut is nothing a test can see."""
    os.fstat(handle)


@pytest.fixture(autouse=True, scope="session")
def no_waiting_for_the_disk() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", reached)
        yield


class MnistSource(NamedTuple):
    """The words that name the digits on this machine: `load_dataset(*source)`."""

    name: str
    data: str | None

    @property
    def full(self) -> bool:
        """All 60,000 and 10,000?"""
        return self.name == "mnist"


@pytest.fixture(scope="session")
def mnist_source() -> MnistSource:
    """MNIST from $RLNUT_DATA, else from a folder beside this checkout, else mnist-5k. Nothing is downloaded."""
    named = os.environ.get("RLNUT_DATA")
    folders = [Path(named)] if named else []
    folders.append(Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist")
    for folder in folders:
        if any(found for part in (folder, folder / "mnist") for found in part.glob("train-images*idx3-ubyte*")):
            return MnistSource("mnist", str(folder))
    return MnistSource("mnist-5k", None)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder; look, don't touch."""
    from helpers.commands import SHORT

    from rlnut.cli import main

    folder = tmp_path_factory.mktemp("trained") / "run"
    assert main(["train", "dqn", "CartPole-v1", *SHORT, f"--out={folder}"]) == 0
    return folder


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    """A run folder to spoil."""
    return Path(shutil.copytree(trained, tmp_path / "copy"))


@pytest.fixture(scope="module")
def shared_programs() -> Iterator[None]:
    """For a file that trains the same agents many times, and is not about how they are built or compiled."""
    from helpers.programs import share_programs

    with pytest.MonkeyPatch.context() as patch:
        share_programs(patch)
        yield


@pytest.fixture
def broken() -> Iterator[None]:
    """Broken-v0, an environment with faults."""
    import gymnasium as gym
    from helpers.commands import Broken

    gym.register("Broken-v0", entry_point=lambda **kwargs: Broken(**kwargs))
    yield
    del gym.registry["Broken-v0"]
