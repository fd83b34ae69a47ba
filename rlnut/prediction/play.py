"""Experience of environments that are stepped on the host, N side by side: `simulate` for problems without tables."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np

from rlnut.envs import transitions
from rlnut.envs.vector import EnvList, HostVector, allowed_actions
from rlnut.errors import RlnutError, UsageError
from rlnut.learner.spec import Spec
from rlnut.prediction.env_policies import EnvPolicy, Rngs, Situation, chance_of, from_stored
from rlnut.prediction.simulate import Experience
from rlnut.types import discount_of, transition

MOST_STEPS = 5_000_000  # of one run that is told to play episodes


class Players(NamedTuple):
    """Who acts, and whose values are learned."""

    behaviour: EnvPolicy
    target: EnvPolicy
    corrected: bool = True  # by ρ, so b must do whatever π does


class Decision(NamedTuple):
    """What the behaviour does in N environments, and how likely both policies are to do it."""

    action: Any  # [N] or [N, D]; a list where actions are not numbered
    taken: np.ndarray  # [N] π(a|s)
    rho: np.ndarray  # [N] π(a|s)/b(a|s)
    policy: np.ndarray | None  # π(·|s) [N, A] or [N, D, K]


def decide(players: Players, seen: Situation, rngs: Rngs, asked: np.ndarray | None = None) -> Decision:
    """The behaviour's actions; ρ = 1 where the two are one policy."""
    behaviour, target, _ = players
    action, b = behaviour.decide(seen, rngs, asked)
    if b is None or target.chances is None:
        ones = np.ones(len(seen.obs), np.float32)
        return Decision(action, ones, ones, None)
    if target is behaviour:
        return Decision(action, chance_of(b, action), np.ones(len(seen.obs)), b)
    pi = target.chances(seen)
    if players.corrected and (missing := (pi > 0) & (b == 0)).any():
        k, *a = np.argwhere(missing)[0].tolist()
        where = seen.raw[k]
        raise UsageError(f"the behaviour never takes action {a[-1]} at {where}, as the policy does: give another b")
    taken = chance_of(pi, action)
    return Decision(action, taken, taken / np.maximum(chance_of(b, action), 1e-12), pi)


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
    n, numbered = vector.num_envs, players.behaviour.chances is not None
    rngs = [np.random.default_rng((seed, lane)) for lane in range(n)]
    now = _situation(vector, vector.reset(seed))
    decision, episode = decide(players, now, rngs), np.zeros(n, np.int32)
    rows: list[dict[str, np.ndarray | None]] = []
    for _ in range(steps or MOST_STEPS):
        other = _second_try(vector, decision, now, players, rngs, again) if again else {}
        step = vector.step(decision.action)
        after = Situation(step.next_obs, _raw(vector, step.next_obs, vector.next_raw), step.next_mask)
        end = step.terminated | step.truncated
        following = decide(players, after, rngs)
        row = {
            "obs": now.obs, "action": decision.action if numbered else np.zeros(n), "reward": step.reward,
            "terminated": step.terminated, "truncated": step.truncated, "after": step.next_obs, "valid": step.valid,
            "mask": now.mask, "after_mask": step.next_mask, "episode": episode, "rho": decision.rho,
            "taken": decision.taken, "next": following.action if numbered else np.zeros(n),
            "next_rho": following.rho, "policy": following.policy if pairs else None,
        }  # fmt: skip
        rows.append(row | other)
        episode = episode + end.astype(np.int32)
        now, decision = _situation(vector, step.obs), following
        if end.any() or not step.valid.all():
            anew = end | ~step.valid
            decision = _where(anew, decide(players, now, rngs, anew), following)
            if episodes is not None and (episode >= episodes).all():
                break
    else:
        if episodes is not None:
            raise RlnutError(f"{episodes} episodes did not end within {MOST_STEPS:,} steps: give --steps instead")
    return _experience(rows, gamma, episodes)


def _raw(vector: HostVector, obs: np.ndarray, raw: Any) -> Any:
    return from_stored(vector.spec, obs).raw if raw is None else list(raw)


def _situation(vector: HostVector, obs: np.ndarray) -> Situation:
    return Situation(obs, _raw(vector, obs, vector.raw), vector.mask)


def _where(rows: np.ndarray, new: Decision, old: Decision) -> Decision:
    """`new` in the rows [N], `old` in the others; π(·|s) is not needed any more."""
    if isinstance(old.action, list):
        action: Any = [a if here else b for here, a, b in zip(rows, new.action, old.action, strict=True)]
    else:
        action = np.where(rows.reshape(-1, *(1,) * (old.action.ndim - 1)), new.action, old.action)
    return Decision(action, np.where(rows, new.taken, old.taken), np.where(rows, new.rho, old.rho), None)


def _experience(rows: list[dict[str, np.ndarray | None]], gamma: float, episodes: int | None) -> Experience:
    """The rows of all steps as one stream [T, N, ...]."""
    whole: dict[str, Any] = {}
    for name, first in rows[0].items():
        whole[name] = None if first is None else np.stack([row[name] for row in rows])  # type: ignore[misc]
    valid = whole["valid"] if episodes is None else whole["valid"] & (whole["episode"] < episodes)
    action, following = (whole[name].astype(np.int32) for name in ("action", "next"))
    step = transition(
        whole["obs"], action, whole["reward"], whole["after"], whole["terminated"], whole["truncated"], gamma, valid,
        mask=whole["mask"], next_mask=whole["after_mask"],
    )  # fmt: skip
    rho, taken, next_rho = (whole[name].astype(np.float32) for name in ("rho", "taken", "next_rho"))
    second = (np.zeros_like(step.reward), step.next_obs)
    if "other" in whole:
        discount = discount_of(gamma, whole["other_terminated"]) * whole["other_rho"]
        second = (discount.astype(np.float32), whole["other"])
    policies = (whole["policy"], whole.get("other_policy"))
    return Experience(step, rho, taken, whole["episode"], second, following, next_rho, *policies)


def _second_try(
    vector: HostVector, decision: Decision, now: Situation, players: Players, rngs: Rngs, again: str
) -> dict[str, np.ndarray | None]:
    """An independent try from copies of the environments: its end, its successor and, of pairs, π there."""
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
    rho = chosen.rho if again == "state" else np.ones_like(chosen.rho)
    return {"other": stored, "other_terminated": terminated, "other_rho": rho, "other_policy": policy}


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
            raise UsageError(f"{source}: action {number}, which the policy takes, is nowhere in these transitions")
    end, ones = np.asarray(step.end), np.ones_like(step.reward)
    episode = (end.cumsum(0) - end).astype(np.int32)
    second, there = (step.discount, step.next_obs), policy[:, None]
    return Experience(step, ones, ones, episode, second, np.zeros_like(step.action), ones, there, there)
