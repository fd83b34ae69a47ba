"""`rlnut check-env ENV`: what the learner will see of an environment, or why it is not supported."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rlnut.commands.options import converter

if TYPE_CHECKING:
    from rlnut.envs.vector import EnvList


def configure(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("env", metavar="ENV", help="a registered Gymnasium environment")
    parser.add_argument(
        "--env-arg", action="append", default=[], metavar="NAME=VALUE", help="argument of the environment"
    )
    parser.add_argument("--actions", help="grid or decoupled, where an action has several numbers")
    parser.add_argument("--bins", type=converter(int), metavar="INT", help="values of each number of a Box action")


def run(args: argparse.Namespace) -> Mapping[str, object]:
    from rlnut.envs.arguments import environment
    from rlnut.envs.spaces import read_spaces
    from rlnut.envs.vector import EnvList
    from rlnut.learner.spec import Choice

    name = environment(args.env, args.env_arg)
    env = name.make()
    choice = Choice(args.actions, args.bins)
    spec = read_spaces(env, choice)
    envs = EnvList(lambda: env, 1, choice, every=True)
    found = {
        "env": str(name),
        "observation": str(env.observation_space),
        "action": str(env.action_space),
        "learner_sees": spec.saw,
        "time_limit": name.time_limit,
        "solved_at": name.threshold,
        "reproducible": reproducible(envs, args.seed),
        "outside_bounds": envs.envs[0].beyond,
    }
    envs.close()
    if not args.json:
        for key, value in found.items():
            print(f"{key.replace('_', ' '):14} {value}")
    return found


def reproducible(envs: EnvList, seed: int) -> bool:
    """Do 200 random steps, played again from the seed, end in the same observation? Exact resume needs it.

    RlnutError if what the environment returns breaks a promise in any of them.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    obs = envs.reset(seed)
    for _ in range(200):
        allowed = envs.spec.acts.allowed() if envs.mask is None else envs.mask[0]
        score = np.where(allowed, rng.random(allowed.shape), -1)
        obs = envs.step(score.argmax(-1)[None]).obs
    return bool(np.array_equal(obs, envs.restore(seed, envs.snapshot())))
