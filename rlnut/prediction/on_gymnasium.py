"""Prediction on any Gymnasium environment: V_π or Q_π from streams of real steps, against Monte-Carlo truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
from scipy.ndimage import binary_dilation

from rlnut.agents import td
from rlnut.agents import td_sparse as sparse
from rlnut.agents.td_rules import TDRule
from rlnut.envs.contract import made
from rlnut.envs.make import EnvLike, env_name, maker
from rlnut.envs.spaces import read_spaces
from rlnut.errors import UsageError
from rlnut.features import maps
from rlnut.learner.spec import Spec
from rlnut.prediction.defaults import with_iterations
from rlnut.prediction.learned_values import FunctionValues
from rlnut.prediction.masked import ShowsMasks
from rlnut.prediction.methods import Method, Prediction, find
from rlnut.prediction.pipeline import LearnedFunction, PredictionProblem, learn_values
from rlnut.prediction.plan import HOST_ROW, check_experience, check_rollouts
from rlnut.prediction.play import play, recorded_experience
from rlnut.prediction.policies import HostPolicy, PolicyLike, on_env
from rlnut.prediction.result import Lattice, PredictionReport, PredictionResult
from rlnut.prediction.simulate import Experience
from rlnut.prediction.td_rows import pair_inputs
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

    title: str
    make: Callable[[], gym.Env]
    space: gym.Space  # of observations
    actions: int  # A; 0: they are not numbered
    target: HostPolicy
    acting: HostPolicy
    spec: Spec | None  # for a file of transitions

    @property
    def off(self) -> bool:
        """Does another policy act?"""
        return self.acting is not self.target


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
    UsageError for what needs tables (expected updates, the off-line λ-return) or numbered actions (Q, ρ).
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
    pairs = config.values == "q"
    A = world.actions if pairs else 0
    words = GIVEN if features is not None else feature_words(config, world.space, world.title, network is not None)
    check_rollouts(config)
    check_experience(config, HOST_ROW + 4 * _bytes(world.space))
    known = monte_carlo_truth(
        lambda: ShowsMasks(made(world.make)), world.target.act, gamma, config.states, config.rollouts, seed + 1,
        world.acting.act, pairs, truth_states,
    )  # fmt: skip

    def function(stream: Experience | None) -> LearnedFunction:
        assert stream is not None
        obs = np.asarray(stream.step.obs)[: 20 * PROBE, 0]
        recipe, scale = recipe_of(config, world.space, words, obs, A, network)
        learned = value_function(recipe, scale, features, network, config.initial or 0.0)
        return _function(world, config, learned, stream, known, seed)

    off = world.off or config.data is not None  # a file's policy is not known
    return PredictionProblem(
        world.title, gamma, A or None, off, known.mean, np.ones(len(known.mean), bool),
        lambda: _experience(world, method, config, gamma, seed), function,
        lambda stream: _spread(world, config, stream),
    )  # fmt: skip


def _function(
    world: World, config: Prediction, learned: ValueFunction, stream: Experience, known: MonteCarloTruth, seed: int
) -> LearnedFunction:
    """A function of observations, as `learn_values` wants it."""
    obs, action = np.asarray(stream.step.obs)[: 20 * PROBE, 0], np.asarray(stream.step.action)[: 20 * PROBE, 0]
    A, chances = learned.recipe.actions, world.target.chances
    inputs = pair_inputs(A, config.next_action == "sampled", chances) if A and chances else None
    plane = _is_plane(world.space) and stream.step.mask is None

    def complete(answer: PredictionResult, weights: np.ndarray) -> PredictionResult:
        picture = _lattice(learned, obs, weights[:1], world.target) if plane else None
        return answer._replace(known=known, picture=picture, learned=FunctionValues(learned, weights))

    return LearnedFunction(
        lambda: learned.model,
        (),
        inputs,
        _largest(learned, obs, action, seed),
        values_reader(learned, known.obs, None if known.actions is None else known.actions - world.target.first),
        complete,
        learned.words,
        bool(learned.recipe.network),
        few=lambda rule, rows, lam: _active_form(learned, rule, rows, lam),
    )


def _world(method: Method, env: EnvLike, config: Prediction, policy: PolicyLike, behaviour: PolicyLike) -> World:
    """The environment and both policies, with refusals that need nothing but them."""
    pairs = config.values == "q"
    named = env_name(env)
    title = named.id if named else "this environment"
    for asked, what in ((config.expected, "--expected"), (method.rule.offline, method.name)):
        if asked:
            raise UsageError(f"{what} needs a finite problem (tables P and R); {title} has none")
    make = maker(env)
    example = make()
    try:
        space, actions = example.observation_space, example.action_space
        target = on_env(policy, actions, title)
        word = config.behaviour if behaviour is None else behaviour
        own = isinstance(word, str) and word in ("own", "policy")
        acting = target if own else on_env(word, actions, title)
        spec = None if config.data is None else read_spaces(example)
    finally:
        example.close()
    A = int(actions.n) if isinstance(actions, gym.spaces.Discrete) else 0
    world = World(title, make, space, A, target, acting, spec)
    if world.off and method.on_policy:
        raise UsageError(f"{method.name} is on-policy only ({method.on_policy}): --behaviour policy, or another method")
    if A == 0 and (world.off or pairs):
        raise UsageError(f"{'--values q' if pairs else '--behaviour'} needs numbered actions; {title} has {actions}")
    return world


def _experience(world: World, method: Method, config: Prediction, gamma: float, seed: int) -> Experience:
    """What is learned from: a file's transitions, or what the behaviour meets."""
    if config.data is not None and world.spec is not None and world.target.chances is not None:
        return recorded_experience(config.data, world.spec, gamma, world.target.chances)
    again = ("pair" if config.values == "q" else "state") if method.rule.second_try else ""
    steps = None if config.episodes is not None else config.steps
    stream = play(world.make, world.acting, world.target, gamma, seed, config.runs, steps, config.episodes, again)
    if world.off:
        _covered(world, stream, config)
    return stream


