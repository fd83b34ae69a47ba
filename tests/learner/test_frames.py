"""Frames kept once against whole stacks: what is drawn and read is the same, bit for bit, whatever was played."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlnut.control.plan import nbytes
from rlnut.learner.frames import Frames
from rlnut.learner.prioritised_replay import prioritised, prioritised_windows
from rlnut.learner.replay import Memory, ReplayRows, replay
from rlnut.learner.sequence_replay import windows
from rlnut.learner.spec import FrameStack, StackedExample
from rlnut.types import Transition

SHAPE = (2, 3)  # of a frame
NONE = np.zeros(0)


class Stream:
    """One environment whose observations are the last k frames, padded as Gymnasium's wrapper pads them."""

    def __init__(self, rng: np.random.Generator, k: int, padding: np.ndarray | None, dtype: str) -> None:
        self.rng, self.k, self.padding, self.dtype = rng, k, padding, dtype
        self.reset()

    def frame(self) -> np.ndarray:
        return self.rng.integers(0, 256, SHAPE).astype(self.dtype)

    def reset(self) -> None:
        first = self.frame()
        before = first if self.padding is None else self.padding
        self.frames = deque([before] * (self.k - 1) + [first], maxlen=self.k)
        self.fresh = True

    @property
    def obs(self) -> np.ndarray:
        return np.stack(self.frames)


def played(
    rng: np.random.Generator, chunks: list[int], envs: int, k: int, padding: np.ndarray | None, ends: float, dtype: str
) -> list[Transition]:
    """Rounds of steps; some episodes terminate, some are cut, and some steps are only resets."""
    streams = [Stream(rng, k, padding, dtype) for _ in range(envs)]
    found = []
    for steps in chunks:
        rows: list[list[tuple[Any, ...]]] = []
        for _ in range(steps):
            row = []
            for stream in streams:
                now, fresh = stream.obs, stream.fresh
                if valid := bool(rng.random() < 0.9):
                    stream.frames.append(stream.frame())
                    stream.fresh = False
                kind = rng.random() if valid else 1.0
                terminated, truncated = kind < ends / 2, ends / 2 <= kind < ends
                said = (rng.integers(3), rng.normal(), 0.9 * (not terminated), stream.obs, terminated or truncated)
                row.append((now, *said, valid, fresh))
                if terminated or truncated:
                    stream.reset()
            rows.append(row)
        kinds: tuple[Any, ...] = (dtype, np.int32, np.float32, np.float32, dtype, bool, bool, bool)
        parts: list[Any] = [np.array([[one[i] for one in row] for row in rows], kind) for i, kind in enumerate(kinds)]
        carry = rng.normal(size=(steps, envs, 2)).astype(np.float32)
        found.append(Transition(*parts[:7])._replace(carry=(carry,), fresh=parts[7]))
    return found


def both(memory: Memory, seen: Transition, stack: FrameStack, most: int) -> tuple[Any, Any]:
    """The memory before anything was seen: with whole stacks, and with frames kept once."""
    row = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), seen)
    stacked = row._replace(obs=StackedExample(row.obs.shape, row.obs.dtype, stack))
    return memory.init(row, most), memory.init(stacked, most)


def ring(state: Any) -> Any:
    return ring(state.replay) if hasattr(state, "replay") else state


def same(one: Any, other: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, one, other)


MEMORIES: dict[str, Callable[[int, int], Memory]] = {
    "replay": replay,
    "prioritised": prioritised,
    "windows": lambda capacity, n: windows(capacity, 3, 2, n),
    "prioritised windows": lambda capacity, n: prioritised_windows(windows(capacity, 3, 1, n), 3),
}
PADDINGS: dict[str, Any] = {"reset": None, "zero": np.zeros(SHAPE), "own": np.arange(6).reshape(SHAPE)}
STEPS = 4  # in a round


