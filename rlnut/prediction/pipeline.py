"""One prediction, whatever the problem is made of: play, choose the step size, learn, compare with the truth, report.

`on_tables` and `on_gymnasium` make a `PredictionProblem`; `learn_values` does everything that is the same for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import jax
import numpy as np

from rlnut.agents import td
from rlnut.agents import td_sparse as sparse
from rlnut.agents.td_rules import TDRule
from rlnut.prediction.defaults import record_count, second_step, settings_used, step_rule, step_size, with_trace
from rlnut.prediction.methods import Method, Prediction
from rlnut.prediction.plan import check_weights
from rlnut.prediction.result import Alarm, PredictionReport, PredictionResult, follow_snapshots, prediction_looks
from rlnut.prediction.simulate import Experience, require_finite
from rlnut.prediction.snapshots import LearningTask, Snapshot, snapshots
from rlnut.prediction.table_truth import FixedPoint
from rlnut.prediction.td_rows import Inputs, make_rows, window_length
from rlnut.truth.fixed_points import rms

LARGE = 10_000  # weights from which averages are learned by active features too: shorter arrays go as fast whole
ActiveForm = Callable[[TDRule, td.TDRows, float], sparse.SparseForm | None]  # (rule, rows, λ)


def no_errors(w: np.ndarray) -> dict[str, float]:
    """Where no more is known than the values themselves."""
    return {}


class LearnedFunction(NamedTuple):
    """v_w or q_w: what learns, how it reads a row of experience, and how its weights are compared with the truth."""

    make: td.Maker
    parts: td.Parts  # make(*parts) is the function
    inputs: Inputs | None  # what it reads of a row; None: numbers of states or pairs
    largest: float  # max ‖∇v‖² where it is read
    read: Callable[[np.ndarray], np.ndarray]  # w [N, d] -> values [N, K] beside the truth, flat
    complete: Callable[[PredictionResult, np.ndarray], PredictionResult]  # with what weights [N, d] make of it
    words: str  # for people
    network: bool = False
    errors: Callable[[np.ndarray], dict[str, float]] = no_errors  # w [d] -> √VE, √BE, …
    few: ActiveForm | None = None  # the same function by its active features, where that costs less
    expected: Callable[[float], Iterable[Snapshot]] | None = None  # α -> the expected update, iterated
    exact: Mapping[str, FixedPoint | None] = {}  # where linear methods end
    end: float = 0.0  # the error where this method ends


class PredictionProblem(NamedTuple):
    """Whose values are learned, from what, and what is known of them."""

    title: str
    gamma: float
    actions: int | None  # of action values: how many a function tells apart; None: state values
    off_policy: bool  # does another policy act, or one that is not known?
    right: np.ndarray  # [S], [S, A] or [K] the truth
    seen: np.ndarray  # bool, flat: what counts in the error
    experience: Callable[[], Experience]
    function: Callable[[Experience | None], LearnedFunction]  # None: nothing was played (expected updates)
    spread: Callable[[Experience | None], float]  # E_b[ρ²], for λ and the step size


def learn_values(
    problem: PredictionProblem, method: Method, config: Prediction, seed: int, report: PredictionReport | None
) -> PredictionResult:
    """Learn the values of a problem by a method, and compare them with the truth.

    Raises UsageError for what memory does not hold, RlnutError for experience that cannot be learned from.
    """
    stream = None if config.expected else require_finite(problem.experience(), problem.title)
    function, spread = problem.function(stream), problem.spread(stream)
    config = with_trace(method, config, spread, function.network)
    key, model = jax.random.key(seed), function.make(*function.parts)
    records = record_count(method, config)
    size = jax.eval_shape(model.init, key).shape[0]
    check_weights(method, config, size, records)
    lam = method.trace(config)
    alpha, falling = step_size(method, config, function.largest, problem.gamma, lam, spread)
    steps = step_rule(method, config, function.network)
    if stream is None:
        assert function.expected is not None
        found: Iterable[Snapshot] = function.expected(alpha)
    else:
        falling = falling and steps == "plain"
        rows = make_rows(stream, method, config, problem.actions, falling, records, function.inputs)
        window = window_length(stream, method, config)
        beta = second_step(method, config, alpha)
        epochs = config.epochs if function.network else None
        task = LearningTask(method, function.make, function.parts, rows, alpha, lam, beta, window, None, epochs, steps)
        few = steps == "plain" or size > LARGE
        if function.few is not None and method.solver == "scan" and few:
            task = task._replace(few=function.few(method.rule._replace(window=window), rows, lam))
        found = snapshots(task, records, key)
    before = rms((function.read(np.asarray(model.init(key))[None])[0] - problem.right.reshape(-1))[problem.seen])
    chosen = settings_used(method, config, problem.gamma, function.words, alpha, function.network)
    watch = Alarm(before, problem.right.reshape(-1)[problem.seen], function.end)
    looks = prediction_looks(found, function.read, function.errors, problem.right, problem.seen)
    answer, weights = follow_snapshots(looks, problem.right, watch, problem.off_policy, chosen, report)
    answer = answer._replace(exact=function.exact, weights=None if function.network else answer.weights)
    return function.complete(answer, weights)
