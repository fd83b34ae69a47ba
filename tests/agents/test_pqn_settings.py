"""PQN with several agents side by side: `vmap` over them gives each what it learns alone."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from rlnut.agents.pqn_settings import PQN
from rlnut.control.native_loop import Live, rounds
from rlnut.envs.classic_control import CartPole
from rlnut.envs.functional import func_vector

SMALL = PQN(rollout=32, epochs=2, minibatches=4, hidden=(8,), epsilon_steps=100, lr=1e-2)


@pytest.mark.parametrize("backend", ["cpu", "gpu"])  # one after another, and all at once
def test_agents_under_vmap_learn_what_each_learns_alone(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vector = func_vector(CartPole(), 4, limit=500)
    with monkeypatch.context() as patched:
        patched.setattr(jax, "default_backend", lambda: backend)
        agent = SMALL.build(vector.spec)
    begin, one_round = rounds(agent, vector, SMALL.gamma)

    def two_rounds(key: jax.Array) -> tuple[Live, jax.Array]:
        live, _ = one_round(begin(key))
        live, seen = one_round(live)
        return live, seen.metrics

    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.jit(jax.vmap(two_rounds)).lower(keys)
    products = [line for line in together.as_text().splitlines() if "dot_general" in line]
    side_by_side = sum("batching_dims" in line for line in products)
    assert side_by_side == (len(products) if backend == "gpu" else 4)  # on a CPU only acting, by 2 layers in 2 rounds
    live, metrics = together.compile()(keys)
    assert not np.allclose(metrics[0], metrics[1])
    alone, expected = jax.jit(two_rounds)(keys[1])
    np.testing.assert_allclose(metrics[1], expected, rtol=1e-4)
    for one, all_ in zip(jax.tree.leaves(alone.agent.fit), jax.tree.leaves(live.agent.fit), strict=True):
        if jax.dtypes.issubdtype(one.dtype, jax.dtypes.prng_key):
            one, all_ = jax.random.key_data(one), jax.random.key_data(all_)
        np.testing.assert_allclose(all_[1], one, rtol=1e-4, atol=1e-6)
