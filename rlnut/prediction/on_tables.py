"""`rlnut predict` on finite problems: learn V_π or Q_π, and compare it with the exact values.

The problem is played first (`experience`), then everything is learned from the stream in compiled stretches
(`snapshots`), and the weights at K moments are compared with the exact values (`exact`, `solved_fixed_points`).
"""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from rlnut.agents import td
from rlnut.agents import td_expected as expected
from rlnut.agents.td_sparse import active_rows, table_by_active
from rlnut.envs.spaces import read_spaces
from rlnut.envs.tabular import Tabular
from rlnut.errors import UsageError
from rlnut.features.parsing import over_numbers, parse_features
from rlnut.networks.architectures import mlp
from rlnut.prediction.defaults import RECORDS, with_iterations, with_trace
from rlnut.prediction.env_policies import EnvPolicy
from rlnut.prediction.learned_values import TableValues
from rlnut.prediction.methods import Method, Prediction, find
from rlnut.prediction.pipeline import LearnedFunction, PredictionProblem, learn_values
from rlnut.prediction.plan import TABLE_ROW, check_experience, check_states, rows_that_fit
from rlnut.prediction.play import recorded_experience
from rlnut.prediction.policies import PolicyLike, as_table
from rlnut.prediction.result import PredictionReport, PredictionResult
from rlnut.prediction.simulate import Experience, simulate
from rlnut.prediction.snapshots import Snapshot
from rlnut.prediction.table_truth import TableTruth, all_errors, solved_fixed_points, table_truth
from rlnut.prediction.td_rows import few_active, pair_inputs, table
from rlnut.prediction.value_function import GIVEN, checked_network
from rlnut.truth.dynamic_programming import chain, ends, occupied, reachable
from rlnut.truth.finite import Finite, outcomes, with_sparse_tables
from rlnut.truth.fixed_points import bellman_error, linear_errors, projector, rms
from rlnut.truth.transition_matrices import Matrix, action_mean, is_sparse
from rlnut.types import Network


def over_states(words: str, finite: Finite) -> tuple[Matrix, str]:
    """Features of every state of a finite problem [S, d], and the name of the map that "auto" chose.

    "one-hot" over sparse tables is a sparse matrix, if no network reads it.
    """
    if words == "auto":
        words = "one-hot" if finite.features is None else "own"
    if words == "own" and finite.features is not None:
        return np.asarray(finite.features, np.float64), words
    if words == "one-hot" and is_sparse(finite.mdp.P):
        from scipy.sparse import eye_array

        return eye_array(finite.mdp.states, format="csr"), words
    found: np.ndarray = over_numbers(words, finite.mdp.states, finite.shape)
    return found, words


def predict_finite(
    method: str | Method,
    finite: Finite,
    config: Prediction,
    policy: PolicyLike = None,
    seed: int = 0,
    behaviour: PolicyLike = None,
    network: Network | None = None,
    features: np.ndarray | None = None,
    report: PredictionReport | None = None,
) -> PredictionResult:
    """Evaluate π on a finite problem by a method or its name; `features` [S, d] and `network` take the place of words.

    Raises UsageError where the combination is not supported, RlnutError where episodes do not end.
    """
    method = find(method)
    gamma = next(g for g in (config.gamma, finite.gamma, 0.99) if g is not None)
    config = with_iterations(config, gamma)
    finite = with_sparse_tables(finite._replace(law=outcomes(finite)))
    problem = on_tables(method, finite, config, gamma, policy, seed, behaviour, network, features)
    answer = learn_values(problem, method, config, seed, report)
    answer.settings["sparse"] = is_sparse(finite.mdp.P)
    return answer


def on_tables(
    method: Method,
    finite: Finite,
    config: Prediction,
    gamma: float,
    policy: PolicyLike = None,
    seed: int = 0,
    behaviour: PolicyLike = None,
    network: Network | None = None,
    features: np.ndarray | None = None,
) -> PredictionProblem:
    """A finite problem for `learn_values`, with all that is known of it exactly."""
    pairs = config.values == "q"
    check_experience(config, TABLE_ROW)
    if config.native:
        raise UsageError("--native has no effect on a problem with tables: its experience is compiled already")
    if config.actions is not None or config.bins is not None:
        option = "--actions" if config.bins is None else "--bins"
        raise UsageError(f"{option} has no effect on a problem with tables: its actions are numbered")
    check_states(finite.mdp, 1, pairs)
    pi = as_table(policy, finite, gamma)
    acting = _behaviour(finite, config, behaviour, pi, gamma)
    _accept(method, config, finite, pi, acting, occupied(finite.mdp, pi, acting))
    known = table_truth(finite, config, pi, acting, gamma)
    spread = _spread(known, config)
    X: Matrix
    X, words = (features, GIVEN) if features is not None else over_states(config.features, finite)
    net = network or _network_of(config, words)
    if is_sparse(X) and (net is not None or config.expected):
        check_states(finite.mdp, X.shape[1], pairs)
        X = X.toarray()
    check_states(finite.mdp, 1 if is_sparse(X) else X.shape[1], pairs)
    config = with_trace(method, config, spread, net is not None)
    function = _linear(known, method, config, X, words) if net is None else _network(known, config, X, words, net, seed)
    off = config.data is not None or not np.allclose(pi, acting)
    return PredictionProblem(
        "this problem", gamma, finite.mdp.actions if pairs else None, off, known.right, known.seen,
        lambda: _experience(known, config, seed), lambda stream: function, lambda stream: spread,
    )  # fmt: skip


