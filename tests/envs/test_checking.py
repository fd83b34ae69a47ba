"""check-env: what is shown is what an environment did, and each misbehaviour is remarked, by its name and no other."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from helpers.commands import run_main

import rlnut


class Line(gym.Env):
    """Goes one to the right from a random start in 0 … 4, terminates at 20, pays 1 a step; faults are subclasses."""

    observation_space: gym.Space = spaces.Box(0, 100, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.at, self.noise = float(self.np_random.integers(5)), 0.0
        return self.shown(), {}

    def step(self, action: int) -> Any:
        self.at, self.noise = self.at + 1, float(self.np_random.random())
        return self.shown(), 1.0, self.at >= 20, False, {}

    def shown(self) -> Any:
        return np.array([self.at, self.noise], np.float32)


class IgnoresSeed(Line):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        found = super().reset(seed=seed)
        self.noise = float(np.random.default_rng().random())
        return self.shown(), found[1]


class Clock(Line):
    draws = np.random.default_rng(0)

    def step(self, action: int) -> Any:
        found = super().step(action)
        self.noise = float(self.draws.random())
        return self.shown(), *found[1:]


class CarriesOver(Line):
    count = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.count += 1
        self.noise = self.count / 1000
        return self.shown(), {}


class Scales(Line):
    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)

    def shown(self) -> Any:
        return np.array([self.at * 1e3, self.noise], np.float32)


class Huge(Line):
    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)

    def shown(self) -> Any:
        return np.array([self.at * 1e3, self.noise * 1e3], np.float32)


class Fixed(Line):
    def shown(self) -> Any:
        return np.array([self.at, 7], np.float32)


class Blind(Line):
    def shown(self) -> Any:
        return np.zeros(2, np.float32)


class Outside(Line):
    observation_space = spaces.Box(0, 10, (2,), np.float32)


class Doubles(Line):
    def shown(self) -> Any:
        return np.array([self.at, self.noise])


class Rewards(Line):
    def __init__(self, scale: float) -> None:
        self.scale = scale

    def step(self, action: int) -> Any:
        obs, _, *rest = super().step(action)
        return obs, self.scale, *rest


class Endless(Line):
    observation_space = spaces.Box(0, 1e9, (2,), np.float32)

    def step(self, action: int) -> Any:
        obs, reward, *_ = super().step(action)
        return np.minimum(obs, 50), reward, False, False, {}


class Horizon(Line):
    """Its own time limit of 12 steps, given as a termination."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.time = 0
        return super().reset(seed=seed)

    def step(self, action: int) -> Any:
        obs, reward, *_ = super().step(action)
        self.time += 1
        return obs, reward, self.time == 12, False, {}


class TerminatesAtLimit(gym.Wrapper):
    def step(self, action: Any) -> Any:
        obs, reward, terminated, truncated, info = self.env.step(action)
        return obs, reward, terminated or truncated, False, info


class DropsTruncated(gym.Wrapper):
    def step(self, action: Any) -> Any:
        obs, reward, terminated, _, info = self.env.step(action)
        return obs, reward, terminated, False, info


def limited() -> gym.Env:
    return gym.wrappers.TimeLimit(Endless(), 15)


class StaysOver(Line):
    """What ended the first episode is not cleared."""

    over = False

    def step(self, action: int) -> Any:
        obs, reward, terminated, *_ = super().step(action)
        self.over = self.over or terminated
        return obs, reward, self.over, False, {}


class StartsItself(Line):
    """Gives the first observation of the next episode at the end of one, as vector environments do."""

    def __init__(self, told: bool) -> None:
        self.told = told

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.at = 0.0
        return self.shown(), {}

    def step(self, action: int) -> Any:
        self.at += action
        obs, reward, over, *_ = super().step(action)
        if not over:
            return obs, reward, over, False, {}
        self.at, self.noise = 0.0, 0.0
        return self.shown(), reward, over, False, {"terminal_observation": obs} if self.told else {}


