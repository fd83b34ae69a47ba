"""A run folder, and the greedy policy that comes out of it.

| file                          | holds                                                               |
|-------------------------------|---------------------------------------------------------------------|
| config.json                   | agent, all its settings, environment, seed, versions, commit        |
| metrics.csv                   | one row for every few hundred steps; no clock times                 |
| policy.safetensors            | weights of the best greedy policy: all that `evaluate` needs        |
| checkpoint.safetensors        | everything: weights, target, optimiser, replay, keys, environments  |
| checkpoint-before.safetensors | the checkpoint before it, should that be damaged                    |
| curve.png                     | the learning curve                                                  |
| summary.json                  | the final evaluation and the speed                                  |
| forward.safetensors           | q(s, ·) as operations: `load_policy` then needs NumPy alone         |

What a folder says is data. Nothing that it names is imported or called, unless the user says that the folder can be
trusted: an environment of a module, or an agent's class that is not one of ours, is otherwise given by the user.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import gymnasium as gym
import jax

from rlnut.agents.catalogue import AgentConfig, agent_record
from rlnut.control.host_loop import one_row
from rlnut.control.plan import check_model
from rlnut.control.policy import Policy, PolicyOrigin
from rlnut.control.preprocessing import prepared_spec
from rlnut.control.recipe import BEFORE as BEFORE
from rlnut.control.recipe import CHECKPOINT as CHECKPOINT
from rlnut.control.recipe import CONFIG as CONFIG
from rlnut.control.recipe import FORWARD as FORWARD
from rlnut.control.recipe import POLICY as POLICY
from rlnut.control.recipe import SUMMARY as SUMMARY
from rlnut.control.recipe import Recipe as Recipe
from rlnut.control.recipe import as_data, names_code
from rlnut.control.recipe import identity as identity
from rlnut.control.settings import RunSettings
from rlnut.envs.make import EnvLike, env_name, maker
from rlnut.envs.space_records import recorded_space
from rlnut.envs.spaces import read_spaces, spec_of
from rlnut.errors import RlnutError, UsageError
from rlnut.learner.plain_spaces import plain_space
from rlnut.learner.spec import Choice, Spec
from rlnut.runtime.arrays import all_finite, in_structure, read_arrays
from rlnut.runtime.files import JsonObject
from rlnut.runtime.version import installed_version
from rlnut.types import Network


def describe(config: AgentConfig, env: EnvLike, training: RunSettings, seed: int, custom_network: bool) -> JsonObject:
    """config.json but for where the run was made (`provenance`): what decides what is learned."""
    name = env_name(env)
    return {
        "rlnut": installed_version(),
        **agent_record(type(config)),
        "config": asdict(config),
        "env": name.record() if name else None,
        "training": asdict(training),
        "seed": seed,
        "custom_network": custom_network,
    }


def trained_policy(
    folder: str | Path,
    env: EnvLike | None = None,
    network: Network | None = None,
    agent: AgentConfig | type[AgentConfig] | None = None,
    trust: bool = False,
) -> Policy:
    """The best greedy policy of a run folder, with its agent; RlnutError if it is missing or damaged.

    Arguments as those of `load_policy`. Where config.json has the spaces, no environment is made for them.
    """
    recipe = Recipe(folder, network, agent, trust)
    chosen = recipe.environment(env) if env is not None or "spaces" not in recipe.found else _sometime(recipe)
    path = recipe.folder / POLICY
    stored = recipe.check(read_arrays(path))  # missing or damaged: reported before an environment is made
    if env is not None:
        maker(env)  # what is no environment is refused now; the recorded one may be missing
    spec = prepared_spec(_recorded_spec(recipe, chosen, trust), recipe.training)
    if network is not None:
        check_model(network, spec)
    built = recipe.config.build(spec, network)
    n = recipe.training.num_envs
    row = one_row(spec, n, carry=built.carry(n))
    like = jax.eval_shape(lambda: built.init(jax.random.key(0), row).fit.params)
    params = in_structure(stored, like)
    if not all_finite(params):
        raise RlnutError(f"{path} is damaged: it holds weights that are not finite")
    return Policy(built, spec, params, chosen, PolicyOrigin(recipe.config, recipe.training, network))


def _sometime(recipe: Recipe) -> EnvLike:
    """The recorded environment; where there is none, or it must not be made, a function that says so."""
    try:
        return recipe.environment(None)
    except UsageError as error:
        reason = error

    def missing() -> gym.Env:
        raise reason

    return missing


def _recorded_spec(recipe: Recipe, env: EnvLike, trust: bool) -> Spec:
    """What the learner saw: by the recorded spaces, or in folders that have none by those of the environment."""
    choice, record = Choice(recipe.training.actions, recipe.training.bins), recipe.found.get("spaces")
    if record is not None:
        try:
            for name in ("observation", "action"):
                plain_space(record[name])  # of a size that a file may ask for
            seen, action = recorded_space(record["observation"]), recorded_space(record["action"])
            return spec_of(seen, action, choice, str(record["name"]))
        except (KeyError, TypeError, ValueError, AssertionError) as error:
            raise RlnutError(f"{recipe.path} is damaged: {type(error).__name__}: {error}") from None
    recorded = recipe.recorded
    learned_on = env if recorded is None or (not trust and names_code(recorded)) else as_data(recorded)
    example = maker(learned_on)()
    try:
        return read_spaces(example, choice)
    finally:
        example.close()
