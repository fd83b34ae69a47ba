"""Fitted Q evaluation: every iteration is one regression onto targets made of a fixed set of transitions.

    w <- argmin_w Σ (r + D Σ_a π(a|s') q⁻(s', a) − q_w(s, a))²        (Le, Voloshin & Yue 2019, algorithm 3)

Linear functions are solved exactly: with the sums of `learner.least_squares` the minimiser is w⁻ + G⁺ (b − A w⁻), so
that a fixed point of the iteration is LSTD's. A network goes on from w⁻: that is NFQ (`offline`) `following` π.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rlnut.agents.lstd import td_sums
from rlnut.agents.offline import fitted_iteration
from rlnut.agents.td import Maker, Parts, TDRows
from rlnut.learner.bellman import following, q_problem
from rlnut.regression.core import regression
from rlnut.runtime.arrays import owned
from rlnut.types import Key, Model, Transition

BATCH = 128  # rows of one update of a network
STILL = 1e-12  # change of w, relative to w, that counts as none

Weights = Iterator[tuple[np.ndarray, float]]  # (w [N, d], √mean δ² of the targets) after each iteration


def linear_fqe(make: Maker, parts: Parts, rows: TDRows, w0: np.ndarray, iterations: int) -> Weights:
    """Linear `make(*parts)` over rows [T, N], in float64; ends where w does not change any more."""
    rows = rows._replace(slot=np.zeros_like(rows.slot))
    A, b, G = (np.asarray(s)[:, 0] for s in td_sums(make, parts, rows, 0.0, len(w0), 1, gram=True))
    inverse = np.linalg.pinv(G, rcond=1e-12, hermitian=True)
    w = np.broadcast_to(np.asarray(w0, np.float64), b.shape)
    for _ in range(iterations):
        step = np.einsum("nij,nj->ni", inverse, b - np.einsum("nij,nj->ni", A, w))
        w = w + step
        yield w, float("nan")
        if not np.abs(step).max() > STILL * np.abs(w).max():
            return


def network_fqe(
    make: Maker, parts: Parts, rows: TDRows, key: Key, iterations: int, epochs: int, alpha: float
) -> Weights:
    """A network by `fitted_iteration` with Adam, step size `alpha`: N independent runs at once."""
    model = make(*parts)
    assert model.outputs is not None  # a network of action values
    flat = Model(lambda key, x: model.init(key), jax.vmap(model.outputs, (None, 0)))
    core = regression(flat, optimizer=optax.adam(alpha))
    problem = q_problem(lambda w, s, key: core.predict(w, s), following(), stochastic=False)
    iteration = fitted_iteration(core, problem, epochs, BATCH)
    advance = jax.jit(jax.vmap(iteration, (0, 0, 1)), donate_argnums=0)
    seen: Transition = jax.tree.map(jnp.asarray, pair_transitions(rows))
    keys = jax.random.split(key, rows.reward.shape[1])
    fits = owned(jax.jit(jax.vmap(core.init, (0, None)))(keys, seen.obs[:1, 0]))  # donated
    share = float(seen.valid.mean())  # the others cost nothing
    for k in range(iterations):
        fits, metrics = advance(fits, jax.vmap(partial(jax.random.fold_in, data=k))(keys), seen)
        yield np.asarray(fits.params, np.float64), float(jnp.sqrt(2 * metrics["cost"].mean() / share))


def pair_transitions(rows: TDRows) -> Transition:
    """Rows of pairs (s, weights of the actions), [T, N], as transitions that say what π does next."""
    assert isinstance(rows.now, tuple) and isinstance(rows.then, tuple)
    (obs, taken), (next_obs, policy), valid = rows.now, rows.then, np.asarray(rows.rate) > 0
    action = np.asarray(taken).argmax(-1).astype(np.int32)
    return Transition(
        obs, action, rows.reward, rows.discount, next_obs, np.asarray(rows.discount) == 0, valid, next_policy=policy
    )
