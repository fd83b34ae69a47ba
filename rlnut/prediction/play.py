"""Experience of environments that are stepped on the host, N side by side: `simulate` for problems without tables."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rlnut.envs import transitions
from rlnut.envs.vector import EnvList, HostVector, allowed_actions, where_rows
from rlnut.errors import RlnutError, UsageError
from rlnut.learner.spec import Spec
from rlnut.prediction.env_policies import EnvPolicy, Rngs, Situation, chance_of, from_stored
from rlnut.prediction.simulate import Experience
from rlnut.truth.start_states import Element
from rlnut.types import discount_of, transition

MOST_STEPS = 5_000_000  # of one run that is told to play episodes
BLOCK = 256  # steps of environments that are kept apart before they become arrays


class Players(NamedTuple):
    """Who acts, and whose values are learned."""

    behaviour: EnvPolicy
    target: EnvPolicy
    corrected: bool = True  # by ρ, so b must do whatever π does


class Decision(NamedTuple):
    """What the behaviour does in N environments, and how likely both policies are to do it."""

    action: Any  # [N] or [N, D]; a list where actions are not numbered
    policy: np.ndarray | None = None  # π(·|s) [N, A] or [N, D, K]; None: not numbered
    acted: np.ndarray | None = None  # b(·|s); None: b is π


class StepColumns(NamedTuple):
    """T steps of N environments."""

    obs: np.ndarray  # [T, N, ...]
    mask: np.ndarray | None
    action: np.ndarray  # int32 [T, N] or [T, N, D]; 0 where actions are not numbered
    taken: np.ndarray  # float32 [T, N]
    rho: np.ndarray
    following: np.ndarray  # what b does at `after`
    next_rho: np.ndarray
    next_policy: np.ndarray | None
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    after: np.ndarray  # [T, N, ...]
    valid: np.ndarray
    after_mask: np.ndarray | None


def decide(players: Players, seen: Situation, rngs: Rngs, asked: np.ndarray | None = None) -> Decision:
    """The behaviour's actions; UsageError where it never does what the policy does."""
    behaviour, target, corrected = players
    action, b = behaviour.decide(seen, rngs, asked)
    if target is behaviour or b is None or target.chances is None:
        return Decision(action, b)
    pi = target.chances(seen)
    if corrected and (missing := (pi > 0) & (b == 0)).any():
        k, *a = np.argwhere(missing)[0].tolist()
        where = seen.raw[k]
        raise UsageError(
            f"the behaviour policy never takes action {a[-1]} at {where}, which the policy takes: choose another"
        )
    return Decision(action, pi, b)


def play(
    vector: HostVector,
    players: Players,
    gamma: float,
    seed: int,
    steps: int | None = None,
    episodes: int | None = None,
    again: str = "",
    pairs: bool = False,
) -> Experience:
    """[T, N]: N runs of `steps` steps, or of `episodes` episodes (until all runs have them; later rows do not count).

    `again`: every step is tried twice from a copy of the environment, with an action of its own ("state") or with the
    same one ("pair"). `pairs` keeps π(·|s'). Raises RlnutError where an environment cannot be copied, or episodes do
    not end.
    """
    n = vector.num_envs
    rngs = [np.random.default_rng((seed, lane)) for lane in range(n)]
    now = _situation(vector, vector.reset(seed), vector.raw, vector.mask)
    decision, ends = decide(players, now, rngs), np.zeros(n, int)
    rows: list[tuple[Any, ...]] = []
    blocks: list[StepColumns] = []
    others: list[tuple[np.ndarray | None, ...]] = []
    for _ in range(steps or MOST_STEPS):
        if again:
            others.append(_second_try(vector, decision, now, players, rngs, again))
        step = vector.step(decision.action)
        after = _situation(vector, step.next_obs, vector.next_raw, step.next_mask)
        following = decide(players, after, rngs)
        rows.append((now.obs, now.mask, *decision, *following, *step[1:]))
        if len(rows) * n >= BLOCK:
            blocks.append(_columns(rows, pairs))
            rows = []
        end = step.terminated | step.truncated
        goes_on = step.valid > end
        if False not in goes_on.tolist():
            now, decision = after, following
            continue
        now, ends = _situation(vector, step.obs, vector.raw, vector.mask), ends + end
        decision = _where(goes_on, following, decide(players, now, rngs, ~goes_on))
        if episodes is not None and (ends >= episodes).all():
            break
    else:
        if episodes is not None:
            raise RlnutError(f"{episodes} episodes did not end within {MOST_STEPS:,} steps: give --steps instead")
    if rows:
        blocks.append(_columns(rows, pairs))
    return _experience(blocks, others, gamma, episodes)


def _situation(
    vector: HostVector, obs: np.ndarray, raw: Sequence[Element] | None, mask: np.ndarray | None
) -> Situation:
    return from_stored(vector.spec, obs, mask) if raw is None else Situation(obs, raw, mask)


def _where(rows: np.ndarray, new: Decision, old: Decision) -> Decision:
    """`new` in the rows [N], `old` in the others."""
    if isinstance(old.action, list):
        return Decision([a if here else b for here, a, b in zip(rows, new.action, old.action, strict=True)])
    return Decision(*(None if x is None else where_rows(rows, x, y) for x, y in zip(new, old, strict=True)))


def _stacked(parts: Sequence[Any]) -> Any:
    """[T, ...] from T arrays; None where there are none."""
    return None if parts[0] is None else np.concatenate(parts).reshape(len(parts), *parts[0].shape)


