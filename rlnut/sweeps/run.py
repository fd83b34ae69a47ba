"""Run the jobs of a sweep that are not finished, each in its folder; what was stopped goes on from its checkpoint."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rlnut.control.pool import PoolJob, Told
from rlnut.control.recipe import CONFIG, SUMMARY
from rlnut.control.run_records import read_summary
from rlnut.control.seeds import jobs_in_processes, one_after_another
from rlnut.control.settings import Said
from rlnut.errors import RlnutError, UsageError
from rlnut.runtime.files import JsonObject, is_folder, is_leftover, made_folder, read_json, write_json
from rlnut.runtime.locks import locked
from rlnut.sweeps.spec import SweepJob, SweepSpec, differing

if TYPE_CHECKING:
    from rlnut.agents.catalogue import AgentConfig
    from rlnut.control.result import Trained
    from rlnut.control.settings import RunSettings
    from rlnut.control.setup import Setup, Shared
    from rlnut.envs.make import EnvName
    from rlnut.runtime.observing import Callback
    from rlnut.runtime.workers import Message

SWEEP = "sweep.json"  # what the folder is the sweep of


class JobSetup(NamedTuple):
    """What a job trains."""

    config: AgentConfig
    env: EnvName
    settings: RunSettings


def setup_of(job: SweepJob) -> JobSetup:
    """Agent, environment and settings of a job; UsageError for what is invalid, or has no effect."""
    from rlnut.control.training import configured, divided
    from rlnut.envs.arguments import environment
    from rlnut.learner.config import refuse_idle

    env = environment(
        job.env, [f"{name}={json.dumps(value, default=str)}" for name, value in job.env_arguments.items()]
    )
    options, course = divided(job.agent, env, job.options)
    config, settings, _ = configured(job.agent, env, options, course, preset=job.preset)
    refuse_idle(config, course)
    return JobSetup(config, env, settings)


def check_jobs(spec: SweepSpec) -> None:
    """UsageError for a setting or an environment that is invalid, before anything is written."""
    made: set[str] = set()
    for job in spec.jobs():
        if job.seed == spec.seeds[0]:
            try:
                found = setup_of(job)
                if job.env not in made:
                    found.env.make().close()
            except UsageError as error:
                raise UsageError(f"{spec.name}: {job.agent} on {job.env}: {error}") from None
            made.add(job.env)


class Programs:
    """Compiled programs for the seeds of one setting, until a job with other settings comes."""

    def __init__(self) -> None:
        self.kept: dict[str, Shared] = {}

    def of(self, job: SweepJob) -> Shared:
        """Those of this job's settings."""
        from rlnut.control.setup import Shared

        key = job.folder.rpartition("/")[0]
        if key not in self.kept:
            self.kept = {key: Shared()}
        return self.kept[key]


def is_finished(folder: Path) -> bool:
    """Has this run its final evaluation?"""
    try:
        return not read_summary(folder)["interrupted"]
    except (RlnutError, KeyError):
        return False


def run_job(
    job: SweepJob,
    out: Path,
    shared: Shared,
    said: Said = Said(plan=False, progress=False),  # noqa: B008  it cannot be changed
    planned: Callable[[Setup], object] = lambda setup: None,
    callbacks: Sequence[Callback] = (),
) -> Trained | None:
    """Train a job into `out`, from its checkpoint if it has been begun; None: it is finished already.

    UsageError if another process is at it.
    """
    from rlnut.control.training import resume, train_seed

    if is_finished(out):
        return None
    config, env, settings = setup_of(job)
    if not (out / CONFIG).exists():
        return train_seed(config, env, settings, job.seed, out, shared, False, said, planned, callbacks)
    with locked(out):  # nobody is at it
        (out / SUMMARY).unlink(missing_ok=True)  # of a run that was stopped, perhaps after its last step
    return resume(out, env=env, agent=type(config), quiet=True, callbacks=callbacks)


@dataclass(frozen=True)
class Swept:
    """What came out of one call: jobs in all, those that were finished before, and what failed, by folder."""

    folder: Path
    jobs: int
    before: int
    failed: Mapping[str, RlnutError]


@contextlib.contextmanager
def sweep_folder(spec: SweepSpec, out: str | Path) -> Iterator[Path]:
    """The folder of this sweep, and of no other, for as long as the body runs: made, or as an earlier call left it."""
    folder, record = Path(out), spec.record()
    if is_folder(folder) and not (folder / SWEEP).exists() and any(not is_leftover(p) for p in folder.iterdir()):
        raise UsageError(f"{folder} exists already and is not the folder of a sweep: choose another --out")
    with locked(made_folder(folder)):
        if not (folder / SWEEP).exists():
            write_json(folder / SWEEP, record)
        elif differs := [*differing(read_json(folder / SWEEP), record)]:
            raise UsageError(f"{folder} is the folder of another sweep ({'; '.join(differs)}): choose another --out")
        yield folder


def sweep_jobs(
    spec: SweepSpec, folder: Path, processes: int, words: Sequence[str], say: Callable[[str], object]
) -> Swept:
    """Run what is not finished: in this process, or in several, each started with the command line `words`."""
    jobs = {job.folder: job for job in spec.jobs()}
    waiting = [name for name in jobs if not is_finished(folder / name)]
    before = len(jobs) - len(waiting)
    say(f"{folder}: {len(jobs):,} runs, {before:,} of them finished")
    if min(processes, len(waiting)) > 1:
        each = [PoolJob(name, name, {"job": jobs[name].record()}) for name in waiting]
        failed = jobs_in_processes(words, each, min(processes, len(waiting)), lambda _: folder, alike=False)
        return Swept(folder, len(jobs), before, failed)
    programs = Programs()

    def one(name: str) -> None:
        say(f"{name}: {result_line(run_job(jobs[name], folder / name, programs.of(jobs[name])))}")

    return Swept(folder, len(jobs), before, one_after_another(one, waiting, name=str, alike=False))


def result_line(done: Trained | None) -> str:
    """What a job has learned, for people; KeyboardInterrupt for one that was stopped."""
    from rlnut.control.evaluate import mean_and_std

    if done is None:
        return "finished already"
    if done.interrupted:
        raise KeyboardInterrupt
    return f"greedy return {mean_and_std(done.evaluation.mean, done.evaluation.std)}, {done.wall_s:.1f} s"


def work_on(message: Message, told: Told, programs: Programs, say: Callable[[str], object]) -> JsonObject:
    """In a worker process: do the job that the parent gave; what to answer."""
    given: dict[str, Any] = message["job"]
    out = Path(message["out"])
    if (out / CONFIG).exists():
        told.begun()
    job, said = SweepJob(**given), Said(False, False, True, False)
    done = run_job(job, out, programs.of(job), said, told.planned, [told])
    say(result_line(done))
    return {"done": job.folder}
