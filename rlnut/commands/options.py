"""What several commands share: options made from the fields of a config, text turned into values, values into JSON."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, TypeVar

from rlnut.choices import FORMATS
from rlnut.errors import UsageError, unknown
from rlnut.other_names import own_option
from rlnut.runtime.digits import only_digits
from rlnut.runtime.registry import Registry, is_reference
from rlnut.settings import Options, Settings, kinds

if TYPE_CHECKING:
    from rlnut.envs.make import EnvName
    from rlnut.runtime.loggers import Logger

T = TypeVar("T")
AGENT = "class of the run's agent, if it is not built into rlnut: MODULE:CLASS, or its registered name"
TRUST = "import the modules that the run folder names (they run code: only for folders that you trust)"


def add_settings(parser: argparse.ArgumentParser, config: Settings, title: str) -> None:
    """One option for each field of a config: type, default, range and help come from the field itself."""
    group = parser.add_argument_group(title)
    hints = kinds(type(config))
    for f in fields(config):
        scalar, _, many = hints[f.name]
        default = getattr(config, f.name)
        text = _with_default(f.metadata.get("help", ""), default).replace("%", "%%")
        option = "--" + f.name.replace("_", "-")
        choices = f.metadata.get("choices")
        metavar = "{" + ",".join(choices) + "}" if choices else scalar.__name__.upper() + (",..." if many else "")
        words = f.metadata.get("words", {})
        metavar = "|".join((metavar, *words))
        form: dict[str, Any] = {"type": converter(scalar, many, words), "metavar": metavar}
        if scalar is bool:
            form = {"action": argparse.BooleanOptionalAction}
        try:
            group.add_argument(option, default=None, help=text, **form)
        except argparse.ArgumentError:  # of an agent of the user's
            raise UsageError(f"{title}: {option} is an option of the command already: rename the field") from None


def add_wrap(parser: argparse.ArgumentParser, of: str = "the environment") -> None:
    """`--wrap`."""
    parser.add_argument(
        "--wrap",
        action="append",
        default=[],
        metavar="NAME[,ARG=VALUE,...]",
        help=f"put a wrapper around {of}: one of Gymnasium's, such as FrameStackObservation,stack_size=4, or your own,"
        " MODULE:CLASS,ARG=VALUE; may be repeated, innermost first",
    )


def given_environment(args: argparse.Namespace) -> EnvName | None:
    """What `--env` and `--wrap` give in the place of a recorded environment; None: nothing."""
    if args.env is None:
        if args.wrap:
            raise UsageError("--wrap needs --env, the environment that it wraps: the recorded one has its own wrappers")
        return None
    from rlnut.envs.arguments import environment

    return environment(args.env, wraps=args.wrap)


def add_log_option(parser: argparse.ArgumentParser) -> None:
    """`--log`."""
    parser.add_argument(
        "--log",
        metavar="LOGGER,...",
        help="also log the rows of metrics.csv to: tensorboard (event files in the run folder) or"
        " tensorboard:DIR, wandb or wandb:PROJECT, mlflow or mlflow:URI",
    )


def add_processes(parser: argparse.ArgumentParser) -> None:
    """`--coordinator`, `--processes`, `--process`."""
    parser.add_argument(
        "--coordinator",
        metavar="HOST:PORT",
        help="several processes, perhaps on several machines, train one run with --native --devices all: where process"
        " 0 can be reached; start the same command with --process 0, 1, …; process 0 writes the folder",
    )
    parser.add_argument("--processes", type=converter(int), metavar="P", help="how many there are")
    parser.add_argument("--process", type=converter(int), metavar="I", help="which one this is, from 0")


def process_of(args: argparse.Namespace) -> int:
    """Join the processes that the command line names, if it does: which one this is."""
    given = {name: getattr(args, name) for name in ("coordinator", "processes", "process")}
    if all(value is None for value in given.values()):
        return 0
    if missing := [name for name, value in given.items() if value is None]:
        raise UsageError(f"--{missing[0]} is missing: --coordinator, --processes and --process belong together")
    if args.seeds > 1 or (args.config is None and not args.native):
        raise UsageError("--coordinator joins processes in one run with --native --devices all, without --seeds")
    from rlnut.runtime.devices import join_processes

    join_processes(**given)
    return int(args.process)


def chosen_loggers(args: argparse.Namespace, part: str = "") -> list[Logger]:
    """What `--log` names; part: the folder of one of several runs, inside DIR."""
    if args.log is None:
        return []
    from rlnut.runtime.trackers import loggers_named

    return loggers_named(args.log, part)


def chosen_settings(args: argparse.Namespace, config: Settings) -> Options:
    """The fields of `config` that the user gave on the command line."""
    given = {f.name: getattr(args, f.name, None) for f in fields(config) if f.default is not MISSING}
    return {name: value for name, value in given.items() if value is not None}


def add_format(parser: argparse.ArgumentParser) -> None:
    """`--format`, for commands that draw."""
    parser.add_argument(
        "--format", metavar="{png,svg,pdf}", help="format of the figure (default: the ending of --out, else png)"
    )


def chosen_format(args: argparse.Namespace) -> str | None:
    """The format that the user named, or None. UsageError for others."""
    if args.format is not None and args.format not in FORMATS:
        raise unknown("format", args.format, FORMATS)
    return str(args.format) if args.format else None


def _with_default(text: str, default: object) -> str:
    """The help text of an option with its default: what "(None: …)" or "(empty: …)" describes, or the value itself."""
    if default is None or default == ():
        return re.sub(r"\((?:None|empty): ", "(default: ", text)
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
    return f"{text} (default: {shown})".lstrip()


def chosen_name(parser: argparse.ArgumentParser, words: Sequence[str], names: Iterable[str]) -> str | None:
    """The first of the words that is one of the names and not the value of an option: it brings options of its own."""
    names = set(names)
    takes_value = {name for action in parser._actions if action.nargs != 0 for name in action.option_strings}
    pairs = zip(["", *words], words, strict=False)
    return next((word for before, word in pairs if word in names and before not in takes_value), None)


def registered_name(parser: argparse.ArgumentParser, words: Sequence[str], names: Registry[T]) -> str | None:
    """The same for names that packages may add, and for MODULE:NAME: that must be the first word of no option."""
    if (known := chosen_name(parser, words, names.known())) is not None:
        return known
    flags = {"--json", *(name for action in parser._actions if action.nargs == 0 for name in action.option_strings)}
    pairs = zip(["", *words], words, strict=False)
    first = (
        word for before, word in pairs if word[:1] != "-" and (before[:2] != "--" or "=" in before or before in flags)
    )
    word = next(first, None)
    return word if word is not None and (is_reference(word) or word in names) else None


def converter(scalar: type, many: bool = False, words: Collection[str] = ()) -> Callable[[str], object]:
    """Text -> value for argparse; `many`: several, with commas between them; `words` are left as they are."""

    def one(text: str) -> object:
        if text in words:
            return text
        try:
            number = float(text) if scalar in (int, float) else text
            if scalar is int:
                if not float(number).is_integer():
                    raise ValueError
                return int(text) if only_digits(text.lstrip("+-")) else int(number)
            return number
        except (ValueError, OverflowError):
            raise argparse.ArgumentTypeError(f"{text!r} is not of type {scalar.__name__}") from None

    def convert(text: str) -> object:
        if many:
            return tuple(one(part) for part in text.split(",") if part)
        return one(text)

    # the parser asks, for its advice on `--hidden 64 64`
    convert.many = many  # type: ignore[attr-defined]
    return convert


def in_own_words(words: Sequence[str], known: Mapping[str, argparse.Action]) -> list[str]:
    """The words with rlnut's options in the place of those that other libraries call otherwise: `--batch-size 32`.

    `--exploration-fraction F` becomes `--epsilon-steps`, where `--steps` are given of which it is the share.
    """
    names = [name for name in known if name.startswith("--")]
    found: list[str] = []
    for word in words:
        name, equals, value = word.partition("=")
        ours = own_option(name, names) if name.startswith("--") and len(name) > 2 else None
        if ours is not None and ours != name and known[ours].nargs != 0 and _given(ours, words):
            raise UsageError(f"{name} is another name of {ours}: give one of them")
        found.append(f"{ours}{equals}{value}" if ours else word)
    return _fraction(found) if "--epsilon-steps" in known else found


def _given(option: str, words: Sequence[str]) -> bool:
    return any(word == option or word.startswith(f"{option}=") for word in words)


def _fraction(words: list[str]) -> list[str]:
    """Another library's share of the steps in which ε falls, as a number of steps."""
    pairs = [(i, *word.partition("=")) for i, word in enumerate(words) if word.startswith("--")]
    values = {name: value if equals else "".join(words[i + 1 : i + 2]) for i, name, equals, value in pairs}
    for i, name, equals, _ in pairs:
        if name.replace("_", "-") == "--exploration-fraction" and "--steps" in values:
            try:
                share, steps = float(values[name]), float(values["--steps"])
            except ValueError:
                return words
            if not 0 < share <= 1 or not math.isfinite(steps) or "--epsilon-steps" in values:
                raise UsageError(f"{name} is a share > 0 and <= 1 of --steps, in the place of --epsilon-steps")
            return [*words[:i], "--epsilon-steps", str(max(1, round(share * steps))), *words[i + 2 - bool(equals) :]]
    return words


def plain(value: object) -> Any:
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
