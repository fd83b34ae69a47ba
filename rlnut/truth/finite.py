"""Finite problems from tables: checked arrays, a user's `.npz` file, or the `P` of a Gymnasium toy-text environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rlnut.errors import UsageError, unknown
from rlnut.runtime.files import read_npz
from rlnut.truth.dynamic_programming import MDP, check_gamma
from rlnut.truth.markov import entries
from rlnut.truth.outcomes import Outcomes, from_lists, from_mdp, means
from rlnut.truth.transition_matrices import is_sparse

SMALL_TABLE, SPARSE = 2**18, 0.2  # numbers of arrays P that are kept; share of others that may differ from 0
LARGEST_TABLE = 2**28  # numbers of P: 2 GiB, and several tables are made from it
KEYS = ("P", "R", "start", "policy", "behaviour", "features", "gamma")
MaybeArray = Any  # an array (`shown`: a tuple of them) or None: most callers know which their problem has


class Finite(NamedTuple):
    """A finite problem with what belongs to it: arrays, or None where the user has to say.

    `predict` and `train` take one in the place of an environment.

    >>> import rlnut
    >>> P = [[[0, 1]], [[0, 1]]]  # P[s][a][s']: from state 0 to state 1, which is terminal
    >>> rlnut.predict("td0", rlnut.Finite.from_arrays(P, R=[[3], [0]]), episodes=1).truth.tolist()
    [3.0, 0.0]
    """

    mdp: MDP
    gamma: float | None = None
    policy: MaybeArray = None  # [S, A] π, the policy to evaluate
    behaviour: MaybeArray = None  # [S, A] b, the policy that acts; None = π
    features: MaybeArray = None  # [S, d]
    weights: MaybeArray = None  # [d] where learning starts; None = 0
    allowed: np.ndarray | None = None  # [S, A] bool: actions that count in a state; None = all
    noise: np.ndarray | None = None  # [S, A] standard deviation of the reward around R; None = 0
    shape: tuple[int, ...] = ()  # how states lie in a picture: (rows, columns) of a grid
    law: Outcomes | None = None  # where rewards or ends are not fixed given s, a, s'; None = they are
    observe: MaybeArray = None  # int [S] the number of what a state shows; None = every state its own
    shown: MaybeArray = None  # tuple of int [S]: the observation of each state, where it is not the state's number
    labels: tuple[str, ...] = ()  # names of the states; () = their numbers

    @classmethod
    def from_arrays(
        cls,
        P: ArrayLike,
        R: ArrayLike,
        start: ArrayLike | None = None,
        *,
        policy: ArrayLike | None = None,
        behaviour: ArrayLike | None = None,
        features: ArrayLike | None = None,
        gamma: float | None = None,
    ) -> Finite:
        """A problem from P [S, A, S], R [S, A] or [S, A, S], start [S], policies [S, A], features [S, d], γ.

        See `make_mdp` for what is terminal and where episodes start. UsageError for arrays that do not fit together.
        """
        given = {"policy": policy, "behaviour": behaviour, "features": features, "gamma": gamma}
        rest = {name: value for name, value in given.items() if value is not None}
        return _finite({"P": P, "R": R} | ({} if start is None else {"start": start}) | rest)


def outcomes(finite: Finite) -> Outcomes:
    """The outcomes: the problem's own, else those of its tables, rewards being fixed given s, a, s'."""
    return from_mdp(finite.mdp, finite.noise) if finite.law is None else finite.law


def with_sparse_tables(finite: Finite) -> Finite:
    """The same problem with sparse rows, where its arrays are large and mostly 0."""
    mdp = finite.mdp
    if is_sparse(mdp.P) or mdp.P.size <= SMALL_TABLE or np.count_nonzero(mdp.P) > SPARSE * mdp.P.size:
        return finite
    from scipy.sparse import csr_array

    pair, successor, *tables = entries(mdp)
    above = np.searchsorted(pair, np.arange(mdp.states * mdp.actions + 1))
    P, R, done = (csr_array((x, successor, above), (len(above) - 1, mdp.states)) for x in tables)
    return finite._replace(mdp=MDP(P, R, done, mdp.start))


def array_of(name: str, value: object) -> np.ndarray:
    """The value as an array; UsageError for rows of different lengths."""
    try:
        return np.asarray(value)
    except ValueError:
        raise UsageError(f"{name} must be an array, and its rows differ in length") from None


def _numbers(name: str, value: object, shapes: dict[str, tuple[int, ...]]) -> np.ndarray:
    array = array_of(name, value)
    if array.dtype.kind not in "biuf":
        raise UsageError(f"{name} must hold real numbers, got {array.dtype}")
    if array.shape not in shapes.values():
        allowed = " or ".join(f"{letters} = {list(shape)}" for letters, shape in shapes.items())
        raise UsageError(f"{name} must have shape {allowed}, got {list(array.shape)}")
    if not np.isfinite(array).all():
        raise UsageError(f"{name} must be finite, got NaN or infinity")
    return array.astype(np.float64)


def distribution(name: str, value: object, shapes: dict[str, tuple[int, ...]]) -> np.ndarray:
    """Rows that are probabilities (not negative, sum 1 to 1e-6), made to sum to 1 exactly; else UsageError."""
    rows = _numbers(name, value, shapes)
    if (rows < 0).any():
        raise UsageError(f"{name} must not be negative, got {rows.min():g} at {_place(rows < 0)}")
    total = rows.sum(-1, keepdims=True)
    if (bad := np.abs(total[..., 0] - 1) > 1e-6).any():
        where = f" at {_place(bad)}" if bad.ndim else ""
        raise UsageError(f"{name} must sum to 1 in each row, got {total[..., 0][bad].flat[0]:g}{where}")
    return rows / total


def _place(bad: np.ndarray) -> list[int]:
    return [int(i) for i in np.argwhere(bad)[0]]


def check_table_size(states: int, actions: int) -> None:
    """UsageError where tables [S, A, S] would hold more than LARGEST_TABLE numbers; said before they are made."""
    if (size := states * actions * states) > LARGEST_TABLE:
        raise UsageError(
            f"tables of {states:,} states and {actions:,} actions hold {size:,} numbers; at most {LARGEST_TABLE:,} fit"
        )


def make_mdp(P: object, R: object, start: object = None) -> MDP:
    """An MDP from P [S, A, S], R [S, A] or [S, A, S] and start [S] (default: uniform, terminal states left out).

    A state that every action leaves where it is, with reward 0, is terminal: episodes end on entering it.
    Raises UsageError for wrong shapes, NaN, negative probabilities and rows that do not sum to 1.
    """
    size = array_of("P", P).shape
    if len(size) != 3 or size[0] != size[2] or 0 in size:
        raise UsageError(f"P must have shape [S, A, S], got {list(size)}")
    S, A, _ = size
    check_table_size(S, A)
    P = distribution("P", P, {"[S, A, S]": (S, A, S)})
    R = _numbers("R", R, {"[S, A]": (S, A), "[S, A, S]": (S, A, S)})
    R = np.broadcast_to(R[..., None] if R.ndim == 2 else R, P.shape)
    states = np.arange(S)
    stays = (P[states, :, states] == 1) & (R[states, :, states] == 0)
    terminal = stays.all(1)
    if terminal.all():
        raise UsageError("every state is terminal (absorbing with reward 0): there is nothing to predict")
    if start is None:
        first = ~terminal / np.sum(~terminal)
    else:
        first = distribution("start", start, {"[S]": (S,)}) * ~terminal
        if first.sum() == 0:
            raise UsageError("start puts all its probability on terminal states")
        first = first / first.sum()
    return MDP(P, np.array(R), np.broadcast_to(terminal, P.shape).astype(np.float64), first)


def from_toy_text(P: dict, start: object) -> Finite:
    """A problem from Gymnasium's P[s][a] = [(probability, s', reward, terminated), ...] and start distribution [S]."""
    first = distribution("initial_state_distrib", start, {"[S]": (len(P),)})
    law = from_lists(P, first)
    return Finite(means(law, first), law=law)


def observed(values: np.ndarray, weight: np.ndarray, observe: np.ndarray) -> np.ndarray:
    """E[values(S) | what S shows] for S ~ `weight` [S], for every state: values [S] or [S, A].

    It is the most that a function of the observation can know, and where Monte Carlo over observations ends. A state
    that shows what has no weight keeps its own value.
    """
    flat = np.where(weight[:, None] > 0, values.reshape(len(weight), -1), 0)
    mass, total = np.zeros(observe.max() + 1), np.zeros((observe.max() + 1, flat.shape[1]))
    np.add.at(mass, observe, weight)
    np.add.at(total, observe, weight[:, None] * flat)
    mean = (total.T / np.where(mass > 0, mass, 1)).T[observe].reshape(values.shape)
    return np.where((mass[observe] > 0).reshape(-1, *[1] * (values.ndim - 1)), mean, values)


def check_features(value: object, states: int) -> np.ndarray:
    """Features [S, d], d >= 1, finite; else UsageError."""
    shape = array_of("features", value).shape
    width = shape[1] if len(shape) == 2 else 0
    if width == 0:
        raise UsageError(f"features must have shape [S, d] = [{states}, d >= 1], got {list(shape)}")
    return _numbers("features", value, {"[S, d]": (states, width)})


def load_npz(path: str | Path) -> Finite:
    """A finite problem from an `.npz` with P, R and optionally start, policy, behaviour, features, gamma.

    Raises UsageError in one line for a file that cannot be read, a wrong key, or a wrong array.
    """
    arrays = read_npz(path)
    for name in arrays:
        if name not in KEYS:
            raise unknown(f"array in {path}", name, KEYS)
    for name in ("P", "R"):
        if name not in arrays:
            raise UsageError(f"{path} has no array {name}; needed: P [S, A, S] and R [S, A] or [S, A, S]")
    try:
        return _finite(arrays)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _finite(arrays: dict[str, Any]) -> Finite:
    mdp = make_mdp(arrays["P"], arrays["R"], arrays.get("start"))
    S, A = mdp.states, mdp.actions
    gamma, features = arrays.get("gamma"), arrays.get("features")
    if gamma is not None:
        gamma = _numbers("gamma", gamma, {"a number": (), "one number": (1,)}).reshape(())
    acts: dict[str, MaybeArray] = {}
    for name in {"policy", "behaviour"} & set(arrays):
        acts[name] = distribution(name, arrays[name], {"[S, A]": (S, A)})
    return Finite(
        mdp,
        None if gamma is None else check_gamma(float(gamma)),
        features=None if features is None else check_features(features, S),
        **acts,
    )
