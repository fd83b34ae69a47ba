"""`--wrap` and classes of the working folder: made, recorded, resumed, filmed, and refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import wrappers
from helpers.commands import run_main

import rlnut
from rlnut.control.recipe import CONFIG, Recipe
from rlnut.envs.arguments import environment, wrapper
from rlnut.envs.make import EnvName, env_name, named_in
from rlnut.envs.wrapping import WrapperRecipe
from rlnut.errors import UsageError
from rlnut.runtime.files import CHECKSUM
from rlnut.runtime.wrappers import layers

pytestmark = pytest.mark.usefixtures("shared_programs")
SOURCE = """
import gymnasium as gym, numpy as np
class Corridor(gym.Env):
    observation_space = gym.spaces.Discrete(11)
    action_space = gym.spaces.Discrete(2)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}
    def __init__(self, length: int = 10, render_mode=None):
        self.length, self.render_mode, self.cell = length, render_mode, 0
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.cell = 0
        return 0, {}
    def step(self, action):
        self.cell += 1
        return self.cell, -1.0, self.cell == self.length, False, {}
    def render(self):
        return np.full((40, 60, 3), 10 * self.cell, np.uint8)
class CartPole(Corridor):
    pass
def short():
    return Corridor(2)
class Times(gym.RewardWrapper):
    def __init__(self, env, factor: float = 2.0):
        super().__init__(env)
        self.factor = factor
    def reward(self, reward):
        return self.factor * reward
class Thing:
    pass
NUMBER = 3
"""
STACK = "FrameStackObservation,stack_size=3,padding_type=zero"
MODULE = "corridor_of_a_test"
COURSE = ["--steps=120", "--eval-every=120", "--eval-episodes=1", "--final-episodes=1"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / f"{MODULE}.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FrameStackObservation,stack_size=4", {"stack_size": 4}),
        ("FrameStackObservation, stack_size=4, padding_type=zero", {"stack_size": 4, "padding_type": "zero"}),
        ("ReshapeObservation,shape=(2,2)", {"shape": (2, 2)}),
        ("AtariPreprocessing,screen_size=(84,84),scale_obs=yes", {"screen_size": (84, 84), "scale_obs": True}),
        ("FlattenObservation", {}),
    ],
)
def test_a_wrapper_of_gymnasium_by_name(text: str, expected: dict[str, object]) -> None:
    assert wrapper(text) == WrapperRecipe(text.partition(",")[0], expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FrameStackObservatio,stack_size=2", "unknown wrapper 'FrameStackObservatio'. Did you mean FrameStackObs"),
        ("FrameStackObservation,stack=2", r"unknown argument of FrameStackObservation 'stack'. Did you mean stack_si"),
        ("FrameStackObservation,stack_size=x", r"--wrap FrameStackObservation,stack_size takes int, got 'x'"),
        ("FrameStackObservation,stack_size=2,stack_size=3", "stack_size is given twice"),
        ("FrameStackObservation,4", "--wrap FrameStackObservation takes NAME=VALUE, got '4'"),
        ("FrameStackObservation,env=1", "unknown argument of FrameStackObservation 'env'"),
        ("no_such_module:X", "the wrapper no_such_module:X cannot be imported: ModuleNotFoundError"),
        (f"{MODULE}:Thing", "is no class of wrappers"),
        (f"{MODULE}:Time", "has no 'Time': did you mean Times"),
        ("", "unknown wrapper ''"),
    ],
)
def test_what_is_no_wrapper_is_refused(text: str, message: str, folder: Path) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        wrapper(text)
    assert "\n" not in str(caught.value)


def test_wrappers_stand_in_the_order_given_and_come_back_from_a_file() -> None:
    name = environment("CartPole-v1", (), ["ReshapeObservation,shape=(2,2)", STACK])
    again = named_in(json.loads(json.dumps(name.record())))
    assert again == name and str(again) == str(name)
    stack = "FrameStackObservation(stack_size=3, padding_type='zero')"
    assert str(name) == f"CartPole-v1 with ReshapeObservation(shape=(2, 2)) and {stack}"
    made = name.make()
    assert [type(layer) for layer in layers(made)][:2] == [wrappers.FrameStackObservation, wrappers.ReshapeObservation]
    assert made.observation_space.shape == (3, 2, 2)
    of_instance = env_name(made)
    assert of_instance is not None and of_instance.record() == name.record()


def test_arguments_that_json_changes_are_not_recorded() -> None:
    for value in ({1: 2}, float("nan"), np.float32(1), print):
        kept = EnvName("CartPole-v1", {}, (WrapperRecipe(wrappers.ClipReward, {"min_reward": value}),)).record()
        assert kept == {"id": "CartPole-v1", "kwargs": {}, "not_kept": ["the wrapper ClipReward"]}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (f"{MODULE}:Thing", "a class that is not a gymnasium.Env"),
        (f"{MODULE}:NUMBER", "is of type int"),
        (f"{MODULE}:Corridr", f"unknown environment '{MODULE}:Corridr'. Did you mean {MODULE}:Corridor"),
    ],
)
def test_what_makes_no_environment_is_refused(name: str, message: str, folder: Path) -> None:
    with pytest.raises(UsageError, match=message):
        env_name(name)


def test_a_class_of_a_module_is_an_environment(folder: Path) -> None:
    name = environment(f"{MODULE}:Corridor", ["length=4", "max_episode_steps=3"])
    assert name == EnvName(f"{MODULE}:Corridor", {"length": 4, "max_episode_steps": 3})
    env: Any = name.make()
    assert (env.unwrapped.length, name.time_limit) == (4, 3) and env_name(env) == name
    made: Any = EnvName(f"{MODULE}:short").make()
    assert made.unwrapped.length == 2  # a function that makes it
    own: Any = EnvName(f"{MODULE}:CartPole").make()
    assert hasattr(own.unwrapped, "cell")  # not Gymnasium's CartPole-v1
    with pytest.raises(UsageError, match=r"cannot be made with \{'size': 4\}"):
        EnvName(f"{MODULE}:Corridor", {"size": 4}).make()


def test_a_run_on_a_class_in_a_wrapper(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Trained, evaluated, filmed and resumed: the return of four steps is −1 · 3 · 4 everywhere."""
    env = [f"{MODULE}:Corridor", "--env-arg=length=4"]
    wrap = ["--wrap", "TimeLimit,max_episode_steps=9", f"--wrap={MODULE}:Times,factor=3"]
    assert run_main(capsys, "train", "q-learning", *env, *wrap, *COURSE, "--out", "run")[0] == 0
    assert json.loads((folder / "run" / CONFIG).read_text())["env"] == {
        "id": f"{MODULE}:Corridor",
        "kwargs": {"length": 4},
        "wrappers": [
            {"name": "TimeLimit", "kwargs": {"max_episode_steps": 9}},
            {"name": f"{MODULE}:Times", "kwargs": {"factor": 3.0}},
        ],
    }
    for command in (["evaluate", "run"], ["resume", "run", "--steps=150"]):
        status, _, err = run_main(capsys, *command)
        assert status == 2 and "its name starts with a module, which would be imported" in err
    status, out, err = run_main(capsys, "evaluate", "run", "--trust", "--video=a.gif", "--episodes=1", "--json")
    assert status == 0 and json.loads(out)["returns"] == [-12.0] and (folder / "a.gif").exists()
    status, out, _ = run_main(capsys, "evaluate", "run", "--episodes=1", "--json", "--env", env[0], wrap[0], wrap[1])
    assert status == 0 and json.loads(out)["returns"] == [-9.0]  # of its own length, cut, without the factor
    assert run_main(capsys, "resume", "run", "--trust", "--steps=150")[0] == 0
    status, _, err = run_main(capsys, "evaluate", "run", *wrap[:2])
    assert status == 2 and "--wrap needs --env" in err


