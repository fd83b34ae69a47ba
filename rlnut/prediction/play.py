"""Experience of a Gymnasium environment, stepped on the host: `simulate` for problems without tables."""

from __future__ import annotations

import copy
from collections.abc import Callable

import gymnasium as gym
import numpy as np

from rlnut.envs import transitions
from rlnut.envs.contract import made
from rlnut.errors import RlnutError, UsageError
from rlnut.learner.spec import Spec
from rlnut.prediction.masked import ShowsMasks, mask_row
from rlnut.prediction.policies import Chances, HostPolicy
from rlnut.prediction.simulate import Experience
from rlnut.truth.start_states import Element
from rlnut.types import discount_of, transition

MOST_STEPS = 5_000_000  # of one run that is told to play episodes


def play(
    make: Callable[[], gym.Env],
    behaviour: HostPolicy,
    target: HostPolicy,
    gamma: float,
    seed: int,
    runs: int = 1,
    steps: int | None = None,
    episodes: int | None = None,
    again: str = "",
) -> Experience:
    """[T, N]: N runs of `steps` steps, or of `episodes` episodes (padded to the longest by rows that do not count).

    `again`: every step is tried twice from a copy of the environment, with an action of its own ("state") or with the
    same one ("pair"). Raises RlnutError where the environment cannot be copied, or episodes do not end.
    """
    played = [_run(make, behaviour, (seed, run), steps, episodes, again) for run in range(runs)]
    longest = max(len(rows["action"]) for rows in played)
    whole = {}
    for name in played[0]:
        columns = [np.concatenate([p[name], p[name][-1:].repeat(longest - len(p[name]), 0)]) for p in played]
        whole[name] = np.stack(columns, 1)
    lengths = np.array([len(rows["action"]) for rows in played])
    valid = np.arange(longest)[:, None] < lengths
    mask, next_mask = whole.get("mask"), whole.get("after_mask")
    taken, rho = _ratios(target, behaviour, whole["obs"], whole["action"], mask)
    _, next_rho = _ratios(target, behaviour, whole["after"], whole["next"], next_mask)
    terminated, truncated = whole["terminated"], whole["truncated"]
    step = transition(
        whole["obs"], whole["action"], whole["reward"], whole["after"], terminated, truncated, gamma, valid,
        mask=mask, next_mask=next_mask,
    )  # fmt: skip
    second_rho = _ratios(target, behaviour, whole["obs"], whole["other"], mask)[1] if again == "state" else 1.0
    again_discount = discount_of(gamma, whole["other_terminated"])
    second = ((again_discount * second_rho).astype(np.float32), whole["other_after"])
    return Experience(step, rho, taken, whole["episode"], second, whole["next"], next_rho)


