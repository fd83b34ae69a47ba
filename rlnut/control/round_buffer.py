"""A round of experience on the host: arrays [T, N, ...] that are written step by step and go to the device as they are.

buffer = RoundBuffer(steps, look, carry)
for t in range(steps):
    buffer.write(t, look, carry, action, step)
seen = buffer.experience(gamma)
"""

from __future__ import annotations

import jax
import numpy as np

from rlnut.envs.vector import Step
from rlnut.types import Array, Carry, Look, Transition, transition


class RoundBuffer:
    """Room for T steps of N environments.

    look, carry: of the first step, for shapes and types; groups: () for one choice a step, (D,) for D decoupled ones.
    """

    def __init__(self, steps: int, look: Look, carry: Carry = (), groups: tuple[int, ...] = ()) -> None:
        def rows(like: Array) -> np.ndarray:
            return np.empty((steps, *like.shape), like.dtype)

        shape = steps, len(look.fresh)
        self.obs, self.next_obs = rows(look.obs), rows(look.obs)
        self.action, self.reward = np.empty((*shape, *groups), np.int32), np.empty(shape, np.float32)
        self.fresh, self.terminated, self.truncated, self.valid = np.empty((4, *shape), bool)
        self.mask = None if look.mask is None else rows(look.mask)
        self.next_mask = None if look.mask is None else rows(look.mask)
        self.carry = jax.tree.map(rows, carry) if carry != () else ()
        self.carried = jax.tree.leaves(self.carry)

    def write(self, t: int, look: Look, carry: Carry, action: np.ndarray, step: Step) -> None:
        """Step t: what it was taken on, what was done, and what came of it."""
        self.obs[t], self.fresh[t], self.action[t] = look.obs, look.fresh, action
        self.reward[t], self.next_obs[t] = step.reward, step.next_obs
        self.terminated[t], self.truncated[t], self.valid[t] = step.terminated, step.truncated, step.valid
        if self.mask is not None and self.next_mask is not None:
            self.mask[t], self.next_mask[t] = look.mask, step.next_mask
        if self.carried:
            for rows, now in zip(self.carried, jax.tree.leaves(carry), strict=True):
                rows[t] = now

    def experience(self, gamma: float) -> Transition:
        """All that was written, [T, N, ...], with D = γ·(1 − terminated)."""
        seen = self.obs, self.action, self.reward, self.next_obs, self.terminated, self.truncated, gamma, self.valid
        return transition(*seen, mask=self.mask, next_mask=self.next_mask, carry=self.carry, fresh=self.fresh)
