"""What train, resume, load_policy and their settings are given is checked when they are called: one line each."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from helpers.commands import spoiled

import rlnut
from rlnut import DQN, UsageError
from rlnut.agents.catalogue import AGENTS
from rlnut.agents.presets import PRESETS
from rlnut.control.plan import check_episodes
from rlnut.control.recipe import CONFIG
from rlnut.control.settings import RunSettings
from rlnut.control.training import configured
from rlnut.runtime.files import read_json

pytestmark = pytest.mark.usefixtures("shared_programs")
SHORT: dict[str, Any] = {"steps": 96, "eval_every": 64, "eval_episodes": 1, "final_episodes": 1, "quiet": True}
TINY = DQN(hidden=(4,), batch=4, replay=50, learning_starts=16)


def train(agent: Any = TINY, env: Any = "CartPole-v1", **given: Any) -> Any:
    return rlnut.train(agent, env, **(SHORT | given))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("arguments") / "run"
    train(out=folder)
    return folder


def fails(shape: Any) -> Any:
    raise ValueError("no network")


WRONG: list[tuple[str, Callable[[], Any], str]] = [
    ("a class", lambda: train(DQN), r"got the class DQN: make one, DQN\(\)"),
    ("no agent", lambda: train(None), "agent must be a config such as .*got NoneType"),
    ("a number", lambda: train(3), "agent must be a config .*got int 3"),
    ("a dict", lambda: train({}), "agent must be a config .*got dict"),
    ("another class", lambda: train(dict), "got the class dict"),
    ("an unknown name", lambda: train("dqm"), "unknown agent 'dqm'"),
    ("seed x", lambda: train(seed="x"), "seed must be >= 0"),
    ("seed None", lambda: train(seed=None), "seed must be >= 0"),
    ("seed 1.5", lambda: train(seed=1.5), "seed must be >= 0"),
    ("seed True", lambda: train(seed=True), "seed must be >= 0"),
    ("seed 2**40", lambda: train(seed=2**40), "seed must be >= 0"),
    ("steps", lambda: train(steps="x"), "steps must be of type int"),
    ("settings", lambda: train(settings={"steps": 3}), "settings must be RunSettings"),
    ("out", lambda: train(out=3), "the output folder must be a path, got int 3"),
    ("no environment", lambda: train(env=None), "environment"),
    ("a function that makes none", lambda: train(env=lambda: None), "must return a gymnasium.Env, got None"),
    ("another number of environments", lambda: train(env=gym.make_vec("CartPole-v1", 2), num_envs=4), "holds 2"),
    ("a network that is none", lambda: train(network=3), "network must be a function"),
    ("a model", lambda: train(network=rlnut.mlp((4,))((2,))), "network must be a function"),
    ("a network that fails", lambda: train(network=fails), r"network\(\(2,\)\) raised ValueError: no network"),
    ("a network of nothing", lambda: train(network=lambda shape: None), "it returned NoneType"),
    (
        "outputs",
        lambda: train(network=lambda shape: rlnut.mlp((4,))((5,))),
        r"gives values \[5\], and \[2\] are needed",
    ),
    ("fqi", lambda: train("nfq", network=lambda shape: None), "it returned NoneType"),
    ("so many layers", lambda: DQN(hidden=(2,) * 100_000), "hidden takes at most 256 values, got 100,000"),
    ("so wide", lambda: train(TINY.replace(hidden=(10**6, 10**6))), "the learner needs .* MiB"),
    ("so many steps", lambda: DQN(n_step=2 * 10**9), "n_step must be >= 1 and <= 1000"),
    ("so many episodes", lambda: check_episodes(10**13), "the results of 10,000,000,000,000 episodes need"),
    ("a folder", lambda: rlnut.load_policy(3), "a run folder must be a path, got int 3"),  # type: ignore[arg-type]
    ("nothing", lambda: rlnut.resume(None), "a run folder must be a path"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("call", "message"), [pytest.param(*case, id=name) for name, *case in WRONG])
def test_wrong_arguments_are_one_line(call: Callable[[], Any], message: str):
    with pytest.raises(UsageError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 800


def test_wrong_arguments_beside_a_run(run: Path):
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: rlnut.load_policy(run, env=3), "environment"),  # type: ignore[arg-type]
        (lambda: rlnut.load_policy(run, network=3), "network"),  # type: ignore[arg-type]
        (lambda: rlnut.load_policy(run, agent=3), "agent must be the class"),  # type: ignore[arg-type]
        (lambda: rlnut.load_policy(run, agent=rlnut.QLearning), "was made with the agent dqn, agent= is q-learning"),
        (lambda: rlnut.load_policy(run).evaluate(10**13), "the results of"),
        (lambda: rlnut.resume(run, steps="x"), "steps must be of type int"),  # type: ignore[arg-type]
        (lambda: rlnut.resume(run, steps=3), "has 96 steps already"),
    ]
    for call, message in calls:
        with pytest.raises(UsageError, match=message):
            call()


BIG: list[dict[str, Any]] = [
    {"config": {"hidden": [2] * 100_000}},
    {"config": {"hidden": [2] * 200}},
    {"config": {"hidden": [10**9]}},
    {"config": {"n_step": 2 * 10**9}},
    {"env": {"id": "FrozenLake-v1", "kwargs": {"desc": ["S" + "F" * 2999] * 3000}}},
    {"env": {"id": "rlnut/Garnet-v0", "kwargs": {"states": 10**7}}},
    {"seed": float("inf")},
    {"seed": -1},
    {"seed": 1.0},
    {"config": {"hidden": 3}},
]


@pytest.mark.parametrize("changes", BIG, ids=lambda changes: str(changes)[:50])
def test_a_folder_cannot_ask_for_the_whole_machine(changes: dict[str, Any], run: Path, tmp_path: Path):
    """Weights are compared with the config before a network of that size is built; large maps are not made."""
    config = read_json(run / CONFIG)["config"] | changes.get("config", {})
    folder = spoiled(run, tmp_path, changes | {"config": config})
    for use in (lambda gift: rlnut.load_policy(gift).evaluate(1), lambda gift: rlnut.resume(gift, 200, quiet=True)):
        with pytest.raises(rlnut.RlnutError) as caught:
            use(folder)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 900


def test_presets_are_resolved_once():
    """Python and the command line go through one function: a choice of the user's goes before the preset."""
    preset = PRESETS["dqn", "MountainCar-v0"]
    config, settings, usual = configured("dqn", "MountainCar-v0")
    assert usual == preset["config"] | preset["training"]
    assert (config.hidden, settings.steps) == ((128, 128), 150_000)  # type: ignore[attr-defined]
    config, settings, usual = configured("dqn", "MountainCar-v0", {"batch": 7}, {"steps": 11})
    assert (config.batch, settings.steps) == (7, 11) and not {"batch", "steps"} & set(usual)  # type: ignore[attr-defined]
    assert configured("dqn", "MountainCar-v0", preset=False)[:2] == (DQN(), RunSettings())
    assert configured(DQN(), "MountainCar-v0")[2] == {}


