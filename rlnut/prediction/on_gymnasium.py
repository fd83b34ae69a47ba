"""Prediction on any Gymnasium environment: V_π or Q_π from streams of real steps, against Monte-Carlo truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np

from rlnut.agents import td
from rlnut.agents import td_sparse as sparse
from rlnut.agents.td_rules import TDRule
from rlnut.envs.contract import made
from rlnut.envs.functional import FuncVector
from rlnut.envs.make import EnvLike, env_name, maker
from rlnut.envs.vector import EnvList
from rlnut.errors import UsageError
from rlnut.features import maps
from rlnut.learner.spec import Choice, Spec
from rlnut.prediction.defaults import with_iterations
from rlnut.prediction.env_policies import EnvPolicy, from_stored, on_env, prediction_spec, side_by_side
from rlnut.prediction.learned_values import FunctionValues
from rlnut.prediction.learner_view import LearnerView, acting
from rlnut.prediction.methods import Method, Prediction, find
from rlnut.prediction.native_play import native_vector, play_native
from rlnut.prediction.pipeline import LearnedFunction, PredictionProblem, learn_values
from rlnut.prediction.plan import HOST_ROW, check_experience, check_rollouts
from rlnut.prediction.play import Players, play, recorded_experience
from rlnut.prediction.policies import PolicyLike, named_policy
from rlnut.prediction.result import Lattice, PredictionReport, PredictionResult
from rlnut.prediction.simulate import Experience
from rlnut.prediction.td_rows import action_weights, pair_inputs, policy_weights
from rlnut.prediction.value_function import (
    GIVEN,
    ValueFunction,
    feature_words,
    recipe_of,
    value_function,
    values_reader,
)
from rlnut.truth.monte_carlo import MonteCarloTruth, monte_carlo_truth
from rlnut.types import Network

LATTICE = 41  # points a side of the picture of a 2-D box
PROBE = 500  # observations that the step size is judged by


class World(NamedTuple):
    """An environment, whose values are learned, and who acts."""

    make: Callable[[], gym.Env]
    spec: Spec
    target: EnvPolicy
    behaviour: EnvPolicy

    @property
    def off(self) -> bool:
        """Does another policy act?"""
        return self.behaviour is not self.target


def predict_host(
    method: str | Method,
    env: EnvLike,
    config: Prediction,
    policy: PolicyLike = None,
    seed: int = 0,
    behaviour: PolicyLike = None,
    network: Network | None = None,
    features: maps.Features | None = None,
    report: PredictionReport | None = None,
    truth_states: np.ndarray | None = None,
) -> PredictionResult:
    """Evaluate a policy (None: uniform) by a method or its name; `features` and `network` take the place of words.

    `truth_states` [K, ...]: observations where the truth is estimated (None: some that the behaviour meets). Raises
    UsageError for what needs tables (expected updates, the off-line λ-return).
    """
    method = find(method)
    gamma = 0.99 if config.gamma is None else config.gamma
    config = with_iterations(config, gamma)
    world = _world(method, env, config, policy, behaviour)
    problem = on_gymnasium(method, world, config, gamma, seed, network, features, truth_states)
    return learn_values(problem, method, config, seed, report)


def on_gymnasium(
    method: Method,
    world: World,
    config: Prediction,
    gamma: float,
    seed: int,
    network: Network | None = None,
    features: maps.Features | None = None,
    truth_states: np.ndarray | None = None,
) -> PredictionProblem:
    """An environment for `learn_values`, with Monte-Carlo truth."""
    pairs, spec = config.values == "q", world.spec
    words = GIVEN if features is not None else feature_words(config, spec, network is not None)
    check_rollouts(config)
    check_experience(config, HOST_ROW + 4 * int(np.prod(spec.shape)) * spec.dtype.itemsize)
    known = monte_carlo_truth(
        lambda: LearnerView(made(world.make), spec), acting(world.target), gamma, config.states, config.rollouts,
        seed + 1, acting(world.behaviour), pairs, truth_states,
    )  # fmt: skip

    def function(stream: Experience | None) -> LearnedFunction:
        assert stream is not None
        recipe, scale = recipe_of(config, spec, words, np.asarray(stream.step.obs)[: 20 * PROBE, 0], network)
        learned = value_function(recipe, scale, spec, features, network, config.initial or 0.0)
        return _function(world, config, learned, stream, known, seed)

    off = world.off or config.data is not None  # a file's policy is not known
    A = int(np.prod(spec.choices)) if pairs else None
    return PredictionProblem(
        spec.name, gamma, A, off, known.mean, np.ones(len(known.mean), bool),
        lambda: _experience(world, method, config, gamma, seed), function,
        lambda stream: _spread(world, config, stream),
    )  # fmt: skip


def _function(
    world: World, config: Prediction, learned: ValueFunction, stream: Experience, known: MonteCarloTruth, seed: int
) -> LearnedFunction:
    """A function of observations, as `learn_values` wants it."""
    spec, pairs = world.spec, config.values == "q"
    obs = np.asarray(stream.step.obs)[: 20 * PROBE, 0]
    at = None if known.actions is None else action_weights(known.actions, spec.choices)
    inputs = pair_inputs(spec.choices, config.next_action == "sampled") if pairs else None
    plane = isinstance(spec.observation_space, gym.spaces.Box) and spec.shape == (2,) and stream.step.mask is None
    some = np.linspace(0, len(obs) - 1, min(PROBE, len(obs))).astype(int)
    taken = action_weights(np.asarray(stream.step.action)[some, 0], spec.choices) if pairs else None

    def complete(answer: PredictionResult, weights: np.ndarray) -> PredictionResult:
        picture = _lattice(learned, obs, weights[:1], world.target) if plane else None
        return answer._replace(known=as_given(known, spec), picture=picture, learned=FunctionValues(learned, weights))

    return LearnedFunction(
        lambda: learned.model,
        (),
        inputs,
        _largest(learned, obs[some], taken, seed),
        values_reader(learned, known.obs, at),
        complete,
        learned.words,
        bool(learned.recipe.network),
        few=lambda rule, rows, lam: _active_form(learned, rule, rows, lam),
    )


def as_given(known: MonteCarloTruth, spec: Spec) -> MonteCarloTruth:
    """The truth with its states and actions as the environment gives and takes them."""
    obs = side_by_side(spec.observation_space, list(from_stored(spec, known.obs).raw))
    return known._replace(obs=obs, actions=None if known.actions is None else spec.command(known.actions))


def _world(method: Method, env: EnvLike, config: Prediction, policy: PolicyLike, behaviour: PolicyLike) -> World:
    """The environment and both policies, with refusals that need nothing but them."""
    pairs = config.values == "q"
    named = env_name(env)
    title = named.id if named else "this environment"
    for asked, what in ((config.expected, "--expected"), (method.rule.offline, method.name)):
        if asked:
            raise UsageError(f"{what} needs a finite problem (tables P and R); {title} has none")
    make = maker(env)
    word = config.behaviour if behaviour is None else behaviour
    own = isinstance(word, str) and word in ("own", "policy")
    policies = [named_policy(policy, title), *([] if own else [named_policy(word, title)])]
    if not own and method.on_policy:
        raise UsageError(f"{method.name} is on-policy only ({method.on_policy}): --behaviour policy, or another method")
    example = made(make)
    try:
        choice, numbered = Choice(config.actions, config.bins), pairs or not own or config.data is not None
        spec = prediction_spec(example, choice, numbered, policies)
    finally:
        example.close()
    target = on_env(policies[0], spec)
    return World(make, spec, target, target if own else on_env(policies[1], spec))


def _experience(world: World, method: Method, config: Prediction, gamma: float, seed: int) -> Experience:
    """What is learned from: a file's transitions, or what the behaviour meets."""
    pairs = config.values == "q"
    if config.data is not None:
        if config.native:
            raise UsageError("--native plays, and --data is there already: give one of them")
        return recorded_experience(config.data, world.spec, gamma, world.target)
    again = ("pair" if pairs else "state") if method.rule.second_try else ""
    steps = None if config.episodes is not None else config.steps
    players = Players(world.behaviour, world.target, config.correction != "none")
    if config.native:
        return play_native(_native(world, config, players, again), players, gamma, seed, steps, config.episodes, pairs)
    vector = EnvList(world.make, config.runs, spec=world.spec)
    try:
        return play(vector, players, gamma, seed, steps, config.episodes, again, pairs)
    finally:
        vector.close()


