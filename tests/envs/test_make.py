"""Environments made again: names and their versions, instances with their wrappers, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import wrappers
from helpers.commands import SHORT, run_main

import rlnut
from rlnut.envs.make import EnvName, env_name, maker
from rlnut.envs.names import resolve_name
from rlnut.errors import UsageError
from rlnut.runtime.wrappers import layers, time_limit

pytestmark = pytest.mark.usefixtures("shared_programs")
QUIET: dict[str, Any] = {"steps": 120, "eval_every": 120, "eval_episodes": 1, "final_episodes": 2, "quiet": True}
AGENT = rlnut.DQN(learning_starts=32, hidden=(8,), batch=8, replay=100)


class Plain(gym.RewardWrapper):
    """A wrapper with no arguments: it can be made again although it records nothing."""

    def reward(self, reward: Any) -> float:
        return 100 * float(reward)


class Scaled(gym.RewardWrapper):
    """Has an argument and does not record it."""

    def __init__(self, env: gym.Env, factor: float = 100) -> None:
        super().__init__(env)
        self.factor = factor

    def reward(self, reward: Any) -> float:
        return self.factor * float(reward)


class Recorded(Scaled, gym.utils.RecordConstructorArgs):
    """The same, recorded."""

    def __init__(self, env: gym.Env, factor: float = 100) -> None:
        gym.utils.RecordConstructorArgs.__init__(self, factor=factor)
        Scaled.__init__(self, env, factor)


def hundredfold(reward: Any) -> float:
    return 100 * float(reward)


class Skip(gym.Wrapper):
    """Every action twice: time limits inside and outside of it differ."""

    def step(self, action: Any) -> Any:
        self.env.step(action)
        return self.env.step(action)


WRAPPED: dict[str, Callable[[], gym.Env]] = {
    "transform": lambda: wrappers.TransformReward(gym.make("CartPole-v1"), hundredfold),
    "lambda": lambda: wrappers.TransformReward(gym.make("CartPole-v1"), lambda r: 100 * float(r)),
    "plain": lambda: Plain(gym.make("CartPole-v1")),
    "recorded": lambda: Recorded(gym.make("CartPole-v1")),
    "limit-lambda": lambda: wrappers.TimeLimit(wrappers.TransformReward(gym.make("CartPole-v1"), hundredfold), 7),
    "two": lambda: wrappers.TimeLimit(Recorded(Recorded(gym.make("CartPole-v1"), 10), 10), 7),
    "clip": lambda: Recorded(wrappers.ClipReward(gym.make("CartPole-v1"), 0, 0.5), 200),
    "limit": lambda: Recorded(wrappers.TimeLimit(gym.make("CartPole-v1"), 5)),
    "statistics": lambda: Plain(wrappers.RecordEpisodeStatistics(gym.make("CartPole-v1"))),
    "stacked": lambda: Plain(wrappers.FrameStackObservation(gym.make("CartPole-v1"), stack_size=2)),
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_wrappers_of_an_instance_count_in_training_evaluation_and_loading(kind: str, tmp_path: Path) -> None:
    """The reward of a step is 100 on every way; a folder says that the wrapper is needed, and takes it.

    It can be had without that where wrapper and arguments are in the folder, and the folder is trusted.
    """
    env = WRAPPED[kind]()
    run = rlnut.train(AGENT, env, out=tmp_path / "run", **QUIET)
    hundred = [100.0 * n for n in run.evaluation.lengths]
    np.testing.assert_allclose(run.evaluation.returns, hundred)
    again = run.policy.evaluate(2, env=WRAPPED[kind]())
    np.testing.assert_allclose(again.returns, [100.0 * n for n in again.lengths])
    if kind in ("transform", "lambda", "limit-lambda"):
        with pytest.raises(UsageError, match=r"CartPole-v1\S* with .*the wrapper .* pass it as env="):
            rlnut.load_policy(tmp_path / "run").evaluate(1)
        with pytest.raises(UsageError, match="which is not stored in the folder: pass it as env="):
            rlnut.resume(tmp_path / "run")
    else:
        with pytest.raises(UsageError, match=r"its wrapper test_make:(Plain|Recorded) would be imported"):
            rlnut.load_policy(tmp_path / "run").evaluate(1)
        alone = rlnut.load_policy(tmp_path / "run", trust=True).evaluate(2)
        np.testing.assert_allclose(alone.returns, [100.0 * n for n in alone.lengths])
    loaded = rlnut.load_policy(tmp_path / "run", env=env).evaluate(2)
    np.testing.assert_allclose(loaded.returns, [100.0 * n for n in loaded.lengths])


def test_the_evaluation_environment_keeps_its_wrappers() -> None:
    run = rlnut.train(AGENT, "CartPole-v1", eval_env=WRAPPED["recorded"](), **QUIET)
    np.testing.assert_allclose(run.evaluation.returns, [100.0 * n for n in run.evaluation.lengths])


def test_vector_environments_keep_what_is_around_each() -> None:
    vector = gym.vector.SyncVectorEnv([WRAPPED["lambda"], WRAPPED["lambda"]])
    run = rlnut.train(AGENT, vector, **QUIET)
    np.testing.assert_allclose(run.evaluation.returns, [100.0 * n for n in run.evaluation.lengths])
    around = gym.wrappers.vector.TransformReward(gym.make_vec("CartPole-v1", 2, "sync"), lambda r: np.multiply(r, 100))
    with pytest.raises(UsageError, match=r"TransformReward wraps the whole VectorEnv.* give eval_env="):
        rlnut.train(AGENT, around, **QUIET)
    run = rlnut.train(AGENT, around, eval_env="CartPole-v1", **QUIET)
    assert run.evaluation.returns == run.evaluation.lengths


def test_prediction_counts_wrappers() -> None:
    """V of the chain walk's rewards, ten times as large: tables are of the bare environment, so they are not used."""
    bare = gym.make("rlnut/RandomWalk5-v0")
    env = wrappers.TransformReward(bare, lambda r: 10 * float(r))
    answer = rlnut.predict("td0", env, steps=300, states=3, rollouts=200, gamma=1.0)
    known: Any = answer.known
    np.testing.assert_allclose(known.mean, (np.asarray(known.obs) + 1) / 6 * 10, atol=5 * max(known.ci95) / 1.96)


