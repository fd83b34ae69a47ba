"""What a run returns, in Python and as the JSON object of `rlnut train`."""

from __future__ import annotations

import html
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rlnut.control.best_policy import ChosenBy
from rlnut.control.evaluate import Evaluation, mean_and_std
from rlnut.control.exact import ExactValue
from rlnut.control.policy import Policy
from rlnut.control.run_loop import RunLook
from rlnut.envs.make import EnvLike
from rlnut.errors import counted
from rlnut.runtime.files import JsonObject
from rlnut.runtime.history import History
from rlnut.runtime.log import COLUMNS
from rlnut.runtime.notebook import line_picture
from rlnut.runtime.observing import Looks

FINAL = 2**30 - 1  # number of the final evaluation: fresh episodes
NO_ROWS = History(COLUMNS, [])


class Trained(NamedTuple):
    """The result of a run: the best policy, its evaluation on new episodes, and facts about the run."""

    policy: Policy
    evaluation: Evaluation
    steps: int
    best_step: int  # when the returned policy was learned
    wall_s: float
    compile_s: float
    steps_per_s: float  # of stepping and learning, without compilation and evaluations
    interrupted: bool
    folder: Path | None
    unit: str = "step"  # what `best_step` counts; offline agents: iterations
    reached: int = 0  # steps or iterations done
    profile: dict[str, float] | None = None  # seconds by what they went into, if that was asked for
    exact: ExactValue | None = None  # what the policy is worth, where the environment has tables
    choice: ChosenBy = ChosenBy("evaluation")  # how the policy was chosen
    remarks: tuple[str, ...] = ()  # what a user should know of the run: what is wrong, and which option to change
    history: History = NO_ROWS  # the log, column by column: history["eval_mean"]

    def __repr__(self) -> str:
        found = self.evaluation
        greedy = f"greedy return {mean_and_std(found.mean, found.std)} over {counted(len(found.returns), 'episode')}"
        how = f"{self.steps:,} steps, best at {self.unit} {self.best_step:,}"
        where = f", in {self.folder}" if self.folder else ""
        return f"Trained({self.policy!r}: {greedy}; {how}{', interrupted' if self.interrupted else ''}{where})"

    def _repr_html_(self) -> str:
        """The same in a notebook, above the greedy returns while it learned."""
        picture = line_picture(self.history.step, self.history["eval_mean"], "greedy return")
        return f"<div>{html.escape(repr(self))}</div>{picture}"

    def q(self, obs: object) -> np.ndarray:
        """q(s, ·) of the best policy: one observation -> [A], N of them -> [N, A]."""
        return self.policy.q(obs)

    def evaluate(self, episodes: int = 20, seed: int = 0, env: EnvLike | None = None) -> Evaluation:
        """Play greedy episodes in a new instance of the environment."""
        return self.policy.evaluate(episodes, seed, env)


class RunLooks(Looks[RunLook, Trained]):
    """Iterates over the looks of a run, with the log so far."""

    @property
    def history(self) -> History:
        """The log so far, column by column: `history["eval_mean"]`; no rows before the first look."""
        if self._result is not None:
            return self._result.history
        return NO_ROWS if self._look is None else self._look.history


def summary_json(done: Trained, description: JsonObject) -> JsonObject:
    """The JSON object of `rlnut train`."""
    e = done.evaluation
    more: JsonObject = {}
    judged = {"mean": e.mean, "std": e.std, "episodes": len(e.returns), "returns": e.returns, "lengths": e.lengths}
    if done.exact is not None:
        more["exact"] = done.exact.record
    if done.profile is not None:
        more["profile"] = done.profile
    return {
        "agent": description["agent"],
        "env": description["env"]["id"] if description["env"] else None,
        "seed": description["seed"],
        "steps": done.steps,
        "best_step": done.best_step,
        "choice": done.choice._asdict(),
        "wall_s": done.wall_s,
        "compile_s": done.compile_s,
        "steps_per_s": done.steps_per_s,
        "eval": judged | e.record,
        "interrupted": done.interrupted,
        "remarks": list(done.remarks),
        "out": str(done.folder) if done.folder else None,
    } | more
