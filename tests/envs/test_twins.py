"""The functional twins beside Gymnasium's own environments: the same states, the same actions, 10,000 random steps."""

from typing import Any, NamedTuple

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlnut.envs  # noqa: F401  registers
from rlnut.envs.blackjack import MOST, Blackjack, Game, Hand
from rlnut.envs.classic_control import Physics
from rlnut.envs.tabular import TabularFunc, first
from rlnut.envs.tabular import draw_outcome as draw_row
from rlnut.envs.twins import twin
from rlnut.errors import UsageError
from rlnut.runtime.wrappers import time_limit

STEPS = 10_000

# name, options, and where episodes are begun here: wide, so that random play meets every branch
CLASSIC: list[tuple[str, dict[str, Any], list[float], list[float]]] = [
    ("CartPole-v1", {}, [-2.4, -2, -0.2, -2], [2.4, 2, 0.2, 2]),
    ("CartPole-v1", {"sutton_barto_reward": True}, [-2.4, -2, -0.2, -2], [2.4, 2, 0.2, 2]),
    ("Acrobot-v1", {}, [-3, -3, -12, -28], [3, 3, 12, 28]),
    ("MountainCar-v0", {}, [-1.2, -0.07], [0.6, 0.07]),
    ("MountainCar-v0", {"goal_velocity": 0.03}, [0.3, 0.0], [0.5, 0.07]),
    ("MountainCarContinuous-v0", {}, [-1.2, -0.07], [0.5, 0.07]),
    ("Pendulum-v1", {"g": 9.81}, [-9, -8], [9, 8]),
]


class Seen(NamedTuple):
    state: Any
    action: Any
    obs: Any
    reward: Any
    terminated: Any


def play(env: Any, low: list[float], high: list[float]) -> Seen:
    """10,000 random steps of episodes of at most 50."""
    rng, rows, age = np.random.default_rng(1), [], 50
    env.action_space.seed(2)
    inner = env.unwrapped
    for _ in range(STEPS):
        if age == 50:
            env.reset(seed=int(rng.integers(2**31)))
            inner.state, age = rng.uniform(low, high), 0
        state, action = np.array(inner.state, np.float64), env.action_space.sample()
        obs, reward, terminated, _, _ = env.step(action)
        rows.append(Seen(state, action, obs, reward, terminated))
        age = 50 if terminated else age + 1
    return Seen(*(np.array(column) for column in zip(*rows, strict=True)))


@pytest.mark.parametrize(("name", "options", "low", "high"), CLASSIC)
def test_classic_control(name: str, options: dict[str, Any], low: list[float], high: list[float]) -> None:
    env = gym.make(name, disable_env_checker=True, **options)
    seen, func = play(env, low, high), twin(env)
    assert isinstance(func, Physics)
    assert func.observation_space == env.observation_space and func.action_space == env.action_space
    key = jax.random.key(0)

    def step(state: Any, action: Any) -> Any:
        after = func.transition(state, action, key)
        return func.observation(after, key), func.reward(state, action, after, key), func.terminal(after, key)

    for dtype, tolerance in ((jnp.float32, 3e-5), (jnp.float64, 2e-7)):  # 2e-7: the real observations are float32
        with jax.enable_x64(dtype == jnp.float64):
            obs, reward, terminated = jax.jit(jax.vmap(step))(jnp.asarray(seen.state, dtype), seen.action)
        fast = name == "Acrobot-v1" and dtype == jnp.float32  # roundoff grows with the speed
        tame = (abs(seen.state) < (6 if fast else np.inf)).all(1)
        np.testing.assert_allclose(obs[tame], seen.obs[tame], rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(reward, seen.reward, rtol=tolerance, atol=tolerance)
        np.testing.assert_array_equal(terminated, seen.terminated)
    assert terminated.any() == (name != "Pendulum-v1") and not terminated.all()
    env.close()


@pytest.mark.parametrize("name", ["CartPole-v1", "Acrobot-v1", "MountainCar-v0", "Pendulum-v1"])
def test_episodes_begin_as_gymnasiums_do(name: str) -> None:
    """The first states fill the box that Gymnasium's fill: means and extremes of 2,000 of each."""
    env: Any = gym.make(name)
    func = twin(env)
    ours = np.asarray(jax.vmap(func.initial)(jax.random.split(jax.random.key(0), 2000)))
    theirs = []
    for i in range(2000):
        env.reset(seed=i)
        theirs.append(env.unwrapped.state)
    width = np.ptp(theirs, axis=0)
    for statistic in (np.mean, np.min, np.max):
        assert (abs(statistic(ours, axis=0) - statistic(theirs, axis=0)) <= 0.05 * width + 1e-7).all()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("FrozenLake-v1", {}),
        ("FrozenLake8x8-v1", {"is_slippery": False}),
        ("CliffWalking-v1", {}),
        ("CliffWalkingSlippery-v1", {}),
        ("Taxi-v4", {}),
        ("Taxi-v4", {"is_rainy": True}),
    ],
)
def test_toy_text(name: str, options: dict[str, Any]) -> None:
    """The real environment's own random numbers give the same steps here, with the same rewards, ends and masks."""
    env: Any = gym.make(name, disable_env_checker=True, **options)
    func = twin(env)
    assert isinstance(func, TabularFunc)
    env.reset(seed=0)
    inner, rng, rows, over, state = env.unwrapped, np.random.default_rng(0), [], True, 0
    inner.np_random = dice = Dice(inner.np_random)
    for _ in range(STEPS):
        if over:
            state, info = env.reset()
            assert "action_mask" not in info or (np.asarray(func.allowed)[state] == info["action_mask"]).all()
            assert first(func.table, jnp.asarray(dice.rolls[0])) == state
        action = int(rng.integers(env.action_space.n))
        dice.rolls.clear()
        after, reward, over, cut, _ = env.step(action)
        rows.append((state, action, after, reward, over, dice.rolls[0]))
        state, over = after, over or cut
        dice.rolls.clear()
    s, a, after, reward, end, u = (np.array(column) for column in zip(*rows, strict=True))
    drawn = jax.jit(draw_row)(func.table, s, a, u, np.zeros(STEPS))
    np.testing.assert_array_equal(drawn.position, after)
    np.testing.assert_array_equal(drawn.ended, end)
    np.testing.assert_array_equal(drawn.reward, reward)
    assert (name[:4] == "Taxi") == (func.allowed is not None) and (end.any() or "is_rainy" in options)


