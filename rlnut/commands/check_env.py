"""`rlnut check-env ENV`: how a learner gets an environment, what looks suspicious, or what is not supported."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rlnut.commands.options import add_wrap, converter

if TYPE_CHECKING:
    import numpy as np

    from rlnut.envs.checking import EnvReport
    from rlnut.envs.random_play import ExampleStep

ROWS = 20  # components that are listed
FEW = 8  # numbers of an observation that are shown
KINDS = {
    "reset": "after a reset",
    "step": "an ordinary step",
    "termination": "at a termination",
    "truncation": "at a truncation",
}


def configure(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("env", metavar="ENV", help="a registered Gymnasium environment")
    parser.add_argument(
        "--env-arg", action="append", default=[], metavar="NAME=VALUE", help="constructor argument of the environment"
    )
    add_wrap(parser)
    parser.add_argument("--actions", help="grid or decoupled, for multi-dimensional actions")
    parser.add_argument("--bins", type=converter(int), metavar="INT", help="bins per dimension of a Box action")
    parser.add_argument(
        "--steps",
        type=converter(int),
        default=5_000,
        metavar="N",
        help="number of steps with uniformly random actions (default: 5000)",
    )


def run(args: argparse.Namespace) -> Mapping[str, object]:
    from rlnut.envs.arguments import environment
    from rlnut.envs.checking import check_env

    name = environment(args.env, args.env_arg, args.wrap)
    found = check_env(name, steps=args.steps, seed=args.seed, actions=args.actions, bins=args.bins)
    if not args.json:
        for line in report_lines(found, args.seed):
            print(line)
    return found.record() | {"seed": args.seed}


def report_lines(found: EnvReport, seed: int) -> Iterator[str]:
    """For people."""
    played, spec = found.played, found.spec
    yield f"{found.env}: {played.steps:,} steps of a uniform policy, seed {seed}"
    limit = "none" if found.time_limit is None else f"{found.time_limit:,} steps"
    facts = {
        "observation": " ".join(str(spec.observation_space).split()),
        "action": " ".join(str(spec.action_space).split()),
        "network input": spec.saw,
        "time limit": limit + ("" if found.solved_at is None else f"; solved at {found.solved_at:g}"),
        "reproducible": "yes" if found.reproducible else "no",
        "speed": f"{found.steps_per_s:,.0f} steps/s",
    }
    if found.outside_bounds is not None:
        facts["outside bounds"] = found.outside_bounds
    if played.allowed is not None:
        facts["masks"] = f"allow {played.allowed:.3g} of {sum(spec.acts.counts)} choices, in the mean"
    for key, value in facts.items():
        yield f"  {key:14} {value}"
    yield ""
    yield from _ranges(found)
    yield ""
    yield from _examples(found)
    yield ""
    if not found.remarks:
        yield "nothing looks suspicious"
        return
    yield "looks suspicious:"
    for remark in found.remarks:
        yield from textwrap.wrap(remark.text, 110, initial_indent="  - ", subsequent_indent="    ")


def _ranges(found: EnvReport) -> Iterator[str]:
    """Observations, rewards, episodes."""
    from rlnut.envs.checking import summed

    episodes, rows = found.played.episodes, []
    if found.spec.discrete:
        yield f"  {len(found.played.states):,} different observations were seen"
    elif (seen := found.observations) is not None:
        names = [f"observation {one.name}" for one in found.components] or ["observation, all pixels"]
        rows = list(zip(names, *(part.tolist() for part in (seen.low, seen.mean, seen.high, seen.std)), strict=True))
    more = len(rows) - ROWS
    rows = rows[:ROWS]
    sums: dict[str, list[float]] = {
        "reward": found.played.rewards,
        "return": [e.total for e in episodes],
        "length": [e.length for e in episodes],
    }
    rows += [(name, *total.values()) for name, numbers in sums.items() if (total := summed(numbers)) is not None]
    width = max(len(name) for name, *_ in rows)
    yield f"  {'':{width}} {'min':>10} {'mean':>10} {'max':>10} {'std':>10}"
    for name, *numbers in rows:
        yield f"  {name:{width}} " + " ".join(f"{number:10.4g}" for number in numbers)
        if more > 0 and name == rows[ROWS - 1][0]:
            yield f"  … and {more:,} more components (--json has all)"
    over, cut = (sum(getattr(e, flag) for e in episodes) for flag in ("terminated", "truncated"))
    yield f"  {len(episodes):,} episodes ended: {over:,} terminated, {cut:,} truncated"


def _examples(found: EnvReport) -> Iterator[str]:
    """Transitions as they are stored."""
    for kind, title in KINDS.items():
        one = found.played.examples.get(kind)
        if one is None:
            limit = (
                f"; the time limit is {found.time_limit:,} steps" if kind == "truncation" and found.time_limit else ""
            )
            yield f"{title}: none was seen in {found.played.steps:,} steps{limit}"
        elif kind == "reset":
            yield f"{title} (episode {one.episode}): s {_numbers(one.obs)}"
        else:
            yield f"{title} (episode {one.episode}, step {one.step}):"
            yield from _transition(one, kind)


def _transition(one: ExampleStep, kind: str) -> Iterator[str]:
    assert one.action is not None and one.next_obs is not None
    yield f"  s {_numbers(one.obs)}, a {_numbers(one.action)}, r {one.reward:.4g}, s' {_numbers(one.next_obs)}"
    value = "the value of s' does not count" if one.discount == 0 else "the value of s' counts"
    as_usual = ", as where nothing ends" if kind == "truncation" else ""
    yield f"  discount γ·(1 − terminated) = {one.discount:.4g}: {value}{as_usual}"
    if one.following is not None:
        yield f"  s' is {one.source}; the next episode begins with {_numbers(one.following)}"


def _numbers(x: np.ndarray) -> str:
    """A few numbers, or what an image is."""
    import numpy as np

    flat = np.asarray(x).reshape(-1)
    if flat.size > 64:
        return f"{x.dtype}{list(x.shape)} from {flat.min():.4g} to {flat.max():.4g}"
    shown = " ".join(f"{number:.4g}" for number in flat[:FEW].tolist())
    return f"{shown} …" if flat.size > FEW else shown
