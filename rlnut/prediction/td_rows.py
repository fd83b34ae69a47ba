"""From a stream of experience to learned weights: rows of the recursion, linear tables, sweeps over α, λ and β."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

import numpy as np

from rlnut.agents import td
from rlnut.agents import td_sparse as sparse
from rlnut.agents.td_rules import TDRule
from rlnut.learner.returns import correction as correction_of
from rlnut.learner.traces import Cut, Passed
from rlnut.prediction.methods import Method, Prediction
from rlnut.prediction.simulate import Experience, folded_experience
from rlnut.truth.transition_matrices import is_sparse
from rlnut.types import Array

FALL = 300.0  # α at the start over α at the end, where it falls: early steps are large, late ones average


Three = tuple[td.Input, td.Input, td.Input]
Policies = Callable[[Experience], tuple[Array, Array | None]]  # π(·|s') of a stream, and of its second tries
Inputs = Callable[[Experience], Three]  # what v or q reads of a row: now, bootstrapped, second try


def state_inputs(stream: Experience) -> Three:
    """V: s, s' and the s' of the second try."""
    return stream.step.obs, stream.step.next_obs, stream.second[1]


def pair_numbers(actions: int, sampled: bool) -> Inputs:
    """Q of numbered states: pair s·A + a; then s' (an expectation over it), or the pair (s', a') if `sampled`."""

    def inputs(stream: Experience) -> Three:
        step = stream.step
        then = np.asarray(step.next_obs)
        if sampled:
            then = then * actions + np.asarray(stream.next_action)
        return np.asarray(step.obs) * actions + np.asarray(step.action), then, stream.second[1]

    return inputs


def pair_inputs(choices: tuple[int, ...], sampled: bool, policies: Policies | None = None) -> Inputs:
    """Q of any observation: (s, u) with weights u of the outputs: 1 at a; π(·|s') or 1 at a'.

    `choices` (A,), or (D, K) of decoupled actions, whose q is the mean over groups. `policies`: π(·|s') of a stream and
    of its second tries (None: as they are kept in it).
    """

    def inputs(stream: Experience) -> Three:
        step = stream.step
        expected, other = (policies or kept_policies)(stream)
        many = len(choices) == 2
        following = np.asarray(stream.next_action)
        then = (step.next_obs, action_weights(following, choices) if sampled else policy_weights(expected, many))
        alone = other is None or stream.second[1] is step.next_obs
        second = then if other is None or alone else (stream.second[1], policy_weights(other, many))
        return (step.obs, action_weights(np.asarray(step.action), choices)), then, second

    return inputs


def kept_policies(stream: Experience) -> tuple[Array, Array | None]:
    """π(·|s') as it was kept while playing."""
    assert stream.next_policy is not None
    return stream.next_policy, stream.second_policy


def action_weights(action: np.ndarray, choices: tuple[int, ...]) -> np.ndarray:
    """Weights of the outputs that make q(s, a): [..., A] for actions [...], [..., D·K] for decoupled ones [..., D]."""
    return policy_weights(np.eye(choices[-1], dtype=np.float32)[action], len(choices) == 2)


def policy_weights(policy: Array, decoupled: bool) -> np.ndarray:
    """Weights of the outputs that make Σ π(a|s) q(s, a): [..., A], or [..., D·K] of [..., D, K] (the mean)."""
    chances = np.asarray(policy, np.float32)
    if not decoupled:
        return chances
    return (chances / chances.shape[-2]).reshape(*chances.shape[:-2], -1)


def window_length(stream: Experience, method: Method, config: Prediction) -> int:
    """n where n-step targets need the values on the way, else 0: then the rewards are folded beforehand.

    A correction of V, and one of Q that bootstraps from the action taken, adds up to the plain n-step return where
    ρ = 1. Q bootstrapped from Σ π q does not: there the corrections differ from each other on-policy too.
    """
    if method.fold != "n" or config.correction in ("ordinary", "none"):
        return 0
    summed = config.values == "v" or config.next_action == "sampled"
    plain = summed and not bool((np.asarray(stream.rho) != 1).any())
    return 0 if plain else min(config.n, len(np.asarray(stream.rho)))  # no window is longer than the stream