def _complete(known: TableTruth, answer: PredictionResult, learned: np.ndarray) -> PredictionResult:
    """With what belongs to a finite problem; `learned` [N, S] or [N, S·A] of every run."""
    with np.errstate(all="ignore"):
        mean = learned.mean(0).reshape(known.right.shape)
    table = np.where(known.right == 0, np.where(np.isnan(answer.values), mean, answer.values), mean)
    values = TableValues(table, known.finite.shown)
    return answer._replace(labels=known.labels, policy=known.policy, learned=values)


def _network_of(config: Prediction, words: str) -> Network | None:
    """The network that the options ask for; None: a linear function."""
    name, numbers = (GIVEN, ()) if words == GIVEN else parse_features(words)
    hidden = config.hidden or (numbers * 2 if name == "mlp" else ())
    return mlp(hidden) if hidden else None


def _linear(known: TableTruth, method: Method, config: Prediction, X: Matrix, words: str) -> LearnedFunction:
    """wᵀx over states, x [d], or over pairs, with all that can be said of it exactly."""
    X, nexts = _tables(known, config, X)
    whole = (X, nexts, _start(known.finite, config, X.shape[1]))
    parts = (*map(active_rows, whole[:2]), whole[2]) if is_sparse(X) else whole
    flat, project = known.right.reshape(-1), projector(X, known.d)
    right = np.nan_to_num(flat)

    def errors(w: np.ndarray) -> dict[str, float]:
        return all_errors(known, X @ w, linear_errors(known.process, w, X, known.d, known.gamma, right, project))

    emphatic = method.rule.emphatic
    lam = 0.0 if method.whole_returns else method.trace(config)
    exact = solved_fixed_points(X, flat, known, lam, emphatic)
    point = exact["emphatic_fixed_point" if emphatic else "td_fixed_point"]
    return LearnedFunction(
        table_by_active if is_sparse(X) else table,
        parts,
        None,
        float((X[known.d > 0] ** 2).sum(1).max()),
        lambda w: w @ X.T,
        lambda answer, weights: _complete(known, answer, weights @ X.T),
        words,
        errors=errors,
        few=lambda rule, rows, lam: few_active(rule, whole, rows, lam),
        expected=lambda alpha: _expected(known, method, config, X, whole[2], alpha),
        exact=exact,
        end=np.inf if method.solved else point["rmse"] if point else 0.0,
    )


def _tables(known: TableTruth, config: Prediction, X: Matrix) -> tuple[Matrix, Matrix]:
    """Features of states, or of pairs (s, a) [S·A, A·d], and what a bootstrapped value reads of s' (or of pairs)."""
    if not known.pairs:
        return X, X
    (S, A), d = known.policy.shape, X.shape[1]
    if is_sparse(X):
        from scipy.sparse import csr_array

        at = np.arange(A) * d + X.indices[:, None]
        X = csr_array((np.repeat(X.data, A), at.reshape(-1), np.arange(S * A + 1)), (S * A, A * d))
        return X, X if config.next_action == "sampled" else action_mean(known.policy) @ X
    X = np.einsum("sd,ab->sabd", X, np.eye(A)).reshape(S * A, -1)
    return X, X if config.next_action == "sampled" else np.einsum("sa,sad->sd", known.policy, X.reshape(S, A, -1))


def _expected(
    known: TableTruth, method: Method, config: Prediction, X: np.ndarray, w0: np.ndarray, alpha: float
) -> Iterator[Snapshot]:
    """The expected update, iterated."""
    beta, lam = alpha if config.beta is None else config.beta, method.trace(config)
    assert method.expected is not None  # --expected is refused for the others
    path = expected.iterate(method.expected, known.process, X, known.d, known.gamma, w0, alpha, config.steps, beta, lam)
    for k in np.unique(np.linspace(0, config.steps, min(RECORDS, config.steps) + 1).astype(int)[1:]):
        yield Snapshot(int(k), config.steps, path[k][None], float("nan"))


