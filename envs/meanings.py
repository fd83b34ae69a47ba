"""Names of the actions and observations of known environments, for figures and videos.

Words are given only where no wrapper may have changed what they say; elsewhere actions and numbers are counted.
"""

from __future__ import annotations

import gymnasium as gym
import numpy as np

from rlnut.learner.spec import Spec
from rlnut.runtime.wrappers import changing_wrappers

COMPASS = ("up", "right", "down", "left")
DIAGONALS = ("up right", "down right", "down left", "up left")
# class of Gymnasium's -> what its Discrete actions do, counted from 0
ACTIONS: dict[str, tuple[str, ...]] = {
    "AcrobotEnv": ("torque \N{MINUS SIGN}1", "torque 0", "torque +1"),
    "BlackjackEnv": ("stick", "hit"),
    "CarRacing": ("nothing", "steer right", "steer left", "gas", "brake"),
    "CartPoleEnv": ("push left", "push right"),
    "CliffWalkingEnv": COMPASS,
    "FrozenLakeEnv": ("left", "down", "right", "up"),
    "LunarLander": ("nothing", "left engine", "main engine", "right engine"),
    "MountainCarEnv": ("push left", "coast", "push right"),
    "TaxiEnv": ("south", "north", "east", "west", "pick up", "drop off"),
}
# function that makes the tables of one of ours -> the same; a variant with fewer actions has the first of them
TABLES: dict[str, tuple[str, ...]] = {
    "rlnut.envs.gridworlds:cliff": COMPASS,
    "rlnut.envs.gridworlds:windy_gridworld": (*COMPASS, *DIAGONALS, "stay"),
    "rlnut.envs.walks:random_walk": ("left", "right"),
    "rlnut.envs.walks:chain_walk": ("left", "right"),
}
# class -> what each number of a Box action is
NUMBERS: dict[str, tuple[str, ...]] = {
    "Continuous_MountainCarEnv": ("force",),
    "LunarLander": ("main engine", "side engines"),
    "PendulumEnv": ("torque",),
}
# class -> what each number of an observation is
OBSERVATIONS: dict[str, tuple[str, ...]] = {
    "BlackjackEnv": ("player's sum", "dealer's card", "usable ace"),
    "CartPoleEnv": ("cart position", "cart velocity", "pole angle", "pole angular velocity"),
    "Continuous_MountainCarEnv": ("position", "velocity"),
    "LunarLander": ("x", "y", "velocity in x", "velocity in y", "angle", "angular velocity", "left leg", "right leg"),
    "MountainCarEnv": ("position", "velocity"),
}
SYMBOLS = {
    "up": "↑", "right": "→", "down": "↓", "left": "←", "north": "↑", "east": "→", "south": "↓", "west": "←",
    "up right": "↗", "down right": "↘", "down left": "↙", "up left": "↖", "stay": "•",
    "pick up": "P", "drop off": "D", "stick": "S", "hit": "H",
    "push left": "←", "coast": "•", "push right": "→",
}  # fmt: skip


def known_class(env: gym.Env) -> str:
    """The class of an environment of Gymnasium's own; "" for others, and under wrappers that may change it."""
    kind = type(env.unwrapped)
    return kind.__name__ if kind.__module__.startswith("gymnasium.envs.") and not changing_wrappers(env) else ""


def action_names(env: gym.Env, spec: Spec) -> list[list[str]]:
    """A name for each choice of the learner: one list, or one for each of D decoupled choices."""
    acts, known = spec.acts, known_class(env)
    if acts.values is None:
        words = _discrete(env, known, acts.choices[0])
        return [list(words) if words else [str(acts.start + a) for a in range(acts.choices[0])]]
    parts = NUMBERS.get(known, ())
    if len(acts.choices) == 1:
        one = len(acts.counts) == 1
        return [[_named(parts, 0, row[0]) if one else _vector(row) for row in acts.values.reshape(acts.choices[0], -1)]]
    named = len(parts) == len(acts.counts)
    return [
        [_named(parts if named else (f"a[{d}]",) * (d + 1), d, value) for value in acts.values[d, :count]]
        for d, count in enumerate(acts.counts)
    ]


def _discrete(env: gym.Env, known: str, count: int) -> tuple[str, ...]:
    """Words for `count` actions; () where they are not known."""
    inner = env.unwrapped
    source = getattr(inner.spec, "kwargs", {}).get("source") if inner.spec is not None else None
    if isinstance(source, str) and source in TABLES and not changing_wrappers(env):
        return TABLES[source][:count] if len(TABLES[source]) >= count else ()
    meanings = getattr(inner, "get_action_meanings", None)  # Atari and MinAtar
    if callable(meanings) and not changing_wrappers(env):
        words = tuple(str(word).lower() for word in meanings())
        return words if len(words) == count else ()
    words = ACTIONS.get(known, ())
    return words if len(words) == count else ()


def _named(parts: tuple[str, ...], i: int, value: object) -> str:
    number = signed(value)
    return f"{parts[i]} {number}" if i < len(parts) else number


def _vector(row: np.ndarray) -> str:
    return f"({', '.join(map(signed, row))})"


def signed(value: object) -> str:
    """A number with few digits and a true minus sign."""
    return f"{float(np.asarray(value)):.3g}".replace("-", "\N{MINUS SIGN}")


def symbols(names: list[str]) -> list[str]:
    """A letter or an arrow for each action, for the cells of a map: their numbers, if one of them has none."""
    found = [SYMBOLS.get(name, "") for name in names]
    return found if all(found) and len(set(found)) == len(found) else [str(a) for a in range(len(names))]
