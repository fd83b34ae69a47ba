"""Sets of transitions for batch control: from an `.npz` file, a Minari data set, or a uniform policy; checked.

An `.npz` holds the arrays KEYS, one row for each transition, and may hold MASKS where not all actions are allowed:

| array                 | shape, type            | holds                                                             |
|-----------------------|------------------------|-------------------------------------------------------------------|
| obs, next_obs         | [T, ...]               | as the environment gives them; several parts in one array         |
| action                | [T] int, or [T, ...]   | as the environment counts them, or as it takes them               |
| reward                | [T]                    |                                                                   |
| terminated, truncated | [T] bool               | the episode ended in a terminal state; it was cut                 |
| masks, next_masks     | [T, A] bool, optional  | actions allowed at obs, at next_obs: no other is bootstrapped     |
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from rlnut.envs.masks import MASK
from rlnut.envs.vector import HostVector
from rlnut.errors import RlnutError, UsageError
from rlnut.learner.spec import Spec
from rlnut.runtime.files import atomic_write, read_npz
from rlnut.types import Transition, transition

KEYS = ("obs", "action", "reward", "next_obs", "terminated", "truncated")
MASKS = ("masks", "next_masks")
MINARI = "minari:"

Arrays = dict[str, np.ndarray]


def load_transitions(source: str, spec: Spec, gamma: float) -> Transition:
    """Transitions [T, 1, ...] of an `.npz` (see above) or of "minari:DATASET"; UsageError if unfit."""
    minari = source.startswith(MINARI)
    arrays = from_minari(source[len(MINARI) :], spec) if minari else read_npz(source)
    return checked_transitions(arrays, spec, gamma, source)


def from_minari(name: str, spec: Spec | None = None) -> Arrays:
    """The episodes of a Minari data set on this machine, one after the other; observations as `spec` stores them.

    Masks come from infos["action_mask"], or from a part "action_mask" of the observations.
    """
    parts: dict[str, list[np.ndarray]] = {key: [] for key in (*KEYS, *MASKS)}
    for k, episode in enumerate(_minari_episodes(name)):
        try:
            seen = _side_by_side(episode.observations) if spec is None else spec.read(episode.observations)
        except RlnutError as error:
            raise UsageError(f"minari:{name} is of another environment: {error}") from None
        action = _side_by_side(episode.actions)
        if len(seen) != len(action) + 1:
            raise UsageError(
                f"minari:{name}: episode {k} has {len(seen)} observations and {len(action)} actions; T + 1 and T needed"
            )
        columns = [seen[:-1], action, episode.rewards, seen[1:], episode.terminations, episode.truncations]
        infos = getattr(episode, "infos", None) or {}
        observed = episode.observations
        masks = infos.get(MASK, observed.get(MASK) if isinstance(observed, dict) else None)
        if masks is not None:
            columns += [np.asarray(masks)[:-1], np.asarray(masks)[1:]]
        for key, column in zip((*KEYS, *MASKS), columns, strict=False):
            parts[key].append(np.asarray(column))
    return {key: np.concatenate(columns) for key, columns in parts.items() if columns}


def _minari_episodes(name: str) -> Iterable[Any]:
    """The episodes of a data set; UsageError that tells a missing package from a missing data set."""
    try:
        import minari
    except ImportError:
        raise UsageError("minari is not installed: pip install 'rlnut[minari]'") from None
    try:
        return list(minari.load_dataset(name).iterate_episodes())
    except Exception as error:  # whatever it finds, or does not
        reason = " ".join(str(error).split())
        if "h5py" in reason:
            text = f"h5py is not installed, and minari:{name} is an HDF5 file: pip install 'rlnut[minari]'"
        elif isinstance(error, ImportError) or "not installed" in reason:
            text = f"minari:{name} needs a package that is not installed: {reason}"
        elif isinstance(error, FileNotFoundError) or "not found" in reason.lower() or "malformed" in reason.lower():
            text = f"minari has no data set {name!r} on this machine (minari list local, minari download): {reason}"
        else:
            text = f"minari:{name} cannot be read: {type(error).__name__}: {reason}"
        raise UsageError(text) from None


def _side_by_side(given: object) -> np.ndarray:
    """Parts of a tuple or a dict, each [T, ...], in one array [T, n]; one array as it is."""
    if not isinstance(given, (dict, tuple)):
        return np.asarray(given)
    parts = [_side_by_side(part) for part in (given.values() if isinstance(given, dict) else given)]
    return np.concatenate([part.reshape(len(part), -1) for part in parts], 1)


def checked_transitions(arrays: Arrays, spec: Spec, gamma: float, source: str) -> Transition:
    """Arrays as experience of one environment [T, 1, ...]; UsageError in one line for whatever does not fit `spec`."""
    missing = [key for key in KEYS if key not in arrays]
    if missing or set(arrays) - set(KEYS) - set(MASKS):
        raise UsageError(
            f"{source} must hold the arrays {', '.join(KEYS)}, and may hold {' and '.join(MASKS)};"
            f" it holds {', '.join(arrays) or 'none'}"
        )
    arrays = arrays | {"action": _numbered(arrays["action"], spec, source)}
    _check_columns(arrays, spec, source)
    action = arrays["action"].astype(np.int64) - spec.first_action
    if (bad := (action < 0) | (action >= spec.actions)).any():
        last = spec.first_action + spec.actions - 1
        row = _first(bad)
        raise UsageError(
            f"{source}: action must be {spec.first_action} … {last}, got {arrays['action'][row]} in row {row}"
        )
    terminated = arrays["terminated"].astype(bool)
    mask, next_mask = _checked_masks(arrays, action, terminated, spec, source)
    found = transition(
        obs=arrays["obs"].astype(spec.dtype),
        action=action.astype(np.int32),
        reward=arrays["reward"].astype(np.float32),
        next_obs=arrays["next_obs"].astype(spec.dtype),
        terminated=terminated,
        truncated=arrays["truncated"].astype(bool),
        gamma=gamma,
        mask=mask,
        next_mask=next_mask,
    )
    rows: dict[str, Any] = {name: x[:, None] for name, x in found._asdict().items() if isinstance(x, np.ndarray)}
    return found._replace(**rows)


def _check_columns(arrays: Arrays, spec: Spec, source: str) -> None:
    """Shapes, types, finite numbers, states that exist."""
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
    if spec.discrete:
        for key in ("obs", "next_obs"):
            flat = arrays[key].reshape(rows, -1)
            outside = ((flat < spec.low) | (flat > spec.high)).any(1)
            if outside.any():
                raise UsageError(f"{source}: {key} is outside the environment's states in row {_first(outside)}")


def _numbered(action: np.ndarray, spec: Spec, source: str) -> np.ndarray:
    """Actions as the environment takes them [T, *shape] -> numbers [T] of the grid; numbers as they are."""
    values = spec.acts.values
    if (
        values is None
        or len(spec.choices) > 1
        or action.shape[1:] != spec.acts.shape
        or action.dtype.kind not in "biuf"
    ):
        return action
    far = np.abs(action.reshape(len(action), 1, -1).astype(float) - values.reshape(1, len(values), -1)).max(-1)
    if len(action) and (bad := far.min(1) > 1e-6).any():
        row = _first(bad)
        raise UsageError(
            f"{source}: action {action[row].tolist()} in row {row} is none of the {len(values)} that the learner"
            f" chooses from ({spec.acts.saw}): other --bins, or data of such actions"
        )
    return far.argmin(1) if len(action) else np.zeros(0, int)


def _checked_masks(
    arrays: Arrays, action: np.ndarray, terminated: np.ndarray, spec: Spec, source: str
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Masks [T, A] bool; after the end of an episode all is allowed, since nothing is asked there."""
    if "masks" in arrays and "next_masks" not in arrays:
        raise UsageError(f"{source} has masks without next_masks: which actions may follow is what targets need")
    found: dict[str, np.ndarray] = {}
    for key in MASKS:
        if key not in arrays:
            continue
        given = arrays[key]
        if given.shape != (len(action), spec.actions) or given.dtype.kind not in "biuf":
            shape = [len(action), spec.actions]
            raise UsageError(f"{source}: {key} must be true or false {shape}, got {given.dtype}{list(given.shape)}")
        if not np.isin(given, (0, 1)).all():
            raise UsageError(f"{source}: {key} must hold 0 and 1 only, row {_first(~np.isin(given, (0, 1)))} does not")
        found[key] = given.astype(bool)
        if key == "next_masks":
            found[key] = found[key] | terminated[:, None]
        if (none := ~found[key].any(1)).any():
            raise UsageError(f"{source}: {key} allows no action in row {_first(none)}")
    mask = found.get("masks")
    if mask is not None and not (taken := mask[np.arange(len(action)), action]).all():
        raise UsageError(f"{source}: the action of row {_first(~taken)} is forbidden by masks")
    return mask, found.get("next_masks")