def test_wrappers_reach_check_env_and_predict(capsys: pytest.CaptureFixture[str]) -> None:
    wrap = ["--wrap", "TimeLimit,max_episode_steps=5"]
    status, out, _ = run_main(capsys, "check-env", "CartPole-v1", *wrap, "--steps=50", "--json")
    assert status == 0 and "TimeLimit(max_episode_steps=5)" in json.loads(out)["env"]
    status, _, err = run_main(capsys, "predict", "td0", "CartPole-v1", "--wrap", "FrameStackObservation,stack_size=0")
    assert status == 2 and "CartPole-v1 cannot be wrapped in FrameStackObservation(stack_size=0)" in err


@pytest.mark.parametrize("name", ["RecordVideo", "evil_of_a_test:Wrap"])
def test_wrappers_of_a_folder_run_no_code_unless_it_is_trusted(name: str, folder: Path) -> None:
    rlnut.train("q-learning", "rlnut/RandomWalk5-v0", steps=20, final_episodes=1, quiet=True, out="run")
    (folder / "evil_of_a_test.py").write_text("open('PWNED', 'w').close()\n")
    config = json.loads((folder / "run" / CONFIG).read_text())
    config["env"]["wrappers"] = [{"name": name, "kwargs": {"video_folder": "PWNED"}}]
    del config[CHECKSUM]
    (folder / "run" / CONFIG).write_text(json.dumps(config))
    with pytest.raises(UsageError, match=f"its wrapper {name} .*say that you trust the folder"):
        Recipe("run").environment(None)
    assert not (folder / "PWNED").exists()


def test_a_curve_imports_nothing(folder: Path) -> None:
    """The line of what counts as solved is looked up only where it is known already."""
    from rlnut.control.plots import threshold_of

    (folder / "evil_of_a_curve.py").write_text("open('PWNED', 'w').close()\n")
    assert threshold_of({"env": {"id": "evil_of_a_curve:Evil-v0", "kwargs": {}}}) is None
    assert threshold_of({"env": {"id": "CartPole-v1", "kwargs": {}}}) == gym.spec("CartPole-v1").reward_threshold
    assert not (folder / "PWNED").exists()