def test_settings_are_taken_as_they_are():
    settings = RunSettings(steps=96, eval_every=64, eval_episodes=1, final_episodes=3)
    done = rlnut.train(TINY, "CartPole-v1", settings=settings, quiet=True)
    assert done.steps == 96 and len(done.evaluation.returns) == 3
    assert (
        len(rlnut.train(TINY, "CartPole-v1", settings=settings, final_episodes=2, quiet=True).evaluation.returns) == 2
    )


def test_a_finite_problem_given_in_python_is_an_environment(tmp_path: Path):
    """Two steps to the right are worth γ·1; the run can be evaluated where the problem is given again."""
    right, left = 0, 1
    P = [[[0, 1, 0], [1, 0, 0]], [[0, 0, 1], [1, 0, 0]], [[0, 0, 1], [0, 0, 1]]]
    problem = rlnut.Finite.from_arrays(P, [[0, 0], [1, 0], [0, 0]], start=[1, 0, 0])
    agent = rlnut.QLearning(gamma=0.9, lr=0.5, epsilon_end=0.5)
    done = train(agent, problem, steps=400, eval_every=200, out=tmp_path / "run")
    np.testing.assert_allclose(done.policy.q([0, 1])[:, right], [0.9, 1], atol=1e-3)
    assert (done.policy.q([0, 1])[:, left] < [0.9, 1]).all()
    with pytest.raises(UsageError, match=r"rlnut/Tabular-v0 .* pass it as env="):
        rlnut.load_policy(tmp_path / "run").evaluate(1)
    assert rlnut.load_policy(tmp_path / "run", env=problem).evaluate(1).mean == 1
    found = rlnut.predict("lstd", problem, [[1, 0]] * 3, gamma=0.9, steps=200)
    np.testing.assert_allclose(found.truth, [0.9, 1, 0], atol=1e-9)


def test_keywords_are_options_of_the_agent_and_of_the_run():
    """They go before the preset of a name, and before what a config says."""
    name, usual = "CartPole-v1", PRESETS["noisy-dqn", "CartPole-v1"]
    given: dict[str, Any] = {"lr": 0.0123, "hidden": (4,), "num_envs": 3, "quiet": True}
    run = rlnut.training("noisy-dqn", name, **given)
    found = next(run).policy.origin
    run.close()
    assert found is not None and found.training.num_envs == 3
    assert (getattr(found.config, "lr", None), getattr(found.config, "hidden", None)) == (0.0123, (4,))
    assert usual["config"] == {"noisy_sigma": 2.0, "n_step": 1}  # not taken back by the keywords
    assert (getattr(found.config, "noisy_sigma", None), getattr(found.config, "n_step", None)) == (2.0, 1)
    run = rlnut.training(TINY, name, lr=0.0123, **SHORT)
    found = next(run).policy.origin
    run.close()
    assert found is not None and found.config == TINY.replace(lr=0.0123)


@pytest.mark.parametrize(
    ("agent", "option", "reason"),
    [
        ("dqn", "stepz", r"unknown dqn option 'stepz'\. Did you mean steps\?"),
        ("dqn", "quite", r"unknown dqn option 'quite'\. Did you mean quiet\?"),
        ("q-learning", "replay", "unknown q-learning option 'replay'"),
        (TINY, "lam", "unknown dqn option 'lam'"),
        (rlnut.DQN, "lr", r"got the class DQN: make one, DQN\(\)"),
        (3, "lr", "agent must be a config such as DQN"),
    ],
)
def test_an_option_that_neither_has_is_refused(agent: Any, option: str, reason: str):
    with pytest.raises(UsageError, match=reason):
        train(agent, **{option: 1})


def test_options_of_agents_and_of_runs_have_different_names():
    """Else a keyword of `train` would mean two things."""
    run = {f.name for f in fields(RunSettings)} | set(inspect.signature(rlnut.train).parameters) - {"course"}
    for agent in AGENTS.own.values():
        shared = run & {f.name for f in fields(agent)}
        assert shared - {"network"} == set()
