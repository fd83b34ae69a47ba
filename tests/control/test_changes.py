"""Step size, ε and the interval of target copies, changed from a callback: as if the config had said so, and saved."""

from __future__ import annotations

import doctest
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import jax
import numpy as np
import pytest
from helpers.environments import OnHost, vector_of

import rlnut
from rlnut import DQN, UsageError
from rlnut.control.checkpoints import read_checkpoint
from rlnut.control.host_loop import host_loop
from rlnut.control.native_loop import native_loop
from rlnut.control.run_folder import CHECKPOINT, CONFIG, POLICY
from rlnut.control.run_loop import RunLook
from rlnut.envs.spaces import read_spaces
from rlnut.learner.changes import Changeable, Changes, with_changes
from rlnut.learner.config import AgentConfig
from rlnut.learner.spec import Choice
from rlnut.runtime.arrays import read_arrays

pytestmark = pytest.mark.usefixtures("shared_programs")
WALK = "rlnut/ChainWalk4-v0"  # episodes of 100 steps; a walk that never ends is given up after 10,000
SMALL = DQN(hidden=(4,), batch=8, replay=60, learning_starts=16, target_every=5, epsilon_steps=150, n_step=1)
SHORT: dict[str, Any] = {"steps": 160, "eval_every": 64, "eval_episodes": 2, "final_episodes": 2, "log_every": 32}
SHORT |= {"quiet": True, "num_envs": 2, "seed": 5}
KINDS: dict[str, tuple[AgentConfig, dict[str, Any]]] = {
    "host": (SMALL, {}),
    "native": (SMALL, {"native": True}),
    "classic": (rlnut.SARSALambda(), {"native": True}),
}


def changing(at: int, **wanted: Any) -> Callable[[RunLook], None]:
    """A callback that changes these numbers at the first look from step `at` on."""
    done: list[int] = []

    def change(look: RunLook) -> None:
        if look.step >= at and not done:
            done.append(look.step)
            look.change(**wanted)

    return change


def weights(folder: Path) -> dict[str, np.ndarray]:
    return read_arrays(folder / POLICY).arrays


# every number in one run; a factor of 2 is exact
WANTED = {"lr": 2e-3, "epsilon": 0.25, "target_every": 3}
AS_CONFIG = {"lr": 2e-3, "epsilon_start": 0.25, "epsilon_end": 0.25, "target_every": 3}
CLASSIC = {"lr": 0.2, "epsilon": 0.25}
AS_CLASSIC = {"lr": 0.2, "epsilon_start": 0.25, "epsilon_end": 0.25}


@pytest.mark.parametrize(
    ("kind", "wanted", "config"),
    [
        ("host", WANTED, AS_CONFIG),
        ("classic", CLASSIC, AS_CLASSIC),
        pytest.param("native", WANTED, AS_CONFIG, marks=pytest.mark.slow),
    ],
)
def test_changed_before_the_first_step_is_as_if_the_config_had_said_so(
    kind: str, wanted: dict[str, Any], config: dict[str, Any], tmp_path: Path
):
    agent, more = KINDS[kind]
    rlnut.train(agent.replace(**config), WALK, out=tmp_path / "said", **(SHORT | more))
    rlnut.train(agent, WALK, out=tmp_path / "changed", callbacks=[changing(0, **wanted)], **(SHORT | more))
    said, changed = weights(tmp_path / "said"), weights(tmp_path / "changed")
    assert all(np.array_equal(said[name], changed[name]) for name in said)
    found, known = rlnut.history(tmp_path / "changed"), rlnut.history(tmp_path / "said")
    assert found.step.tolist() == known.step.tolist()
    np.testing.assert_allclose(found["epsilon"], known["epsilon"], rtol=1e-6)


