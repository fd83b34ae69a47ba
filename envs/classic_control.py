"""Gymnasium's classic control as pure functions: the same equations on JAX arrays, safe in jit, vmap and scan.

A state is one array and its equations are those of the environment it is named after (Barto, Sutton & Anderson 1983;
Sutton 1996; Moore 1990), with the same constructor options. Time limits belong to the loop. Gymnasium's own JAX
CartPole is not used: it adds masspole and length where the classic multiplies.
"""

from __future__ import annotations

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from gymnasium.experimental.functional import FuncEnv

from rlnut.types import Array, Key


class Physics(FuncEnv):
    """What the five share: a state drawn uniformly from a box, which is also the observation, and no parameters."""

    low: ClassVar[tuple[float, ...]]  # of the first state
    high: ClassVar[tuple[float, ...]]

    def get_default_params(self, **kwargs: object) -> None:
        """No parameters."""

    def initial(self, rng: Key, params: None = None) -> Array:
        """The first state of an episode."""
        low, high = jnp.asarray(self.low), jnp.asarray(self.high)
        return jax.random.uniform(rng, low.shape, low.dtype, low, high)

    def observation(self, state: Array, rng: Key, params: None = None) -> Array:
        """The state."""
        return state

    def over(self, state: Array) -> Array:
        """Is the state terminal? Never, where an environment has nothing to say of it.

        Rewards ask this and not `terminal`, which `FuncEnv.transform` may have made one of N states.
        """
        return jnp.zeros((), bool)

    def terminal(self, state: Array, rng: Key, params: None = None) -> Array:
        """Is the state terminal?"""
        return self.over(state)


class CartPole(Physics):
    """CartPole-v1: state (x, ẋ, θ, θ̇) in metres and radians; +1 a step, the last one included."""

    low, high = (-0.05,) * 4, (0.05,) * 4
    GRAVITY, CART, POLE, LENGTH, FORCE, TAU = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02  # SI; LENGTH is half the pole's
    X, THETA = 2.4, 12 * 2 * math.pi / 360

    def __init__(self, sutton_barto_reward: bool = False) -> None:
        self.sutton_barto_reward = sutton_barto_reward
        high = np.array([self.X * 2, np.inf, self.THETA * 2, np.inf], np.float32)
        self.observation_space, self.action_space = spaces.Box(-high, high, dtype=np.float32), spaces.Discrete(2)
        super().__init__()

    def transition(self, state: Array, action: Array, rng: Key, params: None = None) -> Array:
        """Euler's step of the cart pushed left (0) or right (1)."""
        velocity, theta, spin = state[1], state[2], state[3]
        mass, moment = self.CART + self.POLE, self.POLE * self.LENGTH
        force = jnp.where(action == 1, self.FORCE, -self.FORCE)
        cos, sin = jnp.cos(theta), jnp.sin(theta)
        push = (force + moment * spin**2 * sin) / mass
        turn = (self.GRAVITY * sin - cos * push) / (self.LENGTH * (4.0 / 3.0 - self.POLE * cos**2 / mass))
        return state + self.TAU * jnp.stack([velocity, push - moment * turn * cos / mass, spin, turn])

    def reward(self, state: Array, action: Array, next_state: Array, rng: Key, params: None = None) -> Array:
        """1 for each step; with `sutton_barto_reward` 0, and −1 for the fall."""
        fell = self.over(next_state)
        return jnp.where(fell, -1.0, 0.0) if self.sutton_barto_reward else jnp.ones(())

    def over(self, state: Array) -> Array:
        """The cart left the track, or the pole leans too far."""
        return (jnp.abs(state[0]) > self.X) | (jnp.abs(state[2]) > self.THETA)


