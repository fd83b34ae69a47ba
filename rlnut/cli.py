"""The command line: `rlnut COMMAND ...`. Finds the command, prints its JSON, turns errors into one line and a status.

Progress and logs go to standard error; with --json the last line of standard output is one JSON object. Exit status
0 done, 1 the run failed, 2 the words are wrong, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any, NoReturn

from rlnut.commands.options import converter, in_own_words, plain
from rlnut.errors import RlnutError, UsageError, unknown
from rlnut.runtime.digits import only_digits
from rlnut.runtime.program_cache import SWITCH, keep_programs
from rlnut.runtime.streams import flush, make_usable, say
from rlnut.runtime.version import installed_version

COMMANDS = {  # name -> its line in the list; the module of the same name is imported when it is asked for
    "train": "learn Q on an environment and act greedily",
    "resume": "continue a run exactly where it stopped, or for more steps",
    "evaluate": "play the greedy policy of a run on a fresh, real environment",
    "plot": "learning curves of runs, over seeds, agents and environments",
    "compare": "compare agents over seeds and environments, with intervals",
    "predict": "learn V_π or Q_π of a given policy, with the true values beside it; or apply a fit to new rows",
    "figure": "draw a figure of Sutton & Barto's book again, with reference values on it",
    "fit": "fit a model to labels or values",
    "demo": "a chapter of the lecture, with its picture",
    "list": "what there is: agents, methods, models, datasets, environments",
    "check-env": "what the learner will see of an environment, what looks suspicious, or why it is not supported",
}
COMPILE = frozenset(COMMANDS) - {"list", "check-env", "plot", "compare"}


class Version(argparse.Action):
    """`--version`: the version is looked up when somebody asks for it."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        print(f"rlnut {installed_version()}")
        parser.exit()


class Parser(argparse.ArgumentParser):
    """argparse with errors as exceptions, so that every wrong word is answered in one place and one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see: {self.prog} --help)")

    check: Callable[[argparse.Namespace], None] | None = None  # of the names that decide which options there are

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        args = in_own_words(args or (), self._option_string_actions)
        found, extra = super().parse_known_args(args, namespace)
        if self.check is not None:
            self.check(found)
        first = next((action.dest for action in self._actions if not action.option_strings), "")
        name = getattr(found, first, None) if self.check else None
        see = f"{self.prog} {name} --help" if name else f"{self.prog} --help"
        options = [word for word in extra if word.startswith("-") and not only_digits(word[1:2])]
        if options:
            known = [name for action in self._actions for name in action.option_strings if name.startswith("--")]
            raise unknown("option", options[0].split("=")[0], known, see=see)
        if extra:
            raise UsageError(f"{self._superfluous(extra[0], list(args or ()))} (see: {see})")
        return found, extra

    def _superfluous(self, word: str, words: list[str]) -> str:
        """What to say of a word that no argument takes: often the second value of `--hidden 64 64`."""
        text = f"unexpected argument {word!r}"
        for at in (i for i, other in enumerate(words) if other == word):
            start = max((i for i in range(at) if words[i].startswith("--")), default=at)
            option, equals, value = words[start].partition("=")
            values = [value] * bool(equals) + words[start + 1 : at + 1]
            action = self._option_string_actions.get(option)
            if len(values) < 2 or action is None or action.nargs == 0:
                continue
            if not getattr(action.type, "many", False):
                return f"{text}: {option} takes one value"
            return f"{text}: several values of {option} have commas between them, as in {option} 64,32"
        return text


def parse(words: Sequence[str]) -> tuple[ModuleType, argparse.Namespace]:
    """The command's module and its parsed arguments; words that are wrong raise UsageError."""
    top = Parser(prog="rlnut", description="Learns value functions: g_θ(x) regressed onto labels or Bellman targets.")
    top.add_argument("--version", action=Version, nargs=0, help="show the version and exit")
    commands = top.add_subparsers(metavar="COMMAND", parser_class=Parser)
    words = list(words)
    name = words[0] if words else ""
    if name and not name.startswith("-") and name not in COMMANDS:
        raise unknown("command", name, COMMANDS)
    wanted = [name] if name in COMMANDS else COMMANDS
    for command in wanted:
        line = COMMANDS[command]
        parser = commands.add_parser(command, help=line, description=line, allow_abbrev=False)
        if command == name:
            module = import_module(f"rlnut.commands.{command.replace('-', '_')}")
            module.configure(parser, words[1:])
            parser.check = getattr(module, "check", None)
            parser.add_argument("--seed", type=converter(int), metavar="N", help="random seed (default: 0)")
            parser.add_argument("--json", action="store_true", help="print one JSON object as the last line of stdout")
            if command in COMPILE:
                text = "neither use nor keep compiled programs in the user's cache folder"
                text += f" (environment variable {SWITCH}=off: never; {SWITCH}=DIR: in another folder)"
                parser.add_argument("--no-cache", dest="cache", action="store_false", help=text)
            parser.set_defaults(module=module)
    args = top.parse_args(words)
    if not hasattr(args, "module"):
        top.print_help(sys.stderr)
        raise UsageError("give a command")
    if args.seed is None:  # neither the user nor a file that is repeated says one
        args.seed = 0
    if not 0 <= args.seed < 2**32:
        raise UsageError(f"--seed must be >= 0 and < 2**32, got {args.seed}")
    args.words = words
    return args.module, args


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    make_usable()
    try:
        status = _run(words)
    except BrokenPipeError:
        status = 1
    # what is buffered must meet a closed pipe or a full disk here, not at Python's exit
    lost = flush("stdout")
    if lost is not None and not isinstance(lost, BrokenPipeError):
        say(f"rlnut: cannot write to standard output: {lost.strerror or lost}")
    flush("stderr")
    return status if lost is None else status or 1


def _run(words: Sequence[str] | None) -> int:
    try:
        module, args = parse(sys.argv[1:] if words is None else words)
    except SystemExit as stop:  # --help and --version
        return int(stop.code or 0)
    except RlnutError as error:
        say(f"rlnut: {error}")
        return error.status
    if words is None and getattr(args, "cache", False):  # called from Python, JAX's settings are not ours to change
        keep_programs()
    args.from_python = words is not None  # what this process registered is not known in another one
    try:
        answer = module.run(args)
        if args.json:
            print(json.dumps(plain(answer)), flush=True)
        return 1 if answer.get("failed") else 0  # a part of it, which has been reported
    except RlnutError as error:
        if os.environ.get("RLNUT_DEBUG") and error.__cause__ is not None:
            raise
        say(f"rlnut: {error}")
        return error.status
    except KeyboardInterrupt:
        say("rlnut: stopped")
        return 130
    except BrokenPipeError:
        raise
    except BaseException as error:  # no input should come to this: a fault of ours, of an environment, of the machine
        if os.environ.get("RLNUT_DEBUG"):
            raise
        text = " ".join(str(error).split())[:500]
        say(f"rlnut: {type(error).__name__}: {text} (RLNUT_DEBUG=1 shows where)")
        return 1


if __name__ == "__main__":
    sys.exit(main())
