"""The command line: `rlnut COMMAND ...`. Finds the command, prints its JSON, turns errors into one line and a status.

Progress and logs go to standard error; with --json the last line of standard output is one JSON object. Exit status
0 done, 1 the run failed, 2 the words are wrong, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import MISSING, fields
from importlib import import_module
from typing import Any, NoReturn

from rlnut.errors import RlnutError, UsageError, unknown
from rlnut.settings import Settings, kinds

COMMANDS = {  # name -> its line in the list; the module of the same name is imported when it is asked for
    "train": "learn Q on an environment and act greedily",
    "resume": "go on exactly with a run that was stopped, or for more steps",
    "evaluate": "play the greedy policy of a run on a fresh, real environment",
    "predict": "learn V_π or Q_π of a given policy, with the true values beside it; or apply a fit to new rows",
    "figure": "draw a figure of Sutton & Barto's book again, with reference values on it",
    "fit": "fit a model to labels or values",
    "demo": "a chapter of the lecture, with its picture",
    "list": "what there is: agents, methods, models, datasets, environments",
    "check-env": "what the learner will see of an environment, or why it cannot be served",
}


class Parser(argparse.ArgumentParser):
    """argparse with errors as exceptions, so that every wrong word is answered in one place and one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see: {self.prog} --help)")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, extra = super().parse_known_args(args, namespace)
        options = [word for word in extra if word.startswith("-")]
        if options:
            known = [name for action in self._actions for name in action.option_strings]
            raise unknown("option", options[0].split("=")[0], known)
        return found, extra


def add_settings(parser: argparse.ArgumentParser, config: Settings, title: str) -> None:
    """One option for each field of a config: type, default, range and help come from the field itself."""
    group = parser.add_argument_group(title)
    hints = kinds(type(config))
    for f in fields(config):
        scalar, _, many = hints[f.name]
        default = getattr(config, f.name)
        text = f"{f.metadata['help']} (default: {_shown(default)})".replace("%", "%%")
        option = "--" + f.name.replace("_", "-")
        if scalar is bool:
            group.add_argument(option, action=argparse.BooleanOptionalAction, default=None, help=text)
            continue
        choices = f.metadata.get("choices")
        metavar = "{" + ",".join(choices) + "}" if choices else scalar.__name__.upper() + (",..." if many else "")
        group.add_argument(option, type=converter(scalar, many), default=None, metavar=metavar, help=text)


def chosen_settings(args: argparse.Namespace, config: Settings) -> dict[str, Any]:
    """The fields of `config` that the user gave on the command line."""
    given = {f.name: getattr(args, f.name, None) for f in fields(config) if f.default is not MISSING}
    return {name: value for name, value in given.items() if value is not None}


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def chosen_name(parser: argparse.ArgumentParser, words: Sequence[str], names: Iterable[str]) -> str | None:
    """The first of the words that is one of the names and not the value of an option: it brings options of its own."""
    names = set(names)
    takes_value = {name for action in parser._actions if action.nargs != 0 for name in action.option_strings}
    pairs = zip(["", *words], words, strict=False)
    return next((word for before, word in pairs if word in names and before not in takes_value), None)


def converter(scalar: type, many: bool = False) -> Callable[[str], Any]:
    """Text -> value for argparse; `many`: several, with commas between them."""

    def one(text: str) -> Any:
        try:
            number = float(text) if scalar in (int, float) else text
            if scalar is int:
                if not float(number).is_integer():
                    raise ValueError
                return int(text) if text.lstrip("+-").isdigit() else int(number)
            return number
        except (ValueError, OverflowError):
            raise argparse.ArgumentTypeError(f"{text!r} is not of type {scalar.__name__}") from None

    def convert(text: str) -> Any:
        if many:
            return tuple(one(part) for part in text.split(",") if part)
        return one(text)

    return convert


def parse(words: Sequence[str]) -> tuple[Any, argparse.Namespace]:
    """The command's module and its parsed arguments; words that are wrong raise UsageError."""
    from rlnut import __version__

    top = Parser(prog="rlnut", description="Learns value functions: g_θ(x) regressed onto labels or Bellman targets.")
    top.add_argument("--version", action="version", version=f"rlnut {__version__}")
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
            parser.add_argument("--seed", type=converter(int), default=0, metavar="N", help="random seed (default: 0)")
            parser.add_argument("--json", action="store_true", help="print one JSON object as the last line of stdout")
            parser.set_defaults(module=module)
    args = top.parse_args(words)
    if not hasattr(args, "module"):
        top.print_help(sys.stderr)
        raise UsageError("give a command")
    if not 0 <= args.seed < 2**32:
        raise UsageError(f"--seed must be >= 0 and < 2**32, got {args.seed}")
    return args.module, args


def plain(value: Any) -> Any:
    """Arrays and NumPy scalars -> what JSON can hold; a number that is not finite -> null."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    try:
        status = _run(words)
        sys.stdout.flush()  # what is buffered must meet a closed pipe here, not at Python's exit
        return status
    except BrokenPipeError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(words: Sequence[str] | None) -> int:
    try:
        module, args = parse(sys.argv[1:] if words is None else words)
        answer = module.run(args)
        if args.json:
            print(json.dumps(plain(answer)), flush=True)
        return 0
    except RlnutError as error:
        print(f"rlnut: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print("rlnut: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        raise
    except SystemExit as stop:  # --help and --version
        return int(stop.code or 0)
    except Exception as error:  # no input should come to this: a fault of ours, of an environment, of the machine
        if os.environ.get("RLNUT_DEBUG"):
            raise
        text = " ".join(str(error).split())[:500]
        print(f"rlnut: {type(error).__name__}: {text} (RLNUT_DEBUG=1 shows where)", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
