"""The command line: `rlnut COMMAND ...`. Finds the command, prints its JSON, turns errors into one line and a status.

Progress and logs go to standard error; with --json the last line of standard output is one JSON object. Exit status
0 done, 1 the run failed, 2 invalid command line, 130 stopped by Ctrl-C.
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

from rlnut.commands import COMMANDS as COMMANDS
from rlnut.commands.options import converter, in_own_words, plain
from rlnut.errors import RlnutError, UsageError, unknown
from rlnut.other_names import COMMANDS as OTHER_COMMANDS
from rlnut.runtime.digits import only_digits
from rlnut.runtime.program_cache import SWITCH, keep_programs
from rlnut.runtime.streams import flush, make_usable, say
from rlnut.runtime.version import installed_version

COMPILE = frozenset(COMMANDS) - {"list", "check-env", "compare", "completion"}


class Version(argparse.Action):
    """`--version`, `-V`: the version is looked up when somebody asks for it."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        print(f"rlnut {installed_version()}")
        parser.exit()


class Parser(argparse.ArgumentParser):
    """argparse with errors as exceptions, so that each of them is reported in one place and one line."""

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


ABOUT = "Value-based reinforcement learning (DQN, TD(λ), LSTD, …) and the supervised models underneath, on JAX."
MORE = "rlnut help COMMAND shows the options of a command; rlnut list agents, and so on, what can be used."


def spelled_out(words: list[str]) -> list[str]:
    """`help COMMAND`, `version`, and other names of commands (`lists`, `eval`, `check_env`), as they are defined."""
    first = words[0] if words else ""
    if first == "help":
        return [*spelled_out(words[1:]), "--help"]
    if first == "version":
        return ["--version"]
    bare = first.lower().replace("_", "-")
    if first in COMMANDS or (bare not in COMMANDS and bare not in OTHER_COMMANDS):
        return words
    return [OTHER_COMMANDS.get(bare, bare), *words[1:]]


def parse(words: Sequence[str]) -> tuple[ModuleType, argparse.Namespace]:
    """The command's module and its parsed arguments; UsageError for an invalid command line."""
    top = Parser(prog="rlnut", description=ABOUT, epilog=MORE)
    top.add_argument("-V", "--version", action=Version, nargs=0, help="show the version and exit")
    commands = top.add_subparsers(metavar="COMMAND", parser_class=Parser)
    words = spelled_out(list(words))
    name = words[0] if words else ""
    if name and not name.startswith("-") and name not in COMMANDS:
        raise unknown("command", name, COMMANDS)
    wanted = [name] if name in COMMANDS else COMMANDS
    for command in wanted:
        line = COMMANDS[command]
        parser = commands.add_parser(command, help=line, description=line, allow_abbrev=False)
        if command == name:
            module = import_module(f"rlnut.commands.{command.replace('-', '_')}")
            words = [name, *getattr(module, "expanded", list)(words[1:])]  # of a run that is repeated
            module.configure(parser, words[1:])
            parser.check = getattr(module, "check", None)
            parser.add_argument("--seed", type=converter(int), metavar="N", help="random seed (default: 0)")
            parser.add_argument("--json", action="store_true", help="print one JSON object as the last line of stdout")
            if command in COMPILE:
                text = "do not use the cache of compiled programs in the user's cache folder"
                text += f" (environment variable {SWITCH}=off: always; {SWITCH}=DIR: use another folder)"
                parser.add_argument("--no-cache", dest="cache", action="store_false", help=text)
            parser.set_defaults(module=module)
    args = top.parse_args(words)
    if not hasattr(args, "module"):
        top.print_help(sys.stderr)
        raise UsageError("no command given")
    if args.seed is None:  # given neither by the user nor by a file that is repeated
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
    except KeyboardInterrupt:
        say("rlnut: stopped")
        return 130
    if words is None and getattr(args, "cache", False):  # called from Python, JAX's settings are not ours to change
        keep_programs()
    args.from_python = words is not None  # what this process registered is not known in another one
    from rlnut.runtime.interrupts import terminations

    try:
        with terminations():
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
