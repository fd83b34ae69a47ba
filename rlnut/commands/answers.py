"""What `train` and `resume` answer: lines for people, and the JSON object of one or several seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rlnut.commands.options import plain
from rlnut.errors import counted

if TYPE_CHECKING:
    from rlnut.control.result import Trained
    from rlnut.runtime.files import JsonObject


def report(done: Trained) -> None:
    """The result in one line for people; a run that Ctrl-C stopped ends the command."""
    from rlnut.control.evaluate import mean_and_std
    from rlnut.control.profile import profile_table
    from rlnut.runtime.log import say

    if done.interrupted:
        say(f"stopped at {done.unit} {done.reached:,}; checkpoint saved; continue with: rlnut resume {done.folder}")
        raise KeyboardInterrupt
    over = f"over {counted(len(done.evaluation.returns), 'new episode')}, policy of {done.unit} {done.best_step:,}"
    say(f"greedy return {mean_and_std(done.evaluation.mean, done.evaluation.std)} {over}")
    if done.exact is not None:
        say(f"exact mean return {mean_and_std(done.exact.expected_return, None)}, regret {done.exact.regret:.3g}")
    say(f"{done.steps_per_s:,.0f} steps/s, {done.wall_s:.1f} s, of which {done.compile_s:.1f} s compiling")
    if done.profile is not None:
        say_all(profile_table(done.profile, done.reached, done.unit))
    say(f"{done.folder}")


def say_all(lines: Sequence[str]) -> None:
    from rlnut.runtime.log import say

    for line in lines:
        say(line)


def conclude(folder: Path, seeds: Sequence[int], found: JsonObject) -> JsonObject:
    """Write what the seeds show together, summary.json and curve.png, into the folder that holds theirs, and say it.

    Returns what it adds to the answer: the IQM over seeds with its interval, and the deviation between seeds.
    """
    from rlnut.comparison.seed_summary import summarise_seeds
    from rlnut.runtime.files import write_json

    summary = summarise_seeds(folder, seeds)
    added: JsonObject = {"iqm": None, "ci95": None}
    if summary is not None:
        added = {"iqm": summary.iqm.value, "ci95": summary.ci95}
        added["eval"] = found["eval"] | {"mean": summary.mean.value, "std": summary.std}
        say_all(summary.table().splitlines())
    write_json(folder / "summary.json", plain(found | added))
    say_all([str(folder)])
    return added


def answer(runs: list[JsonObject], out: str) -> JsonObject:
    """The summaries of one or several seeds as one JSON object."""
    import numpy as np

    from rlnut.control.evaluate import sample_std

    returns = [r for run in runs for r in run["eval"]["returns"]]
    wall, compile_s = sum(r["wall_s"] for r in runs), sum(r["compile_s"] for r in runs)
    return runs[0] | {
        "seeds": [r["seed"] for r in runs],
        "wall_s": wall,
        "compile_s": compile_s,
        "steps_per_s": float(np.median([r["steps_per_s"] for r in runs])),
        "eval": {"mean": float(np.mean(returns)), "std": sample_std(returns)}
        | {"episodes": len(returns), "returns": returns},
        "runs": runs,
        "out": out,
    }
