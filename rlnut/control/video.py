"""Greedy episodes as a video, MP4 or GIF: played by the evaluation itself, with q(s, ·) drawn beside each frame."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, SupportsFloat

import gymnasium as gym
import numpy as np

from rlnut.control.evaluate import LANES, Evaluation, Player
from rlnut.control.policy import FRESH, Policy, evaluator_of
from rlnut.control.video_panel import Scene, ValuePanel
from rlnut.envs.make import env_name, maker
from rlnut.envs.masks import Info
from rlnut.envs.meanings import action_names
from rlnut.errors import UsageError
from rlnut.learner.agent import Carry
from rlnut.learner.explore import greedy
from rlnut.runtime.video_files import FilmWriter, as_image, film_program, film_writer
from rlnut.settings import whole_number
from rlnut.types import Look

MODE = "rgb_array"
USUAL_RATE = 30.0  # frames per second of environments that do not say
# pygame draws into arrays; without these SDL looks for a screen and a loudspeaker, and complains where there is none
WITHOUT_SCREEN = {"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}


class Recorded(NamedTuple):
    """A film: the episodes that it shows, and how many frames it has."""

    evaluation: Evaluation
    frames: int


class Recorder(gym.Wrapper):
    """An environment that draws each of its states; the newest waits in `moment` for what the policy thinks of it."""

    def __init__(self, env: gym.Env, show: Callable[[Scene], None]) -> None:
        super().__init__(env)
        self.show = show
        self.episode, self.step_number, self.total = -1, 0, 0.0
        self.moment: Scene | None = None

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[object, Info]:
        """Start an episode, and draw its first state."""
        self.flush("stopped: no end in sight")
        given = self.env.reset(seed=seed) if options is None else self.env.reset(seed=seed, options=options)
        self.episode, self.step_number, self.total = self.episode + 1, 0, 0.0
        self.moment = self._drawn(None)
        return given

    def step(self, action: object) -> tuple[object, SupportsFloat, bool, bool, Info]:
        """One step, and the state that it leads to."""
        given = self.env.step(action)
        self.step_number += 1
        self.total += float(given[1])
        self.moment = self._drawn(float(given[1]))
        if given[2] or given[3]:
            self.flush("terminated" if given[2] else "truncated")
        return given

    def decided(self, values: np.ndarray, action: np.ndarray, allowed: np.ndarray | None) -> None:
        """The state that waits is shown with q(s, ·) [A] or [D, K], the action, and which are allowed."""
        if self.moment is not None:
            groups = np.atleast_2d(values)
            may = None if allowed is None else np.atleast_2d(allowed)
            moment, self.moment = self.moment, None
            self.show(moment._replace(values=groups, action=np.atleast_1d(action), allowed=may))

    def flush(self, ending: str) -> None:
        """The state that waits is the last of its episode."""
        if self.moment is not None:
            moment, self.moment = self.moment, None
            self.show(moment._replace(ending=ending))

    def _drawn(self, reward: float | None) -> Scene:
        frame = self.env.render()
        if not isinstance(frame, np.ndarray):
            raise UsageError(_no_pictures(self.env, f"its render() gave {type(frame).__name__}"))
        return Scene(as_image(frame), self.episode, self.step_number, reward, self.total)


def record(
    policy: Policy,
    path: str | Path,
    seed: int = 0,
    episodes: int = 1,
    number: int = FRESH,
    evaluated: int | None = None,
) -> Recorded:
    """Film the first `episodes` episodes of `policy.evaluate(evaluated, seed)` into `path` (.mp4 or .gif).

    They are the same ones: from the same seeds, and as if all were played side by side (evaluated None: `episodes`). An
    episode of T steps has T + 1 frames. UsageError for an environment that cannot be drawn, and for MP4 without ffmpeg.
    """
    film_program(Path(path))  # what is missing for it is reported now
    episodes = whole_number("episodes", episodes, 1)
    lanes = min(LANES, episodes if evaluated is None else whole_number("evaluated", evaluated, 1))
    recorders: list[Recorder] = []
    writer: FilmWriter | None = None
    panel: ValuePanel | None = None
    frames = 0

    def show(moment: Scene) -> None:
        nonlocal frames, writer, panel
        if writer is None or panel is None:
            rate = float(recorders[0].metadata.get("render_fps") or USUAL_RATE)
            writer = held.enter_context(film_writer(Path(path), rate))
            panel = ValuePanel(action_names(recorders[0].env, policy.spec), episodes, policy.spec.name)
        writer.write(panel.compose(moment))
        frames += 1

    def filmed() -> gym.Env:
        recorders.append(Recorder(drawing(policy), show))
        return recorders[-1]

    with without_screen(), contextlib.ExitStack() as held:
        evaluator = evaluator_of(filmed, policy.spec, 1)
        held.callback(evaluator.close)
        evaluator.episodes = episodes  # all of them in one lane
        evaluation = evaluator(watched_player(policy, recorders[0], lanes), seed, number)
        recorders[0].flush("stopped: no end in sight")
    return Recorded(evaluation, frames)


def watched_player(policy: Policy, recorder: Recorder, lanes: int) -> Player:
    """The policy's player in one lane, computing as an evaluation of `lanes` episodes side by side does.

    The numbers of one row may depend, in their last digits, on how many rows are computed with it; so the row of an
    episode is computed among as many, and in the same place.
    """

    values_of_player = policy.player.q
    assert values_of_player is not None

    def act(carry: Carry, look: Look) -> tuple[np.ndarray, Carry]:
        mask = None if look.mask is None else np.repeat(look.mask, lanes, 0)
        wide = Look(np.repeat(look.obs, lanes, 0), np.repeat(look.fresh, lanes), mask)
        values, carry = values_of_player(carry, wide)
        action = np.asarray(greedy(values, mask))
        i = recorder.episode % lanes
        recorder.decided(values[i], action[i], None if mask is None else mask[i])
        return action[i : i + 1], carry

    return Player(lambda envs: policy.player.carry(lanes), act)


def drawing(policy: Policy) -> gym.Env:
    """The policy's environment, made so that it draws itself; UsageError that says what is possible instead."""
    name = env_name(policy.env)
    if name is None:
        env = maker(policy.env)()
        if env.render_mode != MODE:
            env.close()
            raise UsageError(
                f"this environment draws no pictures (its render mode is {env.render_mode}): pass a function that makes"
                f" it with render_mode {MODE}"
            )
        return env
    plain = name.make()
    try:
        if MODE not in (plain.metadata.get("render_modes") or ()):
            raise UsageError(_no_pictures(plain, str(name)))
    finally:
        plain.close()
    return name.make(render_mode=MODE)


def _no_pictures(env: gym.Env, name: str) -> str:
    modes = ", ".join(env.metadata.get("render_modes") or ()) or "none"
    return f"{name} draws no pictures: a video needs the render mode {MODE}, and it has {modes}"


@contextlib.contextmanager
def without_screen() -> Iterator[None]:
    """Draw without a screen or a loudspeaker, unless the user has chosen drivers for them."""
    ours = {name: value for name, value in WITHOUT_SCREEN.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)