class Acrobot(Physics):
    """Acrobot-v1: state (θ₁, θ₂, θ̇₁, θ̇₂), the lower link relative to the upper; −1 a step, 0 for the one that is up."""

    low, high = (-0.1,) * 4, (0.1,) * 4
    GRAVITY, CENTRE, DT = 9.8, 0.5, 0.2  # two links of length, mass and inertia 1
    SPINS = (4 * math.pi, 9 * math.pi)  # largest angular velocities

    def __init__(self) -> None:
        high = np.array([1.0, 1.0, 1.0, 1.0, *self.SPINS], np.float32)
        self.observation_space, self.action_space = spaces.Box(-high, high, dtype=np.float32), spaces.Discrete(3)
        super().__init__()

    def _rates(self, state: Array, torque: Array) -> Array:
        """d(state)/dt, as in S&B's book (Gymnasium's default)."""
        theta1, theta2, spin1, spin2 = state
        lc, g = self.CENTRE, self.GRAVITY
        cos2, sin2 = jnp.cos(theta2), jnp.sin(theta2)
        d1 = lc**2 + (1 + lc**2 + 2 * lc * cos2) + 2
        d2 = lc**2 + lc * cos2 + 1
        phi2 = lc * g * jnp.cos(theta1 + theta2 - math.pi / 2)
        phi1 = -lc * spin2**2 * sin2 - 2 * lc * spin2 * spin1 * sin2 + (lc + 1) * g * jnp.cos(theta1 - math.pi / 2)
        phi1 = phi1 + phi2
        turn2 = (torque + d2 / d1 * phi1 - lc * spin1**2 * sin2 - phi2) / (lc**2 + 1 - d2**2 / d1)
        turn1 = -(d2 * turn2 + phi1) / d1
        return jnp.stack([spin1, spin2, turn1, turn2])

    def transition(self, state: Array, action: Array, rng: Key, params: None = None) -> Array:
        """One step of Runge and Kutta, 4th order, with torque −1, 0 or 1 between the links."""
        torque, h = action - 1.0, self.DT
        k1 = self._rates(state, torque)
        k2 = self._rates(state + h / 2 * k1, torque)
        k3 = self._rates(state + h / 2 * k2, torque)
        k4 = self._rates(state + h * k3, torque)
        after = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        turns = jnp.where(after > math.pi, jnp.ceil((after - math.pi) / (2 * math.pi)), 0)
        turns = jnp.where(after < -math.pi, -jnp.ceil((-after - math.pi) / (2 * math.pi)), turns)
        angles = (after - 2 * math.pi * turns)[:2]
        limits = jnp.asarray(self.SPINS, state.dtype)
        return jnp.concatenate([angles, jnp.clip(after[2:], -limits, limits)])

    def observation(self, state: Array, rng: Key, params: None = None) -> Array:
        """(cos θ₁, sin θ₁, cos θ₂, sin θ₂, θ̇₁, θ̇₂)."""
        cos, sin = jnp.cos(state[:2]), jnp.sin(state[:2])
        return jnp.stack([cos[0], sin[0], cos[1], sin[1], state[2], state[3]])

    def reward(self, state: Array, action: Array, next_state: Array, rng: Key, params: None = None) -> Array:
        """−1 until the tip is up."""
        return jnp.where(self.over(next_state), 0.0, -1.0)

    def over(self, state: Array) -> Array:
        """The tip is one link above the axis."""
        return -jnp.cos(state[0]) - jnp.cos(state[1] + state[0]) > 1.0


