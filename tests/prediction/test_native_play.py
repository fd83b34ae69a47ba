"""`--native`: the same experience as on the host, compiled."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from helpers.environments import Counter
from jax import numpy as jnp

import rlnut
from rlnut.envs.classic_control import CartPole
from rlnut.envs.functional import func_vector
from rlnut.errors import UsageError
from rlnut.prediction.env_policies import EnvPolicy, on_env
from rlnut.prediction.native_play import play_native
from rlnut.prediction.play import Players


def right_first(obs: Any) -> Any:
    """Push to where the pole leans: a deterministic policy, in NumPy or JAX."""
    return jnp.eye(2)[(jnp.asarray(obs)[:, 2] > 0).astype(int)]


def test_given_actions_make_the_transitions_of_gymnasium() -> None:
    """CartPole is deterministic: each row is what Gymnasium makes of its state and action."""
    vector = func_vector(CartPole(), 2, limit=30)
    policy = EnvPolicy(vector.spec, lambda seen: np.asarray(right_first(seen.obs)), traced=lambda o, m: right_first(o))
    stream = play_native(vector, Players(policy, policy), 0.9, 0, steps=40)
    step, env = stream.step, gym.make("CartPole-v1").unwrapped
    env.reset(seed=0)
    for t in range(40):
        for run in range(2):
            env.state = np.asarray(step.obs)[t, run].astype(float)  # type: ignore[attr-defined]
            env.steps_beyond_terminated = None  # type: ignore[attr-defined]
            obs, reward, terminated, *_ = env.step(int(step.action[t, run]))
            np.testing.assert_allclose(step.next_obs[t, run], obs, atol=1e-5)
            assert step.reward[t, run] == reward and step.discount[t, run] == np.float32(0 if terminated else 0.9)
            assert stream.next_action[t, run] == int(np.asarray(obs)[2] > 0)
    goes_on = ~np.asarray(step.end)[:-1]
    np.testing.assert_array_equal(np.asarray(step.obs)[1:][goes_on], np.asarray(step.next_obs)[:-1][goes_on])
    np.testing.assert_array_equal(np.diff(np.asarray(stream.episode), axis=0), np.asarray(step.end)[:-1])
    assert np.asarray(step.end).any() and (np.asarray(stream.rho) == 1).all()


def test_ratios_and_masks() -> None:
    """ρ = π/b under the mask, by hand; forbidden actions are never taken."""
    vector = func_vector(Counter(), 3, limit=5)
    target, uniform = on_env("uniform", vector.spec), on_env(None, vector.spec)
    weights = jnp.array([0.2, 0.8])

    def right(obs: Any, mask: Any) -> Any:
        return mask * weights / (mask * weights).sum(-1, keepdims=True)

    leaning = target._replace(traced=right)
    stream = play_native(vector, Players(uniform, leaning), 0.9, 1, steps=60, pairs=True)
    mask, action = np.asarray(stream.step.mask), np.asarray(stream.step.action)
    assert np.take_along_axis(mask, action[..., None], -1).all() and not mask.all()
    wanted = np.where(mask.all(-1), np.where(action == 1, 1.6, 0.4), 1.0)
    np.testing.assert_allclose(stream.rho, wanted, rtol=1e-5)
    np.testing.assert_allclose(np.asarray(stream.next_policy).sum(-1), 1, rtol=1e-5)


def test_values_are_those_of_the_host() -> None:
    """LSTD on CartPole, compiled and on the host: within the spread of runs."""
    options: dict[str, Any] = {"gamma": 0.9, "steps": 3000, "runs": 3, "features": "fourier:1"}
    options |= {"states": 2, "rollouts": 2}
    places = np.array([[0, 0, 0, 0], [0, 0, 0.1, 0.5]], np.float32)
    host, native = (rlnut.predict("lstd", "CartPole-v1", native=flag, **options) for flag in (False, True))
    np.testing.assert_allclose(native.value(places), host.value(places), atol=0.5)
    assert 5 < host.value(places[0]) < 10  # no constant 0 passes


def test_episodes_and_refusals() -> None:
    options: dict[str, Any] = {"gamma": 0.9, "states": 1, "rollouts": 2, "native": True}
    answer = rlnut.predict("mc", "CartPole-v1", episodes=4, **options)
    assert np.isfinite(answer.rmse)
    for env, method, more, message in (
        ("CartPole-v1", "td0", {"policy": lambda obs: 0}, "policies that act on the device"),
        ("CartPole-v1", "residual-gradient-double", {}, "no second try"),
        ("rlnut/RandomWalk5-v0", "td0", {}, "compiled already"),
        (
            lambda: gym.wrappers.TransformReward(gym.make("CartPole-v1"), lambda r: -float(r)),
            "td0",
            {},
            "has no functional twin",
        ),
    ):
        given = {k: v for k, v in options.items() if not str(env).startswith("rlnut/") or k == "native"}
        with pytest.raises(UsageError, match=message):
            rlnut.predict(method, env, steps=20, **given | more)