def _columns(rows: list[tuple[Any, ...]], pairs: bool) -> StepColumns:
    """Steps as arrays; `pairs` keeps π(·|s')."""
    obs, mask, *told = zip(*rows, strict=True)
    reward, terminated, truncated, after, valid, after_mask = map(_stacked, told[6:])
    action, taken, rho = _ratios(*told[:3])
    following, _, next_rho = _ratios(*told[3:6])
    policy = _stacked(told[4]) if pairs else None
    return StepColumns(
        _stacked(obs), _stacked(mask), action, taken.astype(np.float32), rho.astype(np.float32),
        following, next_rho.astype(np.float32), policy, reward, terminated, truncated, after, valid, after_mask,
    )  # fmt: skip


def _ratios(
    action: Sequence[Any], policy: Sequence[np.ndarray | None], acted: Sequence[np.ndarray | None]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers of actions [T, N] or [T, N, D], π(a|s) and ρ [T, N] of T decisions: 0, 1 and 1 without numbers."""
    shape = len(action), len(action[0])
    if policy[0] is None:
        return np.zeros(shape, np.int32), np.ones(shape), np.ones(shape)
    number = np.concatenate(action).astype(np.int32)
    taken, rho = chance_of(np.concatenate(policy), number), np.ones(shape)  # type: ignore[arg-type]
    if acted[0] is not None:
        rho = (taken / np.maximum(chance_of(np.concatenate(acted), number), 1e-12)).reshape(shape)  # type: ignore[arg-type]
    return number.reshape(*shape, *number.shape[1:]), taken.reshape(shape), rho


def _experience(
    blocks: list[StepColumns], others: list[tuple[np.ndarray | None, ...]], gamma: float, episodes: int | None
) -> Experience:
    """All blocks as one stream."""
    whole = StepColumns(*(None if parts[0] is None else np.concatenate(parts) for parts in zip(*blocks, strict=True)))  # type: ignore[arg-type]
    end = (whole.terminated | whole.truncated).astype(np.int32)
    episode = (end.cumsum(0) - end).astype(np.int32)
    step = transition(
        whole.obs, whole.action, whole.reward, whole.after, whole.terminated, whole.truncated, gamma,
        whole.valid if episodes is None else whole.valid & (episode < episodes),
        mask=whole.mask, next_mask=whole.after_mask,
    )  # fmt: skip
    second, there = (np.zeros_like(step.reward), step.next_obs), None
    if others:
        other, over, other_rho, there = (_stacked(parts) for parts in zip(*others, strict=True))
        second = ((discount_of(gamma, over) * other_rho).astype(np.float32), other)
    return Experience(
        step, whole.rho, whole.taken, episode, second, whole.following, whole.next_rho, whole.next_policy, there
    )


def _second_try(
    vector: HostVector, decision: Decision, now: Situation, players: Players, rngs: Rngs, again: str
) -> tuple[np.ndarray | None, ...]:
    """An independent try from copies of the environments: its successor, its end, ρ and, of pairs, π there."""
    if not isinstance(vector, EnvList):
        raise UsageError("a second try from a state needs environments that are stepped one by one")
    spec = vector.spec
    chosen = decide(players, now, rngs) if again == "state" else decision
    terminated, raw, masks = np.zeros(vector.num_envs, bool), [], []
    for i, command in enumerate(spec.commands(chosen.action)):
        try:
            twin = copy.deepcopy(vector.envs[i])
        except Exception as error:  # whatever an environment holds
            raise RlnutError(f"a second try from a state needs an environment that can be copied: {error}") from None
        twin.unwrapped.np_random = np.random.default_rng(rngs[i].integers(2**63))
        obs, _, terminated[i], _, info = twin.step(command)
        raw.append(obs)
        masks.append(info)
    stored = np.stack([np.asarray(spec.read(obs)) for obs in raw])
    policy = None
    if again == "pair" and (chances := players.target.chances) is not None:
        masked = vector.mask is not None
        allowed = [allowed_actions(info, spec, bool(over)) for info, over in zip(masks, terminated, strict=True)]
        policy = chances(Situation(stored, raw, np.stack(allowed) if masked else None))
    rho = _ratios(*zip(chosen))[2][0] if again == "state" else np.ones(vector.num_envs)
    return stored, terminated, rho, policy


def recorded_experience(source: str, spec: Spec, gamma: float, target: EnvPolicy) -> Experience:
    """A file of transitions, by whatever policy: enough for targets that bootstrap from an expectation over π.

    UsageError where π takes an action that is nowhere in the file: its value would be made up.
    """
    step = transitions.load_transitions(source, spec, gamma)
    next_mask = None if step.next_mask is None else np.asarray(step.next_mask)[:, 0]
    policy = target.at(np.asarray(step.next_obs)[:, 0], next_mask)
    goes_on, taken = np.asarray(step.discount)[:, 0] > 0, np.bincount(np.asarray(step.action)[:, 0])
    if goes_on.any():
        wanted = (policy[goes_on] > 0).any(0)
        if (missing := wanted & (np.pad(taken, (0, spec.actions - len(taken))) == 0)).any():
            number = int(np.argmax(missing)) + spec.first_action
            raise UsageError(f"{source}: action {number}, which the policy takes, never occurs in these transitions")
    end, ones = np.asarray(step.end), np.ones_like(step.reward)
    episode = (end.cumsum(0) - end).astype(np.int32)
    second, there = (step.discount, step.next_obs), policy[:, None]
    return Experience(step, ones, ones, episode, second, np.zeros_like(step.action), ones, there, there)