def make_rows(
    stream: Experience,
    method: Method,
    config: Prediction,
    actions: int | None,
    falling: bool,
    records: int,
    inputs: Inputs | None = None,
) -> td.TDRows:
    """The stream as the recursion reads it, with `records` moments at which weights are kept; `actions` for Q: A."""
    step, pairs = stream.step, actions is not None
    valid = np.asarray(step.valid)
    end = np.asarray(step.end) | ~valid
    last = ~valid if config.episodes is None else np.asarray(stream.episode) >= config.episodes
    T = len(end)
    row = np.broadcast_to(np.arange(T)[:, None], end.shape)
    count, of = (row, T) if config.episodes is None else (np.asarray(stream.episode).astype(np.int64), config.episodes)
    done = count / of
    slot = np.where(last, records, np.minimum(count * records // of, records))  # in integers: 29/100 · 100 < 29
    learns = valid
    if method.fold == "episode":  # an episode that does not end within the stream has no return yet
        learns = valid & np.logical_or.accumulate((np.asarray(step.end) & valid)[::-1])[::-1]
    rate = np.where(learns, FALL**-done if falling else 1.0, 0.0)

    def before(x: Array) -> np.ndarray:
        moved = np.roll(np.asarray(x), 1, 0)
        moved[0] = 0
        return np.where(np.roll(end, 1, 0), 0, moved)

    sampled = pairs and config.next_action == "sampled"
    decay, gain, follow = _traces(stream, config.correction, pairs, before)
    if method.fold and not window_length(stream, method, config):
        stream = folded_experience(
            stream, T if method.fold == "episode" else min(config.n, T), config.correction, pairs, not sampled
        )
        gain, decay = np.asarray(stream.rho), np.zeros_like(decay)  # the whole return is in the target
    elif sampled and config.correction != "none":
        discount = np.asarray(step.discount) * np.asarray(stream.next_rho)
        stream = stream._replace(step=step._replace(discount=discount))
    if inputs is None:
        inputs = state_inputs if actions is None else pair_numbers(actions, sampled)
    now, then, other = inputs(stream)
    fresh = np.roll(end, 1, 0)
    fresh[0] = True
    return td.TDRows(
        now, then, other, stream.step.reward, stream.step.discount, stream.second[0], decay, follow, gain, fresh,
        rate.astype(np.float32), slot.astype(np.int32),
    )  # fmt: skip


def _traces(
    stream: Experience, correction: str, pairs: bool, before: Callable[[Array], np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decay D₋c, gain u and follow-on factor D₋ρ of every row: for V of the step before, for Q of the action now."""
    rho, discount = np.asarray(stream.rho), np.asarray(stream.step.discount)
    cut = cast("Cut", "importance" if correction == "ordinary" else correction)
    rule = correction_of(cut, Passed(rho, np.asarray(stream.taken)), actions=pairs)
    decay = before(discount) * rule.trace if pairs else before(discount * rule.trace)
    follow = before(discount) * rho if pairs else before(discount * rho)
    return decay, np.asarray(rule.gain * np.ones_like(rho)), follow


def table(X: Array, nexts: Array, w0: Array) -> td.Approximator:
    """v = wᵀX[s]; bootstrapped values read `nexts` (Σ_a π(a|s') x(s', a) for Q)."""
    return td.linear_value(partial(_row_of, X), partial(_row_of, nexts), w0)


def _row_of(table: Array, s: td.Input) -> Array:
    assert not isinstance(s, tuple)
    return table[s]


def few_active(rule: TDRule, parts: td.Parts, rows: td.TDRows, lam: float) -> sparse.SparseForm | None:
    """Two tables by their active features, where a list of these costs less than whole arrays."""
    if not sparse.supports_sparse(rule) or (length := sparse.list_length(rows, lam)) is None:
        return None
    now, then = (sparse.active_rows(x if is_sparse(x) else np.asarray(x, np.float32)) for x in parts[:2])
    n, m, start = now[0].shape[1], then[0].shape[1], np.asarray(parts[2], np.float32)
    form = sparse.SparseForm(sparse.active_table, (now, then, start), length, n)
    return form if 2 * (1 + length * n) * (n + m) < len(start) else None