def _covered(world: World, stream: Experience, config: Prediction) -> None:
    """UsageError if b never does what π does."""
    acting, target = world.acting.chances, world.target.chances
    if acting is None or target is None or config.correction == "none":
        return
    mask = None if stream.step.mask is None else np.asarray(stream.step.mask)[:PROBE, 0]
    some = np.asarray(stream.step.obs)[:PROBE, 0]
    if (missing := (target(some, mask) > 0) & (acting(some, mask) == 0)).any():
        k, a = np.argwhere(missing)[0]
        raise UsageError(f"the behaviour never takes action {a} at {some[k]}, as the policy does: give another b")


def _spread(world: World, config: Prediction, stream: Experience | None) -> float:
    """E[ρ²], at most 100, for the step size."""
    if stream is None or not world.off or config.correction == "none":
        return 1.0
    return min(100.0, float((np.asarray(stream.rho) ** 2).mean()))


def _bytes(space: gym.Space) -> int:
    """Bytes of one observation."""
    return int(np.prod(space.shape or (1,))) * np.dtype(space.dtype or np.int64).itemsize


def _largest(learned: ValueFunction, obs: np.ndarray, action: np.ndarray, seed: int) -> float:
    """max ‖∇v‖² over observations that were seen, at the first weights."""
    at = np.linspace(0, len(obs) - 1, min(PROBE, len(obs))).astype(int)
    some = jnp.asarray(obs[at])
    inputs = (some, jnp.eye(learned.recipe.actions)[action[at]]) if learned.recipe.actions else some
    w0 = learned.model.init(jax.random.key(seed))
    sizes = jax.jit(lambda w, s: jax.lax.map(lambda one: (learned.model.at(w, one)[1] ** 2).sum(), s))(w0, inputs)
    largest = float(sizes.max())
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


def _is_plane(space: gym.Space) -> bool:
    """Is it a box of two numbers, of which a map can be drawn?"""
    return isinstance(space, gym.spaces.Box) and space.shape == (2,)


def _lattice(learned: ValueFunction, seen: np.ndarray, w: np.ndarray, target: HostPolicy) -> Lattice:
    """Learned V over a lattice of the 2-D box, for weights w [1, d]."""
    x, y = (np.linspace(seen[:, i].min(), seen[:, i].max(), LATTICE) for i in range(2))
    points = np.stack([a.reshape(-1) for a in np.meshgrid(x, y)], 1).astype(seen.dtype)
    if A := learned.recipe.actions:
        assert target.chances is not None
        q = [values_reader(learned, points, np.full(len(points), a))(w)[0] for a in range(A)]
        values = (target.chances(points).T * np.array(q)).sum(0)
    else:
        values = values_reader(learned, points, None)(w)[0]
    near = binary_dilation(np.histogram2d(seen[:, 1], seen[:, 0], LATTICE)[0] > 0, iterations=2)
    return Lattice(x, y, np.where(near, values.reshape(LATTICE, LATTICE), np.nan))
