"""One greedy episode as an animated GIF, frames drawn by the environment itself."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rlnut.envs.make import ENDLESS, env_name
from rlnut.envs.vector import episode_seed
from rlnut.errors import UsageError
from rlnut.runtime.files import atomic_write

if TYPE_CHECKING:
    from rlnut.control.policy import Policy


def record(policy: Policy, path: Path, seed: int) -> int:
    """Play one episode from the seed and write it to `path`; returns the number of frames."""
    from PIL import Image

    name = env_name(policy.env)
    if name is None:
        raise UsageError("only an environment with a registered name can be filmed")
    env = name.make(render_mode="rgb_array")
    try:
        obs, _ = env.reset(seed=episode_seed(seed, 2**31, 0))
        frames, done = [_frame(env)], False
        while not done and len(frames) < ENDLESS:
            obs, _, terminated, truncated, _ = env.step(int(policy.act(obs)))
            frames.append(_frame(env))
            done = bool(terminated or truncated)
        pause = 1000 / env.metadata.get("render_fps", 30)
    finally:
        env.close()
    pictures = [Image.fromarray(frame) for frame in frames]
    buffer = io.BytesIO()
    pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:], duration=max(pause, 20), loop=0)
    atomic_write(path, buffer.getvalue())
    return len(frames)


def _frame(env) -> np.ndarray:
    frame = env.render()
    if not isinstance(frame, np.ndarray):
        raise UsageError("this environment draws no pictures (render_mode rgb_array)")
    return frame