def _experience(known: TableTruth, config: Prediction, seed: int) -> Experience:
    """What is learned from: a file's transitions, or what the behaviour meets."""
    if config.data is not None:
        spec = read_spaces(Tabular(known.finite))
        return recorded_experience(config.data, spec, known.gamma, EnvPolicy(spec, lambda seen: known.policy[seen.obs]))
    steps = None if config.episodes is not None else config.steps
    return simulate(
        known.finite, known.policy, known.acting, known.gamma, jax.random.key(seed), config.runs, config.episodes,
        steps, known.pairs, rows_that_fit(TABLE_ROW),
    )  # fmt: skip


def _network(
    known: TableTruth, config: Prediction, X: np.ndarray, words: str, network: Network, seed: int
) -> LearnedFunction:
    """g_w over rows X [S, k], one for each state; Q: one output for each action."""
    S, A = known.policy.shape
    table_of_inputs = jnp.asarray(X, jnp.float32)
    net = checked_network(network, A if known.pairs else 0, table_of_inputs[0])
    model = td.network_value(net, table_of_inputs[0], lambda s: table_of_inputs[s])

    def policies(stream: Experience) -> tuple[np.ndarray, np.ndarray]:
        return known.policy[np.asarray(stream.step.next_obs)], known.policy[np.asarray(stream.second[1])]

    inputs = pair_inputs((A,), config.next_action == "sampled", policies) if known.pairs else None
    states = jnp.arange(S).repeat(A) if known.pairs else jnp.arange(S)
    every = (states, jnp.tile(jnp.eye(A), (S, 1))) if known.pairs else states
    values = jax.jit(jax.vmap(lambda w: jax.vmap(model.at, (None, 0))(w, every)[0]))
    slopes = jax.jit(jax.vmap(model.at, (None, 0)))(model.init(jax.random.key(seed)), every)[1]
    largest = float((slopes**2).sum(1).max())
    if not np.isfinite(largest):
        raise UsageError("the network's gradients are NaN or infinite before anything is learned")

    def read(w: np.ndarray) -> np.ndarray:
        return np.asarray(values(jnp.asarray(w, jnp.float32)), np.float64)

    def errors(w: np.ndarray) -> dict[str, float]:
        v = read(w[None])[0]
        both = {"ve": rms(np.nan_to_num(known.right.reshape(-1)) - v, known.d)}
        return all_errors(known, v, both | {"be": rms(bellman_error(known.process, v, known.gamma), known.d)})

    def complete(answer: PredictionResult, weights: np.ndarray) -> PredictionResult:
        return _complete(known, answer, read(weights))

    return LearnedFunction(lambda: model, (), inputs, largest, read, complete, words, True, errors)


def _start(finite: Finite, config: Prediction, dim: int) -> np.ndarray:
    if config.initial is not None:
        return np.full(dim, config.initial)
    own = finite.weights is not None and len(finite.weights) == dim
    return np.array(finite.weights, np.float64) if own else np.zeros(dim)


def _behaviour(finite: Finite, config: Prediction, behaviour: PolicyLike, pi: np.ndarray, gamma: float) -> np.ndarray:
    if config.data is not None:  # who made the transitions is not known
        return pi
    word = config.behaviour if behaviour is None else behaviour
    if isinstance(word, str) and word == "own":
        return pi if finite.behaviour is None else finite.behaviour
    return pi if isinstance(word, str) and word == "policy" else as_table(word, finite, gamma)


def _spread(known: TableTruth, config: Prediction) -> float:
    """max E_b[ρ²] over states, for the step size."""
    if config.correction not in ("importance", "ordinary"):
        return 1.0
    pi, b = known.policy, known.acting
    seen = occupied(known.finite.mdp, pi, b)
    return float(np.where(b > 0, pi**2 / np.where(b > 0, b, 1), 0).sum(1)[seen].max())


def _accept(
    method: Method, config: Prediction, finite: Finite, pi: np.ndarray, acting: np.ndarray, seen: np.ndarray
) -> None:
    """Refuse what has no effect, with the reason."""
    off = not np.allclose(pi[seen], acting[seen])
    if off and method.on_policy:
        raise UsageError(f"{method.name} is on-policy only ({method.on_policy}): --behaviour policy, or another method")
    visited = occupied(finite.mdp, acting)
    if (missing := (pi > 0) & (acting == 0) & visited[:, None]).any() and config.correction != "none":
        s, a = np.argwhere(missing)[0]
        raise UsageError(
            f"the behaviour policy never takes action {a} in state {s}, which the policy takes: choose another"
        )
    if (method.fold == "episode" or config.episodes is not None or method.whole_returns) and not config.expected:
        process = chain(finite.mdp, acting)
        if (lost := reachable(process) & ~ends(process)).any():
            advice = "give --steps instead of --episodes" if config.episodes else f"{method.name} needs them to"
            raise UsageError(f"episodes are not certain to end from state {int(np.argmax(lost))}: {advice}")
