"""`rlnut train --config FILE`: the command line of `train` where a config.json says most of it. It needs no JAX."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rlnut.agents.catalogue import AGENTS, AgentConfig
from rlnut.commands.options import TRUST, add_settings, chosen_settings, registered_name
from rlnut.control.recipe import Recipe
from rlnut.control.settings import RunSettings
from rlnut.errors import UsageError
from rlnut.runtime.registry import is_reference

if TYPE_CHECKING:
    from pathlib import Path

    from rlnut.control.repeat import Repetition
    from rlnut.envs.make import EnvLike
    from rlnut.runtime.files import JsonObject

ONLY = "has no effect without --config"


def add_config(parser: argparse.ArgumentParser) -> None:
    """`--config` and what belongs to it."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="repeat the run of a config.json (or run folder) exactly: agent, environment, settings and seed "
        "come from the file; AGENT and ENV may be omitted, and options given here override the file. "
        "Differences from the original run (options, versions, code) are reported",
    )
    parser.add_argument("--trust", action="store_true", help=f"with --config: {TRUST}")


def config_of(words: Sequence[str]) -> str | None:
    """What is given to --config; None: nothing."""
    found = None
    for word, after in zip(words, [*words, ""][1:], strict=True):
        if word == "--config" or word.startswith("--config="):
            found = word.partition("=")[2] if "=" in word else after
    return found


def configure_repeat(parser: argparse.ArgumentParser, words: Sequence[str], file: str) -> None:
    """Options of the recorded agent, with the recorded values as defaults; AGENT and ENV as far as they are given.

    Nothing that the file names is imported unless `--trust` is among the words.
    """
    given = registered_name(parser, words, AGENTS)
    recipe = Recipe(file, None, None if given is None else AGENTS.find(given), "--trust" in words, file=True)
    add_settings(parser, recipe.asked_training, "training, as recorded")
    add_settings(parser, recipe.asked, f"options of {recipe.found['agent']}, as recorded")
    takes_value = {name for action in parser._actions if action.nargs != 0 for name in action.option_strings}
    places = _positional(words, takes_value | {"--seed"})
    parser.set_defaults(agent=None, env=None)
    if places and (places[0] in AGENTS or is_reference(places[0])):
        parser.add_argument("agent", metavar="AGENT", help="class of the recorded agent, MODULE:CLASS")
        places = places[1:]
    if places:
        parser.add_argument("env", metavar="ENV", help="environment to use in place of the recorded one")


def _positional(words: Sequence[str], takes_value: set[str]) -> list[str]:
    """The words that are neither options nor values of options."""
    pairs = zip(["", *words], words, strict=False)
    return [word for before, word in pairs if not word.startswith("-") and before not in takes_value]


def complete(args: argparse.Namespace) -> None:
    """Agent and seed of the file, where none are given; UsageError for options that have no meaning beside it."""
    if args.no_preset:
        raise UsageError("--no-preset has no effect with --config: the recorded settings are used as they are")
    agent = None if args.agent is None else AGENTS.find(args.agent)
    args.recipe = Recipe(args.config, None, agent, args.trust, file=True)
    args.recorded_agent = agent or type(args.recipe.config)
    args.agent = args.recipe.found["agent"]
    args.seed = args.recipe.seed if args.seed is None else args.seed


def repeated(args: argparse.Namespace) -> Repetition:
    """The run that is to be repeated, with what the command line changes of it."""
    from rlnut.control.repeat import repetition

    recipe: Recipe = args.recipe
    kind: type[AgentConfig] = args.recorded_agent
    options, course = chosen_settings(args, kind()), chosen_settings(args, RunSettings())
    return repetition(recipe, options, course, args.seed, _environment(args, recipe), None, args.seeds)


def _environment(args: argparse.Namespace, recipe: Recipe) -> EnvLike | None:
    """The environment of the command line; None: the recorded one.

    Without ENV, `--env-arg` changes the arguments of the recorded one, and `--wrap` takes the place of its wrappers.
    """
    from dataclasses import replace

    from rlnut.envs.arguments import environment
    from rlnut.envs.make import EnvName

    if args.env is not None or not (args.env_arg or args.wrap):
        return None if args.env is None else environment(args.env, args.env_arg, args.wrap)
    recorded = recipe.environment(None)
    assert isinstance(recorded, EnvName)
    given = environment(recorded.id, args.env_arg, args.wrap)
    return replace(recorded, kwargs=recorded.kwargs | given.kwargs, wrappers=given.wrappers or recorded.wrappers)


def beside(one: Repetition, out: Path) -> JsonObject:
    """What a repeated run changed, and whether it came out the same; the latter for people, too."""
    from rlnut.control.repeat import same_as_before
    from rlnut.runtime.log import say

    same, line = same_as_before(one, out)
    if line:
        say(line)
    return {"repeats": one.record() | {"same": same}}
