"""The suite itself and a long-lived program: no more workers than memory, nothing that grows with every call."""

from __future__ import annotations

import gc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import conftest
import jax
import jax.numpy as jnp
import psutil
import pytest

import rlnut

GIB = 2**30


@pytest.mark.parametrize(
    "cores, free, workers", [(16, 16 * GIB, 10), (8, 64 * GIB, 8), (2, 24 * GIB, 2), (8, GIB, 1), (None, GIB, 1)]
)
def test_no_more_workers_than_memory(cores: int | None, free: int, workers: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("PYTEST_XDIST_AUTO_NUM_WORKERS", raising=False)
    monkeypatch.setattr(conftest, "memory", lambda: free)
    monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: cores)
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert conftest.pytest_xdist_auto_num_workers() == workers
    monkeypatch.setenv("PYTEST_XDIST_AUTO_NUM_WORKERS", "3")
    assert conftest.pytest_xdist_auto_num_workers() is None


def test_a_large_process_drops_what_it_compiled(monkeypatch: pytest.MonkeyPatch):
    footprint = conftest.Footprint()
    compiled: Any = jax.jit(lambda x: x + 1)
    size = [GIB - 1]
    monkeypatch.setattr(footprint, "process", SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=size[0])))
    compiled(jnp.zeros(3))
    footprint.check()
    assert compiled._cache_size() == 1
    size[0] = GIB + 1
    footprint.check()
    assert compiled._cache_size() == 0
    assert footprint.limit > size[0]  # else every test would compile anew where nothing can be given back


def live() -> tuple[int, int]:
    """Arrays and compiled programs that JAX holds."""
    gc.collect()
    return len(jax.live_arrays()), len(jax.devices()[0].client.live_executables())


CALLS: dict[str, Callable[[], object]] = {
    "train": lambda: rlnut.train(
        rlnut.DQN(learning_starts=16, batch=8, hidden=(8,)), "CartPole-v1", steps=64, num_envs=2, eval_episodes=1,
        final_episodes=1, quiet=True
    ),
    "fit": lambda: rlnut.fit("mlp", "iris", epochs=1, hidden=(8,), progress=False),
    "solve": lambda: rlnut.fit("logistic", "iris", progress=False),
    "predict": lambda: rlnut.predict("td0", "rlnut/RandomWalk5-v0", episodes=2),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_nothing_is_left_behind_by_a_call(name: str):
    """A notebook, a service or a sweep calls these thousands of times: programs and arrays of a call go with it."""
    seen = []
    for _ in range(4):
        CALLS[name]()
        seen.append(live())
    assert seen[1] == seen[2] == seen[3]
