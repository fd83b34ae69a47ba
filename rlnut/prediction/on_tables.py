"""`rlnut predict` on finite problems: learn V_π or Q_π, and lay the truth beside it.

The problem is played first (`experience`), then everything is learned from the stream in compiled stretches
(`snapshots`), and the weights at K moments are compared with the exact values (`exact`, `solved_fixed_points`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlnut.agents import td
from rlnut.agents import td_expected as expected
from rlnut.agents import td_sparse as sparse
from rlnut.envs.spaces import read_spaces
from rlnut.envs.tabular import Tabular
from rlnut.errors import UsageError
from rlnut.features import parsing as basis
from rlnut.features.parsing import over_numbers
from rlnut.networks.architectures import mlp
from rlnut.prediction.defaults import RECORDS, record_count, settings_used, step_size, with_iterations
from rlnut.prediction.methods import METHODS, Method, Prediction
from rlnut.prediction.play import recorded_experience
from rlnut.prediction.policies import as_table
from rlnut.prediction.result import PredictionReport, PredictionResult, follow_snapshots
from rlnut.prediction.simulate import require_finite, simulate
from rlnut.prediction.snapshots import LearningTask, Snapshot, snapshots
from rlnut.prediction.table_truth import TableTruth, all_errors, solved_fixed_points, table_truth
from rlnut.prediction.td_rows import few_active, make_rows, pair_inputs, table, window_length
from rlnut.truth.dynamic_programming import chain, ends, occupied, reachable
from rlnut.truth.finite import Finite
from rlnut.truth.fixed_points import bellman_error, linear_errors, rms
from rlnut.types import Network


def over_states(words: str, finite: Finite) -> tuple[np.ndarray, str]:
    """Features of every state of a finite problem [S, d], and the name of the map that "auto" chose."""
    if words == "auto":
        words = "one-hot" if finite.features is None else "own"
    if words == "own" and finite.features is not None:
        return np.asarray(finite.features, np.float64), words
    found: Any = over_numbers(words, len(finite.mdp.start), finite.shape)
    return found, words


def predict_finite(
    name: str,
    finite: Finite,
    config: Prediction,
    policy: Any = None,
    seed: int = 0,
    behaviour: Any = None,
    network: Network | None = None,
    features: np.ndarray | None = None,
    report: PredictionReport | None = None,
) -> PredictionResult:
    """Evaluate π on a finite problem by METHODS[name]; `features` [S, d] and `network` take the place of words.

    Raises UsageError where the combination means nothing, RlnutError where episodes do not end.
    """
    method = METHODS[name]
    gamma = next(g for g in (config.gamma, finite.gamma, 0.99) if g is not None)
    config = with_iterations(config, gamma)
    pi = as_table(policy, finite, gamma)
    acting = _behaviour(finite, config, behaviour, pi, gamma)
    _accept(name, method, config, finite, pi, acting, occupied(finite.mdp, pi, acting))
    known = table_truth(finite, config, pi, acting, gamma)
    X, words = (features, "given") if features is not None else over_states(config.features, finite)
    net = network or (
        mlp(config.hidden or basis.parse_features(words)[1] * 2) if config.hidden or words[:3] == "mlp" else None
    )
    if net is not None:
        return _with_network(method, known, config, net, X, words, seed, report)
    S, A = pi.shape
    nexts = X
    if known.pairs:
        X = np.einsum("sd,ab->sabd", X, np.eye(A)).reshape(S * A, -1)
        nexts = X if config.next_action == "sampled" else np.einsum("sa,sad->sd", pi, X.reshape(S, A, -1))
    w0 = _start(finite, config, X.shape[1])
    lam = method.trace(config)
    largest = float((X[known.d > 0] ** 2).sum(1).max())
    alpha, falling = step_size(method, config, largest, gamma, lam, _spread(known, config))
    beta = config.beta if config.beta is not None else alpha
    if config.expected:
        path = expected.iterate(method.expected, known.process, X, known.d, gamma, w0, alpha, config.steps, beta, lam)
        at = np.unique(np.linspace(0, config.steps, min(RECORDS, config.steps) + 1).astype(int)[1:])
        found: Iterable[Snapshot] = (Snapshot(int(k), config.steps, path[k][None], float("nan")) for k in at)
    else:
        rows, window, key = _rows(method, config, known, falling, seed, None)
        parts: tuple = (X, nexts, w0)
        task = LearningTask(method, table, parts, rows, alpha, lam, beta, window)
        few = few_active(method.rule, parts, rows, lam) if not window and method.solver == "scan" else None
        if few is not None:
            given = (*few[1], parts[2].astype(np.float32))
            task = task._replace(make=sparse.active_table, parts=given, length=few[0], few=few[1][0][0].shape[1])
        found = snapshots(task, record_count(method, config), key)
    chosen = settings_used(method, config, gamma, words, alpha)
    flat = known.right.reshape(-1)

    def errors(w: np.ndarray) -> dict[str, float]:
        return all_errors(known, X @ w, linear_errors(known.process, w, X, known.d, gamma, np.nan_to_num(flat)))

    before, off = rms((X @ w0 - flat)[known.seen]), _off(known, config)
    emphatic = method.rule.emphatic
    points = solved_fixed_points(X, flat, known, 0.0 if chosen["lam"] is None else chosen["lam"], emphatic)
    point = points["emphatic_fixed_point" if emphatic else "td_fixed_point"]
    end = np.inf if method.solved else point["rmse"] if point else 0.0
    answer = follow_snapshots(
        found, lambda w: w @ X.T, errors, known.right, known.seen, before, off, chosen, report, end
    )
    return answer._replace(exact=points, labels=known.labels, policy=known.policy)


def _rows(
    method: Method, config: Prediction, known: TableTruth, falling: bool, seed: int, inputs: Any
) -> tuple[td.TDRows, int, Any]:
    """What is lived through, as rows; the window of n-step targets; the key that is left."""
    key = jax.random.key(seed)
    steps = None if config.episodes is not None else config.steps
    if config.data is not None:
        spec = read_spaces(Tabular(known.finite))
        stream = recorded_experience(config.data, spec, known.gamma, lambda s, mask=None: known.policy[s])
    else:
        stream = simulate(
            known.finite, known.policy, known.acting, known.gamma, key, config.runs, config.episodes, steps, known.pairs
        )
    require_finite(stream, "this problem")
    actions = known.policy.shape[1] if known.pairs else None
    rows = make_rows(stream, method, config, actions, falling, record_count(method, config), inputs)
    return rows, window_length(stream, method, config), key


def _with_network(
    method: Method,
    known: TableTruth,
    config: Prediction,
    network: Network,
    Z: np.ndarray,
    words: str,
    seed: int,
    report: PredictionReport | None,
) -> PredictionResult:
    """The same with g_w over rows Z [S, k], one for each state; Q: one output for each action."""
    S, A = known.policy.shape
    table_of_inputs = jnp.asarray(Z, jnp.float32)
    model = td.network_value(network((A,) if known.pairs else ()), table_of_inputs[0], lambda s: table_of_inputs[s])
    sampled = config.next_action == "sampled"
    inputs = pair_inputs(A, sampled, lambda s, mask=None: known.policy[s]) if known.pairs else None
    states = jnp.arange(S).repeat(A) if known.pairs else jnp.arange(S)
    every = (states, jnp.tile(jnp.eye(A), (S, 1))) if known.pairs else states
    read = jax.jit(jax.vmap(lambda w: jax.vmap(model.at, (None, 0))(w, every)[0]))
    key = jax.random.key(seed)
    w0 = model.init(key)
    slopes = jax.jit(jax.vmap(model.at, (None, 0)))(w0, every)[1]
    lam = method.trace(config)
    largest = float((slopes**2).sum(1).max())
    if not np.isfinite(largest):
        raise UsageError("the network's gradients are NaN or infinite before anything is learned")
    alpha, falling = step_size(method, config, largest, known.gamma, lam, _spread(known, config))
    rows, window, key = _rows(method, config, known, falling, seed, inputs)
    task = LearningTask(method, lambda: model, (), rows, alpha, lam, alpha, window, epochs=config.epochs)
    chosen = settings_used(method, config, known.gamma, words, alpha, network=True)

    def learned(w: np.ndarray) -> np.ndarray:
        return np.asarray(read(jnp.asarray(w, jnp.float32)), np.float64)

    def errors(w: np.ndarray) -> dict[str, float]:
        v = learned(w[None])[0]
        both = {"ve": rms(np.nan_to_num(known.right.reshape(-1)) - v, known.d)}
        return all_errors(known, v, both | {"be": rms(bellman_error(known.process, v, known.gamma), known.d)})

    found = snapshots(task, record_count(method, config), key)
    before = rms((learned(np.asarray(w0)[None])[0] - known.right.reshape(-1))[known.seen])
    off = _off(known, config)
    answer = follow_snapshots(found, learned, errors, known.right, known.seen, before, off, chosen, report)
    return answer._replace(weights=None, labels=known.labels, policy=known.policy)


def _start(finite: Finite, config: Prediction, dim: int) -> np.ndarray:
    if config.initial is not None:
        return np.full(dim, config.initial)
    own = finite.weights is not None and len(finite.weights) == dim
    return np.array(finite.weights, np.float64) if own else np.zeros(dim)


def _behaviour(finite: Finite, config: Prediction, behaviour: Any, pi: np.ndarray, gamma: float) -> np.ndarray:
    if config.data is not None:  # who made the transitions is not known
        return pi
    word = config.behaviour if behaviour is None else behaviour
    if isinstance(word, str) and word == "own":
        return pi if finite.behaviour is None else finite.behaviour
    return pi if isinstance(word, str) and word == "policy" else as_table(word, finite, gamma)


def _off(known: TableTruth, config: Prediction) -> bool:
    """Is it learned from another policy's experience? A file's is taken for another's."""
    return config.data is not None or not np.allclose(known.policy, known.acting)


