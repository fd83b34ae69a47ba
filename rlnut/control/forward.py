"""q(s, ·) of a run as a file that NumPy alone can read: how an observation is read, the operations, the actions.

It is made once, when a run begins, by tracing what the agent computes: encoding, normalisation, network, readout. The
weights stay in policy.safetensors, under the names that the operations use.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rlnut.control.recipe import FORWARD
from rlnut.errors import RlnutError
from rlnut.learner.actions import Actions, Choice
from rlnut.runtime.files import JsonObject

if TYPE_CHECKING:
    from rlnut.learner.agent import Agent
    from rlnut.learner.spec import Spec
    from rlnut.portable.program import Program
    from rlnut.types import Params


ACTIONS = "actions"  # the array of what they mean to the environment


def spaces_record(spec: Spec) -> JsonObject:
    """The spaces of an environment, for config.json: with them a policy is loaded where the environment is missing."""
    from rlnut.envs.space_records import space_record

    seen, action = space_record(spec.observation_space), space_record(spec.action_space)
    return {"name": spec.name, "observation": seen, "action": action}


def input_name(path: tuple[str | int, ...]) -> str:
    """The name of a part of an observation as an input of a program: "observation", or "observation.key.0"."""
    return ".".join(["observation", *map(str, path)])


def values_of_parts(agent: Agent, spec: Spec, params: Params, parts: dict[str, Any]) -> Any:
    """q(s, ·) [N, A] of first observations, from the parts that `input_name` names; JAX can trace it."""
    import jax
    import jax.numpy as jnp

    from rlnut.envs.observations import assembled, stored_parts
    from rlnut.types import Look

    named = {path: parts[input_name(path)] for path, *_ in stored_parts(spec.observation_space)}
    rows = len(next(iter(named.values())))
    stored = spec.observed.read(assembled(spec.observation_space, (), named), jnp)
    carry = jax.tree.map(jnp.asarray, agent.carry(rows))
    return agent.q(params, carry, Look(stored, jnp.ones(rows, bool)))[0]


def program_of(agent: Agent, spec: Spec, params: Params) -> Program:
    """q(s, ·) as a program; NotPortable where it has no such form. params: arrays, or their shapes and types."""
    from rlnut.envs.observations import stored_parts
    from rlnut.portable.program import ProgramInput
    from rlnut.portable.tracing import traced

    parts = stored_parts(spec.observation_space)
    inputs = tuple(ProgramInput(input_name(path), shape, str(dtype)) for path, dtype, shape in parts)
    return traced(lambda weights, given: values_of_parts(agent, spec, weights, given), params, inputs)


def save_forward(folder: Path, agent: Agent, spec: Spec, params: Params, run: str) -> None:
    """Write the file; nothing for an agent whose values have no form in NumPy. run: what the weights belong to."""
    from rlnut.envs.space_records import space_record
    from rlnut.runtime.arrays import save_arrays

    try:
        program = program_of(agent, spec, params)
    except Exception:  # an agent or a network of the user's may do anything; without this file the policy needs JAX
        return
    acts = spec.acts
    arrays = dict(program.constants) | ({} if acts.values is None else {ACTIONS: acts.values})
    meta = {
        "run": run,
        "name": spec.name,
        "observation": space_record(spec.observation_space),
        "actions": {
            "choices": acts.choices, "start": acts.start, "shape": acts.shape, "counts": acts.counts, "saw": acts.saw,
        },
        "program": program.record(),
    }  # fmt: skip
    save_arrays(folder / FORWARD, arrays, meta)


def read_actions(record: Any, values: np.ndarray | None, where: object) -> Actions:
    """The actions that such a file says; RlnutError for what is none."""
    try:
        choices, counts = (tuple(int(n) for n in record[key]) for key in ("choices", "counts"))
        shape = tuple(int(n) for n in record["shape"])
        found = Actions(choices, int(record["start"]), values, shape, counts, str(record["saw"]), Choice())
        good = 1 <= len(choices) <= 2 and min(choices) >= 1
        wanted = None if values is None else (*choices, *shape) if len(choices) == 1 else choices
        if not good or (values is not None and values.shape != wanted):
            raise ValueError(f"actions {choices} of shape {shape}")
    except (KeyError, TypeError, ValueError) as error:
        raise RlnutError(f"{where} is damaged: {type(error).__name__}: {error}") from None
    return found
