"""Prediction on any Gymnasium environment: V_π or Q_π from streams of real steps, against Monte-Carlo truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
from scipy.ndimage import binary_dilation

from rlnut.agents import td
from rlnut.agents import td_sparse as sparse
from rlnut.envs.contract import made
from rlnut.envs.make import EnvLike, env_name, maker
from rlnut.envs.observations import SMALLEST_IMAGE
from rlnut.envs.spaces import read_spaces
from rlnut.errors import UsageError
from rlnut.features import maps
from rlnut.features import parsing as basis
from rlnut.networks.architectures import cnn, mlp
from rlnut.prediction.defaults import record_count, settings_used, step_size, with_iterations
from rlnut.prediction.masked import ShowsMasks
from rlnut.prediction.methods import METHODS, Method, Prediction
from rlnut.prediction.play import play, recorded_experience
from rlnut.prediction.policies import HostPolicy, on_env
from rlnut.prediction.result import Lattice, PredictionReport, PredictionResult, follow_snapshots
from rlnut.prediction.simulate import Experience, require_finite
from rlnut.prediction.snapshots import LearningTask, snapshots
from rlnut.prediction.td_rows import make_rows, pair_inputs, window_length
from rlnut.truth.monte_carlo import monte_carlo_truth
from rlnut.types import Network

LATTICE = 41  # points a side of the picture of a 2-D box
PROBE = 500  # observations that the step size is judged by


class ValueFunction(NamedTuple):
    """What learns, for observations (V) or observations and action weights (Q)."""

    model: td.Approximator
    active: Callable[..., sparse.Active] | None  # the same by active features, where these are few
    words: str
    network: bool


def predict_host(
    name: str,
    env: EnvLike,
    config: Prediction,
    policy: Any = None,
    seed: int = 0,
    behaviour: Any = None,
    network: Network | None = None,
    features: maps.Features | None = None,
    report: PredictionReport | None = None,
) -> PredictionResult:
    """Evaluate a policy (None: uniform) by METHODS[name]; `features` and `network` take the place of words.

    Raises UsageError for what needs tables (expected updates, the off-line λ-return) or numbered actions (Q, ρ).
    """
    method, title = METHODS[name], _title(env)
    for asked, what in ((config.expected, "--expected"), (method.rule.offline, name)):
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
    off, pairs = acting is not target, config.values == "q"
    A = int(actions.n) if isinstance(actions, gym.spaces.Discrete) else 0
    if off and method.on_policy:
        raise UsageError(f"{name} is on-policy only ({method.on_policy}): --behaviour policy, or another method")
    if A == 0 and (off or pairs):
        raise UsageError(f"{'--values q' if pairs else '--behaviour'} needs numbered actions; {title} has {actions}")
    gamma = 0.99 if config.gamma is None else config.gamma
    config = with_iterations(config, gamma)
    stream = None
    if config.data is not None and spec is not None and target.chances is not None:
        stream = recorded_experience(config.data, spec, gamma, target.chances)
    phi = _map(config, space, features, title, network is not None)
    known = monte_carlo_truth(
        lambda: ShowsMasks(made(make)), target.act, gamma, config.states, config.rollouts, seed + 1, acting.act, pairs
    )
    again = ("pair" if pairs else "state") if method.rule.second_try else ""
    steps = None if config.episodes is not None else config.steps
    if stream is None:
        stream = play(make, acting, target, gamma, seed, config.runs, steps, config.episodes, again)
    require_finite(stream, title)
    if off:
        _covered(stream, acting, target, config)
    obs = np.asarray(stream.step.obs)[: 20 * PROBE, 0]
    learned = _approximator(config, space, phi, obs, A if pairs else 0, network)
    inputs = pair_inputs(A, config.next_action == "sampled", target.chances) if pairs and target.chances else None
    rate = _largest(learned, obs, np.asarray(stream.step.action)[: len(obs), 0], A if pairs else 0, seed)
    spread = min(100.0, float((np.asarray(stream.rho) ** 2).mean())) if off and config.correction != "none" else 1.0
    lam = method.trace(config)
    alpha, falling = step_size(method, config, rate, gamma, lam, spread)
    rows = make_rows(stream, method, config, A if pairs else None, falling, record_count(method, config), inputs)
    window = window_length(stream, method, config)
    beta = alpha if config.beta is None else config.beta
    task = _task(method, learned, rows, alpha, lam, beta, window, config.epochs)
    chosen = settings_used(method, config, gamma, learned.words, alpha, learned.network)
    read = _reader(learned, known.obs, None if known.actions is None else known.actions - target.first, A)
    found = snapshots(task, record_count(method, config), jax.random.key(seed))
    every, other = np.ones(len(known.mean), bool), off or config.data is not None  # a file's policy is not known
    answer = follow_snapshots(found, read, lambda w: {}, known.mean, every, 0.0, other, chosen, report)._replace(
        known=known
    )
    picture = None
    plane = isinstance(space, gym.spaces.Box) and space.shape == (2,) and stream.step.mask is None
    if plane and answer.weights is not None:
        picture = _lattice(learned, obs, answer.weights, target, A if pairs else 0)
    return answer._replace(weights=None if learned.network else answer.weights, picture=picture)


def _title(env: EnvLike) -> str:
    name = env_name(env)
    return name.id if name else "this environment"


def _covered(stream: Experience, acting: HostPolicy, target: HostPolicy, config: Prediction) -> None:
    """UsageError if b never does what π does."""
    if acting.chances is None or target.chances is None or config.correction == "none":
        return
    mask = None if stream.step.mask is None else np.asarray(stream.step.mask)[:PROBE, 0]
    some = np.asarray(stream.step.obs)[:PROBE, 0]
    b, pi = acting.chances(some, mask), target.chances(some, mask)
    if (missing := (pi > 0) & (b == 0)).any():
        k, a = np.argwhere(missing)[0]
        raise UsageError(f"the behaviour never takes action {a} at {some[k]}, as the policy does: give another b")


def _map(config: Prediction, space: gym.Space, given: Any, title: str, network: bool) -> tuple[str, Any]:
    """The words for the features that "auto" chose, checked before anything is played."""
    if given is not None:
        return "given", given
    numbered = isinstance(space, gym.spaces.Discrete)
    if not numbered and not (isinstance(space, gym.spaces.Box) and np.prod(space.shape) > 0):
        raise UsageError(f"{title}: observation space {space} is not served; allowed: Box, Discrete")
    words = config.features
    if words == "auto":
        words = "one-hot" if numbered else "raw" if config.hidden or network else "tiles"
    name, _ = basis.parse_features(words)
    if not numbered and name in basis.STATES_ONLY:
        raise UsageError(f"--features {name} is for numbered states; for boxes: {', '.join(basis.set_of_boxes())}")
    if numbered and name == "own":
        raise UsageError(f"--features own: {title} brings no features")
    return words, None


def _approximator(
    config: Prediction, space: Any, chosen: tuple[str, Any], seen: np.ndarray, actions: int, network: Any
) -> ValueFunction:
    """Features of observations, scaled by what was seen, and a linear function or a network of them."""
    words, given = chosen
    name, numbers = ("given", ()) if words == "given" else basis.parse_features(words)
    phi: Callable[[Any], Any]
    active = None
    if given is not None:
        phi, dim = (lambda s: given(s.reshape(1, -1).astype(jnp.float32))[0]), given.dim
        active = given.active
    elif isinstance(space, gym.spaces.Discrete):
        table = jnp.asarray(basis.over_numbers(words, int(space.n)), jnp.float32)
        first = int(space.start)
        phi, dim = (lambda s: table[s - first]), table.shape[1]
    else:
        flat = seen.reshape(len(seen), -1)
        unit = maps.standardize(flat) if name in ("raw", "mlp") else _unit(space, seen)
        whole = maps.compose(unit, basis.over_box(name, numbers, int(np.prod(space.shape))))
        phi, dim = (lambda s: whole(s.reshape(1, -1).astype(jnp.float32))[0]), whole.dim
        active = whole.active
    hidden = config.hidden or (numbers * 2 if name == "mlp" else ())
    image = len(space.shape or ()) in (2, 3) and sorted(space.shape)[-2] >= SMALLEST_IMAGE
    if network is not None or hidden:
        encode = phi
        if image and name == "raw":
            top = float(np.abs(seen).max()) or 1.0
            encode, network = (lambda s: s.astype(jnp.float32) / top), network or cnn(hidden=hidden, window=1)
        net = network or mlp(hidden)
        model = td.network_value(net((actions,) if actions else ()), encode(jnp.asarray(seen[0])), encode)
        return ValueFunction(model, None, f"{words}, network", True)
    size = dim * max(1, actions)
    start = jnp.full(size, config.initial or 0.0)
    sparse_model = None
    if active is not None and not actions:

        def few(s: Any) -> tuple[Any, Any]:
            index = active(s.reshape(1, -1).astype(jnp.float32))[0]
            return index, jnp.ones(len(index))

        sparse_model = lambda: sparse.Active(start, few, few)  # noqa: E731
    elif active is not None:

        def pairs(s: Any) -> tuple[Any, Any]:
            index = active(s[0].reshape(1, -1).astype(jnp.float32))[0]
            return (jnp.arange(actions)[:, None] * dim + index).reshape(-1), jnp.repeat(s[1], len(index))

        sparse_model = lambda: sparse.Active(start, pairs, pairs)  # noqa: E731
    return ValueFunction(td.over_features(phi, start), sparse_model, words, False)


def _unit(space: gym.spaces.Box, seen: np.ndarray) -> maps.Features:
    """The box scaled to [0, 1]ᵏ: by its bounds, and by what was seen where it has none worth the name."""
    flat = seen.reshape(len(seen), -1).astype(np.float64)
    low, high = space.low.reshape(-1).astype(np.float64), space.high.reshape(-1).astype(np.float64)
    wide = ~((high - low) < 1e6)
    low, high = np.where(wide, flat.min(0), low), np.where(wide, np.maximum(flat.max(0), flat.min(0) + 1e-6), high)
    return maps.min_max(low, high, clip=True)


def _largest(learned: ValueFunction, obs: np.ndarray, action: np.ndarray, actions: int, seed: int) -> float:
    """max ‖∇v‖² over observations that were seen, at the first weights."""
    at = np.linspace(0, len(obs) - 1, min(PROBE, len(obs))).astype(int)
    some: Any = jnp.asarray(obs[at])
    if actions:
        some = (some, jnp.eye(actions)[action[at]])
    w0 = learned.model.init(jax.random.key(seed))
    sizes = jax.jit(lambda w, s: jax.lax.map(lambda one: (learned.model.at(w, one)[1] ** 2).sum(), s))(w0, some)
    largest = float(sizes.max())
    if not np.isfinite(largest):
        raise UsageError(f"--features {learned.words}: NaN or infinity came out for an observation that was met")
    return largest


def _task(
    method: Method,
    learned: ValueFunction,
    rows: td.TDRows,
    alpha: float,
    lam: float,
    beta: float,
    window: int,
    epochs: int,
) -> LearningTask:
    passes = epochs if learned.network else None
    task = LearningTask(method, lambda: learned.model, (), rows, alpha, lam, beta, window, epochs=passes)
    rule = method.rule._replace(window=window)
    if learned.active is None or method.solver != "scan" or not sparse.supports_sparse(rule):
        return task
    length = sparse.list_length(rows, lam)
    one = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[2:], x.dtype), rows.now)
    count = jax.eval_shape(learned.active().now, one)[0].shape[0]
    size = len(learned.active().w0)
    if length is None or length * count * 2 * count > 10 * size:
        return task
    return task._replace(make=learned.active, length=length, few=count)


def _reader(learned: ValueFunction, obs: np.ndarray, action: Any, actions: int) -> Callable[[np.ndarray], np.ndarray]:
    """w [N, d] -> values [N, K] at states, or at pairs."""
    some: Any = jnp.asarray(obs)
    if action is not None:
        some = (some, jnp.eye(actions)[np.asarray(action, int)])
    read = jax.jit(jax.vmap(lambda w: jax.lax.map(lambda s: learned.model.at(w, s)[0], some)))
    return lambda w: np.asarray(read(jnp.asarray(w, jnp.float32)), np.float64)


def _lattice(learned: ValueFunction, seen: np.ndarray, w: np.ndarray, target: HostPolicy, actions: int) -> Lattice:
    """Learned V over a lattice of the 2-D box."""
    x, y = (np.linspace(seen[:, i].min(), seen[:, i].max(), LATTICE) for i in range(2))
    points = np.stack([a.reshape(-1) for a in np.meshgrid(x, y)], 1).astype(seen.dtype)
    if actions:
        assert target.chances is not None
        q = [_reader(learned, points, np.full(len(points), a), actions)(w[None])[0] for a in range(actions)]
        values = (target.chances(points).T * np.array(q)).sum(0)
    else:
        values = _reader(learned, points, None, 0)(w[None])[0]
    near = binary_dilation(np.histogram2d(seen[:, 1], seen[:, 0], LATTICE)[0] > 0, iterations=2)
    return Lattice(x, y, np.where(near, values.reshape(LATTICE, LATTICE), np.nan))
