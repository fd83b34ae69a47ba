"""An environment as a learner reads it, for the Monte-Carlo truth: numbered actions, observations with their masks."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from rlnut.envs.masks import MASK, Info
from rlnut.envs.vector import allowed_actions
from rlnut.learner.spec import Spec
from rlnut.prediction.env_policies import EnvPolicy, Situation, from_stored, sample_one
from rlnut.truth.start_states import Act, Element


class Shown:
    """An observation as the environment gave it, with its mask; as an array it is what is stored."""

    def __init__(self, view: LearnerView, raw: Element, mask: np.ndarray | None) -> None:
        self.read, self.raw, self.mask = view.read, raw, mask

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.read(self.raw), dtype)


class LearnerView(gym.Wrapper):
    """Gives `Shown`, takes numbered actions."""

    def __init__(self, env: gym.Env, spec: Spec) -> None:
        super().__init__(env)
        masked, start = spec.acts.padded, spec.first_action

        # functions, because the view is copied as often as its environment, and a spec need not be
        def mask_of(info: Info, over: bool) -> np.ndarray | None:
            return allowed_actions(info, spec, over) if masked or MASK in info else None

        self.mask_of, self.read = mask_of, lambda raw: spec.read(raw)
        if not spec.choices[-1]:  # a policy gives the environment's own actions
            self.command = lambda action: action
        elif spec.acts.values is None:
            self.command = lambda action: int(action) + start
        else:
            self.command = lambda action: spec.commands(np.asarray(action)[None])[0]

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Shown, Info]:
        """Start an episode."""
        obs, info = self.env.reset(seed=seed) if options is None else self.env.reset(seed=seed, options=options)
        return Shown(self, obs, self.mask_of(info, False)), info

    def step(self, action: Element) -> tuple[Shown, Any, bool, bool, Info]:
        """One step."""
        obs, reward, terminated, truncated, info = self.env.step(self.command(action))
        return Shown(self, obs, self.mask_of(info, bool(terminated))), reward, terminated, truncated, info


def acting(policy: EnvPolicy) -> Act:
    """The policy, asked about one observation of a `LearnerView`, or one as it is stored."""

    pick, free = policy.pick, policy.free

    def act(obs: Element, rng: np.random.Generator) -> Element:
        if isinstance(obs, Shown):
            if free is not None:
                return free(obs.raw, rng)
            if pick is not None and obs.mask is None:
                return np.int32(pick(rng.random()))
            mask = None if obs.mask is None else obs.mask[None]
            seen = Situation(np.asarray(obs)[None], [obs.raw], mask)
        else:
            seen = from_stored(policy.spec, np.asarray(obs, policy.spec.dtype)[None])
        if policy.chances is None or len(policy.spec.choices) == 2:
            return policy.decide(seen, [rng])[0][0]
        return np.int32(sample_one(policy.chances(seen)[0].cumsum().tolist(), rng.random()))

    return act
