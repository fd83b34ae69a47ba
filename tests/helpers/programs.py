"""Runs of one test file with the same agent on the same environment compile once, as the seeds of one command do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rlnut.control import session
from rlnut.control.profile import Timed, untimed
from rlnut.control.settings import RunSettings
from rlnut.control.setup import Setup, Shared
from rlnut.envs.make import EnvLike
from rlnut.learner.config import AgentConfig
from rlnut.types import Network


class Store:
    """A `Shared` for every environment and choice of settings that a program depends on, besides agent and spaces."""

    def __init__(self) -> None:
        self.kept: list[tuple[EnvLike, RunSettings, Shared]] = []

    def find(self, env: EnvLike, training: RunSettings) -> Shared:
        """Environments are the same if they are equal: names by their words, functions and instances by identity."""
        training = training.replace(steps=1, eval_episodes=1, final_episodes=1, until=None)
        if not training.native:  # there the rounds of a visit depend on them
            training = training.replace(log_every=1, eval_every=1)
        for known, settings, shared in self.kept:
            if type(known) is type(env) and known == env and settings == training:
                return shared
        self.kept.append((env, training, Shared()))
        return self.kept[-1][2]


def share_programs(patch: pytest.MonkeyPatch) -> None:
    """Until the patch is undone. A network of one's own is not compared, so runs with one compile as ever."""
    store = Store()

    def sharing(make: Callable[..., Setup]) -> Callable[..., Setup]:
        def made(
            config: AgentConfig,
            env: EnvLike,
            training: RunSettings,
            seed: int,
            network: Network | None,
            shared: Shared | None = None,
            timed: Timed = untimed,
        ) -> Setup:
            if shared is None and network is None:
                shared = store.find(env, training)
            return make(config, env, training, seed, network, shared, timed)

        return made

    both: Any = session
    for name in ("played", "offline"):
        patch.setattr(both, name, sharing(getattr(both, name)))
