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
from rlnut.control.plan import nbytes
from rlnut.learner import prioritised_replay
from rlnut.learner.prioritised_replay import (
    FLOOR,
    PrioritisedState,
    prioritised,
    search,
    with_all_nodes,
    with_nodes,
    without_nodes,
)
from rlnut.learner.replay import Memory, ReplayRows, cut_episodes, replay

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
    state = cut_episodes(memory.add(memory.init(first_row(first), 1), first))
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


def prioritised_state(priorities: np.ndarray, alpha: float) -> Any:
    """A memory of one environment that holds transitions with these priorities."""
    memory = prioritised(2 * len(priorities), 1, alpha, 0.4, 100)
    steps = len(priorities)
    obs = np.arange(steps, dtype=np.float32)[:, None]
    ones = np.ones((steps, 1), bool)
    seen = Transition(obs, np.zeros((steps, 1), int), obs, obs, obs + 1, ~ones, ones)
    state = memory.add(memory.init(first_row(seen), 1), seen)
    rows = ReplayRows(jnp.arange(steps), jnp.zeros(steps, int))
    assert memory.score is not None
    return memory, memory.score(state, rows, jnp.asarray(priorities - FLOOR)), rows


def test_probabilities_and_weights_are_the_definition():
    """P(i) = p_i^α / Σ p^α and w_i = (N P(i))^−β / max_k (N P(k))^−β (Schaul et al. 2016, eq. 1 and section 3.4)."""
    p = np.array([0.5, 2.0, 1.0, 4.0, 0.25, 3.0])
    memory, state, rows = prioritised_state(p, 0.6)
    chance = p**0.6 / (p**0.6).sum()
    drawn = np.asarray(jax.jit(memory.draw, static_argnums=2)(state, jax.random.key(0), 30_000).row)
    np.testing.assert_allclose(np.bincount(drawn, minlength=6) / 30_000, chance, atol=2e-4)  # stratified: nearly exact
    alone = jax.vmap(lambda key: memory.draw(state, key, 1).row[0])(jax.random.split(jax.random.key(1), 30_000))
    counts = np.bincount(np.asarray(alone), minlength=6)
    assert ((counts - 30_000 * chance) ** 2 / (30_000 * chance)).sum() < 20.5  # 99.9 % of χ² with 5 degrees of freedom
    for steps, beta in ((0, 0.4), (50, 0.7), (1000, 1.0)):  # from 0.4 to 1 in 100 steps
        weight = (6 * chance) ** -beta
        np.testing.assert_allclose(memory.weigh(state, rows, jnp.int32(steps)), weight / weight.max(), rtol=1e-4)


def test_new_rows_have_the_largest_priority_and_no_other_place_has_any():
    """Whatever is added, ended, overwritten or not valid: mass lies exactly where a transition begins."""
    memory: Any = prioritised(24, 2)
    chunks = experience(np.random.default_rng(3), 8, 3, 2)
    state = memory.init(first_row(chunks[0]), 3)
    add = jax.jit(memory.add)
    for k, seen in enumerate(chunks):
        state = add(state, seen)
        np.testing.assert_array_equal(np.asarray(state.mass) > 0, np.asarray(state.replay.begins))
        rows = memory.draw(state, jax.random.key(k), 4)
        assert np.asarray(state.replay.begins)[rows.row, rows.env].all()
        state = memory.score(state, rows, jnp.full(4, 1.0 + k))
    top = 8.0 + FLOOR
    assert float(state.top) == pytest.approx(top)
    again = add(state, chunks[0])
    fresh = np.asarray(again.mass)[~np.asarray(again.mass == state.mass)]
    assert fresh.max() == pytest.approx(top**0.6, rel=1e-5)


@pytest.mark.parametrize("capacity, envs", [(20, 1), (70, 3), (2500, 2)])
def test_nodes_are_those_of_the_masses_after_any_sequence(capacity: int, envs: int, monkeypatch):
    """Sums and minima are followed through rows added, overwritten and scored, without a bit of drift."""
    monkeypatch.setattr(prioritised_replay, "WHOLE", 1)
    memory: Any = prioritised(capacity, 2)
    rng = np.random.default_rng(capacity)
    chunks = experience(rng, 40, 4, envs)
    state = memory.init(first_row(chunks[0]), 4)
    add, draw, score = jax.jit(memory.add), jax.jit(memory.draw, static_argnums=2), jax.jit(memory.score)
    for k, seen in enumerate(chunks):
        state = add(state, seen)
        state = score(state, draw(state, jax.random.key(k), 8), rng.exponential(size=8).astype(np.float32))
        mass = np.asarray(state.mass, float)
        assert float(state.sums[-1][0]) == pytest.approx(mass.sum(), rel=1e-6)
        assert float(state.least[-1][0]) == np.float32(mass[mass > 0].min())
    kept = without_nodes({"memory": state})
    assert kept["memory"].sums == kept["memory"].least == ()
    for ours, anew in zip(jax.tree.leaves(state), jax.tree.leaves(with_all_nodes(kept)["memory"]), strict=True):
        assert np.asarray(ours).tobytes() == np.asarray(anew).tobytes()


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_search_finds_the_share(size, seed):
    rng = np.random.default_rng(seed)
    mass = np.where(rng.random(size) < 0.5, 0, rng.exponential(size=size) ** 4).astype(np.float32)
    if not mass.any():
        return
    share = rng.random(64).astype(np.float32)
    padded = jnp.asarray(np.pad(mass, (0, 1100 - size)))[:, None]
    state = with_nodes(PrioritisedState((), padded, jnp.ones(())))
    found = np.asarray(search(state, jnp.asarray(share)))
    until = np.cumsum(mass.astype(float))
    assert (mass[found] > 0).all()
    u = share.astype(float) * until[-1]
    slack = 1e-5 * until[-1]  # rounding of float32 sums
    assert (u < until[found] + slack).all()
    assert (u >= until[found] - mass[found] - slack).all()


