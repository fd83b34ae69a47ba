"""A user's matrices: what is read, and the one line with which everything else is refused."""

from pathlib import Path

import numpy as np
import pytest

from rlnut.errors import UsageError
from rlnut.truth.finite import Finite, from_toy_text, load_npz, make_mdp

P = np.array([[[0.5, 0.5, 0], [0, 0, 1]], [[0, 0, 1], [1, 0, 0]], [[0, 0, 1], [0, 0, 1]]])
R = np.array([[1.0, 2.0], [3.0, 4.0], [0.0, 0.0]])


def written(folder: Path, **arrays) -> Path:
    path = folder / "problem.npz"
    np.savez(path, **arrays)
    return path


def test_all_keys_are_read_and_an_absorbing_state_is_terminal(tmp_path: Path) -> None:
    pi, b = np.array([[0.25, 0.75]] * 3), np.array([[0.5, 0.5]] * 3)
    phi = np.arange(6.0).reshape(3, 2)
    path = written(tmp_path, P=P, R=R, start=[0.5, 0.5, 0], policy=pi, behaviour=b, features=phi, gamma=0.9)
    found = load_npz(path)
    np.testing.assert_array_equal(found.mdp.P, P)
    assert found.mdp.R[1, 0].tolist() == [3, 3, 3] and found.mdp.start.tolist() == [0.5, 0.5, 0]
    assert found.mdp.done[0, 1].tolist() == [0, 0, 1] and found.gamma == 0.9
    for ours, given in ((found.policy, pi), (found.behaviour, b), (found.features, phi)):
        np.testing.assert_array_equal(ours, given)


def test_defaults(tmp_path: Path) -> None:
    found = load_npz(written(tmp_path, P=P, R=R))
    assert found.mdp.start.tolist() == [0.5, 0.5, 0]  # the terminal state is left out
    assert (found.gamma, found.policy, found.behaviour, found.features) == (None, None, None, None)
    assert make_mdp(P, R, [0.2, 0.2, 0.6]).start.tolist() == [0.5, 0.5, 0]


def test_an_absorbing_state_that_pays_is_not_terminal() -> None:
    paying = R.copy()
    paying[2, 1] = 1.0
    assert make_mdp(P, paying).done.max() == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"P": P[:, :, :2]}, r"P must have shape \[S, A, S\], got \[3, 2, 2\]"),
        ({"P": P[0]}, r"P must have shape \[S, A, S\]"),
        ({"P": P * 0.9}, r"P must sum to 1 in each row, got 0.9 at \[0, 0\]"),
        ({"P": np.where(P == 0.5, np.nan, P)}, "P must be finite"),
        ({"P": P + np.array([0.2, -0.2, 0])}, "P must not be negative, got -0.2"),
        ({"P": P.astype(complex)}, "P must hold real numbers"),
        ({"R": R[:2]}, r"R must have shape \[S, A\] = \[3, 2\] or \[S, A, S\] = \[3, 2, 3\], got \[2, 2\]"),
        ({"R": np.full((3, 2), np.inf)}, "R must be finite"),
        ({"start": [0.5, 0.4, 0]}, "start must sum to 1 in each row, got 0.9"),
        ({"start": [0, 0, 1.0]}, "start puts all its probability on terminal states"),
        ({"start": [1.0, 0]}, r"start must have shape \[S\] = \[3\]"),
        ({"policy": np.ones((3, 2))}, r"policy must sum to 1 in each row, got 2 at \[0\]"),
        ({"behaviour": [[1.5, -0.5]] * 3}, "behaviour must not be negative"),
        ({"features": np.ones((2, 4))}, r"features must have shape \[S, d\] = \[3, 4\], got \[2, 4\]"),
        ({"features": np.ones(3)}, r"features must have shape \[S, d\]"),
        ({"gamma": 1.5}, "γ must be >= 0 and <= 1, got 1.5"),
        ({"gamma": np.nan}, "gamma must be finite"),
        ({"gama": 0.9}, r"unknown array in .* 'gama'. Did you mean gamma\?"),
        ({"P": np.tile(np.eye(3)[:, None], (1, 2, 1)), "R": R * 0}, "every state is terminal"),
    ],
)
def test_refusals_are_one_line(tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        load_npz(written(tmp_path, **{"P": P, "R": R, **change}))
    assert "\n" not in str(caught.value) and "problem.npz" in str(caught.value)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        load_npz(tmp_path / "missing.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(UsageError, match=r"not an \.npz"):
        load_npz(tmp_path / "text.npz")
    np.savez(tmp_path / "objects.npz", P=np.array([{}], dtype=object), R=R)
    with pytest.raises(UsageError, match=r"not an \.npz of plain arrays"):
        load_npz(tmp_path / "objects.npz")
    with pytest.raises(UsageError, match="has no array R"):
        load_npz(written(tmp_path, P=P))
    np.save(tmp_path / "one.npy", P)
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    with pytest.raises(UsageError, match=r"not an \.npz"):
        load_npz(tmp_path / "one.npz")


def test_toy_text_table_with_repeated_successors() -> None:
    """Two outcomes with one successor: rewards are averaged by their chances, and the end is a chance too."""
    table = {0: {0: [(0.25, 1, 4.0, True), (0.25, 1, 2.0, False), (0.5, 0, 1.0, False)]}, 1: {0: [(1.0, 1, 0.0, True)]}}
    mdp = from_toy_text(table, np.array([1.0, 0.0])).mdp
    assert mdp.P[0, 0].tolist() == [0.5, 0.5]
    assert mdp.R[0, 0].tolist() == [1.0, 3.0]
    assert mdp.done[0, 0].tolist() == [0.0, 0.5]


def test_arrays_in_python_are_what_a_file_is(tmp_path: Path) -> None:
    pi, phi = [[0.25, 0.75]] * 3, np.arange(6.0).reshape(3, 2)
    rest: dict = {"start": [1, 0, 0], "policy": pi, "features": phi, "gamma": 0.9}
    here = Finite.from_arrays(P.tolist(), R.tolist(), **rest)
    file = load_npz(written(tmp_path, P=P, R=R, **rest))
    for ours, theirs in zip((*here.mdp, *here[1:5]), (*file.mdp, *file[1:5]), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(UsageError, match=r"R must have shape \[S, A\]"):
        Finite.from_arrays(P, [1, 2, 3])
    with pytest.raises(UsageError, match="policy must sum to 1"):
        Finite.from_arrays(P, R, policy=np.ones((3, 2)))
