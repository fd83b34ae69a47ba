"""`rlnut fit MODEL DATASET`: supervised learning."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rlnut.choices import MEMORY
from rlnut.commands.options import (
    add_format,
    add_log_option,
    add_settings,
    chosen_format,
    chosen_loggers,
    chosen_name,
    chosen_settings,
    converter,
)
from rlnut.commands.recorded import OF_THE_CALL, record_command, report_repeat, with_recorded, without
from rlnut.commands.repeating import config_of
from rlnut.data.table_settings import TableSettings
from rlnut.errors import UsageError, counted, unknown
from rlnut.settings import Settings
from rlnut.supervised.linear_settings import LINEAR_MODELS
from rlnut.supervised.network_settings import MODELS

if TYPE_CHECKING:
    from rlnut.data.dataset import Dataset

NAMES: dict[str, type[Settings]] = {**LINEAR_MODELS, **MODELS}


def expanded(words: Sequence[str]) -> list[str]:
    """The words, behind those that a folder given to `--config` has recorded."""
    return with_recorded(words, config_of(words))


def configure(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """The arguments; MODEL decides which further options there are."""
    from rlnut.data.catalogue import DATASETS

    parser.add_argument(
        "model",
        metavar="MODEL",
        help=f"one of: {', '.join(NAMES)}. `rlnut fit MODEL --help` lists the options of a model",
    )
    lengths = f"{', '.join(MEMORY)} take an optional length, as in recall:50"
    known = f"one of: {', '.join(DATASETS)} ({lengths}); or your own data: a .csv, .parquet, .npy or .npz file"
    parser.add_argument("dataset", metavar="DATASET", nargs="?", help=known)
    where = "folder with the dataset's files (default: $RLNUT_DATA, else the user's cache folder, else a download)"
    parser.add_argument("--data", metavar="PATH", help=f"{where}; or your own file, if DATASET is not given")
    parser.add_argument("--target", metavar="COLUMN", help="the column of your own file to predict")
    share = "share of the rows held out for testing, for small tables and your own files (default: 0.2; 0: none)"
    parser.add_argument("--test", metavar="SHARE", type=converter(float), help=share)
    chosen = "use only these classes, comma-separated: 3,8 for two of MNIST's digits"
    parser.add_argument("--classes", metavar="A,B,...", help=chosen)
    parser.add_argument("--out", metavar="DIR", help="new folder for config, model, metrics and figures")
    again = "repeat the fit of this folder (or of the config.json in it) exactly, but for the options given here"
    parser.add_argument("--config", metavar="DIR", help=again)
    add_format(parser)
    add_log_option(parser)
    add_settings(parser, TableSettings(), "columns of your own file")
    name = chosen_name(parser, words, NAMES)
    if name is not None:
        add_settings(parser, NAMES[name](), f"options of {name}")


def check(args: argparse.Namespace) -> None:
    """UsageError for a name that is no model."""
    if args.model not in NAMES:
        raise unknown("model", args.model, NAMES, other=args.dataset)


def run(args: argparse.Namespace) -> Mapping[str, object]:
    """Fit, and say how well."""
    from rlnut.runtime.streams import say
    from rlnut.supervised.fit import fit

    settings = chosen_settings(args, NAMES[args.model]())
    table = chosen_settings(args, TableSettings())
    where = {"data": args.data, "target": args.target, "test": args.test, "out": args.out}
    form = chosen_format(args)
    if form and not args.out:
        raise UsageError("--format has no effect without --out, the folder for the figures")
    where |= {"image": form or "png", "loggers": chosen_loggers(args)}
    dataset = args.dataset
    if args.classes is not None:
        dataset, table = _chosen_classes(args, TableSettings(**table)), {}
        where = {"out": args.out}
    fitted = fit(args.model, dataset, **where, seed=args.seed, **settings, **table)
    found = fitted.result
    if args.out:
        record_command(args.out, args.words[1:])
    names = [key for key in ("test_accuracy", "test_mse") if key in found]
    figure = f"{names[0].replace('_', ' ')} {found[names[0]]:.4f}" if names else "no test figure"
    kept = f"; the model is in {args.out}" if args.out else ""
    if found["ended"] == "interrupted":
        kept = kept or "; nothing is kept without --out"
        say(f"stopped by Ctrl-C after {counted(found['updates'], 'update')}: {figure}{kept}")
        raise KeyboardInterrupt
    on = f"{figure} on {counted(found['test_size'], 'test row')}"
    on = on if names else f"fitted to all {counted(found['train_size'], 'row')}; no test rows, so no test figure"
    say(fitted.summary().partition("\n")[2])  # layers or coefficients; its first line is that below
    say(f"{on} in {found['wall_s']:.1f} s{kept}")
    if args.config is not None:
        given = without(args.words[1:], OF_THE_CALL)
        changed = given != with_recorded([], args.config)
        found = found | {"repeats": {"config": args.config, "same": report_repeat(args.config, args.out, changed)}}
    return found


def _chosen_classes(args: argparse.Namespace, table: TableSettings) -> Dataset:
    """The dataset that the arguments name, with the rows of --classes only."""
    from rlnut.data.catalogue import load_dataset
    from rlnut.data.dataset import only_classes

    task = getattr(args, "task", None) or "auto"
    found = load_dataset(args.dataset, args.data, args.target, task, args.test, table=table)
    return only_classes(found, args.classes)
