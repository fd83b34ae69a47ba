"""How healthy a run is, in its log; and remarks while it goes: what is wrong, and which option to change.

`Health` measures at every evaluation, by a program of its own (`rlnut.learner.health`) that reads the state and changes
nothing. `Remarks` asks the config what it has to say of what was planned and seen; each remark is reported once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np

from rlnut.control.host_loop import Episode
from rlnut.control.observers import Newest
from rlnut.control.preprocessing import learned_leaves
from rlnut.control.run_loop import RunLook
from rlnut.learner.agent import Agent, AgentState
from rlnut.learner.config import AgentConfig
from rlnut.learner.health import (
    HIDDEN_COLUMNS,
    dead_layer,
    delta_quantiles,
    has_hidden_layers,
    health_numbers,
    probed,
)
from rlnut.learner.remarks import RunFacts, RunRemark
from rlnut.runtime.compiling import program_rarely

FIRST = 1_000  # updates before anything is measured: a shorter run is not worth a program of its own


class Health:
    """Numbers of how healthy learning is, in the row of every evaluation after the first `FIRST` updates.

    state: the shapes of the agent's. δ of agents that learn on-line is that of the rounds since the last row.
    """

    def __init__(self, agent: Agent, state: AgentState, newest: Newest) -> None:
        self.newest, self.dead_layer = newest, 0
        self.columns: tuple[str, ...] = ()
        if agent.probe is None:
            return
        hidden = has_hidden_layers(state.fit.params)
        self.columns = tuple(name for name in agent.probe.columns if hidden or name not in HIDDEN_COLUMNS)
        self.probe = agent.probe
        self.run = agent.probe.run if agent.probe.host else program_rarely(agent.probe.run)
        self.learned = [True] if agent.probe.host else learned_leaves(state.fit.params)

    def __call__(self, look: RunLook) -> None:
        rounds = self.newest.interval.rounds
        if self.columns and look.evaluation is not None and rounds and rounds[-1]["updates"] >= FIRST:
            look.columns |= self.measure(look)

    def measure(self, look: RunLook) -> dict[str, float]:
        """The numbers of this moment."""
        found = probed(self.probe, look.run.agent, self.run)
        self.dead_layer = dead_layer([np.asarray(layer) for layer in found.active])
        numbers = health_numbers(found, self.learned)
        if found.delta is None:
            deltas = np.array([one["delta"] for one in self.newest.interval.rounds])
            numbers |= delta_quantiles(deltas[~np.isnan(deltas)])
        return numbers


class Remarks:
    """What a user should know of the run, each remark once: of the plan, of what rows of the log show, of its end.

    tell: how one is reported while the run goes; scale: factor of the rewards that are learned from. `seen` is saved
    with the run, and remarks are not: a run that goes on makes those that still hold.
    """

    def __init__(
        self,
        config: AgentConfig,
        facts: RunFacts,
        scale: float = 1.0,
        dead_layer: Callable[[], int] = lambda: 0,
        tell: Callable[[str], object] = lambda text: None,
    ) -> None:
        self.config, self.facts, self.scale, self.dead_layer, self.tell = config, facts, scale, dead_layer, tell
        self.made = {one.name: one.text for one in config.remarks(facts)}  # those in the plan are reported with it
        self.texts = tuple(self.made.values())  # all so far
        self.seen = {"largest": 0.0}  # what rewards can add up to

    def restore(self, seen: object) -> None:
        """Go on with what a checkpoint saved; one of an earlier version has nothing."""
        if isinstance(seen, dict) and isinstance(seen.get("largest"), (int, float)):
            self.seen["largest"] = float(seen["largest"])

    def __call__(self, look: RunLook) -> None:
        for one in look.metrics:
            if one["episodes"]:
                self._rewarded(one["episodes"])
        if look.row is not None:
            self._running(look)
            delta, value = (look.row.get(name, math.nan) for name in ("delta", "value"))
            now = self.facts_now(look.step)._replace(delta=delta, value=value, dead_layer=self.dead_layer())
            self._note(self.config.remarks(now))
        look.remarks = self.texts

    def end(self, step: int, interrupted: bool, delta: float, change: float) -> tuple[str, ...]:
        """All remarks of a run that ends here; change: of the weights in the last iteration of an offline agent."""
        facts = self.facts_now(step)._replace(over=not interrupted, delta=delta, change=change)
        self._note(self.config.remarks(facts))
        return self.texts

    def facts_now(self, step: int) -> RunFacts:
        """What is known after so many steps, without a row of the log."""
        return self.facts._replace(done=step, largest=self.seen["largest"] * self.scale)

    def _note(self, remarks: Iterable[RunRemark]) -> None:
        for name, text in remarks:
            if name not in self.made:
                self.made[name] = text
                self.texts = tuple(self.made.values())
                self.tell(f"note: {text}")

    def _running(self, look: RunLook) -> None:
        """The episodes that are not over yet count as well."""
        pairs = zip(np.asarray(look.run.returns).tolist(), np.asarray(look.run.lengths).tolist(), strict=True)
        self._rewarded([Episode(ret, length) for ret, length in pairs if length])

    def _rewarded(self, episodes: Iterable[Episode]) -> None:
        """What rewards can add up to: an episode's return, or its rewards for 1/(1 − γ) steps."""
        horizon = 1 / (1 - self.config.gamma) if self.config.gamma < 1 else 0.0
        for ret, length in episodes:
            self.seen["largest"] = max(self.seen["largest"], abs(ret), abs(ret) / length * horizon)
