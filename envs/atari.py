"""Atari games (extra `atari`): registered when a name begins with ALE/, and the usual preprocessing around them.

| what                                                | by                                | source              |
|-----------------------------------------------------|-----------------------------------|---------------------|
| up to 30 no-ops at the start, skip 4, 84 × 84, grey | AtariPreprocessing                | Mnih et al. 2015    |
| the last 4 frames as one observation                | FrameStackObservation             | Mnih et al. 2015    |
| an episode ends after 108,000 frames                | max_episode_steps of the emulator | Hessel et al. 2018  |
| sticky actions                                      | the name: 0.25 in v5              | Machado et al. 2018 |

Scores stay raw. `ale_py:ALE/Pong-v5` is the game as it is registered, without any of this.
"""

from __future__ import annotations

from rlnut.envs.wrapping import Arguments, WrapperRecipe
from rlnut.errors import UsageError

PREFIX = "ALE/"
FRAMES = 108_000  # of an episode: half an hour of play
GAME: Arguments = {"frameskip": 1, "max_episode_steps": FRAMES}
WRAPPERS = (
    WrapperRecipe("AtariPreprocessing", {"noop_max": 30, "frame_skip": 4, "screen_size": 84, "grayscale_obs": True}),
    WrapperRecipe("FrameStackObservation", {"stack_size": 4}),
)


def register_games(name: str) -> None:
    """Register the games; UsageError without ale-py."""
    try:
        import ale_py
    except ModuleNotFoundError as error:
        if error.name != "ale_py":
            raise
        raise UsageError(f'{name} needs a package that is not installed: pip install "rlnut[atari]"') from None
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # no banner for each environment


def preprocessing(name: str, given: Arguments) -> tuple[Arguments, tuple[WrapperRecipe, ...]]:
    """The arguments and wrappers of a registered name that was given without wrappers; those given come first."""
    if not name.startswith(PREFIX) or given.get("obs_type", "rgb") != "rgb":
        return given, ()
    return GAME | given, WRAPPERS
