"""Several runs: one after the other in this process, or side by side in worker processes. It needs no JAX.

They are the seeds of one run, or the jobs of a sweep. Each leaves the same bytes as it does alone. One that fails is
reported, and the others continue.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from rlnut.control.pool import Pool, PoolJob
from rlnut.errors import RlnutError, UsageError
from rlnut.runtime.interrupts import interrupts
from rlnut.runtime.log import say
from rlnut.runtime.workers import cores

Failed = dict[int, RlnutError]  # by seed
Key = TypeVar("Key", bound=Hashable)


def usual_jobs(seeds: int) -> int:
    """As many processes as there are cores for them; 1 on an accelerator, which is not shared by processes."""
    most = min(seeds, cores())
    if most > 1 and (find_spec("jax_plugins") is not None or find_spec("libtpu") is not None):
        import jax

        return most if jax.default_backend() == "cpu" else 1
    return most


def seed_name(seed: int) -> str:
    """For people."""
    return f"seed {seed}"


def one_after_another(
    train: Callable[[Key], object],
    jobs: Iterable[Key],
    name: Callable[[Key], str] = seed_name,  # type: ignore[assignment]  # of a seed, an int
    alike: bool = True,
) -> dict[Key, RlnutError]:
    """Train one seed (or job) after the other in this process; what failed.

    alike: they differ by their seeds only, so that an error of the user's in the first one ends all.
    """
    failed: dict[Key, RlnutError] = {}
    for k, job in enumerate(jobs):
        try:
            train(job)
        except RlnutError as error:
            if k == 0 and alike and isinstance(error, UsageError):
                raise
            failed[job] = error
            say(f"rlnut: {name(job)}: {error}")
    return failed


def in_processes(words: Sequence[str], seeds: Sequence[int], jobs: int, folder_of: Callable[[str], Path]) -> Failed:
    """Train the seeds in `jobs` processes, each started with the command line `words`; what failed.

    folder_of: environment's name -> the folder in which each seed gets one of its own; it is made when the settings
    have turned out to be valid.
    """
    each = [PoolJob(seed_name(seed), f"seed{seed}", {"seed": seed}) for seed in seeds]
    failed = jobs_in_processes(words, each, jobs, folder_of)
    return {seed: failed[seed_name(seed)] for seed in seeds if seed_name(seed) in failed}


def jobs_in_processes(
    words: Sequence[str], jobs: Sequence[PoolJob], processes: int, folder_of: Callable[[str], Path], alike: bool = True
) -> dict[str, RlnutError]:
    """The same for any jobs, by their names."""
    pool = Pool(words, jobs, folder_of, alike)
    with interrupts(pool.tell) as asked:
        try:
            pool.run(processes)
        except UsageError:
            if pool.folder is not None:
                with contextlib.suppress(OSError):  # it is not empty
                    pool.folder.rmdir()
            raise
        finally:
            pool.close()
        if asked():
            raise KeyboardInterrupt
    return pool.failed