FAULTS: dict[str, tuple[Callable[[], gym.Env], set[str]]] = {
    "none": (Line, set()),
    "seed ignored": (IgnoresSeed, {"seed-ignored"}),
    "another generator": (Clock, {"not-deterministic"}),
    "a counter": (CarriesOver, {"carried-over"}),
    "running statistics": (lambda: gym.wrappers.NormalizeReward(Line()), {"carried-over"}),
    "scales": (Scales, {"scales"}),
    "size": (Huge, {"scales"}),
    "a constant": (Fixed, {"constant"}),
    "nothing is shown": (Blind, {"constant"}),
    "bounds": (Outside, {"outside-bounds"}),
    "type": (Doubles, {"dtype"}),
    "no reward": (lambda: Rewards(0.0), {"no-reward"}),
    "large rewards": (lambda: Rewards(1e4), {"reward-scale"}),
    "small rewards": (lambda: Rewards(1e-5), {"reward-scale"}),
    "endless": (Endless, {"endless"}),
    "a limit": (limited, set()),
    "own limit": (Horizon, {"limit-terminates"}),
    "limit as termination": (lambda: TerminatesAtLimit(limited()), {"limit-terminates"}),
    "truncation lost": (lambda: DropsTruncated(limited()), {"limit-dropped"}),
    "not cleared": (StaysOver, {"not-reset", "carried-over"}),
    "starts itself": (lambda: StartsItself(False), {"end-is-start"}),
    "starts itself, and tells": (lambda: StartsItself(True), {"end-is-start", "resets-itself"}),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.filterwarnings("ignore:.*warn:UserWarning")
def test_each_fault_is_remarked_and_nothing_else(name: str):
    make, expected = FAULTS[name]
    report = rlnut.check_env(make, steps=600)
    assert {one.what for one in report.remarks} == expected
    assert report.reproducible == (not expected & {"seed-ignored", "not-deterministic", "carried-over"})
    for remark in report.remarks:
        assert "\n" not in remark.text and ":" in remark.text  # what was seen: what to do


@pytest.mark.parametrize(
    "name", ["CartPole-v1", "FrozenLake-v1", "Pendulum-v1", "MountainCar-v0", "Taxi-v4", "Blackjack-v1"]
)
def test_nothing_is_remarked_of_sound_environments(name: str):
    report = rlnut.check_env(name, steps=3_000)
    assert report.remarks == [] and report.reproducible and report.played.steps == 3_000


class Known(gym.Env):
    """0, 1, 2, 3 and so on: terminates at 3 in odd episodes and is cut there in even ones; the reward is the state."""

    observation_space = spaces.Box(0, 9, (1,), np.float32)
    action_space = spaces.Discrete(2, start=5)
    episode = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.episode, self.at = self.episode + 1, 0
        return np.array([0], np.float32), {}

    def step(self, action: int) -> Any:
        assert action in (5, 6)
        self.at += 1
        over, odd = self.at == 3, self.episode % 2 == 1
        return np.array([self.at], np.float32), float(self.at), over and odd, over and not odd, {}


def test_transitions_and_ranges_are_those_of_the_environment():
    report = rlnut.check_env(Known, steps=30)
    seen = report.played.examples
    assert seen["reset"].obs == [0] and seen["reset"].action is None
    assert (seen["step"].episode, seen["step"].step, seen["step"].obs, seen["step"].next_obs) == (1, 1, [0], [1])
    end, cut = seen["termination"], seen["truncation"]
    assert (end.episode, end.step, end.obs, end.reward, end.next_obs, end.discount) == (1, 3, [2], 3, [3], 0)
    assert (cut.episode, cut.step, cut.obs, cut.reward, cut.next_obs) == (2, 3, [2], 3, [3])
    assert cut.discount == pytest.approx(0.99) and cut.following == end.following == [0]
    record = report.record()
    assert record["episodes"] == {
        "count": 10, "terminated": 5, "truncated": 5, "running": [0],
        "return": {"min": 6, "mean": 6, "max": 6, "std": 0}, "length": {"min": 3, "mean": 3, "max": 3, "std": 0},
    }  # fmt: skip
    # the observations are 0 1 2 3 in ten episodes, and the 0 of an eleventh that only began
    numbers = np.array([0, 1, 2, 3] * 10 + [0])
    (only,) = record["observations"].values()  # type: ignore[attr-defined]
    assert only == pytest.approx({"min": 0, "mean": numbers.mean(), "max": 3, "std": numbers.std()})
    assert record["reward"] == pytest.approx({"min": 1, "mean": 2, "max": 3, "std": np.sqrt(2 / 3)})


@pytest.mark.parametrize("mode", AutoresetMode)
def test_a_vector_environment_shows_its_own_last_observation(mode: AutoresetMode):
    report = rlnut.check_env(SyncVectorEnv([Known, Known], autoreset_mode=mode), steps=60)
    for kind in ("termination", "truncation"):
        one = report.played.examples[kind]
        assert one.next_obs == [3] and one.source == (
            "info['final_obs']" if mode.name == "SAME_STEP" else "what step() returned"
        )
    assert {e.length for e in report.played.episodes} == {3} and report.played.rewards.count(3.0) in (19, 20)


def test_components_have_the_names_of_their_parts():
    class Parts(Line):
        observation_space = spaces.Dict(
            {
                "pos": spaces.Box(0, 100, (2,), np.float32),
                "kind": spaces.Discrete(3),
                "t": spaces.Box(0, 1, (), np.float32),
            }
        )

        def shown(self) -> Any:
            both = np.array([self.at, self.noise * 1e-4], np.float32)
            return {"pos": both, "kind": int(self.at) % 3, "t": np.float32(self.noise)}

    report = rlnut.check_env(Parts, steps=300)
    found = report.record()["observations"]
    assert list(found) == ["kind", "pos[0]", "pos[1]", "t"]  # type: ignore[call-overload]
    assert [one.what for one in report.remarks] == ["scales"] and "pos[1] (" in report.remarks[0].text


def test_masks_and_images_are_summed_up():
    class Camera(Line):
        observation_space = spaces.Box(0, 255, (8, 8, 1), np.uint8)

        def shown(self) -> Any:
            image = np.zeros((8, 8, 1), np.uint8)
            image[int(self.at) % 8] = 200
            return image

        def reset(self, **options: Any) -> Any:
            return super().reset(**options)[0], {"action_mask": np.array([1, 0], np.int8)}

        def step(self, action: int) -> Any:
            return *super().step(action)[:4], {"action_mask": np.array([1, 0], np.int8)}

    report = rlnut.check_env(Camera, steps=240)
    assert report.remarks == [] and report.played.allowed == 1
    found = report.record()["observations"]
    assert list(found) == ["all pixels"] and found["all pixels"]["mean"] == pytest.approx(25)  # type: ignore


def test_the_command_prints_the_report_or_one_json_object(capsys: pytest.CaptureFixture[str]):
    gym.register("Known-v0", lambda **options: Known())
    try:
        status, out, err = run_main(capsys, "check-env", "Known-v0", "--steps=30")
        assert (status, err) == (0, "") and "10 episodes ended: 5 terminated, 5 truncated" in out
        assert "at a termination (episode 1, step 3):\n  s 2, a " in out and "the value of s' does not count" in out
        assert "discount γ·(1 − terminated) = 0.99: the value of s' counts" in out
        assert "looks suspicious:\n  - the same seed and actions give something else" in out  # episodes are counted
        status, out, _ = run_main(capsys, "check-env", "Known-v0", "--steps=30", "--json")
        found = json.loads(out)
        assert out.count("\n") == 1 and found["steps"] == 30 and found["remarks"][0]["what"] == "carried-over"
        assert found["transitions"]["termination"]["next_obs"] == [3] and found["transitions"]["reset"]["obs"] == [0]
        assert run_main(capsys, "check-env", "Known-v0", "--steps=0")[0] == 2
    finally:
        del gym.registry["Known-v0"]