class MountainCar(Physics):
    """MountainCar-v0: state (position, velocity); actions 0 left, 1 none, 2 right; −1 a step."""

    low, high = (-0.6, 0.0), (-0.4, 0.0)
    LEFT, RIGHT, SPEED, GOAL, POWER, GRAVITY = -1.2, 0.6, 0.07, 0.5, 0.001, 0.0025

    def __init__(self, goal_velocity: float = 0) -> None:
        self.goal_velocity = goal_velocity
        low, high = np.array([self.LEFT, -self.SPEED], np.float32), np.array([self.RIGHT, self.SPEED], np.float32)
        self.observation_space = spaces.Box(low, high, dtype=np.float32)
        self.action_space: spaces.Space = spaces.Discrete(3)
        super().__init__()

    def initial(self, rng: Key, params: None = None) -> Array:
        """At rest in the valley."""
        return jnp.stack([jax.random.uniform(rng, minval=self.low[0], maxval=self.high[0]), jnp.zeros(())])

    def force(self, action: Array) -> Array:
        """What the engine adds to the velocity."""
        return (action - 1) * self.POWER

    def transition(self, state: Array, action: Array, rng: Key, params: None = None) -> Array:
        """The car on the slope sin 3x; the left wall stops it."""
        speed = state[1] + self.force(action) - self.GRAVITY * jnp.cos(3 * state[0])
        speed = jnp.clip(speed, -self.SPEED, self.SPEED)
        position = jnp.clip(state[0] + speed, self.LEFT, self.RIGHT)
        return jnp.stack([position, jnp.where((position <= self.LEFT) & (speed < 0), 0.0, speed)])

    def reward(self, state: Array, action: Array, next_state: Array, rng: Key, params: None = None) -> Array:
        """−1."""
        return -jnp.ones(())

    def over(self, state: Array) -> Array:
        """The goal is reached, fast enough."""
        return (state[0] >= self.GOAL) & (state[1] >= self.goal_velocity)


class MountainCarContinuous(MountainCar):
    """MountainCarContinuous-v0: one action −1 … 1; 100 at the goal, and −0.1 a² a step."""

    POWER, GOAL = 0.0015, 0.45

    def __init__(self, goal_velocity: float = 0) -> None:
        super().__init__(goal_velocity)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def force(self, action: Array) -> Array:
        """What the engine adds to the velocity; it has its limits."""
        return jnp.clip(action[0], -1.0, 1.0) * self.POWER

    def reward(self, state: Array, action: Array, next_state: Array, rng: Key, params: None = None) -> Array:
        """100 for the goal, less the square of the action as it was asked for."""
        return jnp.where(self.over(next_state), 100.0, 0.0) - 0.1 * action[0] ** 2


class Pendulum(Physics):
    """Pendulum-v1: state (θ, θ̇), θ = 0 upright; one torque −2 … 2; costs of angle, speed and torque; never ends."""

    low, high = (-math.pi, -1.0), (math.pi, 1.0)
    SPEED, TORQUE, DT = 8.0, 2.0, 0.05  # rod of mass and length 1

    def __init__(self, g: float = 10.0) -> None:
        self.g = g
        high = np.array([1.0, 1.0, self.SPEED], np.float32)
        self.observation_space = spaces.Box(-high, high, dtype=np.float32)
        self.action_space = spaces.Box(-self.TORQUE, self.TORQUE, (1,), np.float32)
        super().__init__()

    def transition(self, state: Array, action: Array, rng: Key, params: None = None) -> Array:
        """Speed first, then the angle with the new speed."""
        torque = jnp.clip(action[0], -self.TORQUE, self.TORQUE)
        spin = state[1] + (3 * self.g / 2 * jnp.sin(state[0]) + 3 * torque) * self.DT
        spin = jnp.clip(spin, -self.SPEED, self.SPEED)
        return jnp.stack([state[0] + spin * self.DT, spin])

    def observation(self, state: Array, rng: Key, params: None = None) -> Array:
        """(cos θ, sin θ, θ̇)."""
        return jnp.stack([jnp.cos(state[0]), jnp.sin(state[0]), state[1]])

    def reward(self, state: Array, action: Array, next_state: Array, rng: Key, params: None = None) -> Array:
        """−(θ² + 0.1 θ̇² + 0.001 torque²) of the state that is left, θ within ±π."""
        theta = (state[0] + math.pi) % (2 * math.pi) - math.pi
        torque = jnp.clip(action[0], -self.TORQUE, self.TORQUE)
        return -(theta**2 + 0.1 * state[1] ** 2 + 0.001 * torque**2)