class Dice:
    """A generator that remembers its uniform numbers."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.rolls: list[float] = []

    def random(self) -> float:
        self.rolls.append(self.rng.random())
        return self.rolls[-1]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rng, name)


class Deck:
    """Stands in for NumPy's generator: deals the cards it was given."""

    def __init__(self, cards: Any) -> None:
        self.cards = iter([int(c) for c in cards])

    def choice(self, deck: Any) -> int:
        return next(self.cards)


@pytest.mark.parametrize("options", [{}, {"sab": False, "natural": True}, {"sab": False}])
def test_blackjack_with_the_same_cards(options: dict[str, Any]) -> None:
    """10,000 steps, each from random hands with random cards to come."""
    env: Any = gym.make("Blackjack-v1", disable_env_checker=True, **options)
    env.reset(seed=0)
    inner, func = env.unwrapped, twin(env)
    assert isinstance(func, Blackjack) and (func.sab, func.natural) == (inner.sab, inner.natural)
    rng = np.random.default_rng(0)
    hands, actions, decks, expected = [], rng.integers(2, size=STEPS), [], []
    for action in actions:
        cards = np.minimum(rng.integers(1, 14, size=MOST + 5), 10)
        player = list(cards[2 : 4 + rng.integers(2)])
        if sum(player) > 21:
            player = player[:2]
        inner.dealer, inner.player = [int(c) for c in cards[:2]], [int(c) for c in player]
        hands.append([(sum(h), h.count(1), len(h)) for h in (player, list(cards[:2]))] + [cards[0]])
        decks.append(cards[5:])
        inner.np_random = Deck(cards[5:])
        obs, reward, ended, _, _ = env.step(int(action))
        expected.append((*obs, reward, ended))
    players, dealers, shown = ([h[i] for h in hands] for i in range(3))
    state = Game(
        Hand(*jnp.asarray(players, jnp.int32).T),
        Hand(*jnp.asarray(dealers, jnp.int32).T),
        jnp.asarray(shown, jnp.int32),
        jnp.zeros(STEPS),
        jnp.zeros(STEPS, bool),
    )
    after = jax.jit(jax.vmap(func.play))(state, jnp.asarray(actions), jnp.asarray(np.array(decks), jnp.int32))
    got = [*func.observation(after, jax.random.key(0)), after.reward, after.ended]
    np.testing.assert_array_equal(np.stack([np.asarray(x, float) for x in got], 1), np.array(expected, float))
    assert {-1.0, 0.0, 1.0} <= set(np.unique(after.reward).tolist())


def test_cards_have_the_chances_of_the_deck() -> None:
    cards = np.asarray(Blackjack().deal(jax.random.key(0), 13_000))
    counts = np.bincount(cards, minlength=11)
    assert counts[0] == 0 and (abs(counts[1:10] - 1000) < 4 * np.sqrt(1000)).all()
    assert abs(counts[10] - 4000) < 4 * np.sqrt(4000)


def test_what_has_no_twin_is_refused_in_one_line() -> None:
    clipped = gym.wrappers.ClipReward(gym.make("CartPole-v1"), -1, 1)
    with pytest.raises(UsageError, match="wrapper ClipReward has no functional twin"):
        twin(clipped)
    with pytest.raises(UsageError, match="Taxi-v4 has no functional twin; --native supports CartPole"):
        twin(gym.make("Taxi-v4", fickle_passenger=True))


def test_time_limits_are_read() -> None:
    assert time_limit(gym.make("CartPole-v1")) == 500
    assert time_limit(gym.make("CartPole-v1", max_episode_steps=7)) == 7
    assert time_limit(gym.make("CliffWalking-v1")) is None
