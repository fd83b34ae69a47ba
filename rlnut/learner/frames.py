"""Stacks of frames in a ring, each frame once: a row has the newest frame of its stack, the rows before it the rest.

An episode's age at a row says how many frames of the stack are of that episode; those before its first are padding. The
ring of frames is k rows longer than that of the transitions, so the oldest stack is whole, too: what is read is bit for
bit what was seen (Mnih et al. 2015 keep their replay so).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rlnut.learner.spec import FrameStack, StackedExample
from rlnut.types import Array as Rows
from rlnut.types import Example, Experience

RowIndex = tuple[Array, Array]  # row and environment


class Frames(NamedTuple):
    """The frames of a ring of L rows, M = L + k of them for each of N environments."""

    frame: Array  # [M, N, ...]
    age: Array  # [L, N] steps since the episode began, at most k − 1
    head: Array  # [N] the place of the newest frame
    since: Array  # [N] its age; 0: nothing is there yet, and the newest row of the transitions is still the oldest
    stack: FrameStack


def ring_rows(head: Array, length: int, seen: Experience) -> tuple[RowIndex, RowIndex, Array]:
    """Where the rows [T, N] of `seen` go in a ring, where their successors go, and how far each head moves [N].

    Rows that are not valid get a row that does not exist: `mode="drop"` leaves them out.
    """
    advance = jnp.where(seen.valid, 1 + seen.end.astype(jnp.int32), 0)
    offset = jnp.cumsum(advance, axis=0)
    row = head + offset - advance
    env = jnp.arange(len(head))
    here = jnp.where(seen.valid, row % length, length)
    after = jnp.where(seen.valid, (row + 1) % length, length)
    return (here, env), (after, env), offset[-1]


def no_observations(example: Example, rows: int) -> Array | Frames:
    """A ring for observations [N, ...] before anything was seen."""
    if not isinstance(example, StackedExample):
        return jnp.zeros((rows, *example.shape), example.dtype)
    stack, (envs, k, *shape) = example.stack, example.shape
    frame = jnp.zeros((rows + k, envs, *shape), example.dtype)
    age = jnp.zeros((rows, envs), np.uint8 if k <= 256 else np.int32)
    return Frames(frame, age, jnp.zeros(envs, jnp.int32), jnp.zeros(envs, jnp.int32), stack)


def added(ring: Array | Frames, here: RowIndex, after: RowIndex, seen: Experience) -> Array | Frames:
    """The ring with the observations of `seen` [T, N, ...] and their successors; here, after: rows by `ring_rows`."""
    if not isinstance(ring, Frames):
        return ring.at[after].set(seen.next_obs, mode="drop").at[here].set(seen.obs, mode="drop")
    most = ring.stack.frames - 1
    age, since = _ages(ring.since, seen)
    frame_here, frame_after, offset = ring_rows(ring.head, len(ring.frame), seen)
    frame = ring.frame.at[frame_after].set(seen.next_obs[:, :, -1], mode="drop")
    later, now = (jnp.minimum(a, most).astype(ring.age.dtype) for a in (age + 1, age))
    return ring._replace(
        frame=frame.at[frame_here].set(seen.obs[:, :, -1], mode="drop"),
        age=ring.age.at[after].set(later, mode="drop").at[here].set(now, mode="drop"),
        head=(ring.head + offset) % len(ring.frame),
        since=jnp.minimum(since, most),
    )


def _ages(since: Array, seen: Experience) -> tuple[Array, Array]:
    """Steps since the episodes began: at the steps of `seen` [T, N], and after them [N]; since: before them."""
    valid = jnp.asarray(seen.valid)
    count = jnp.cumsum(valid, axis=0, dtype=jnp.int32)
    ended = jax.lax.cummax(jnp.where(valid & seen.end, count, -since))  # a step of this count was an episode's last
    before = jnp.concatenate([-since[None], ended[:-1]])
    return count - valid - before, count[-1] - ended[-1]


def cut_frames(ring: Frames, steps: Array) -> Frames:
    """The same, where what is added next begins new episodes, `steps` [N] places on."""
    return ring._replace(head=(ring.head + steps) % len(ring.frame), since=jnp.zeros_like(ring.since))


def observations(ring: Array | Frames, head: Array, row: Rows, env: Rows) -> Array:
    """The observations at rows [..., B] of environments [B]; head [N]: the newest row of each."""
    if not isinstance(ring, Frames):
        return ring[row, env]
    k, padding = ring.stack.frames, ring.stack.padding
    length = len(ring.age)
    older = (head[env] - row) % length
    older = jnp.where((older == 0) & (ring.since[env] == 0), length, older)
    age = ring.age[row, env].astype(jnp.int32)[..., None]
    back = jnp.arange(k - 1, -1, -1)  # steps from each frame of a stack to its newest
    place = (ring.head[env] - older)[..., None] - (jnp.minimum(back, age) if padding is None else back)
    found = ring.frame[place % len(ring.frame), env[..., None]]
    if padding is None:
        return found
    usual = jnp.asarray(np.frombuffer(padding, ring.frame.dtype).reshape(ring.frame.shape[2:]))
    return jnp.where((back > age).reshape(*age.shape[:-1], k, *(1,) * usual.ndim), usual, found)