def _ratios(
    target: HostPolicy, behaviour: HostPolicy, obs: np.ndarray, action: np.ndarray, mask: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """π(a|s) and ρ = π(a|s)/b(a|s) of [T, N] observations and actions; 1 where the two are one policy."""
    if target.chances is None or behaviour.chances is None or not np.issubdtype(action.dtype, np.integer):
        ones = np.ones(action.shape[:2], np.float32)
        return ones, ones
    flat = obs.reshape(-1, *obs.shape[2:])
    allowed = None if mask is None else mask.reshape(-1, mask.shape[-1])
    pi = target.chances(flat, allowed)
    b = pi if target is behaviour else behaviour.chances(flat, allowed)
    taken, acted = (np.take_along_axis(p, action.reshape(-1, 1), 1)[:, 0] for p in (pi, b))
    shape = action.shape
    return taken.reshape(shape).astype(np.float32), (taken / np.maximum(acted, 1e-12)).reshape(shape).astype(np.float32)


def _run(
    make: Callable[[], gym.Env],
    behaviour: HostPolicy,
    seed: tuple[int, int],
    steps: int | None,
    episodes: int | None,
    again: str,
) -> dict[str, np.ndarray]:
    env, rng = ShowsMasks(made(make)), np.random.default_rng(seed)
    rows: list[tuple] = []
    obs, _ = env.reset(seed=int(rng.integers(2**31)))
    action, episode = behaviour.act(obs, rng), 0
    for _ in range(steps or MOST_STEPS):
        other = _second_try(env, obs, action, behaviour, rng, again) if again else (0, True, obs)
        after, reward, terminated, truncated, _ = env.step(action)
        end = terminated or truncated
        following = behaviour.act(after, rng)
        rows.append((obs, action, reward, terminated, truncated, after, episode, following, *other))
        episode += end
        obs, action = after, following
        if end:
            if episodes is not None and episode >= episodes:
                break
            obs, _ = env.reset()
            action = behaviour.act(obs, rng)
    else:
        if episodes is not None:
            raise RlnutError(f"{episodes} episodes did not end within {MOST_STEPS:,} steps: give --steps instead")
    env.close()
    names = (
        "obs", "action", "reward", "terminated", "truncated", "after", "episode", "next",
        "other", "other_terminated", "other_after",
    )  # fmt: skip
    stacked = (np.stack([np.asarray(x) for x in column]) for column in zip(*rows, strict=True))
    columns = dict(zip(names, stacked, strict=True))
    columns["reward"] = columns["reward"].astype(np.float32)
    for name in ("action", "next", "other"):
        if behaviour.chances is not None:  # counted from 0
            columns[name] = columns[name].astype(np.int32) - (behaviour.first if name != "other" or again else 0)
    columns["episode"] = columns["episode"].astype(np.int32)
    return columns | _masks([row[0] for row in rows], [row[5] for row in rows], behaviour, again)


def _masks(obs: list[Element], after: list[Element], behaviour: HostPolicy, again: str) -> dict[str, np.ndarray]:
    """Masks [T, A] at the observations and at their successors; none where no environment gives any."""
    if behaviour.chances is None or not any(hasattr(seen, "mask") for seen in (*obs, *after)):
        return {}
    if again == "pair":
        raise UsageError("a second try of a pair is not supported where actions are masked: take another --gradient")
    count = next(np.size(seen.mask) for seen in (*obs, *after) if hasattr(seen, "mask"))
    found = {}
    for name, column in (("mask", obs), ("after_mask", after)):
        rows = [mask_row(seen, count) for seen in column]
        found[name] = np.stack([np.ones(count, bool) if row is None else row for row in rows])
    return found


def _second_try(
    env: gym.Env, obs: Element, action: Element, behaviour: HostPolicy, rng: np.random.Generator, again: str
) -> tuple:
    """Action, `terminated` and successor of an independent try."""
    try:
        twin = copy.deepcopy(env)
    except Exception as error:  # whatever an environment holds
        raise RlnutError(f"a second try from a state needs an environment that can be copied: {error}") from None
    twin.unwrapped.np_random = np.random.default_rng(rng.integers(2**63))
    chosen = behaviour.act(obs, rng) if again == "state" else action
    after, _, terminated, _, _ = twin.step(chosen)
    return chosen, terminated, after


def recorded_experience(source: str, spec: Spec, gamma: float, target: Chances) -> Experience:
    """A file of transitions, by whatever policy: enough for targets that bootstrap from an expectation over π.

    UsageError where π takes an action that is nowhere in the file: its value would be made up.
    """
    step = transitions.load_transitions(source, spec, gamma)
    goes_on, taken = np.asarray(step.discount)[:, 0] > 0, np.bincount(np.asarray(step.action)[:, 0])
    if goes_on.any():
        mask = None if step.next_mask is None else np.asarray(step.next_mask)[goes_on, 0]
        wanted = (target(np.asarray(step.next_obs)[goes_on, 0], mask) > 0).any(0)
        if (missing := wanted & (np.pad(taken, (0, spec.actions - len(taken))) == 0)).any():
            number = int(np.argmax(missing)) + spec.first_action
            raise UsageError(f"{source}: action {number}, which the policy takes, is nowhere in these transitions")
    end, ones = np.asarray(step.end), np.ones_like(step.reward)
    episode = (end.cumsum(0) - end).astype(np.int32)
    return Experience(step, ones, ones, episode, (step.discount, step.next_obs), np.zeros_like(step.action), ones)
