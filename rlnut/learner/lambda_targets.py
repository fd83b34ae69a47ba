"""λ-returns of a rollout as regression targets, with Q(λ) and expected corrections, along a memory or without."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from rlnut.learner.explore import allowed
from rlnut.learner.returns import on_policy, returns
from rlnut.learner.rollout import Label
from rlnut.types import Array, Carry, Experience, Look, Params, Shaped, Transition

Values = Callable[[Params, Transition], tuple[Array, Array]]  # (θ, experience) -> q(s, ·), q(s', ·) [T, N, (D,) A]


def each_alone(q: Callable[[Params, Array], Array]) -> Values:
    """Values of a network that remembers nothing; q: (θ, obs [B, ...]) -> q(s, ·) [B, A]."""

    def values(params: Params, seen: Experience) -> tuple[Array, Array]:
        def over(obs: Array) -> Array:
            flat = q(params, obs.reshape(-1, *obs.shape[2:]))
            return flat.reshape(*obs.shape[:2], *flat.shape[1:])

        return over(seen.obs), over(seen.next_obs)

    return values


def along(step: Callable[[Params, Carry, Look], tuple[Array, Carry]]) -> Values:
    """Values of a network with a memory, which is carried along; step: (θ, carry, look) -> q(s, ·) [N, A], carry.

    The successor is read with what is remembered after s, also where it is the last observation of an episode.
    """

    def values(params: Params, seen: Experience) -> tuple[Array, Array]:
        def one(carry: Carry, now: tuple[Array, Array, Array]) -> tuple[Carry, tuple[Array, Array]]:
            obs, fresh, next_obs = now
            q, carry = step(params, carry, Look(obs, fresh))
            next_q, _ = step(params, carry, Look(next_obs, jnp.zeros_like(fresh)))
            return carry, (q, next_q)

        assert seen.fresh is not None  # a recurrent actor's experience has it
        first = jax.tree.map(lambda a: a[0], seen.carry)
        return jax.lax.scan(one, first, (seen.obs, seen.fresh, seen.next_obs))[1]

    return values


def q_lambda_labels(values: Values, lam: float) -> Label:
    """Put the λ-return y into `reward` and 0 into `discount`."""

    def label(params: Params, seen: Experience) -> Experience:
        def best(q: Shaped[Array, "T N *D A"], mask: Shaped[Array, "T N *D A"] | None) -> Shaped[Array, "T N"]:
            most = allowed(q, mask).max(-1)
            return most.reshape(*seen.reward.shape, -1).mean(-1)  # over groups of actions

        q, next_q = values(params, seen)
        v, next_v = best(q, seen.mask), best(next_q, seen.next_mask)
        y = returns(v, seen.reward, seen.discount, next_v, seen.end, on_policy(lam))
        return seen._replace(reward=y, discount=jnp.zeros_like(seen.discount))

    return label