def _native(world: World, config: Prediction, players: Players, again: str) -> FuncVector:
    """The twin; UsageError where it cannot be played."""
    if again:
        raise UsageError("--native makes no second try from a state: play on the host")
    example = made(world.make)
    try:
        return native_vector(example.env, world.spec, config.runs, players)
    finally:
        example.close()


def _spread(world: World, config: Prediction, stream: Experience | None) -> float:
    """E[ρ²], at most 100, for the step size."""
    if stream is None or not world.off or config.correction == "none":
        return 1.0
    return min(100.0, float((np.asarray(stream.rho) ** 2).mean()))


def _largest(learned: ValueFunction, obs: np.ndarray, weights: np.ndarray | None, seed: int) -> float:
    """max ‖∇v‖² over observations that were seen (with weights of the outputs), at the first weights."""
    inputs = jnp.asarray(obs) if weights is None else (jnp.asarray(obs), jnp.asarray(weights))
    w0 = learned.model.init(jax.random.key(seed))
    slopes = jax.jit(lambda s: jax.lax.map(lambda one: learned.model.at(w0, one)[1], s))(inputs)
    largest = float((slopes**2).sum(1).max())
    if not np.isfinite(largest):
        raise UsageError(f"--features {learned.words}: NaN or infinity came out for an observation that was met")
    return largest


def _active_form(learned: ValueFunction, rule: TDRule, rows: td.TDRows, lam: float) -> sparse.SparseForm | None:
    """The function by its active features, where a list of these costs less than whole arrays."""
    if learned.active is None or not sparse.supports_sparse(rule):
        return None
    length, model = sparse.list_length(rows, lam), learned.active()
    one = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[2:], x.dtype), rows.now)
    count = jax.eval_shape(model.now, one)[0].shape[0]
    if length is None or length * count * 2 * count > 10 * len(model.w0):
        return None
    return sparse.SparseForm(learned.active, (), length, count)


def _lattice(learned: ValueFunction, seen: np.ndarray, w: np.ndarray, target: EnvPolicy) -> Lattice:
    """Learned V over a lattice of the 2-D box, for weights w [1, d]."""
    from scipy.ndimage import binary_dilation

    x, y = (np.linspace(seen[:, i].min(), seen[:, i].max(), LATTICE) for i in range(2))
    points = np.stack([a.reshape(-1) for a in np.meshgrid(x, y)], 1).astype(seen.dtype)
    weights = policy_weights(target.at(points), learned.recipe.groups > 1) if learned.recipe.actions else None
    values = values_reader(learned, points, weights)(w)[0]
    near = binary_dilation(np.histogram2d(seen[:, 1], seen[:, 0], LATTICE)[0] > 0, iterations=2)
    return Lattice(x, y, np.where(near, values.reshape(LATTICE, LATTICE), np.nan))
