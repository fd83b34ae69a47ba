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

What a folder says is data. Nothing that it names is imported or called, unless the user says that the folder can be
trusted: an environment of a module, or an agent's class that is not one of ours, is otherwise given by the user.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import jax

from rlnut.agents.catalogue import AgentConfig, agent_record
from rlnut.control.host_loop import one_row
from rlnut.control.plan import check_model
from rlnut.control.policy import Policy, PolicyOrigin
from rlnut.control.preprocessing import prepared_spec
from rlnut.control.recipe import BEFORE as BEFORE
from rlnut.control.recipe import CHECKPOINT as CHECKPOINT
from rlnut.control.recipe import CONFIG as CONFIG
from rlnut.control.recipe import POLICY as POLICY
from rlnut.control.recipe import SUMMARY as SUMMARY
from rlnut.control.recipe import Recipe as Recipe
from rlnut.control.recipe import as_data, names_code
from rlnut.control.recipe import identity as identity
from rlnut.control.settings import RunSettings
from rlnut.envs.make import EnvLike, env_name, maker
from rlnut.envs.spaces import read_spaces
from rlnut.errors import RlnutError
from rlnut.learner.spec import Choice
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


def load_policy(
    folder: str | Path,
    env: EnvLike | None = None,
    network: Network | None = None,
    agent: AgentConfig | type[AgentConfig] | None = None,
    trust: bool = False,
) -> Policy:
    """The best greedy policy of a run folder; RlnutError if it is missing or damaged.

    env: the environment to play, if not the one of the run; network, agent: what the run was given in Python, a
    network or the class of an agent of your own. trust: may the modules that the folder names be imported? Only for
    folders whose author you would let run code.
    """
    recipe = Recipe(folder, network, agent, trust)
    chosen = recipe.environment(env)
    recorded = recipe.recorded
    learned_on = chosen if recorded is None or (not trust and names_code(recorded)) else as_data(recorded)
    path = recipe.folder / POLICY
    stored = recipe.check(read_arrays(path))  # missing or damaged: reported before an environment is made
    maker(chosen)  # what is no environment is refused now
    example = maker(learned_on)()
    try:
        spec = read_spaces(example, Choice(recipe.training.actions, recipe.training.bins))
    finally:
        example.close()
    spec = prepared_spec(spec, recipe.training)
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
