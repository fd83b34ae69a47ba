"""Replay against a slow Python list: the same transitions, folded the same way, in any order of ends and resets."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlnut import Transition
from rlnut.memory import Memory, cut, replay
from rlnut.planning import nbytes

GAMMA = 0.5


class SlowReplay:
    """For each environment the list of its transitions, nothing clever; observations are unique numbers."""

    def __init__(self, envs: int) -> None:
        self.streams: list[list[tuple[float, int, float, float, float, bool]]] = [[] for _ in range(envs)]

    def add(self, seen: Transition) -> None:
        for row in zip(*seen[:7], strict=True):
            for i, (obs, action, reward, discount, after, end, valid) in enumerate(zip(*row, strict=True)):
                if valid:
                    self.streams[i].append(
                        (float(obs), int(action), float(reward), float(discount), float(after), bool(end))
                    )

    def folded(self, n: int) -> dict[float, tuple[int, float, float, float]]:
        """obs -> (action, n-step return, product of discounts, observation to bootstrap from)."""
        found = {}
        for stream in self.streams:
            for k, (obs, action, *_) in enumerate(stream):
                total, product = 0.0, 1.0
                for _, _, reward, discount, after, end in stream[k : k + n]:
                    total, product, last = total + product * reward, product * discount, after
                    if end:
                        break
                found[obs] = (action, total, product, last)
        return found


def experience(rng: np.random.Generator, chunks: int, steps: int, envs: int) -> list[Transition]:
    """Episodes of random lengths with terminations, truncations, and rows that are not valid."""
    count = iter(range(1, 10**6))
    now = [float(next(count)) for _ in range(envs)]
    made = []
    for _ in range(chunks):
        shape = (steps, envs)
        valid, kind = rng.random(shape) < 0.9, rng.random(shape)
        terminated, truncated = valid & (kind < 0.15), valid & (kind > 0.85)
        obs, after = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        for t in range(steps):
            for i in range(envs):
                obs[t, i] = now[i]
                if valid[t, i]:
                    after[t, i] = now[i] = float(next(count))
                    if terminated[t, i] or truncated[t, i]:
                        now[i] = float(next(count))  # the reset observation
        reward = rng.normal(size=shape).astype(np.float32)
        discount = np.where(terminated, 0, GAMMA).astype(np.float32)
        end = terminated | truncated
        made.append(Transition(obs, rng.integers(7, size=shape), reward, discount, after, end, valid))
    return made


def sampler(memory: Memory) -> Any:
    """(state, key, size) -> transitions, compiled."""
    return jax.jit(lambda state, key, size: memory.read(state, memory.draw(state, key, size)), static_argnums=2)


def first_row(seen: Transition) -> Transition:
    return jax.tree.map(lambda a: a[0], seen)


@pytest.mark.parametrize(("n", "envs", "capacity"), [(1, 1, 24), (3, 2, 24), (4, 3, 500)])
def test_every_sample_is_a_transition_that_was_added(n, envs, capacity):
    memory = replay(capacity, n)
    add, sample = jax.jit(memory.add), sampler(memory)

    @settings(deadline=None, max_examples=20)
    @given(seed=st.integers(0, 2**32 - 1))
    def check(seed: int) -> None:
        chunks = experience(np.random.default_rng(seed), 6, 3, envs)
        slow, state = SlowReplay(envs), memory.init(first_row(chunks[0]), 3)
        for seen in chunks:
            state = add(state, seen)
            slow.add(seen)
        kept = int(np.asarray(state.begins).sum())
        if not kept:
            return
        got = sample(state, jax.random.key(seed), 300)
        truth = slow.folded(n)
        for obs, action, reward, discount, after in zip(*map(np.asarray, got[:5]), strict=True):
            expected = truth[float(obs)]
            assert (int(action), float(after)) == (expected[0], expected[3])
            np.testing.assert_allclose([reward, discount], expected[1:3], rtol=1e-5, atol=1e-6)
        if capacity == 500:  # nothing was overwritten: every transition is there, and is drawn
            assert kept == sum(map(len, slow.streams))
            assert len({float(o) for o in np.asarray(got.obs)}) > 0.8 * kept * (1 - np.exp(-300 / kept))

    check()


def test_sampling_is_uniform_over_transitions():
    """Rows where no transition begins must not favour their neighbours: in episodes of one step that is half."""
    memory = replay(64)
    steps = 16
    obs = np.arange(steps, dtype=np.float32)[:, None]
    ones = np.ones((steps, 1), bool)
    end = np.arange(steps)[:, None] < 8  # eight episodes of one step, then one long one
    seen = Transition(obs, np.zeros((steps, 1), int), obs, obs, obs + 100, end, ones)
    state = memory.add(memory.init(first_row(seen), 1), seen)
    drawn = np.asarray(sampler(memory)(state, jax.random.key(0), 16_000).obs).astype(int)
    counts = np.bincount(drawn, minlength=steps)
    chi2 = ((counts - 1000) ** 2 / 1000).sum()
    assert chi2 < 37.7  # 99.9 % quantile of χ² with 15 degrees of freedom


def test_observations_are_kept_once_and_in_their_own_type():
    memory = replay(1000)
    obs: Any = jax.ShapeDtypeStruct((4, 84, 84, 4), np.uint8)
    row: Any = jax.ShapeDtypeStruct((4,), np.float32)
    flag: Any = jax.ShapeDtypeStruct((4,), bool)
    seen = Transition(obs, row, row, row, obs, flag, flag)
    size = nbytes(jax.eval_shape(lambda: memory.init(seen, 1)))
    assert size < 1.02 * 1004 * 84 * 84 * 4


def test_an_empty_replay_ends_its_search():
    memory = replay(16)
    seen = Transition(*(np.zeros((1, 1), np.float32),) * 5, np.zeros((1, 1), bool), np.zeros((1, 1), bool))
    sampler(memory)(memory.init(first_row(seen), 1), jax.random.key(0), 4)  # returns


def test_too_many_steps_at_once_are_refused():
    memory = replay(8)
    seen = experience(np.random.default_rng(0), 1, 30, 1)[0]
    with pytest.raises(ValueError, match="30 steps at once do not fit a replay of 8"):
        memory.add(memory.init(first_row(seen), 1), seen)


def test_cut_keeps_the_last_transition_whole():
    """After a restart the next observation is another episode's: it must not become anyone's successor."""
    memory = replay(32, 3)
    ones = np.ones((2, 1), bool)
    obs = np.array([[1.0], [2.0]], np.float32)
    first = Transition(obs, np.zeros((2, 1), int), obs, np.full((2, 1), 0.5, np.float32), obs + 1, ~ones, ones)
    state = cut(memory.add(memory.init(first_row(first), 1), first))
    state = memory.add(state, first._replace(obs=obs + 50, next_obs=obs + 51))
    got = sampler(memory)(state, jax.random.key(0), 64)
    after = {float(o): float(a) for o, a in zip(np.asarray(got.obs), np.asarray(got.next_obs), strict=True)}
    assert after == {1.0: 3.0, 2.0: 3.0, 51.0: 53.0, 52.0: 53.0}


def test_add_compiles_in_place():
    """A donated replay is written where it lies: the compiled call holds no second copy of it."""
    memory = replay(100_000)
    seen = experience(np.random.default_rng(0), 1, 8, 1)[0]
    state = memory.init(first_row(seen), 1)
    compiled = jax.jit(memory.add, donate_argnums=0).lower(state, jax.tree.map(jnp.asarray, seen)).compile()
    analysis = compiled.memory_analysis()
    if analysis is not None:
        assert analysis.temp_size_in_bytes < 100_000
