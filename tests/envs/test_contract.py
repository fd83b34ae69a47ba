"""What an environment gives is checked wherever one is stepped: each broken promise is one line that names it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from helpers.environments import Counter

from rlnut import RlnutError, UsageError
from rlnut.cli import main
from rlnut.control.evaluate import Evaluator, Player
from rlnut.envs import contract, vector
from rlnut.envs.contract import CheckedEnv, CheckedVector, made
from rlnut.envs.functional import FuncGym, func_vector
from rlnut.envs.make import EnvName, maker
from rlnut.envs.spaces import read_spaces
from rlnut.envs.vector import EnvList, GymVector, episode_seed
from rlnut.prediction.env_policies import on_env
from rlnut.prediction.play import Players, play
from rlnut.truth.monte_carlo import monte_carlo_truth

ZEROS = np.zeros(3, np.float32)


class Given(gym.Env[Any, Any]):
    """Gives what it is told, in its third step and after; episodes of ten steps."""

    action_space: Any = spaces.Discrete(2)

    def __init__(self, space: spaces.Space | None = None, good: Any = ZEROS, **bad: Any) -> None:
        self.observation_space = space or spaces.Box(-1, 1, (3,), np.float32)
        self.good, self.bad = good, bad
        self.seeds: list[int | None] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.seeds.append(seed)
        self.time = 0
        return self.bad.get("reset", (self.good, {}))

    def step(self, action: Any) -> Any:
        self.time += 1
        late = self.time >= 3
        names = ("obs", "reward", "terminated", "truncated", "info")
        usual: Any = (self.good, 1.0, self.time >= 10, False, {})
        found = tuple(self.bad.get(n, value) if late else value for n, value in zip(names, usual, strict=True))
        if late and "step" in self.bad:
            return self.bad["step"]() if callable(self.bad["step"]) else self.bad["step"]
        return found


def given(**bad: Any) -> Given:
    return Given(**bad)


def stepped(env: gym.Env, steps: int = 3) -> Any:
    checked = CheckedEnv(env)
    found: Any = checked.reset(seed=0)
    for _ in range(steps):
        found = checked.step(0)
    return found


def raising(error: BaseException) -> Callable[[], Any]:
    def step() -> Any:
        raise error

    return step


BYTES = spaces.Box(0, 255, (3,), np.uint8)
REWARDS = [
    np.array([1.0]),
    np.zeros(2),
    "1",
    1 + 0j,
    None,
    float("nan"),
    np.inf,
    [1.0],
    1e39,
    10**400,
    np.float64("nan"),
]
FLAGS = [None, float("nan"), "False", 2, -1, 1.0, [False], np.array([True]), np.float32(0)]


@pytest.mark.parametrize("reward", REWARDS, ids=repr)
def test_a_reward_is_one_finite_number(reward: Any) -> None:
    with pytest.raises(
        RlnutError, match=r"Given: step\(\) number 3 \(step 3 of episode 1\) returned the reward .*must"
    ):
        stepped(Given(reward=reward))


@pytest.mark.parametrize("name", ["terminated", "truncated"])
@pytest.mark.parametrize("flag", FLAGS, ids=repr)
def test_flags_are_true_or_false(name: str, flag: Any) -> None:
    with pytest.raises(RlnutError, match=rf"Given: step\(\) number 3 .* returned {name} = .*it must be True or False"):
        stepped(Given(**{name: flag}))


@pytest.mark.parametrize(
    "bad, said",
    [
        ({"step": (ZEROS, 1.0, False, {})}, r"number 3 .* returned 4 values; it must return \(observation, reward"),
        ({"step": (ZEROS, 1.0, False, False, {}, 0)}, "returned 6 values"),
        ({"step": None}, "returned None; it must return"),
        ({"info": None}, "returned None as info; it must be a dict"),
        ({"info": [1]}, r"returned \[1\] as info"),
        ({"reset": ZEROS}, r"reset\(\) of episode 1 returned array.*; it must return \(observation, info\)"),
        ({"reset": (ZEROS, None)}, "returned None as info"),
        ({"reset": np.zeros(2, np.float32)}, r"it must return \(observation, info\)"),  # two numbers are no pair
        ({"reset": None}, "returned None"),
    ],
)
def test_the_number_of_values_and_info(bad: dict[str, Any], said: str) -> None:
    with pytest.raises(RlnutError, match=said):
        stepped(Given(**bad))


BOX = spaces.Box(-1, 1, (3,), np.float32)
PARTS = spaces.Dict({"a": BOX, "b": spaces.Tuple([spaces.Discrete(3, start=2), BYTES])})
PART = {"a": ZEROS, "b": (2, np.zeros(3, np.uint8))}


@pytest.mark.parametrize(
    "space, good, obs, said",
    [
        (BOX, ZEROS, np.array([0, np.nan, 0], np.float32), "nan at index 1; all numbers must be finite"),
        (BOX, ZEROS, np.array([0, 0, np.inf]), "inf at index 2"),
        (BOX, ZEROS, np.array([1e300, 0, 0]), "1e.300 at index 0"),
        (BOX, ZEROS, np.zeros(1, np.float32), r"float32\[1\]; Box.* needs float32\[3\]"),
        (BOX, ZEROS, np.zeros((1, 3), np.float32), r"float32\[1, 3\]"),
        (BOX, ZEROS, 0.5, r"float64\[\]"),
        (BOX, ZEROS, np.zeros(3, complex), r"complex128\[3\]"),
        (BOX, ZEROS, ["a", "b", "c"], "needs float32"),
        (BOX, ZEROS, [[0, 1], [2]], "which is no array"),
        (BOX, ZEROS, None, "needs float32"),
        (BYTES, np.zeros(3, np.uint8), np.full(3, 0.5), r"float64\[3\]; Box.* needs uint8\[3\]"),
        (BYTES, np.zeros(3, np.uint8), np.ones(3, np.float32), r"float32\[3\]; Box.* needs uint8\[3\]"),
        (BYTES, np.zeros(3, np.uint8), np.array([0, 300, 0]), "needs numbers that uint8 can hold"),
        (BYTES, np.zeros(3, np.uint8), np.array([0, -1, 0]), "needs numbers that uint8 can hold"),
        (spaces.Discrete(5), 0, 7, r"observation 7; Discrete\(5\) holds 0 … 4"),
        (spaces.Discrete(5, start=-1), 0, 4, r"observation 4; .* holds -1 … 3"),
        (spaces.Discrete(5), 0, np.array([3]), "needs one whole number"),
        (spaces.Discrete(5), 0, 2.0, "needs one whole number"),
        (spaces.Discrete(5), 0, None, "needs one whole number"),
        (spaces.MultiDiscrete([2, 3]), np.zeros(2, int), np.array([0, 3]), "does not contain"),
        (spaces.MultiBinary(2), np.zeros(2, np.int8), np.array([0, 2]), "does not contain"),
        (spaces.MultiBinary(2), np.zeros(2, np.int8), np.array([0, 0.5]), "needs numbers that int8 can hold"),
        (PARTS, PART, ZEROS, "it must be a dict with 'a', 'b'"),
        (PARTS, PART, {"a": ZEROS}, "without 'b'; it holds 'a'"),
        (PARTS, PART, {**PART, "b": (2,)}, r"observation\['b'\] \(2,\); it must be a tuple of 2"),
        (PARTS, PART, {**PART, "b": (5, np.zeros(3, np.uint8))}, r"observation\['b'\]\[0\] 5; .* holds 2 … 4"),
        (PARTS, PART, {**PART, "a": np.full(3, np.nan)}, r"observation\['a'\] with nan at index 0"),
    ],
)
def test_an_observation_is_of_its_space(space: spaces.Space, good: Any, obs: Any, said: str) -> None:
    with pytest.raises(RlnutError, match=rf"^Given: step\(\) number 3 \(step 3 of episode 1\) returned .*{said}"):
        stepped(Given(space, good, obs=obs))
    with pytest.raises(RlnutError, match=rf"^Given: reset\(\) of episode 1 returned .*{said}"):
        stepped(Given(space, good, reset=(obs, {})))


def test_what_is_sloppy_but_clear_passes() -> None:
    reward: Any
    for reward in (1, np.int64(1), np.float32(1), True, np.bool_(True), np.array(1.0), np.float64(1)):
        obs, found, terminated, truncated, info = stepped(
            Given(reward=reward, terminated=np.bool_(False), truncated=0, obs=[0, 0, 1])
        )
        assert found == 1.0 and type(found) is float and terminated is False and truncated is False and info == {}
        np.testing.assert_array_equal(obs, [0, 0, 1])
    assert stepped(Given(terminated=1))[2] is True
    assert stepped(Given(spaces.Discrete(5), 0, obs=np.int64(4)))[0] == 4
    assert stepped(Given(spaces.Discrete(5), 0, obs=np.array(4)))[0] == 4
    read = stepped(Given(BYTES, np.zeros(3, np.uint8), obs=np.array([0, 255, 7])))[0]
    assert read.dtype == np.uint8 and read.tolist() == [0, 255, 7]
    words = spaces.Dict({"mission": spaces.Text(5), "a": BOX})  # what no learner is shown may be anything
    assert stepped(Given(words, {"mission": "get to the goal", "a": ZEROS}))[0]["mission"] == "get to the goal"


def test_reset_without_seed() -> None:
    class Old(Given):
        def reset(self) -> Any:  # type: ignore[override]
            return ZEROS, {}

    with pytest.raises(
        RlnutError, match=r"Old: reset\(\) takes no `seed` and no `options`; it must be defined as reset"
    ):
        stepped(Old())


@pytest.mark.parametrize(
    "error",
    [ZeroDivisionError("a\nb"), SystemExit(0), SystemExit("SIM_HOME"), GeneratorExit(), asyncio.CancelledError()],
)
def test_whatever_an_environment_raises_is_one_line(error: BaseException) -> None:
    kind = type(error).__name__
    with pytest.raises(RlnutError, match=rf"Given: step\(\) number 3 \(step 3 of episode 1\) raised {kind}"):
        stepped(Given(step=raising(error)))
    with pytest.raises(RlnutError, match=f"cannot be made: .* raised {kind}"):
        made(raising(error))
    with pytest.raises(RlnutError, match=f"cannot be made: .* raised {kind}"):
        maker(raising(error))()
    gym.register("Raises-v0", lambda **options: raising(error)())
    try:
        with pytest.raises(RlnutError, match="Raises-v0 cannot be made"):
            EnvName("Raises-v0").make()
    finally:
        del gym.registry["Raises-v0"]


@pytest.mark.parametrize("name", ["exits:Mine-v0", "exits:play"])
def test_a_module_that_exits_when_it_is_imported(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "exits.py").write_text("raise SystemExit(0)")
    monkeypatch.chdir(tmp_path)
    words = ["check-env", name] if "Mine" in name else ["predict", "td0", "CartPole-v1", "--policy", name]
    assert main(words) == 2
    assert "SystemExit 0" in capsys.readouterr().err


def test_ctrl_c_stays_ctrl_c() -> None:
    with pytest.raises(KeyboardInterrupt):
        stepped(Given(step=raising(KeyboardInterrupt())))


@pytest.mark.parametrize("what", [None, 3, "CartPole-v1"])
def test_a_function_that_makes_no_environment(what: Any) -> None:
    with pytest.raises(UsageError, match=r"must return a gymnasium.Env, got"):
        made(lambda: what)


def test_a_failing_close_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    class Sticky(Given):
        def close(self) -> None:
            raise SystemExit(0)

    CheckedEnv(Sticky()).close()
    assert "Sticky: close() raised SystemExit: 0" in capsys.readouterr().err


# --- the same on every way that an environment is stepped

WAYS = ("train", "evaluate", "predict", "truth", "vector")


def experience(make: Callable[[], gym.Env], steps: int) -> Any:
    """What prediction learns from."""
    vector = EnvList(make, 1)
    policy = on_env(lambda obs: 0, vector.spec)
    return play(vector, Players(policy, policy), 0.9, 0, steps=steps)


def drive(way: str, make: Callable[[], gym.Env]) -> Any:
    if way == "train":
        envs = EnvList(make, 2)
        envs.reset(0)
        return [envs.step(np.zeros(2, int)) for _ in range(5)]
    if way == "evaluate":
        player = Player(lambda n: (), lambda carry, look: (np.zeros(len(look.obs), int), carry))
        return Evaluator(make, read_spaces(make()), 2, 10)(player, 0, 0)
    if way == "predict":
        return experience(make, 5)
    if way == "truth":
        return monte_carlo_truth(lambda: made(make), lambda obs, rng: 0, 0.5, 1, 2, 0)
    vector = GymVector(SyncVectorEnv([make, make], autoreset_mode=AutoresetMode.SAME_STEP))
    vector.reset(0)
    return [vector.step(np.zeros(2, int)) for _ in range(5)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "bad, said",
    [
        ({"reward": float("nan")}, r"step\(\) number \d.* returned the reward"),
        ({"obs": np.full(3, np.nan, np.float32)}, r"step\(\) number \d.* returned an observation with nan"),
        ({"step": raising(SystemExit(0))}, r"step\(\) number \d.* raised SystemExit"),
        ({"obs": np.zeros(4, np.float32)}, r"step\(\)"),
        ({"step": (ZEROS, 1.0, False, {})}, r"step\(\)"),
    ],
)
def test_every_way_checks(way: str, bad: dict[str, Any], said: str) -> None:
    with pytest.raises(RlnutError, match=said) as caught:
        drive(way, lambda: Given(**bad))
    assert "Given" in str(caught.value) or way == "vector"


def test_a_vector_environment_gives_n_of_each() -> None:
    class Wrong(SyncVectorEnv):
        part: Any = 1

        def step(self, actions: Any) -> Any:
            found = list(super().step(actions))
            found[self.part] = self.value
            return tuple(found)

        value: Any = None

    for part, value, said in (
        (1, np.zeros(3), "rewards"), (1, 1.0, "rewards"), (1, np.array([0, np.nan]), "finite"),
        (1, ["1", "2"], "rewards"), (0, np.zeros(3, np.float32), r"needs float32\[2, 3\]"),
        (2, np.array([0, 2]), "terminated"), (2, False, "terminated"), (3, np.array([0.0, 1.0]), "truncated"),
        (3, None, "truncated"), (4, None, "as info"), (0, np.zeros((2, 4), np.float32), r"float32\[2, 4\]"),
        (0, np.full((2, 3), np.nan, np.float32), "nan at index 0, 0"),
    ):  # fmt: skip
        envs = Wrong([Given, Given])
        envs.part, envs.value = part, value
        checked = CheckedVector(envs)
        checked.reset(seed=0)
        with pytest.raises(RlnutError, match=rf"Wrong: step\(\) number 1 returned .*{said}"):
            checked.step(np.zeros(2, int))


@pytest.mark.parametrize("way", WAYS)
def test_bounds_are_reported_once(
    way: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contract, "_reported", set())
    drive(way, lambda: Given(obs=np.array([0, 3, 0], np.float32)))
    lines = [line for line in capsys.readouterr().err.splitlines() if "outside" in line]
    assert len(lines) == 1 and "returned the number 3.0 in its observation, outside the bounds -1.0 … 1.0" in lines[0]


class Reuses(Given):
    """Counts in one buffer that it hands out again and again."""

    def __init__(self) -> None:
        super().__init__(spaces.Box(0, 10, (1,), np.float32))
        self.buffer = np.zeros(1, np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.buffer[0] = 0
        return self.buffer, {}

    def step(self, action: Any) -> Any:
        self.buffer[0] += 1
        return self.buffer, 1.0, self.buffer[0] == 4, False, {}


def test_buffers_that_are_used_again_are_copied() -> None:
    found = drive("predict", Reuses)
    np.testing.assert_array_equal(np.asarray(found.step.obs)[:, 0, 0], [0, 1, 2, 3, 0])
    np.testing.assert_array_equal(np.asarray(found.step.next_obs)[:, 0, 0], [1, 2, 3, 4, 1])
    steps = drive("train", Reuses)
    np.testing.assert_array_equal([step.next_obs[0, 0] for step in steps], [1, 2, 3, 4, 1])
    np.testing.assert_array_equal([step.obs[0, 0] for step in steps], [1, 2, 3, 0, 1])
    truth = monte_carlo_truth(lambda: made(Reuses), lambda obs, rng: 0, 1.0, 20, 2, 0)
    np.testing.assert_array_equal(truth.mean, 4 - truth.obs[:, 0])  # steps that are left
    assert len(set(truth.obs[:, 0])) == 4


def test_seeds_that_leave_us_fit_a_c_int() -> None:
    """Below 2³¹ on every way; without the bound half of 200 would not be."""
    assert max(episode_seed(s, i, k) for s in range(10) for i in range(5) for k in range(4)) < 2**31
    for way in WAYS:
        envs: list[Given] = []

        def make(envs: list[Given] = envs) -> Given:
            envs.append(Given())
            return envs[-1]

        drive(way, make)
        seeds = [seed for env in envs for seed in env.seeds if seed is not None]
        assert seeds and all(isinstance(s, int) and 0 <= s < 2**31 for s in seeds), way


def test_vector_seeds_leave_room_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A VectorEnv gives environment i the seed + i."""
    monkeypatch.setattr(vector, "episode_seed", lambda *args: 2**31 - 1)
    envs = [Given() for _ in range(3)]
    made = iter(envs)
    GymVector(SyncVectorEnv([lambda: next(made)] * 3)).reset(0)
    assert max(seed for env in envs for seed in env.seeds if seed is not None) < 2**31


