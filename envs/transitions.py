"""Sets of transitions for batch control: from an `.npz` file, a Minari data set, or a uniform policy; checked."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from rlnut.envs.vector import HostVector
from rlnut.errors import RlnutError, UsageError
from rlnut.learner.spec import Spec
from rlnut.runtime.files import atomic_write, read_npz
from rlnut.types import Transition

KEYS = ("obs", "action", "reward", "next_obs", "terminated", "truncated")
MINARI = "minari:"


def load_transitions(source: str, spec: Spec, gamma: float) -> Transition:
    """Transitions [T, 1, ...] of an `.npz` with KEYS, one row each, or of "minari:DATASET"; UsageError if unfit.

    obs, next_obs [T, ...] as the environment gives them, action [T] as it counts them, terminated, truncated [T] bool.
    """
    arrays = from_minari(source[len(MINARI) :]) if source.startswith(MINARI) else read_npz(source)
    return checked_transitions(arrays, spec, gamma, source)


def from_minari(name: str) -> dict[str, np.ndarray]:
    """The episodes of a Minari data set on this machine, one after the other."""
    try:
        import minari
    except ImportError:
        raise UsageError("minari data need the extra: pip install 'rlnut[minari]'") from None
    try:
        episodes = list(minari.load_dataset(name).iterate_episodes())
    except Exception as error:
        raise UsageError(f"minari has no data set {name!r} on this machine: {error}") from None
    parts: dict[str, list[np.ndarray]] = {key: [] for key in KEYS}
    for episode in episodes:
        seen = np.asarray(episode.observations)
        columns = (seen[:-1], episode.actions, episode.rewards, seen[1:], episode.terminations, episode.truncations)
        for key, column in zip(KEYS, columns, strict=True):
            parts[key].append(np.asarray(column))
    return {key: np.concatenate(column) for key, column in parts.items()}


def checked_transitions(arrays: dict[str, np.ndarray], spec: Spec, gamma: float, source: str) -> Transition:
    """Arrays as experience of one environment [T, 1, ...]; UsageError in one line for whatever does not fit `spec`."""
    missing = [key for key in KEYS if key not in arrays]
    if missing or set(arrays) - set(KEYS):
        raise UsageError(f"{source} must hold the arrays {', '.join(KEYS)}; it holds {', '.join(arrays) or 'none'}")
    rows = len(arrays["action"]) if arrays["action"].ndim else 0
    shapes = {key: (rows, *spec.shape) if "obs" in key else (rows,) for key in KEYS}
    for key, shape in shapes.items():
        if arrays[key].shape != shape or rows == 0:
            raise UsageError(f"{source}: {key} must have shape {list(shape)}, T >= 1, got {list(arrays[key].shape)}")
        kinds = "biu" if key in ("terminated", "truncated", "action") or (spec.discrete and "obs" in key) else "biuf"
        if arrays[key].dtype.kind not in kinds:
            raise UsageError(
                f"{source}: {key} must hold {'integers' if 'f' not in kinds else 'numbers'}, got {arrays[key].dtype}"
            )
        if arrays[key].dtype.kind == "f" and not np.isfinite(arrays[key]).all():
            raise UsageError(f"{source}: {key} must be finite, row {_first(~np.isfinite(arrays[key]))} is not")
    action = arrays["action"].astype(np.int64) - spec.first_action
    if (bad := (action < 0) | (action >= spec.actions)).any():
        last = spec.first_action + spec.actions - 1
        row = _first(bad)
        raise UsageError(
            f"{source}: action must be {spec.first_action} … {last}, got {arrays['action'][row]} in row {row}"
        )
    if spec.discrete:
        for key in ("obs", "next_obs"):
            flat = arrays[key].reshape(rows, -1)
            outside = ((flat < spec.low) | (flat > spec.high)).any(1)
            if outside.any():
                raise UsageError(f"{source}: {key} is outside the environment's states in row {_first(outside)}")
    terminated = arrays["terminated"].astype(bool)
    found = Transition(
        obs=arrays["obs"].astype(spec.dtype),
        action=action.astype(np.int32),
        reward=arrays["reward"].astype(np.float32),
        discount=np.where(terminated, 0, gamma).astype(np.float32),
        next_obs=arrays["next_obs"].astype(spec.dtype),
        end=terminated | arrays["truncated"].astype(bool),
        valid=np.ones(rows, bool),
    )
    return Transition(*(None if column is None else column[:, None] for column in found[:7]))


def _first(bad: Any) -> int:
    return int(np.argwhere(bad)[0][0])


def collect(vector: HostVector, steps: int, seed: int) -> dict[str, np.ndarray]:
    """`steps` steps (or a few more, over N environments) of the uniform policy, as the arrays of a file."""
    rng = np.random.default_rng([seed, 0xBA7C4])
    obs, count, spec = vector.reset(seed), 0, vector.spec
    parts: dict[str, list[np.ndarray]] = {key: [] for key in KEYS}
    while count < steps:
        if vector.mask is None:
            action = rng.integers(spec.actions, size=vector.num_envs)
        else:
            action = np.array([rng.choice(np.flatnonzero(row)) for row in vector.mask])
        step = vector.step(action)
        row = (obs, action + spec.first_action, step.reward, step.next_obs, step.terminated, step.truncated)
        for key, column in zip(KEYS, row, strict=True):
            parts[key].append(np.asarray(column)[step.valid])
        count, obs = count + int(step.valid.sum()), step.obs
    found = {key: np.concatenate(column) for key, column in parts.items()}
    for key in ("reward", "next_obs"):
        if found[key].dtype.kind == "f" and not np.isfinite(found[key]).all():
            raise RlnutError(f"the environment gave a {key} that is not finite")
    return found


def save_transitions(path: str | Path, arrays: dict[str, np.ndarray]) -> None:
    """Write the arrays of `collect`, or of one's own, as a file for `load_transitions`."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    atomic_write(Path(path), buffer.getvalue())
