"""What several tests share."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import pytest

# before JAX starts: tests compile much and run little, so LLVM's optimisation is left out (half the time of the suite);
# not for the slow ones (-m slow), which run long. Workers of xdist inherit the choice.
SLOW = any("slow" in word.replace("not slow", "", 1) for word in sys.argv)
QUICK = "--xla_backend_optimization_level=0"
if version("jaxlib").startswith("0.10."):  # another version may not know the flag, and would stop
    QUICK += " --xla_cpu_use_fusion_emitters=false"
os.environ.setdefault("XLA_FLAGS", "" if SLOW else QUICK)
# what one test or worker has compiled serves the others, and the next run
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).resolve().parents[1] / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.05")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")


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


@pytest.fixture
def broken() -> Iterator[None]:
    """Broken-v0, an environment with faults."""
    import gymnasium as gym
    from helpers.commands import Broken

    gym.register("Broken-v0", entry_point=lambda **kwargs: Broken(**kwargs))
    yield
    del gym.registry["Broken-v0"]