def test_check_env_looks_at_every_step(capsys: pytest.CaptureFixture[str]) -> None:
    """A number out of bounds in step 150 is reported; one that is not finite there is an error."""

    class Late(Given):
        def step(self, action: Any) -> Any:
            found = super().step(action)
            self.all = getattr(self, "all", 0) + 1
            return (self.late if self.all == 150 else found[0], *found[1:])

        late: Any = np.full(3, 2, np.float32)

    gym.register("Late-v0", lambda **options: Late())
    try:
        assert main(["check-env", "Late-v0"]) == 0
        assert "outside bounds Late-v0: step() number 150" in capsys.readouterr().out
        Late.late = np.full(3, np.nan)
        assert main(["check-env", "Late-v0"]) == 1
        assert "Late-v0: step() number 150 (step 10 of episode 15) returned an observation with nan" in (
            capsys.readouterr().err
        )
    finally:
        del gym.registry["Late-v0"]


@pytest.mark.parametrize(
    "function, value, said",
    [
        ("observation", jnp.zeros(1), r"observation returned an observation float32\[1\]; Box.* needs float32\[2\]"),
        ("observation", jnp.zeros(2, complex), ".*complex64"),
        ("observation", jnp.zeros(()), r".*float32\[\]"),
        ("reward", jnp.zeros(1), r"reward returned float32\[1\]; it must be one number"),
        ("reward", jnp.zeros((), complex), "reward returned complex64"),
        ("terminal", jnp.zeros(()), r"terminal returned float32\[\]; it must be one bool"),
        ("terminal", jnp.zeros(2, bool), r"terminal returned bool\[2\]"),
        ("state_info", {"truncated": jnp.zeros(3, bool)}, r".*truncated.* returned bool\[3\]"),
    ],
)
def test_functional_environments_keep_shapes_and_types(function: str, value: Any, said: str) -> None:
    """Found while the program is traced, in the compiled loop and as a Gymnasium environment."""
    env = Counter()
    setattr(env, function, lambda *args: value)
    vector = func_vector(Counter(), 2)
    assert vector.reset(jax.random.key(0))[1].obs.shape == (2, 2)
    with pytest.raises(RlnutError, match=f"Counter: {said}"):
        lanes, _ = func_vector(env, 2).reset(jax.random.key(0))
        func_vector(env, 2).step(lanes, jnp.zeros(2, int))
    with pytest.raises(RlnutError, match=f"Counter: {said}"):
        one = FuncGym(env)
        one.reset(seed=0)
        one.step(5)