def test_masks_are_kept_beside_their_observations():
    memory = replay(64, 2)
    seen: Any = experience(np.random.default_rng(5), 1, 12, 2)[0]
    mask = np.random.default_rng(6).random((2, 12, 2, 3)) < 0.5
    seen = seen._replace(mask=mask[0], next_mask=mask[1])
    for t in range(11):  # what is allowed next is what is allowed there, unless an episode ended
        same = seen.valid[t] & ~seen.end[t]
        seen.mask[t + 1][same] = seen.next_mask[t][same]
    state = memory.add(memory.init(first_row(seen), 12), seen)
    got = sampler(memory)(state, jax.random.key(0), 200)
    known = {
        float(o): m for o, m, v in zip(seen.obs.ravel(), seen.mask.reshape(-1, 3), seen.valid.ravel(), strict=True) if v
    }
    after = {float(o): m for o, m in zip(seen.next_obs.ravel(), seen.next_mask.reshape(-1, 3), strict=True)}
    for o, m, n, k in zip(*map(np.asarray, (got.obs, got.mask, got.next_obs, got.next_mask)), strict=True):
        np.testing.assert_array_equal(m, known[float(o)])
        np.testing.assert_array_equal(k, after[float(n)])


def test_a_cut_between_two_episodes_of_a_full_ring_joins_nothing() -> None:
    """The row where the next episode will begin still holds the oldest transition: its successor must stay its own."""
    memory, count = replay(6), iter(range(1, 100))
    zero, no = np.zeros((1, 1), np.float32), np.zeros((1, 1), bool)
    one = Transition(zero, zero.astype(np.int32), zero, zero, zero, no, ~no)
    state = memory.init(jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), one), 1)
    for end in (0, 0, 0, 0, 0, 0, 1, "cut", 0):
        if end == "cut":
            state = memory.cut(state)
            continue
        t = np.full((1, 1), next(count), np.float32)
        flag = np.full((1, 1), bool(end))
        state = memory.add(state, one._replace(obs=t, next_obs=t + 0.5 if end else t + 1, end=flag))
    rows = ReplayRows(*np.argwhere(np.asarray(state.begins)).T)
    got = memory.read(state, rows)
    after = {4.0: 5.0, 5.0: 6.0, 6.0: 7.0, 7.0: 7.5, 8.0: 9.0}
    assert (
        dict(zip(np.asarray(got.obs).tolist(), np.asarray(got.next_obs).tolist(), strict=True)).items() <= after.items()
    )


@pytest.mark.parametrize("lengths", [[1], [2, 1], [30], [1, 40]])  # of the episodes: half the rows are bad, and few
@pytest.mark.parametrize("seed", range(3))
def test_a_draw_takes_the_first_good_candidate_of_each_row(lengths: list[int], seed: int):
    """Candidate t of all rows comes from fold_in(key, t), as if they were drawn one after the other."""
    memory = replay(90)
    steps, ends = 40, set(np.cumsum(lengths * 40))
    end = np.array([[t + 1 in ends] for t in range(steps)])
    number = np.arange(steps, dtype=np.float32)[:, None]
    seen = Transition(number, np.zeros((steps, 1), int), number, number, number + 1, end, np.ones((steps, 1), bool))
    state = memory.add(memory.init(first_row(seen), 1), seen)
    key, size, begins = jax.random.key(seed), 64, np.asarray(state.begins)
    expected = np.full((2, size), -1)
    for t in range(200):
        bits = np.asarray(jax.random.bits(jax.random.fold_in(key, t), (2, size), jnp.uint32))
        candidate = np.stack([bits[0] % np.uint32(int(state.filled)), bits[1] % np.uint32(begins.shape[1])]).astype(int)
        take = (expected[0] < 0) & begins[candidate[0], candidate[1]]
        expected[:, take] = candidate[:, take]
    drawn = memory.draw(state, key, size)
    assert np.array_equal(drawn.row, expected[0]) and np.array_equal(drawn.env, expected[1])
