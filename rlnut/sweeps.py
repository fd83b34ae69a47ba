"""From a stream of experience to learned weights: rows of the recursion, linear tables, sweeps over α, λ and β."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlnut.agents import sparse, td
from rlnut.experience import Experience, folded
from rlnut.methods import Method, Prediction

FALL = 300.0  # α at the start over α at the end, where it falls: early steps are large, late ones average


def make_rows(
    stream: Experience, method: Method, config: Prediction, actions: int | None, falling: bool, records: int
) -> td.Rows:
    """The stream as the recursion reads it, with `records` moments at which weights are kept; `actions` for Q: A."""
    step = stream.step
    end = np.asarray(step.end) | ~np.asarray(step.valid)
    last = ~np.asarray(step.valid) if config.episodes is None else np.asarray(stream.episode) >= config.episodes
    T = len(end)
    row = np.broadcast_to(np.arange(T)[:, None], end.shape)
    count, of = (row, T) if config.episodes is None else (np.asarray(stream.episode).astype(np.int64), config.episodes)
    done = count / of
    slot = np.where(last, records, np.minimum(count * records // of, records))  # in integers: 29/100 · 100 < 29
    rate = np.where(np.asarray(step.valid), FALL**-done if falling else 1.0, 0.0)

    def before(x: Any) -> np.ndarray:
        moved = np.roll(np.asarray(x), 1, 0)
        moved[0] = 0
        return np.where(np.roll(end, 1, 0), 0, moved)

    rho = np.asarray(stream.rho)
    discount = before(step.discount)
    if actions is None:
        clip = np.minimum(1, rho)
        c, gain = {"none": (np.ones_like(rho), np.ones_like(rho)), "v-trace": (clip, clip)}.get(
            config.correction, (rho, rho)
        )
        decay = before(np.asarray(step.discount) * c)
    else:
        c = {"retrace": np.minimum(1, rho), "tree-backup": np.asarray(stream.taken), "none": np.ones_like(rho)}.get(
            config.correction, rho
        )
        decay, gain = discount * c, np.ones_like(rho)
    if method.fold:
        many = folded(stream, T if method.fold == "episode" else config.n)
        step, gain = many.step, np.asarray(many.rho) if actions is None else gain
        decay = np.zeros_like(decay)  # the whole return is in the target
    now = np.asarray(step.obs) if actions is None else np.asarray(step.obs) * actions + np.asarray(step.action)
    fresh = np.roll(end, 1, 0)
    fresh[0] = True
    return td.Rows(
        now, step.next_obs, stream.second[1], step.reward, step.discount, stream.second[0], decay,
        before(np.asarray(stream.step.discount) * rho), gain, fresh, rate.astype(np.float32), slot.astype(np.int32),
    )  # fmt: skip


def table(X: Any, nexts: Any, w0: Any) -> td.Approximator:
    """v = wᵀX[s]; bootstrapped values read `nexts` (Σ_a π(a|s') x(s', a) for Q)."""
    return td.linear(lambda s: X[s], lambda s: nexts[s], w0)


def offline_table(X: Any, nexts: Any, w0: Any) -> td.Approximator:
    """The same for rows whose bootstrapped features are given."""
    return td.linear(lambda s: X[s], lambda x: x, w0)


def lambda_features(rows: td.Rows, nexts: Any, lam: float) -> td.Rows:
    """G^λ = R + wᵀg under fixed w: rows whose reward is R [T, N] and whose `then` is g [T, N, d] (S&B 12.2)."""
    on = jnp.asarray(~np.concatenate([rows.fresh[1:], np.ones_like(rows.fresh[:1])]))  # the episode goes on after it

    def back(carry: Any, row: Any) -> Any:
        R, g = carry
        reward, discount, then, on = row
        R = reward + jnp.where(on, discount * lam * R, 0)
        later = jnp.where(on[:, None], (1 - lam) * nexts[then] + lam * g, nexts[then])
        g = discount[:, None] * later
        return (R, g), (R, g)

    start = (jnp.zeros_like(rows.reward[0]), jnp.zeros((*rows.reward.shape[1:], nexts.shape[1])))
    parts = (jnp.asarray(rows.reward), jnp.asarray(rows.discount), jnp.asarray(rows.then), on)
    R, g = jax.lax.scan(back, start, parts, reverse=True)[1]
    return rows._replace(reward=R, then=g, other=g, discount=jnp.ones_like(R))


def few_active(rule: td.Rule, parts: tuple, rows: td.Rows, lam: float) -> tuple[int, tuple] | None:
    """Length of the trace list and active features of two tables, where a list costs less than whole arrays."""
    if not sparse.serves(rule) or (length := sparse.list_length(rows, lam)) is None:
        return None
    now, then = (sparse.active_rows(np.asarray(x, np.float32)) for x in parts[:2])
    n, m = now[0].shape[1], then[0].shape[1]
    return (length, (now, then)) if 2 * (1 + length * n) * (n + m) < len(parts[2]) else None


def sweep(
    method: Method, parts: tuple, rows: td.Rows, alpha: Any, lam: Any, beta: Any, records: int, key: Any
) -> np.ndarray:
    """Weights [*sweep, N, K, d] for α, λ, β of one shape (numbers, or arrays that are swept)."""
    sizes = np.broadcast_arrays(*(np.asarray(x, np.float32) for x in (alpha, lam, beta)))
    hyper = td.Hyper(*(jnp.asarray(x) for x in sizes))
    rule, parts = td.Rule(**method.rule), tuple(jnp.asarray(x, jnp.float32) for x in parts)
    if (few := few_active(rule, parts, rows, float(sizes[1].max()))) is not None:
        length, (now, then) = few
        flat = jax.tree.map(jnp.ravel, hyper)
        count = now[0].shape[1]
        given = (*jax.tree.map(jnp.asarray, (now, then)), parts[2])
        w = np.asarray(sparse.learn(rule, sparse.active_table, given, rows, flat, records, length, count))
        return w.reshape(*sizes[0].shape, *w.shape[1:])
    if not rule.offline:
        return np.asarray(td.learn(rule, table, parts, rows, hyper, records, key))
    # λ is in the rows here, so each λ is a call of its own, with all its α at once
    found = np.zeros(())
    for lam_value in np.unique(sizes[1]):
        ready = lambda_features(rows, parts[1], float(lam_value))
        still = hyper._replace(lam=jnp.zeros_like(hyper.lam))
        w = np.asarray(td.learn(rule, offline_table, parts, ready, still, records, key))
        found = np.where((sizes[1] == lam_value).reshape(*sizes[1].shape, 1, 1, 1), w, found)
    return found
