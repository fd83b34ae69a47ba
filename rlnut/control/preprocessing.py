"""What is done to observations and rewards before a network learns from them: running mean and variance, scale, clip.

The statistics are a layer's parameters, `RunningStatistics`, behind the encoder: so they are saved with the weights,
copied to the target network, and stand still when a policy is only played. No gradient reaches them; `prepared` moves
them with each round of experience.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlnut.control.settings import RunSettings
from rlnut.errors import UsageError
from rlnut.learner.agent import Agent, AgentState
from rlnut.learner.spec import Spec
from rlnut.networks.layers import serial
from rlnut.types import Array, Key, Metrics, Model, Params, Transition, Tree, namespace

CLIP = 10.0  # standard deviations beyond which an observation says no more
FLOOR = 1e-8  # of a variance


class RunningStatistics(NamedTuple):
    """Of what has been seen: a pytree."""

    mean: Array  # [D]
    variance: Array  # [D]
    rows: Array  # [] float32, how many


def normaliser() -> Model:
    """(x − mean)/√variance, cut at ±CLIP: [B, D] -> [B, D]; parameters `RunningStatistics`, no gradient."""

    def init(key: Key, x: Array) -> RunningStatistics:
        return RunningStatistics(jnp.zeros(x.shape[1:]), jnp.ones(x.shape[1:]), jnp.zeros(()))

    def apply(moments: RunningStatistics, x: Array) -> Array:
        if not isinstance(x, np.ndarray):
            moments = jax.lax.stop_gradient(moments)
        scaled = (x - moments.mean) / namespace(x).sqrt(moments.variance + FLOOR)
        return scaled.clip(-CLIP, CLIP)

    return Model(init, apply, host=True)


def joined(moments: RunningStatistics, x: Array, valid: Array) -> RunningStatistics:
    """Moments of what was seen before and of the rows of x [B, D] that are `valid` [B] (Chan et al. 1983)."""
    weight = valid.astype(jnp.float32).reshape(-1, *(1,) * (x.ndim - 1))
    n = valid.sum().astype(jnp.float32)
    mean = (x * weight).sum(0) / jnp.maximum(n, 1)
    variance = ((x - mean) ** 2 * weight).sum(0) / jnp.maximum(n, 1)
    total = jnp.maximum(moments.rows + n, 1)
    apart = mean - moments.mean
    between = apart**2 * moments.rows * n / total
    spread = (moments.variance * moments.rows + variance * n + between) / total
    known = moments.rows + n > 0
    new_mean = moments.mean + apart * n / total
    return RunningStatistics(new_mean, jnp.where(known, spread, moments.variance), moments.rows + n)


def prepared_spec(spec: Spec, training: RunSettings) -> Spec:
    """What the learner sees, normalised if that is asked for; UsageError where it has no effect."""
    if not training.normalise:
        return spec
    seen = spec.observed
    if seen.discrete or seen.image or seen.images:
        raise UsageError(f"{spec.name}: normalise is for vectors of numbers; the observations are {seen.saw}")
    encoder = serial(seen.encoder, normaliser())
    return spec._replace(observed=seen._replace(encoder=encoder, saw=f"{seen.saw}, normalised"))


def prepared(agent: Agent, spec: Spec, training: RunSettings) -> Agent:
    """The agent, learning from prepared rewards and keeping the moments of `spec`'s stored observations."""
    low, high = -training.reward_clip if training.reward_clip else None, training.reward_clip
    scaled = training.reward_scale != 1 or high is not None
    if not (scaled or training.normalise):
        return agent
    encoder = spec.encoder  # of the bare spec: floats without normalisation
    nothing = encoder.init(jax.random.key(0), jnp.zeros((1, *spec.shape), spec.dtype))

    def moved(params: Params, x: Array, valid: Array) -> Params:
        return jax.tree.map(lambda leaf: joined(leaf, x, valid) if _is(leaf) else leaf, params, is_leaf=_is)

    def learn(state: AgentState, seen: Transition) -> tuple[AgentState, Metrics]:
        if training.normalise:
            x = encoder.apply(nothing, seen.obs.reshape(-1, *spec.shape))
            params = moved(state.fit.params, x, jnp.asarray(seen.valid).reshape(-1))
            state = state._replace(fit=state.fit._replace(params=params), target=_shared(state.target, params))
        if scaled:
            reward = jnp.asarray(seen.reward) * training.reward_scale
            seen = seen._replace(reward=reward if high is None else jnp.clip(reward, low, high))
        return agent.learn(state, seen)

    def init(key: Key, seen: Transition) -> AgentState:
        state = agent.init(key, seen)
        if training.normalise and not any(map(_is, jax.tree.leaves(state.fit.params, is_leaf=_is))):
            raise UsageError("normalise has no effect on this agent: it has no network")
        return state

    return agent._replace(init=init, learn=learn)


def learned_leaves(params: Params) -> list[bool]:
    """Is each leaf of θ a weight, and not a running statistic?"""
    parts = jax.tree.leaves(params, is_leaf=_is)
    return [not _is(part) for part in parts for _ in jax.tree.leaves(part)]


def _is(leaf: object) -> bool:
    return isinstance(leaf, RunningStatistics)


def _shared(target: Params, params: Params) -> Params:
    """The target network with the moments of the online one: both see the same numbers."""
    found = [leaf for leaf in jax.tree.leaves(params, is_leaf=_is) if _is(leaf)]

    def moved(leaf: Tree) -> Tree:
        if not _is(leaf):
            return leaf
        # a target of K networks holds them K times
        return jax.tree.map(lambda new, old: jnp.copy(jnp.broadcast_to(new, old.shape)), found[0], leaf)

    return jax.tree.map(moved, target, is_leaf=_is)