@pytest.mark.parametrize("kind", ["classic", pytest.param("host", marks=pytest.mark.slow)])
def test_host_and_native_learn_the_same_after_a_change(kind: str):
    """The host draws the noise of a round before it, the compiled loop in it."""
    config, _ = KINDS[kind]
    wanted, vector = CLASSIC if kind == "classic" else WANTED, vector_of("FrozenLake-v1", 2)
    agent = config.build(vector.spec)._replace(host=False)
    ends: list[Any] = []
    for loop in (native_loop(agent, vector, 0.9, 50), host_loop(agent, OnHost(vector), 0.9)):
        run = loop.start(7)
        while run.steps < 300:
            if run.steps == 100:
                changes = with_changes(run.agent.changes, agent.changeable, wanted)
                run = loop.redraw(run._replace(agent=run.agent._replace(changes=changes)))
            run, _ = loop.advance(run, 100 * (run.steps // 100 + 1))
        ends.append(run.agent.fit.params)
    for one, other in zip(*map(jax.tree.leaves, ends), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["host", "classic", pytest.param("native", marks=pytest.mark.slow)])
def test_a_run_goes_on_exactly_with_what_was_changed(kind: str, tmp_path: Path):
    """It is stopped after the change; resumed without the callback it is the run that was never stopped."""
    agent, more = KINDS[kind]
    wanted = {"lr": 0.03, "epsilon": 0.1} | ({} if kind == "classic" else {"target_every": 2})
    whole, part = tmp_path / "whole", tmp_path / "part"
    rlnut.train(agent, WALK, out=whole, callbacks=[changing(40, **wanted)], **(SHORT | more))
    for look in rlnut.training(agent, WALK, out=part, callbacks=[changing(40, **wanted)], **(SHORT | more)):
        if look.step >= 100:
            break
    assert sorted(read_checkpoint(part).meta["changes"]) == sorted(wanted)
    done = rlnut.resume(part, quiet=True)
    for name in (POLICY, CHECKPOINT, "metrics.csv", CONFIG):
        assert (whole / name).read_bytes() == (part / name).read_bytes(), name
    assert done.history == rlnut.history(whole)


def test_a_change_in_a_loop_of_ones_own_is_saved_even_after_the_checkpoint_of_that_step(tmp_path: Path):
    agent, more = KINDS["classic"]
    for look in rlnut.training(agent, WALK, out=tmp_path / "run", **(SHORT | more)):
        if look.step >= 64:  # an evaluation, and so a checkpoint
            look.save()
            look.change(lr=0.4)
            break
    assert float(read_checkpoint(tmp_path / "run").arrays["['agent'].changes.lr"]) == 4.0


def test_a_callback_that_changes_nothing_changes_no_byte(tmp_path: Path):
    agent, more = KINDS["classic"]

    def look_on(look: RunLook) -> None:
        look.change()
        look.history["delta"].sum()

    rlnut.train(agent, WALK, out=tmp_path / "plain", **(SHORT | more))
    rlnut.train(agent, WALK, out=tmp_path / "watched", callbacks=[look_on], **(SHORT | more))
    for name in (POLICY, CHECKPOINT, "metrics.csv"):  # config.json names the callbacks
        assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "watched" / name).read_bytes(), name
    assert "changes" not in read_checkpoint(tmp_path / "plain").meta


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"lr": 0}, "^lr must be > 0, got 0$"),
        ({"lr": float("nan")}, "^lr must be a finite number"),
        ({"lr": "fast"}, "^lr must be a finite number, got 'fast'"),
        ({"lr": True}, "^lr must be a finite number, got True"),
        ({"epsilon": 1.5}, "^epsilon must be >= 0 and <= 1, got 1.5$"),
        ({"target_every": 2.5}, "^target_every must be a whole number >= 1, got 2.5$"),
        ({"target_every": 0}, "^target_every must be a whole number >= 1, got 0$"),
    ],
)
def test_a_number_out_of_its_range_is_said(wanted: dict[str, Any], reason: str):
    with pytest.raises(UsageError, match=reason):
        with_changes(Changes(), Changeable(0.1, (0.0, 1.0), True), wanted)


@pytest.mark.parametrize(
    ("agent", "wanted", "has"),
    [
        (rlnut.SARSA(), "target_every", "lr, epsilon"),
        (DQN(target="none", double=False), "target_every", "lr, epsilon"),
        (DQN(target="polyak"), "target_every", "lr, epsilon"),
        (DQN(explore="noisy"), "epsilon", "lr, target_every"),
    ],
)
def test_what_an_agent_does_not_have_is_said(agent: AgentConfig, wanted: str, has: str):
    env = gym.make("FrozenLake-v1")
    able = agent.build(read_spaces(env, Choice(None, None))).changeable
    with pytest.raises(UsageError, match=f"^this agent has no {wanted} that can be changed .* it has {has}$"):
        with_changes(Changes(), able, {wanted: 0.5})


def test_the_examples_in_the_documentation_run():
    module: Any = sys.modules[RunLook.__module__]
    (example,) = (e for e in doctest.DocTestFinder(recurse=False).find(RunLook, "RunLook", module))
    found = doctest.DocTestRunner().run(example)
    assert found.failed == 0 and found.attempted > 5


def test_an_offline_agent_says_why_nothing_of_it_can_be_changed():
    for name in ("fqi", "nfq"):
        looks = rlnut.training(name, WALK, steps=20, iterations=1, eval_episodes=1, final_episodes=1, quiet=True)
        with pytest.raises(UsageError, match=r"no lr .*: an offline agent does not explore, and each iteration is one"):
            next(iter(looks)).change(lr=0.1)
