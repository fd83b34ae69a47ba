"""What looks suspicious in an environment: each a sentence with what was observed and what to do."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from rlnut.envs.random_play import Played, Watched
from rlnut.learner.spec import Spec

SCALES = 1e3  # ratio of spreads, or size, from which a component is remarked
LARGE, SMALL = 100.0, 1e-3  # rewards
ENOUGH = 200  # observations from which one that is always the same is remarked
LONG = 10  # steps: shorter episodes of one length are usual


class Remark(NamedTuple):
    """Something suspicious."""

    what: str  # a name of it, for programs
    text: str  # one sentence: what was seen, and what to do


class Component(NamedTuple):
    """One number of an observation."""

    name: str
    measured: bool  # of a Box: a quantity, not the number of a category


class Again(NamedTuple):
    """How the first steps came out when they were played again from the same seed: the step that was different."""

    fresh: int | None  # in a new environment; 0: the reset
    same: int | None  # in the same environment


def remarks(
    spec: Spec, played: Played, limit: int | None, again: Again, watched: Watched | None, beyond: str | None,
    components: Sequence[Component],
) -> list[Remark]:  # fmt: skip
    """All that is suspicious; limit: of a wrapper, or registered."""
    found = [*_repeats(again), *_observations(spec, played, components), *_rewards(played), *_ends(played, limit)]
    if beyond is not None:
        text = f"{beyond}: correct observation_space, or bring it inside with gymnasium.wrappers.TransformObservation"
        found.append(Remark("outside-bounds", text))
    if watched is not None:
        for name, types in list(watched.types.items())[:3]:
            fix = "return what the space says (gymnasium.wrappers.DtypeObservation does it)"
            found.append(Remark("dtype", f"the observation{name} is of type {types}; it is converted each time: {fix}"))
        if watched.resets_itself:
            found.append(
                Remark(
                    "resets-itself",
                    f"info has {watched.resets_itself!r} at an end, as environments do that start the next episode by"
                    " themselves: then the last observation is lost, since s' is what step() returns; switch that off",
                )
            )
    return found


def _repeats(again: Again) -> Iterator[Remark]:
    costs = "exact resume and repeated evaluations need that"
    if again.fresh == 0:
        yield Remark(
            "seed-ignored",
            "reset(seed=…) with one seed gives different first observations: call super().reset(seed=seed) and draw"
            f" from self.np_random only; {costs}",
        )
    elif again.fresh is not None:
        yield Remark(
            "not-deterministic",
            f"the same seed and actions give something else from step {again.fresh} on: draw from self.np_random only,"
            f" not from random, numpy.random or a clock; {costs}",
        )
    elif again.same is not None:
        where = "at its reset" if again.same == 0 else f"from step {again.same} on"
        yield Remark(
            "carried-over",
            f"the same seed and actions give something else {where} in an environment that has been played before:"
            " something is carried from one episode into the next (a running normalisation, a counter); clear it in"
            f" reset(), or use --normalise in the place of gymnasium.wrappers.NormalizeObservation; {costs}",
        )


def _observations(spec: Spec, played: Played, components: Sequence[Component]) -> Iterator[Remark]:
    if spec.observed.images:
        return
    if played.observations.count < ENOUGH:
        return
    seen = played.observations.range()
    fixed = seen.low == seen.high
    if fixed.all():
        yield Remark(
            "constant",
            f"the observation was the same in all {played.observations.count:,} that were seen: a learner cannot tell"
            " states apart; check what reset() and step() return",
        )
        return
    if spec.image:
        return
    chosen = [i for i, one in enumerate(components) if one.measured]
    if still := [components[i].name for i in chosen if fixed[i]]:
        yield Remark(
            "constant",
            f"{_named(still)} never changed in {played.steps:,} steps of a uniform policy: if that is always so, leave"
            " it out (gymnasium.wrappers.FilterObservation or TransformObservation)",
        )
    moving = [i for i in chosen if not fixed[i]]
    if not moving or spec.dtype != np.float32:
        return
    spreads = seen.std[moving]
    small, large = moving[int(spreads.argmin())], moving[int(spreads.argmax())]
    size = np.maximum(np.abs(seen.low), np.abs(seen.high))
    most = moving[int(size[moving].argmax())]
    normalise = "--normalise shows a network all of them with mean 0 and variance 1"
    if seen.std[large] >= SCALES * seen.std[small]:
        both = [f"{components[i].name} (standard deviation {seen.std[i]:.3g})" for i in (small, large)]
        yield Remark("scales", f"components of the observation differ in scale, {both[0]} and {both[1]}: {normalise}")
    elif size[most] >= SCALES:
        yield Remark("scales", f"{components[most].name} is as large as {size[most]:,.4g}: {normalise}")


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{'component' if len(names) == 1 else 'components'} {', '.join(names[:5])}{more} of the observation"


def _rewards(played: Played) -> Iterator[Remark]:
    largest = max(map(abs, played.rewards), default=0.0)
    if largest == 0:
        yield Remark(
            "no-reward",
            f"every reward was 0 in {played.steps:,} steps of a uniform policy, so there is nothing to learn from at"
            " first: look longer (--steps), then explore more (--epsilon-end, --n-step) or reward steps on the way",
        )
    elif largest > LARGE or largest < SMALL:
        factor = 10.0 ** -math.floor(math.log10(largest))
        clip = " or --reward-clip 1" if largest > LARGE else ""
        what = "large" if largest > LARGE else "small"
        yield Remark(
            "reward-scale",
            f"rewards are as {what} as {largest:,.4g}, while step sizes and losses suit rewards of about 1:"
            f" --reward-scale {factor:g}{clip} (reported returns stay as they are)",
        )


def _ends(played: Played, limit: int | None) -> Iterator[Remark]:
    lengths = [one.length for one in played.episodes]
    longest = max([*lengths, *played.running], default=0)
    if limit is not None and longest > limit:
        yield Remark(
            "limit-dropped",
            f"an episode went on for {longest:,} steps, beyond its time limit of {limit:,}: a wrapper loses"
            " `truncated`; let it return all five values of the step inside",
        )
    elif not lengths and limit is None:
        yield Remark(
            "endless",
            f"no episode ended in {played.steps:,} steps, and there is no time limit: give --env-arg"
            " max_episode_steps=N, or gymnasium.wrappers.TimeLimit",
        )
    if not lengths:
        return
    most = [one for one in played.episodes if one.length == max(lengths)]
    usual = len(most) >= 3 and len(most) >= 0.3 * len(lengths)
    if all(one.terminated for one in most) and (
        (limit == most[0].length and len(most) >= 3) or (usual and most[0].length >= LONG and limit is None)
    ):
        said = ", its time limit" if limit == most[0].length else ""
        yield Remark(
            "limit-terminates",
            f"{len(most):,} of {len(lengths):,} episodes terminate after exactly {most[0].length:,} steps{said}: if"
            " time is what ends them, return truncated=True (gymnasium.wrappers.TimeLimit does it); as it is the value"
            " after it counts as 0",
        )
    if lengths[0] > 1 and len(lengths) >= 6 and max(lengths[1:]) == 1:
        yield Remark(
            "not-reset",
            f"the first episode had {lengths[0]:,} steps and all {len(lengths) - 1:,} after it had 1: reset() does not"
            " clear what ended the episode",
        )
    start, moved = played.starts[0], played.observations.count and (played.observations.range().std > 0).any()
    alike = all(np.array_equal(start, other) for other in (*played.starts, *played.ends))
    if moved and len(played.ends) >= 3 and max(lengths) > 1 and alike:
        yield Remark(
            "end-is-start",
            "the last observation of every episode is the first one of the next: the environment starts anew by itself"
            " and loses what it ended with; return the true last observation, and start anew in reset() only",
        )
