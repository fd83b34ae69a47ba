"""Gymnasium's own vector environments made from one environment: in worker processes, in turn, or all in NumPy.

| mode                 | how N environments are stepped                                                      |
|----------------------|-------------------------------------------------------------------------------------|
| `async`              | each in a process of its own: for environments that take longer than a pipe (0.1 ms) |
| `sync`               | one after the other in this process                                                 |
| `vector_entry_point` | by the vector version that the registration names: CartPole-v1 steps all N in NumPy |

A worker that dies, or does not answer for `PATIENCE` seconds, ends the run with one line and what was learned.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Callable
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from rlnut.envs.make import EnvLike, env_name, maker
from rlnut.envs.names import one_line
from rlnut.errors import RlnutError, UsageError

PATIENCE = 120.0  # seconds that a step or a reset of a worker may take
ENDING = 2.0  # seconds that it has to end when it is told to


def vectorized(env: EnvLike, num_envs: int, mode: str) -> gym.vector.VectorEnv:
    """N copies of `env` as a VectorEnv; mode: one of the table above. UsageError where that is not available."""
    if isinstance(env, gym.vector.VectorEnv):
        raise UsageError(f"vectorization_mode {mode} has no effect on a VectorEnv: pass one environment")
    if mode == "vector_entry_point":
        return _registered(env, num_envs)
    make, name = maker(env), env_name(env)
    if mode == "async":
        title = "" if name is None else f"{name.id}: "
        return WorkerProcesses([_Worker(make, None if name is None else name.registration)] * num_envs, title)
    return SyncVectorEnv([make] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP)


def _registered(env: EnvLike, num_envs: int) -> gym.vector.VectorEnv:
    """The vector version of a registered environment."""
    name, mode = env_name(env), "vectorization_mode vector_entry_point"
    spec = None if name is None else name.registration
    if name is None or spec is None or spec.vector_entry_point is None:
        shown = "this environment" if name is None else name.id
        raise UsageError(f"{mode}: {shown} has no vector version: use async or sync")
    if name.wrappers:
        raise UsageError(f"{mode}: {name} has wrappers of single environments: use async or sync")
    try:
        return gym.make_vec(name.id, num_envs, vectorization_mode="vector_entry_point", **name.kwargs)
    except (TypeError, ValueError, KeyError, AssertionError, AttributeError, gym.error.Error) as error:
        raise UsageError(f"{mode}: {name} cannot be made: {one_line(error)}") from None


class _Worker:
    """Makes the environment of a worker process, which leaves Ctrl-C to the process that started it."""

    def __init__(self, make: Callable[[], gym.Env], registered: EnvSpec | None = None) -> None:
        self.make, self.registered = make, registered

    def __call__(self) -> gym.Env:
        if multiprocessing.parent_process() is not None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            if self.registered is not None:  # by a script, perhaps, that a worker does not run
                gym.registry.setdefault(self.registered.id, self.registered)
        return self.make()


class WorkerProcesses(AsyncVectorEnv):
    """`AsyncVectorEnv` whose workers may die or hang: RlnutError with `title`, the environment and what happened."""

    def __init__(self, functions: list[Callable[[], gym.Env]], title: str = "") -> None:
        self._title = title
        # a copy of this process would also copy its threads' locks (fork)
        super().__init__(functions, context="spawn", autoreset_mode=AutoresetMode.SAME_STEP)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start N episodes."""
        with self._watched("reset"):
            self.reset_async(seed=seed, options=options)
            return self.reset_wait(timeout=PATIENCE)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """One step of each."""
        with self._watched("step"):
            self.step_async(actions)
            return self.step_wait(timeout=PATIENCE)

    @contextlib.contextmanager
    def _watched(self, call: str) -> Any:
        try:
            yield
        except multiprocessing.TimeoutError:
            late = ", ".join(str(i) for i, pipe in enumerate(self.parent_pipes) if not pipe.poll())
            raise RlnutError(f"{self._title}{call}() of environment {late} takes longer than {PATIENCE:g} s") from None
        except (EOFError, ConnectionError):
            raise RlnutError(f"{self._title}the process of {self._dead()} during {call}()") from None

    def _dead(self) -> str:
        """The first worker that is gone, and how it ended."""
        for i, process in enumerate(self.processes):
            process.join(timeout=0.1)
            if (code := process.exitcode) is not None:
                how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
                return f"environment {i} ended with {how}"
        return "an environment closed its pipe"

    def close_extras(self, timeout: float | None = None, terminate: bool = False, **kwargs: Any) -> None:
        """End the workers; those that do not answer are killed."""
        for pipe in self.parent_pipes:
            with contextlib.suppress(OSError):
                pipe.send(("close", None))
        for process in self.processes:
            process.join(timeout=ENDING)
            if process.is_alive():
                process.kill()
                process.join()
        for pipe in self.parent_pipes:
            pipe.close()