@pytest.mark.parametrize(
    ("kind", "k", "envs", "n", "capacity", "dtype", "pad"),
    [
        ("replay", 2, 1, 1, 8, "uint8", "reset"),
        ("replay", 4, 3, 3, 50, "uint8", "reset"),
        ("replay", 5, 2, 2, 31, "float32", "own"),
        ("replay", 3, 1, 4, 17, "uint8", "zero"),
        ("prioritised", 4, 2, 3, 40, "uint8", "own"),
        ("windows", 4, 2, 2, 37, "uint8", "reset"),
        ("windows", 3, 1, 1, 12, "float32", "zero"),
        ("prioritised windows", 3, 2, 1, 41, "uint8", "reset"),
    ],
)
def test_it_is_as_if_whole_stacks_were_kept(
    kind: str, k: int, envs: int, n: int, capacity: int, dtype: str, pad: str
) -> None:
    """Episodes of every length, some steps that are only resets, rings that are full several times over, cuts."""
    padding = PADDINGS[pad] if PADDINGS[pad] is None else PADDINGS[pad].astype(dtype)
    memory, seen = MEMORIES[kind](capacity, n), None
    add, read, draw = jax.jit(memory.add), jax.jit(memory.read), jax.jit(memory.draw, static_argnums=2)
    for seed in range(12):
        rng = np.random.default_rng(seed)
        rounds = played(
            rng, [STEPS] * int(rng.integers(1, 20)), envs, k, padding, (0.0, 0.1, 0.4, 1.0)[seed % 4], dtype
        )
        stack = FrameStack(k, None if padding is None else padding.tobytes())
        whole, once = both(memory, rounds[0], stack, STEPS)
        cut = int(rng.integers(40))
        for i, seen in enumerate(rounds):
            if i == cut:  # a run that goes on with new episodes
                whole, once, seen = memory.cut(whole), memory.cut(once), rounds[0]
            whole, once = add(whole, seen), add(once, seen)
            if i == cut:
                break
        held, frames = ring(whole), ring(once)
        assert isinstance(frames.obs, Frames)
        same(held._replace(obs=()), frames._replace(obs=()))
        begins = np.argwhere(np.asarray(held.begins)).T
        if begins.shape[1]:
            same(draw(whole, jax.random.key(seed), 16), draw(once, jax.random.key(seed), 16))
            rows = ReplayRows(*begins[:, np.arange(held.begins.size) % begins.shape[1]])  # all of them, some twice
            check_read(held, rows, read(whole, rows), read(once, rows))


def check_read(held: Any, rows: ReplayRows, wanted: Transition, got: Transition) -> None:
    """The same, but for what is no observation of a window: rows beyond the newest one, and those that a cut left."""
    if wanted.window is None:
        return same(wanted, got)
    assert got.window is not None and wanted.next_window is not None and got.next_window is not None
    at = np.asarray(wanted.valid)
    same(*(jax.tree.map(lambda a: np.asarray(a)[at], x._replace(window=None, next_window=None)) for x in (wanted, got)))
    newest = (np.asarray(held.head)[rows.env] - rows.row) % len(held.begins)
    ahead = np.arange(wanted.window.obs.shape[1])
    row, begins = rows.row[:, None] + ahead, np.asarray(held.begins)
    there = begins[row % len(begins), rows.env[:, None]] | begins[(row - 1) % len(begins), rows.env[:, None]]
    lived = there & (ahead <= newest[:, None])
    same(np.asarray(wanted.window.obs)[lived], np.asarray(got.window.obs)[lived])
    same(wanted.window._replace(obs=NONE), got.window._replace(obs=NONE))
    same(wanted.next_window._replace(obs=NONE), got.next_window._replace(obs=NONE))


def test_a_stack_by_hand() -> None:
    """Frames 10, 11, 12 | 20, 21, …: the second episode begins after the true last observation [11, 12, 13]."""
    frames = [[10, 10, 10], [10, 10, 11], [10, 11, 12], [20, 20, 20], [20, 20, 21]]
    after = [[10, 10, 11], [10, 11, 12], [11, 12, 13], [20, 20, 21], [20, 21, 22]]
    end = np.array([0, 0, 1, 0, 0], bool)[:, None]
    zeros = np.zeros((5, 1), np.float32)
    obs, then = (np.array(rows, np.uint8)[:, None, :, None] for rows in (frames, after))
    seen = Transition(obs, zeros.astype(np.int32), zeros, zeros, then, end, np.ones_like(end))
    memory = replay(12)
    _, state = both(memory, seen, FrameStack(3), 5)
    state = jax.jit(memory.add)(state, seen)
    np.testing.assert_array_equal(np.asarray(state.obs.frame).ravel()[:7], [10, 11, 12, 13, 20, 21, 22])
    got = jax.jit(memory.read)(state, ReplayRows(jnp.array([0, 1, 2, 4, 5]), jnp.zeros(5, int)))
    np.testing.assert_array_equal(np.asarray(got.obs)[..., 0], frames)
    np.testing.assert_array_equal(np.asarray(got.next_obs)[..., 0], after)


def test_a_replay_of_stacks_takes_little_more_than_one_frame_a_step() -> None:
    shape, k, capacity = (8, 4, 84, 84), 4, 100_000
    number, flag = (jax.ShapeDtypeStruct((8,), kind) for kind in (np.float32, bool))
    obs: Any = StackedExample(shape, np.dtype(np.uint8), FrameStack(k))
    row: Any = Transition(obs, number, number, number, obs, flag, flag)  # type: ignore[arg-type]  # shapes
    size = nbytes(jax.eval_shape(lambda: replay(capacity).init(row, 1)))
    assert size / capacity / (84 * 84) <= 1.05
