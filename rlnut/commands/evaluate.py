"""`rlnut evaluate DIR`: evaluate the greedy policy of a run on its real environment."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from rlnut.commands.options import AGENT, TRUST, add_wrap, converter, given_environment
from rlnut.errors import UsageError


def configure(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("dir", metavar="DIR", help="a run folder")
    parser.add_argument(
        "--episodes",
        type=converter(int),
        default=20,
        metavar="N",
        help="number of episodes, on new seeds (default: 20)",
    )
    parser.add_argument("--env", metavar="ENV", help="another environment with the same spaces")
    add_wrap(parser, "the environment of --env")
    parser.add_argument("--agent", metavar="MODULE:CLASS", help=AGENT)
    parser.add_argument("--trust", action="store_true", help=TRUST)
    parser.add_argument(
        "--exact", action="store_true", help="also compute the exact value of the policy, where ENV is a finite MDP"
    )
    parser.add_argument(
        "--video",
        metavar="FILE",
        help="record the first of these episodes, with q(s, ·) beside the frames: .gif, or .mp4 (needs rlnut[video])",
    )
    parser.add_argument(
        "--video-episodes",
        type=converter(int),
        metavar="N",
        help="number of episodes to record (default: 1)",
    )


def run(args: argparse.Namespace) -> Mapping[str, object]:
    if args.episodes < 1:
        raise UsageError(f"--episodes must be >= 1, got {args.episodes}")
    if args.video_episodes is not None and args.video is None:
        raise UsageError("--video-episodes has no effect without --video FILE")
    if args.video_episodes is not None and args.video_episodes < 1:
        raise UsageError(f"--video-episodes must be >= 1, got {args.video_episodes}")
    from rlnut.agents.catalogue import AGENTS
    from rlnut.control.evaluate import mean_and_std
    from rlnut.control.run_folder import trained_policy
    from rlnut.runtime.log import say

    video = _new_film(args.video)
    agent = None if args.agent is None else AGENTS.find(args.agent)
    policy = trained_policy(args.dir, env=given_environment(args), agent=agent, trust=args.trust)
    exact = policy.evaluate_exactly() if args.exact else None  # what cannot be done is reported first
    if video is not None:
        from rlnut.control.video import drawing, record

        drawing(policy).close()  # one that cannot be drawn is refused now
    result = policy.evaluate(args.episodes, args.seed)
    count = f"{args.episodes} episode{'s' if args.episodes > 1 else ''}"
    say(f"greedy return {mean_and_std(result.mean, result.std, '.2f')} over {count}")
    if (interval := result.ci95) is not None:
        say(f"95 % interval of the mean: {interval[0]:.2f} … {interval[1]:.2f}")
    if result.cut:
        say(f"{result.cut} episodes were stopped early: this environment has no time limit")
    answer: dict[str, object] = {"mean": result.mean, "std": result.std, "ci95": interval}
    answer |= {"returns": result.returns, "lengths": result.lengths} | result.record
    if (over := result.overestimation) is not None:
        q, realised = (result.columns[name] for name in ("q_start", "return_discounted"))
        by = mean_and_std(over.mean, over.half_width if over.interval else None, ".3g")
        say(f"q at the start {q:.4g}, discounted return {realised:.4g}: overestimated by {by}")
    if exact is not None:
        answer["exact"] = exact.record
        most = f"of at most {exact.optimal_value:.6g}, regret {exact.regret:.3g}"
        say(f"exact value at the start {exact.value:.6g} (γ = {exact.gamma:g}) {most}")
        within = f"within {exact.limit:,} steps, undiscounted"
        say(f"exact mean return {exact.expected_return:.6g} {within}; RMS error of q {exact.rmsve:.3g}")
    if video is not None:
        film = record(policy, video, args.seed, args.video_episodes or 1, evaluated=args.episodes)
        returns = ", ".join(f"{one:.4g}" for one in film.evaluation.returns)
        say(f"{film.frames} frames in {video}: return{'s' if len(film.evaluation.returns) > 1 else ''} {returns}")
        answer["video"] = str(video)
    return answer


def _new_film(name: str | None) -> Path | None:
    """Where the film goes; whatever it needs that is missing is reported before an episode is played."""
    if name is None:
        return None
    from rlnut.runtime.files import new_file
    from rlnut.runtime.video_files import FILM_ENDINGS, film_program

    path = new_file(name, FILM_ENDINGS, "--video")
    film_program(path)
    return path
