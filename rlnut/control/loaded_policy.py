"""The policy of a run folder without its environment, and without JAX where q(s, ·) is a program of NumPy's operations.

`load_policy` reads config.json, policy.safetensors and forward.safetensors. What needs more (an evaluation, the learned
distribution) makes the agent when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rlnut.control.forward import ACTIONS, input_name, read_actions
from rlnut.control.policy import Policy
from rlnut.control.recipe import CONFIG, FORWARD, POLICY, check_belongs, check_folder
from rlnut.errors import RlnutError, UsageError
from rlnut.learner.actions import Actions
from rlnut.learner.plain_spaces import NUMERIC, PlainSpace, kind_of, leaves_of, part_at, plain_space
from rlnut.learner.reading import Mismatch, read_one_or_many
from rlnut.portable.program import Program, read_program
from rlnut.runtime.arrays import read_arrays
from rlnut.runtime.files import as_path, read_json
from rlnut.runtime.version import check_written_by

if TYPE_CHECKING:
    from rlnut.envs.make import EnvLike
    from rlnut.learner.config import AgentConfig
    from rlnut.types import Network

OF_THE_AGENT = ("agent", "spec", "params", "env", "origin", "player", "_q", "_placed")


class Forward:
    """q(s, ·) of an observation as the environment gives it, in NumPy."""

    def __init__(
        self, program: Program, weights: Mapping[str, np.ndarray], space: PlainSpace, acts: Actions, name: str
    ) -> None:
        self.program, self.weights, self.space, self.acts, self.name = program, weights, space, acts, name
        usable = [path for path, leaf in leaves_of(space) if kind_of(leaf) in NUMERIC]
        types = {one.name: one.dtype for one in program.inputs}
        self.paths = {input_name(path): (path, np.dtype(types[input_name(path)])) for path in usable}

    def __call__(self, obs: object) -> np.ndarray:
        """One observation -> [A], N of them -> [N, A]; UsageError for what is neither."""
        try:
            raw, single = read_one_or_many(self.space, obs)
        except Mismatch as error:
            raise UsageError(f"the policy of {self.name} was given {error}") from None
        parts = {name: np.asarray(part_at(raw, path), dtype) for name, (path, dtype) in self.paths.items()}
        q = self.program.run({name: x[None] if single else x for name, x in parts.items()}, self.weights)
        return q[0] if single else q

    def check(self, where: Path) -> None:
        """RlnutError if it gives no q [1, A] of one observation."""
        example = {one.name: np.zeros((1, *one.shape), one.dtype) for one in self.program.inputs}
        try:
            found = self.program.run(example, self.weights)
            if found.shape != (1, *self.acts.choices):
                raise ValueError(f"it gives {list(found.shape)} for [1, {', '.join(map(str, self.acts.choices))}]")
        except (ArithmeticError, LookupError, MemoryError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise RlnutError(f"{where} is damaged: {type(error).__name__}: {reason}") from None


class LoadedPolicy(Policy):
    """The greedy policy of a run folder: `q` and `act` by NumPy, all else by the agent, which is made when needed."""

    def __init__(self, folder: Path, forward: Forward) -> None:
        self.folder, self.forward = folder, forward

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.forward.name}: {self.forward.acts.saw}, from {self.folder})"

    def q(self, obs: object) -> np.ndarray:
        """q(s, ·): one observation -> [A], N of them -> [N, A]; each is taken for the first of an episode.

        Of D decoupled choices [D, K] and [N, D, K].
        """
        return self.forward(obs)

    def portable(self) -> tuple[Program, Mapping[str, np.ndarray], str, Actions]:
        """q(s, ·) as a program and its weights, the environment's name, and the actions."""
        return self.forward.program, self.forward.weights, self.forward.name, self.forward.acts

    @property
    def _acts(self) -> Actions:
        return self.forward.acts

    def __reduce__(self) -> Any:
        return LoadedPolicy, (self.folder, self.forward)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name not in OF_THE_AGENT:
                raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
            from rlnut.control.run_folder import trained_policy

            vars(self).update(vars(trained_policy(self.folder)))
            return vars(self)[name]


def load_policy(
    folder: str | Path,
    env: EnvLike | None = None,
    network: Network | None = None,
    agent: AgentConfig | type[AgentConfig] | None = None,
    trust: bool = False,
) -> Policy:
    """The best greedy policy of a run folder; RlnutError if it is missing or damaged.

    Its `q` and `act` need neither the environment nor the agent's class; nor JAX and Gymnasium, but for a few agents
    (those with a scan over time) and for folders of earlier versions. The rest needs them: env: the environment to
    play, if not the one of the run; network, agent: what the run was given in Python, a network or the class of an
    agent of your own. trust: may the modules that the folder names be imported? Only for folders whose author you would
    let run code. With any of these, the agent is made at once.
    """
    if env is None and network is None and agent is None and not trust:
        path = as_path(folder, "a run folder")
        if (forward := read_forward(path)) is not None:
            return LoadedPolicy(path, forward)
    try:
        from rlnut.control.run_folder import trained_policy
    except ModuleNotFoundError as error:
        raise RlnutError(f"{folder}: this policy needs {error.name}, which is not installed") from None
    return trained_policy(folder, env, network, agent, trust)


def read_forward(folder: Path) -> Forward | None:
    """q(s, ·) of a run folder in NumPy; None if the folder has none, RlnutError if what it has is damaged."""
    check_folder(folder)
    found, place = read_json(folder / CONFIG), folder / FORWARD
    check_written_by(folder / CONFIG, found.get("rlnut", "0.0"))
    if not place.exists():
        return None
    policy, stored = read_arrays(folder / POLICY), read_arrays(place)
    try:
        for one in (policy, stored):
            check_belongs(folder / CONFIG, found, one)
        constants = {name[2:-2]: array for name, array in stored.arrays.items()}  # ['name'], as files name keys
        acts = read_actions(stored.meta["actions"], constants.pop(ACTIONS, None), place)
        program = read_program(stored.meta["program"], constants, place)
        forward = Forward(program, program.fitting(policy.arrays, policy.path), plain_space(stored.meta["observation"]),
                          acts, str(stored.meta["name"]))  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise RlnutError(f"{place} is damaged: {type(error).__name__}: {error}") from None
    forward.check(place)
    return forward
