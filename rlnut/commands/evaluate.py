"""`rlnut evaluate DIR`: the greedy policy of a run on a fresh, real environment."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from rlnut.commands.options import AGENT, TRUST, converter
from rlnut.errors import UsageError


def configure(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("dir", metavar="DIR", help="a run folder")
    parser.add_argument("--episodes", type=converter(int), default=20, metavar="N", help="fresh episodes (default: 20)")
    parser.add_argument("--env", metavar="ENV", help="another environment with the same spaces")
    parser.add_argument("--agent", metavar="MODULE:CLASS", help=AGENT)
    parser.add_argument("--trust", action="store_true", help=TRUST)
    parser.add_argument("--video", metavar="FILE", help="write one more episode as an animated .gif")


def run(args: argparse.Namespace) -> Mapping[str, object]:
    if args.episodes < 1:
        raise UsageError(f"--episodes must be >= 1, got {args.episodes}")
    from rlnut.agents.catalogue import AGENTS
    from rlnut.control.evaluate import mean_and_std
    from rlnut.control.run_folder import load_policy
    from rlnut.runtime.files import new_file
    from rlnut.runtime.log import say

    video = new_file(args.video, ".gif", "--video") if args.video else None
    agent = None if args.agent is None else AGENTS.find(args.agent)
    policy = load_policy(args.dir, env=args.env, agent=agent, trust=args.trust)
    result = policy.evaluate(args.episodes, args.seed)
    count = f"{args.episodes} episode{'s' if args.episodes > 1 else ''}"
    say(f"greedy return {mean_and_std(result.mean, result.std, '.2f')} over {count}")
    if (interval := result.ci95) is not None:
        say(f"95 % interval of the mean: {interval[0]:.2f} … {interval[1]:.2f}")
    if result.cut:
        say(f"{result.cut} episodes were given up: this environment has no time limit")
    answer: dict[str, object] = {"mean": result.mean, "std": result.std, "ci95": interval}
    answer |= {"returns": result.returns, "lengths": result.lengths}
    if video is not None:
        from rlnut.control.video import record

        frames = record(policy, video, args.seed)
        say(f"{frames} frames in {video}")
        answer["video"] = str(video)
    return answer