def test_order_of_wrappers_and_limits() -> None:
    inner: gym.Env = wrappers.TimeLimit(Skip(gym.make("CartPole-v1", max_episode_steps=-1)), 8)
    name = env_name(inner)
    assert name is not None
    made = name.make()
    assert [type(layer) for layer in layers(made)][:2] == [wrappers.TimeLimit, Skip] and time_limit(made) == 8
    outer = env_name(Skip(gym.make("CartPole-v1", max_episode_steps=8)))
    assert outer is not None and isinstance(outer.make(), Skip) and time_limit(outer.make()) == 8
    bare = env_name(gym.make("CartPole-v1").unwrapped)
    assert bare is not None and bare.time_limit is None and time_limit(bare.make()) is None


@pytest.mark.parametrize("keyword", ["render_mode", None])
def test_a_bare_instance_is_its_name(keyword: str | None) -> None:
    drawn: dict[str, Any] = {} if keyword is None else {keyword: "rgb_array"}
    assert env_name(gym.make("CartPole-v1", **drawn)) == EnvName("CartPole-v1")
    lake = gym.make("FrozenLake-v1", desc=["SF", "FG"], is_slippery=False, max_episode_steps=9, **drawn)
    found = env_name(lake)
    assert found == EnvName("FrozenLake-v1", {"desc": ["SF", "FG"], "is_slippery": False, "max_episode_steps": 9})
    assert found is not None and json.dumps(found.record()) and "not_kept" not in found.record()


