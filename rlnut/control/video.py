"""One greedy episode as an animated GIF: played by the evaluation itself, frames drawn by the environment."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, SupportsFloat

import gymnasium as gym
import numpy as np

from rlnut.control.policy import evaluator_of
from rlnut.envs.make import env_name, maker
from rlnut.envs.masks import Info
from rlnut.errors import UsageError
from rlnut.runtime.files import atomic_write

if TYPE_CHECKING:
    from rlnut.control.policy import Policy

FILMED = 0  # number of the evaluation whose first episode is filmed


class Film(gym.Wrapper):
    """An environment that keeps a frame after each reset and step."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.frames: list[np.ndarray] = []

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[object, Info]:
        """Start an episode, and keep its first frame."""
        given = self.env.reset(seed=seed) if options is None else self.env.reset(seed=seed, options=options)
        self.frames.append(self._frame())
        return given

    def step(self, action: object) -> tuple[object, SupportsFloat, bool, bool, Info]:
        """One step, and its frame."""
        given = self.env.step(action)
        self.frames.append(self._frame())
        return given

    def _frame(self) -> np.ndarray:
        frame = self.env.render()
        if not isinstance(frame, np.ndarray):
            raise UsageError("this environment draws no pictures (render_mode rgb_array)")
        return frame


def record(policy: Policy, path: Path, seed: int) -> int:
    """Play one episode from the seed and write it to `path`; returns the number of frames.

    The policy plays as in `policy.evaluate`: with its masks, what it carries through time, its preprocessing and its
    choice of actions. UsageError for an environment that draws no pictures.
    """
    from PIL import Image

    film: list[Film] = []

    def filmed() -> Film:
        name = env_name(policy.env)
        env = maker(policy.env)() if name is None else name.make(render_mode="rgb_array")
        if env.render_mode != "rgb_array":
            env.close()
            raise UsageError(
                "this environment draws no pictures: pass a function that makes it with render_mode rgb_array"
            )
        film.append(Film(env))
        return film[-1]

    evaluator = evaluator_of(filmed, policy.spec, 1)
    try:
        evaluator(policy.player, seed, FILMED)
        rate = film[0].metadata.get("render_fps") or 30
    finally:
        evaluator.close()
    pictures = [Image.fromarray(frame) for frame in film[0].frames]
    buffer = io.BytesIO()
    pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:], duration=max(1000 / rate, 20), loop=0)
    atomic_write(path, buffer.getvalue())
    return len(pictures)
