"""Prediction on any Gymnasium environment: V_π from a stream of real steps, against Monte-Carlo truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np

from rlnut import basis
from rlnut import features as maps
from rlnut.agents import lstd, td
from rlnut.envs.make import EnvName
from rlnut.envs.spaces import read_spaces
from rlnut.errors import UsageError
from rlnut.experience import Experience, play
from rlnut.methods import METHODS, Method, Prediction
from rlnut.monte_carlo import Act, Truth, truth
from rlnut.networks import mlp
from rlnut.prediction import record_count, settings_used, step_size
from rlnut.sweeps import make_rows


class HostAnswer(NamedTuple):
    """What was learned at the states that have a Monte-Carlo truth."""

    truth: Truth
    values: np.ndarray  # [K]
    rmse: float
    curve: np.ndarray
    weights: np.ndarray | None  # [d]; None for a network
    settings: dict[str, Any]


def uniform(space: gym.Space) -> Act:
    """A random action of a discrete space."""
    if not isinstance(space, gym.spaces.Discrete):
        raise UsageError(f"the uniform policy needs a Discrete action space, got {space}")
    low, n = int(space.start), int(space.n)
    return lambda obs, rng: low + int(rng.integers(n))


def predict_host(name: str, env: EnvName, config: Prediction, act: Act | None = None, seed: int = 0) -> HostAnswer:
    """Evaluate a policy (None: uniform) by METHODS[name] with one stream of `steps` steps.

    Raises UsageError for what needs tables: Q, expected updates, off-policy learning, a second try from a state.
    """
    method = METHODS[name]
    needs = [
        (config.values == "q", "--values q"),
        (config.expected, "--expected"),
        (config.behaviour != "own", "--behaviour"),
        (config.runs != 1, "--runs"),
        (config.episodes is not None, "--episodes"),
        (method.rule.get("gradient") == "double" or method.rule.get("offline"), name),
    ]
    for asked, what in needs:
        if asked:
            raise UsageError(f"{what} needs a finite problem (tables P and R); {env.id} has none")
    example = env.make()
    try:
        read_spaces(example)
        acting = uniform(example.action_space) if act is None else act
        box = example.observation_space
    finally:
        example.close()
    gamma = 0.99 if config.gamma is None else config.gamma
    known = truth(env.make, acting, gamma, config.states, config.rollouts, seed + 1)
    stream = play(env.make, acting, gamma, config.steps, seed)
    model, make, words, largest = _approximator(method, config, box, stream)
    lam = method.trace(config)
    alpha, falling = step_size(method, config, largest, gamma, lam)
    records, key = record_count(method, config), jax.random.key(seed)
    rows = make_rows(stream, method, config, None, falling, records)
    if method.solver == "scan":
        beta = alpha if config.beta is None else config.beta
        hyper = td.Hyper(*(jnp.asarray(x, jnp.float32) for x in (alpha, lam, beta)))
        weights = np.asarray(td.learn(td.Rule(**method.rule), make, (), rows, hyper, records, key))
    else:
        solve = lstd.lstd if method.solver == "lstd" else lstd.recursive_lstd
        weights = solve(make, (), rows, lam, np.zeros(len(model.init(key))), records)
    read = jax.jit(jax.vmap(lambda w: jax.vmap(lambda s: model.at(w, s)[0])(jnp.asarray(known.obs, jnp.float32))))
    learned = np.asarray(read(jnp.asarray(weights[0], jnp.float32)))
    curve = np.sqrt(((learned - known.mean) ** 2).mean(1))
    chosen = settings_used(method, config, gamma, words, alpha)
    shown = None if words.startswith("mlp") else weights[0, -1]
    return HostAnswer(known, learned[-1], float(curve[-1]), curve, shown, chosen)


def _approximator(
    method: Method, config: Prediction, space: Any, stream: Experience
) -> tuple[td.Approximator, Callable[[], td.Approximator], str, float]:
    """The approximator, a function that makes it, the features' name, and max ‖∇v‖² for the step size."""
    seen = np.asarray(stream.step.obs)[:, 0]
    if isinstance(space, gym.spaces.Discrete):
        words = "one-hot" if config.features == "auto" else config.features
        if words != "one-hot":
            raise UsageError(f"--features {words}: discrete observations without tables take one-hot")
        phi = maps.one_hot(int(space.n), int(space.start))
        model = td.linear(lambda s: phi(s[None])[0], lambda s: phi(s[None])[0], jnp.zeros(phi.dim))
        return model, lambda: model, words, 1.0
    words = "tiles:8" if config.features == "auto" else config.features
    name, number = basis.parse(words)
    flat = seen.reshape(len(seen), -1).astype(np.float64)
    low, high = space.low.reshape(-1).astype(np.float64), space.high.reshape(-1).astype(np.float64)
    wide = ~((high - low) < 1e6)  # no bound worth the name: what was seen decides
    low, high = np.where(wide, flat.min(0), low), np.where(wide, np.maximum(flat.max(0), flat.min(0) + 1e-6), high)
    unit = maps.min_max(low, high, clip=True)
    if name == "mlp":
        if method.linear:
            raise UsageError(f"--features mlp: this method is linear only, {method.linear}")
        net = mlp((number, number))(())
        inner = td.network(net, jnp.zeros(flat.shape[1]))
        model = td.Approximator(
            inner.init, lambda w, s: inner.at(w, unit(s[None])[0]), lambda w, s: inner.next(w, unit(s[None])[0])
        )
        return model, lambda: model, words, 10.0
    phi = maps.compose(unit, basis.over_box(name, number, flat.shape[1]))
    size = float((np.asarray(phi(flat[:1000])) ** 2).sum(1).max())

    def features(s: Any) -> Any:
        return phi(s.reshape(1, -1).astype(jnp.float32))[0]

    model = td.linear(features, features, jnp.zeros(phi.dim))
    return model, lambda: model, words, size