def test_what_cannot_be_made_again_is_refused() -> None:
    with pytest.raises(UsageError, match=r"the wrapper Scaled does not record its arguments .* pass a function"):
        maker(Scaled(gym.make("CartPole-v1")))
    with pytest.raises(UsageError, match="Scaled"):
        rlnut.train(AGENT, Scaled(gym.make("CartPole-v1")), **QUIET)
    from gymnasium.envs.classic_control.cartpole import CartPoleEnv

    with pytest.raises(UsageError, match="pass a function that makes it"):
        maker(CartPoleEnv())
    run = rlnut.train(AGENT, lambda: Scaled(gym.make("CartPole-v1")), **QUIET)
    np.testing.assert_allclose(run.evaluation.returns, [100.0 * n for n in run.evaluation.lengths])


def test_an_argument_that_no_file_holds(tmp_path: Path) -> None:
    from rlnut.envs.walks import random_walk

    env = gym.make("rlnut/Tabular-v0", source=random_walk(5))
    run = rlnut.train("q-learning", env, out=tmp_path / "run", **QUIET)
    assert run.policy.env is env
    with pytest.raises(UsageError, match="rlnut/Tabular-v0 with the argument source"):
        rlnut.load_policy(tmp_path / "run").evaluate(1)
    np.testing.assert_array_equal(rlnut.load_policy(tmp_path / "run", env=env).q(2), run.q(2))


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("CartPole", "CartPole-v1"),
        ("CartPole-v0", "CartPole-v0"),
        ("gymnasium:CartPole-v1", "CartPole-v1"),
        ("gymnasium:CartPole", "CartPole-v1"),
        ("rlnut/RandomWalk5", "rlnut/RandomWalk5-v0"),
        ("rlnut.envs:rlnut/Cliff-v0", "rlnut/Cliff-v0"),
    ],
)
def test_one_name(given: str, found: str) -> None:
    assert resolve_name(given) == found
    name = EnvName(given)
    assert (name.time_limit, name.threshold) == (EnvName(found).time_limit, EnvName(found).threshold)
    assert env_name(given) == env_name(name) == EnvName(found)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("CartPole-v7", "unknown environment 'CartPole-v7': there is CartPole-v0, CartPole-v1"),
        ("CartPol", r"unknown environment 'CartPol'\. Did you mean CartPole"),
        ("no_such_module:X-v0", "no_such_module:X-v0: cannot import no_such_module"),
        ("gymnasium:Nothing-v0", "unknown environment 'gymnasium:Nothing-v0'"),
        ("Cart Pole!", "unknown environment"),
        ("", "unknown environment"),
    ],
)
def test_names_that_mean_nothing(given: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resolve_name(given)


def test_a_module_in_the_working_folder(tmp_path: Path, monkeypatch: Any) -> None:
    """Its name is kept with the module, without which nobody else finds it."""
    (tmp_path / "own_envs_of_a_test.py").write_text(
        "import gymnasium as gym\n"
        "from gymnasium.envs.classic_control.cartpole import CartPoleEnv\n"
        "class Mine(CartPoleEnv): pass\n"
        "gym.register('Mine-v3', Mine, max_episode_steps=11, reward_threshold=5)\n"
    )
    monkeypatch.chdir(tmp_path)
    name = env_name("own_envs_of_a_test:Mine")
    assert name == EnvName("own_envs_of_a_test:Mine-v3")
    assert name is not None and (name.time_limit, name.threshold) == (11, 5) and time_limit(name.make()) == 11


@pytest.mark.parametrize("env", ["CartPole", "gymnasium:CartPole-v1"])
def test_names_on_the_command_line_and_in_python(env: str, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    """The preset is found, the resolved name is printed and recorded, and the time limit ends episodes."""
    monkeypatch.chdir(tmp_path)
    status, _, err = run_main(capsys, "train", "noisy-dqn", env, "--out", "run", *SHORT)
    assert status == 0 and "preset for CartPole-v1" in err and "noisy-dqn on CartPole-v1, seed 0" in err
    assert json.loads((tmp_path / "run" / "config.json").read_text())["env"] == {"id": "CartPole-v1", "kwargs": {}}
    from rlnut.agents.presets import PRESETS
    from rlnut.control.training import configured

    config, *_ = configured("noisy-dqn", env, {})
    assert config.replace(**PRESETS["noisy-dqn", "CartPole-v1"]["config"]) == config != type(config)()
