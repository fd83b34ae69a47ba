"""`rlnut export DIR`: the greedy policy of a run as a file that other programs run."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from rlnut.commands.options import AGENT, TRUST

FORMATS = ("onnx", "jax")


def configure(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("dir", metavar="DIR", help="a run folder")
    parser.add_argument(
        "--format", choices=FORMATS,
        help="onnx (needs rlnut[onnx]), or jax: serialised StableHLO of jax.export (default: what --out ends in, else"
        " onnx)",
    )  # fmt: skip
    parser.add_argument("--out", metavar="FILE", help="new file, .onnx or .jax (default: policy.onnx or .jax in DIR)")
    parser.add_argument("--agent", metavar="MODULE:CLASS", help=AGENT)
    parser.add_argument("--trust", action="store_true", help=TRUST)


def run(args: argparse.Namespace) -> Mapping[str, object]:
    from rlnut.agents.catalogue import AGENTS
    from rlnut.control.loaded_policy import load_policy
    from rlnut.runtime.files import as_path, new_file
    from rlnut.runtime.streams import say

    chosen = args.format or (None if args.out else FORMATS[0])
    out = args.out or str(as_path(args.dir, "a run folder") / f"policy.{chosen}")
    ending = f".{chosen}" if chosen else tuple(f".{name}" for name in FORMATS)
    agent = None if args.agent is None else AGENTS.find(args.agent)
    policy = load_policy(args.dir, agent=agent, trust=args.trust)
    path = policy.export(new_file(out, ending, "--out"))
    size = Path(path).stat().st_size
    say(f"q(s, ·) of {args.dir} in {path}, {size:,} bytes")
    return {"out": str(path), "format": path.suffix[1:], "bytes": size}