def _first(bad: np.ndarray | np.bool) -> int:
    return int(np.argwhere(bad)[0][0])


def collect(vector: HostVector, steps: int, seed: int) -> Arrays:
    """`steps` steps (or a few more, over N environments) of the uniform policy, as the arrays of a file."""
    rng = np.random.default_rng([seed, 0xBA7C4])
    obs, count, spec = vector.reset(seed), 0, vector.spec
    masked = vector.mask is not None
    parts: dict[str, list[np.ndarray]] = {key: [] for key in (*KEYS, *MASKS) if masked or key not in MASKS}
    while count < steps:
        mask = vector.mask
        if mask is None:
            action = rng.integers(spec.actions, size=vector.num_envs)
        else:
            action = np.array([rng.choice(np.flatnonzero(row)) for row in mask])
        step = vector.step(action)
        row = [obs, action + spec.first_action, step.reward, step.next_obs, step.terminated, step.truncated]
        if mask is not None and step.next_mask is not None:
            row += [mask, step.next_mask]
        for key, column in zip(parts, row, strict=True):
            parts[key].append(np.asarray(column)[step.valid])
        count, obs = count + int(step.valid.sum()), step.obs
    found = {key: np.concatenate(column) for key, column in parts.items()}
    for key in ("reward", "next_obs"):
        if found[key].dtype.kind == "f" and not np.isfinite(found[key]).all():
            raise RlnutError(f"the environment gave a {key} that is not finite")
    return found


def save_transitions(path: str | Path, arrays: Arrays) -> None:
    """Write the arrays of `collect`, or your own, as a file for `load_transitions`."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    atomic_write(Path(path), buffer.getvalue())