def _spread(known: TableTruth, config: Prediction) -> float:
    """max E_b[ρ²] over states, for the step size."""
    if config.correction not in ("importance", "ordinary"):
        return 1.0
    pi, b = known.policy, known.acting
    seen = occupied(known.finite.mdp, pi, b)
    return float(np.where(b > 0, pi**2 / np.where(b > 0, b, 1), 0).sum(1)[seen].max())


def _accept(
    name: str, method: Method, config: Prediction, finite: Finite, pi: np.ndarray, acting: np.ndarray, seen: np.ndarray
) -> None:
    """Refuse what means nothing, with the reason."""
    off = not np.allclose(pi[seen], acting[seen])
    if off and method.on_policy:
        raise UsageError(f"{name} is on-policy only ({method.on_policy}): --behaviour policy, or another method")
    visited = occupied(finite.mdp, acting)
    if (missing := (pi > 0) & (acting == 0) & visited[:, None]).any() and config.correction != "none":
        s, a = np.argwhere(missing)[0]
        raise UsageError(f"the behaviour never takes action {a} in state {s}, as the policy does: give another b")
    if (method.fold == "episode" or config.episodes is not None or method.whole_returns) and not config.expected:
        process = chain(finite.mdp, acting)
        if (lost := reachable(process) & ~ends(process)).any():
            advice = "give --steps instead of --episodes" if config.episodes else f"{name} needs them to"
            raise UsageError(f"episodes are not certain to end from state {int(np.argmax(lost))}: {advice}")
