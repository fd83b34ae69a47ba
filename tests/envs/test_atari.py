"""Atari games by name: the usual preprocessing, frames stored once, presets, and the line without ale-py."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import jax
import numpy as np
import pytest
from helpers.commands import run_main

from rlnut.control.recipe import CONFIG
from rlnut.control.training import configured
from rlnut.envs.arguments import environment
from rlnut.envs.frame_stacks import frame_stack
from rlnut.envs.make import EnvName, env_name
from rlnut.envs.spaces import read_spaces
from rlnut.errors import UsageError
from rlnut.learner.spec import FrameStack
from rlnut.networks.architectures import nature
from rlnut.runtime.wrappers import layers


@pytest.fixture
def games() -> None:
    """The games and what their preprocessing needs."""
    for module in ("ale_py", "cv2"):
        pytest.importorskip(module, reason=f"{module} is not installed (the atari extra brings it)")


def test_the_network_of_the_paper_has_as_many_numbers() -> None:
    """Mnih et al. 2015, with a bias for each filter and unit."""
    example = jax.ShapeDtypeStruct((1, 84, 84, 4), np.float32)
    theta = jax.eval_shape(nature()((6,)).init, jax.random.key(0), example)
    layers_of_paper = [(8 * 8 * 4, 32), (4 * 4 * 32, 64), (3 * 3 * 64, 64), (7 * 7 * 64, 512), (512, 6)]
    assert sum(x.size for x in jax.tree.leaves(theta)) == sum((fan + 1) * n for fan, n in layers_of_paper)


def test_without_the_package_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ale_py", None)
    with pytest.raises(UsageError, match=r'^ALE/Pong-v5 needs a package .*: pip install "rlnut\[atari\]"$'):
        env_name("ALE/Pong-v5")


def test_a_game_by_name_is_preprocessed(games: None) -> None:
    """84 × 84 grey, four frames, four frames of the emulator a step, sticky as the name says, frames stored once."""
    name = environment("ALE/Pong-v5")
    assert name == env_name("ALE/Pong-v5") == env_name("ALE/Pong")
    env: Any = name.make()
    seen, info = env.reset(seed=0)
    assert seen.shape == (4, 84, 84) and seen.dtype == np.uint8 and env.action_space.n == 6
    assert info["episode_frame_number"] <= 30  # no-ops
    frames = [env.step(0)[4]["episode_frame_number"] for _ in range(4)]
    assert np.diff(frames).tolist() == [4, 4, 4]
    assert env.unwrapped.ale.getFloat("repeat_action_probability") == pytest.approx(0.25)
    assert frame_stack(env, read_spaces(env)) == (FrameStack(4), "")
    env.close()


def test_what_is_given_takes_the_place_of_the_usual(games: None) -> None:
    given = environment("ALE/Pong-v5", ["repeat_action_probability=0", "frameskip=1"], ["GrayscaleObservation"])
    assert given.kwargs == {"repeat_action_probability": 0.0, "frameskip": 1} and len(given.wrappers) == 1
    assert environment("ALE/Pong-v5", ["obs_type=ram"]).wrappers == ()
    assert environment("ale_py:ALE/Pong-v5") == EnvName("ale_py:ALE/Pong-v5")  # as it is registered
    assert env_name(gym.make("ALE/Pong-v5")) == EnvName("ALE/Pong-v5")
    with pytest.raises(UsageError, match=r"cannot be wrapped in AtariPreprocessing.*frame-skipping"):
        environment("ALE/Pong-v5", ["frameskip=4"]).make()
    with pytest.raises(UsageError, match="unknown environment 'ALE/Pongg-v5'"):
        env_name("ALE/Pongg-v5")


@pytest.mark.parametrize("agent", ["dqn", "pqn"])
def test_presets_clip_rewards_in_training_only(agent: str, games: None) -> None:
    config, training, _ = configured(agent, "ALE/Breakout-v5", {})
    assert (config.network, config.hidden, training.reward_clip) == ("nature", (512,), 1.0)  # type: ignore[attr-defined]
    assert not any("Reward" in type(layer).__name__ for layer in layers(EnvName("ALE/Breakout-v5").make()))
    assert configured(agent, EnvName("ALE/Breakout-v5"), {})[2] == {}  # the raw game


SMALL = {
    "dqn": ["--learning-starts=64", "--replay=500", "--batch=4"],
    "pqn": ["--num-envs=2", "--rollout=64", "--minibatches=2"],
}


@pytest.mark.slow
@pytest.mark.parametrize(("agent", "game"), [("dqn", "ALE/Pong-v5"), ("pqn", "ALE/Breakout-v5")])
def test_a_short_training(
    agent: str, game: str, games: None, tmp_path: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trained, evaluated and resumed from one command each; a game is cut after 400 frames."""
    monkeypatch.chdir(tmp_path)
    course = ["--steps=128", "--eval-episodes=1", "--final-episodes=1", "--env-arg=max_episode_steps=400"]
    status, _, err = run_main(capsys, "train", agent, game, *course, *SMALL[agent], "--out=run")
    assert status == 0 and f"preset for {game}" in err
    if agent == "dqn":
        assert "501 frames of 84 × 84 uint8, each once" in err
    env = json.loads((tmp_path / "run" / CONFIG).read_text())["env"]
    assert [wrapper["name"] for wrapper in env["wrappers"]] == ["AtariPreprocessing", "FrameStackObservation"]
    status, out, _ = run_main(capsys, "evaluate", "run", "--episodes=1", "--json")
    assert status == 0 and json.loads(out)["lengths"][0] <= 100  # steps of four frames
    assert run_main(capsys, "resume", "run", "--steps=256")[0] == 0
