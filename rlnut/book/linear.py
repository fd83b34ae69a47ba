"""The walk of 1000 states (S&B figures 9.1, 9.2, 9.5 and 9.10) and Boyan's chain: features instead of a table."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import jax.numpy as jnp
import numpy as np

from rlnut.agents import lstd
from rlnut.book.figures import Curve, Page, Panel, Points
from rlnut.book.runs import Job, book_experience, learned_weights, long_runs, mean_and_error
from rlnut.envs.walks import boyan_chain, random_walk
from rlnut.errors import counted
from rlnut.features import maps
from rlnut.prediction.methods import METHODS, Prediction
from rlnut.prediction.td_rows import make_rows, table
from rlnut.truth.dynamic_programming import Chain, chain, values, visits
from rlnut.truth.finite import Finite
from rlnut.truth.fixed_points import td_fixed_point

STATES = np.arange(1000)
VE = "√VE, weighted by μ"


@cache
def _walk() -> tuple[Finite, Chain, np.ndarray, np.ndarray]:
    """The walk, its chain, its values and its on-policy distribution."""
    walk = random_walk(1000, 100)
    process = chain(walk.mdp, walk.policy)
    return walk, process, values(process, 1), visits(process)


def groups(number: int) -> np.ndarray:
    """State aggregation: [1000, number]."""
    return np.asarray(maps.aggregation(1000, number)(STATES), np.float64)


def tilings(number: int = 50, width: int = 200, offset: int = 4) -> np.ndarray:
    """Tilings whose tiles are `width` states wide, each `offset` states further on: [1000, number · tiles]."""
    tiles = (999 + offset * (number - 1)) // width + 1
    index = (STATES[:, None] + offset * np.arange(number)) // width
    return (index[..., None] == np.arange(tiles)).reshape(1000, -1).astype(float)


def _basis(name: str, order: int) -> np.ndarray:
    return np.asarray(getattr(maps, name)(1, order)((STATES + 1) / 1000), np.float64)


def _ve(w: np.ndarray, X: np.ndarray) -> np.ndarray:
    """√VE of weights [..., d] under μ: [...]."""
    _, _, v, mu = _walk()
    return np.sqrt((w @ X.T - v) ** 2 @ mu)


def _long(seed: int, runs: int, jobs: Mapping[str, tuple[Job, Points]], episodes: int, parts: int) -> list[Curve]:
    """√VE after every hundredth of `episodes`, mean over runs, and the reference points within them."""
    path = long_runs(_walk()[0], seed, runs, [job for job, _ in jobs.values()], parts, episodes // parts, 100 // parts)
    x = np.arange(1, 101) * (episodes // 100)
    curves = []
    for (label, (job, points)), w in zip(jobs.items(), path, strict=True):
        mean, error = mean_and_error(_ve(w, job.X))
        curves.append(Curve(label, x, mean, {e: y for e, y in points.items() if e <= episodes}, error))
    return curves


def figure_9_1(seed: int, runs: int, episodes: int = 100_000) -> Page:
    """Gradient Monte Carlo, 10 groups: how √VE falls, and where it ends."""
    points = {1000: 0.361, 10_000: 0.163, 100_000: 0.057}
    curves = _long(seed, runs, {"gradient MC α=2e-5": (Job("mc", groups(10), 2e-5), points)}, episodes, 20)
    panel = Panel("Figure 9.1", "episodes", VE, curves, log="xy")
    return Page("Walk of 1000 states, 10 groups: gradient Monte Carlo", [panel], ["γ = 1"])


def figure_9_2(seed: int, runs: int, episodes: int = 100_000) -> Page:
    """Left: semi-gradient TD(0), 10 groups. Right: n-step TD, 20 groups, first ten episodes, unweighted RMS error."""
    _, process, _, mu = _walk()
    X, points = groups(10), {1000: 0.393, 10_000: 0.265, 100_000: 0.116}
    curves = _long(seed, max(1, runs // 50), {"TD(0) α=2e-4": (Job("td0", X, 2e-4), points)}, episodes, 20)
    x, end = curves[0].x, float(_ve(td_fixed_point(process, X, mu, 1), X))
    curves.append(Curve("TD(0) fixed point", x, np.full(len(x), end), {int(x[-1]): 0.1167}))
    left = Panel("Figure 9.2 (left), 10 groups", "episodes", VE, curves, log="xy")
    facts = ["γ = 1", f"left: {counted(max(1, runs // 50), 'run')}"]
    return Page("Walk of 1000 states: bootstrapping with groups", [left, _n_step(seed, runs)], facts)


def _n_step(seed: int, runs: int) -> Panel:
    walk, _, v, _ = _walk()
    X, alphas = groups(20), np.linspace(0, 1, 21)
    best: dict[int, Points] = {
        1: {0.8: 0.352},
        2: {0.6: 0.306},
        4: {0.4: 0.288},
        8: {0.2: 0.304},
        16: {0.1: 0.342},
        32: {},
        64: {},
    }
    stream = book_experience(walk, seed, runs, episodes=10)
    curves = []
    for n, points in best.items():
        w = learned_weights(stream, "nstep", X, 0.0, alphas, 10, episodes=10, n=n)
        with np.errstate(all="ignore"):
            wrong = np.sqrt(((w @ X.T - v) ** 2).mean(-1)).mean(-1)
        mean, error = mean_and_error(np.moveaxis(wrong, -1, 0))
        curves.append(Curve(f"n={n}", alphas, mean, points, error))
    return Panel("Figure 9.2 (right), 20 groups", "α", "RMS error, first 10 episodes", curves, 0.55)


AT = (100, 500, 1000, 2000, 5000)


def figure_9_5(seed: int, runs: int, episodes: int = 5000) -> Page:
    """Gradient Monte Carlo with polynomials (α = 1e-4) and the Fourier basis (5e-5)."""
    table = {
        ("fourier", 5): (0.354, 0.223, 0.151, 0.086, 0.059),
        ("fourier", 10): (0.354, 0.223, 0.151, 0.089, 0.061),
        ("fourier", 20): (0.354, 0.223, 0.151, 0.089, 0.062),
        ("polynomial", 5): (0.376, 0.271, 0.208, 0.153, 0.139),
        ("polynomial", 10): (0.369, 0.262, 0.213, 0.167, 0.133),
        ("polynomial", 20): (0.366, 0.263, 0.218, 0.165, 0.129),
    }
    jobs = {
        f"{name} {order}": (
            Job("mc", _basis(name, order), 5e-5 if name == "fourier" else 1e-4),
            dict(zip(AT, row, strict=True)),
        )
        for (name, order), row in table.items()
    }
    curves = _long(seed, runs, jobs, episodes, 10)
    panel = Panel("Figure 9.5: gradient Monte Carlo", "episodes", VE, curves)
    facts = ["γ = 1", "α = 5e-5 (Fourier), 1e-4 (polynomials)"]
    return Page("Walk of 1000 states: Fourier basis against polynomials", [panel], facts)


def figure_9_10(seed: int, runs: int, episodes: int = 5000) -> Page:
    """Gradient Monte Carlo with 50 tilings against one aggregation, tiles of 200 states."""
    table = {50: (0.358, 0.250, 0.174, 0.121, 0.074), 1: (0.362, 0.254, 0.182, 0.131, 0.114)}
    jobs = {
        f"{number} tiling{'s' * (number > 1)}": (
            Job("mc", tilings(number), 1e-4 / number),
            dict(zip(AT, row, strict=True)),
        )
        for number, row in table.items()
    }
    curves = _long(seed, runs, jobs, episodes, 10)
    panel = Panel("Figure 9.10: gradient Monte Carlo", "episodes", VE, curves)
    facts = ["γ = 1", "α = 1e-4 over the number of tilings"]
    return Page("Walk of 1000 states: tile coding against one aggregation", [panel], facts)


def boyan(seed: int, runs: int) -> Page:
    """Boyan's chain (1999): LSTD(0), LSTD(1) and TD(0) after each of 100 trajectories, RMS error over 12 states."""
    problem, at, every = boyan_chain(), (1, 5, 10, 50, 100), 100
    X, true, w0 = problem.features, np.arange(-24, 0, 2), np.zeros(4)
    stream = book_experience(problem, seed, runs, episodes=every)
    rows = make_rows(stream, METHODS["td0"], Prediction(episodes=every), None, False, every)
    known = {
        "LSTD(0)": (1.76, 0.754, 0.496, 0.247, 0.171),
        "LSTD(1)": (1.74, 0.752, 0.504, 0.247, 0.170),
        "TD(0) α=0.1": (14.1, 11.9, 9.30, 0.66, 0.37),
        "TD(0) α=0.2": (13.6, 9.48, 5.40, 0.52, 0.50),
    }
    points = {label: dict(zip(at, row, strict=True)) for label, row in known.items()}
    points["TD(0) α=0.5"] = {every: 0.79}  # its floor
    solved = [lstd.lstd(table, (X, X, jnp.asarray(w0)), rows, lam, w0, every) for lam in (0.0, 1.0)]
    followed = learned_weights(stream, "td0", X, w0, np.array([0.1, 0.2, 0.5]), every, episodes=every)
    curves = []
    for (label, reference), w in zip(points.items(), [*solved, *followed], strict=True):
        mean, error = mean_and_error(np.sqrt(((w @ X[:12].T - true) ** 2).mean(-1)))
        curves.append(Curve(label, np.arange(1, every + 1), mean, reference, error))
    panel = Panel("13 states, 4 features", "trajectories", "RMS error", curves, log="xy")
    return Page("Boyan's chain: least squares against TD(0)", [panel], ["γ = 1"])
