"""A visit to the device gives what its parts give one by one, in fewer arrays."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from rlnut import DQN
from rlnut.control.host_loop import one_row
from rlnut.control.visit import METRICS, Vectors, Visit
from rlnut.envs.probes import ProbeEnv
from rlnut.envs.spaces import read_spaces
from rlnut.learner.agent import AgentState
from rlnut.types import Metrics, Transition

SPEC = read_spaces(ProbeEnv("Both"))
AGENT = DQN(hidden=(4,), batch=2, replay=20, learning_starts=2, train_every=4, gradient_steps=2).build(SPEC)


def begun() -> tuple[AgentState, Transition]:
    """A state, and a round of four steps."""
    row = one_row(SPEC, 1)
    seen = jax.tree.map(lambda a: np.ones((4, *a.shape), a.dtype), row)
    return jax.jit(lambda key: AGENT.init(key, row))(jax.random.key(3)), seen


def test_vectors_give_back_the_tree_that_they_were_made_from():
    tree = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": (np.array([True]), np.float32(7.0), ())}
    tree |= {"c": np.array([-5], np.int32), "d": np.zeros((0, 2), np.float32), "e": np.array([2.5], np.float16)}
    layout = Vectors(tree)
    vectors = layout.pack(tree)
    np.testing.assert_array_equal(vectors["float32"], [0, 1, 2, 3, 4, 5, 7])
    assert set(vectors) == {"float32", "float16", "int32", "bool"}
    found = layout.unpack(vectors)
    assert str(jax.tree.structure(found)) == str(jax.tree.structure(tree))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(tree), strict=True):
        assert (type(a), a.dtype, a.shape) == (np.ndarray, b.dtype, b.shape)
        np.testing.assert_array_equal(a, b)


def test_a_visit_learns_and_draws_as_the_agent_does():
    state, seen = begun()
    learned, metrics = AGENT.learn(state, seen)
    noise = AGENT.draw(learned, 1)
    for host in (True, False):  # where θ is wanted
        visit = Visit(AGENT._replace(host=host), 1)
        pending = visit(jax.tree.map(jnp.copy, state), seen)
        acting, drawn, told = visit.result(pending)
        assert str(jax.tree.structure(pending.state)) == str(jax.tree.structure(learned))
        jax.tree.map(np.testing.assert_array_equal, drawn, noise)
        for found, wanted in ((pending.state.fit.params, learned.fit.params), (acting, learned.fit.params)):
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), found, wanted)
        assert all(isinstance(leaf, np.ndarray) == host for leaf in jax.tree.leaves(acting))
        np.testing.assert_allclose([told[name] for name in METRICS], [metrics[name] for name in METRICS], rtol=1e-5)


def test_keys_that_learning_changes_come_back_and_the_others_stay():
    def learn(state: AgentState, seen: Transition) -> tuple[AgentState, Metrics]:
        state, metrics = AGENT.learn(state, seen)
        return state._replace(replay_key=jax.random.fold_in(state.replay_key, 1)), metrics

    state, seen = begun()
    wanted = jax.random.key_data(jax.random.fold_in(state.replay_key, 1))
    kept = jax.random.key_data(state.explore_key)
    after = Visit(AGENT._replace(learn=learn), 1)(state, seen).state
    np.testing.assert_array_equal(jax.random.key_data(after.replay_key), wanted)
    np.testing.assert_array_equal(jax.random.key_data(after.explore_key), kept)
    assert after.explore_key is state.explore_key
    assert after.fit.key is state.fit.key
