"""The diamond and the disc: why ‖θ‖₁ sets coefficients to exactly 0, and ‖θ‖₂² only makes them small.

    least E(θ) where ‖θ‖₁ <= t   (lasso, a diamond)        least E(θ) where ‖θ‖₂ <= t   (ridge, a disc)

A penalty λ‖θ‖ and a limit t on ‖θ‖ describe the same solutions. The curves of equal cost are ellipses around the least
squares solution. The smallest that touches the diamond often touches a corner, where a coefficient is 0; a disc has no
corners. With orthonormal columns, (1/n) XᵀX = 1, both have a formula in the least squares coefficient z:

    lasso   θ = sign(z) max(|z| − λ/2, 0)                  ridge   θ = z/(1 + λ)
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlnut.demos.frame import Ask, Chapter
from rlnut.linear_models.lasso import lasso
from rlnut.linear_models.least_squares import least_squares
from rlnut.linear_models.solution import Solution
from rlnut.runtime.plotting import BLUE, GREEN, GREY, ORANGE, legend_above, panels, styled

ROWS = 100
TRUTH = np.array([1.5, 0.15])
SIZES = (2, 5, 20)  # numbers of columns


def boundary(norm: int, size: float, points: int = 4000) -> np.ndarray:
    """Points θ [points, 2] with ‖θ‖₁ or ‖θ‖₂ = size."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], 1)
    return size * circle / np.linalg.norm(circle, norm, axis=1, keepdims=True)


def squared_cost(theta: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """E(θ) = (1/n) Σ (y − θᵀx)² of each θ [..., 2]."""
    return ((y - theta @ x.T) ** 2).mean(-1)


def zero_shares(columns: int, problems: int, rng: np.random.Generator) -> tuple[float, float]:
    """Share of coefficients that are exactly 0, by lasso and by ridge, over random problems."""
    zeros = np.zeros(2)
    for _ in range(problems):
        x = rng.normal(size=(ROWS, columns))
        y = x @ rng.normal(0, 0.5, columns) + rng.normal(size=ROWS)
        zeros += [(lasso(x, y, 0.6).coef == 0).mean(), (least_squares(x, y, 0.6).coef == 0).mean()]
    return float(zeros[0] / problems), float(zeros[1] / problems)


def chapter(ask: Ask, problems: int = 60) -> Chapter:
    """Two columns, drawn; the formulas for orthonormal columns; how often each penalty gives a 0."""
    rng = np.random.default_rng(ask.seed)
    x = rng.normal(size=(ROWS, 2)) @ np.array([[1, 0.5], [0, 0.8]])
    y = x @ TRUTH + 0.5 * rng.normal(size=ROWS)
    fits = {1: lasso(x, y, 0.8, intercept=False), 2: least_squares(x, y, 0.4, intercept=False)}
    sizes = {norm: float(np.linalg.norm(fit.coef, norm)) for norm, fit in fits.items()}
    touch = {}
    for norm, fit in fits.items():
        edge = boundary(norm, sizes[norm])
        touch[norm] = float(np.linalg.norm(edge[squared_cost(edge, x, y).argmin()] - fit.coef))

    columns = np.linalg.qr(rng.normal(size=(ROWS, 41)))[0] * np.sqrt(ROWS)
    z = np.linspace(-2, 2, 41)
    shrunk = {1: lasso(columns, columns @ z, 1.0, intercept=False).coef}
    shrunk[2] = least_squares(columns, columns @ z, 1.0, intercept=False).coef
    formula = {1: np.sign(z) * np.maximum(np.abs(z) - 0.5, 0), 2: z / 2}
    off = {norm: float(np.abs(shrunk[norm] - formula[norm]).max()) for norm in shrunk}
    shares = {size: zero_shares(size, problems, rng) for size in SIZES}

    return Chapter(
        "two limits on θ, a diamond and a disc: the diamond has corners",
        {
            "lasso_theta": fits[1].coef,
            "ridge_theta": fits[2].coef,
            "least_squares_theta": least_squares(x, y, intercept=False).coef,
            "norm_1_of_lasso": sizes[1],
            "norm_2_of_ridge": sizes[2],
            "share_of_zeros_lasso": {str(size): share[0] for size, share in shares.items()},
            "share_of_zeros_ridge": {str(size): share[1] for size, share in shares.items()},
        },
        {
            f"lasso stops on a corner: θ = ({fits[1].coef[0]:.3f}, {fits[1].coef[1]:g})": (
                fits[1].coef[1] == 0 and fits[1].coef[0] != 0
            ),
            f"ridge does not: θ = ({fits[2].coef[0]:.3f}, {fits[2].coef[1]:.3f})": bool(fits[2].coef.all()),
            "no point of the diamond's edge costs less than lasso's": touch[1] < 0.005,
            "no point of the circle costs less than ridge's": touch[2] < 0.005,
            f"with orthonormal columns both are the formulas ({max(off.values()):.0e})": max(off.values()) < 1e-8,
            f"of {SIZES[-1]} random coefficients lasso sets {100 * shares[SIZES[-1]][0]:.0f} % to 0, ridge none": (
                shares[SIZES[-1]][0] > 0.1 and not any(share[1] for share in shares.values())
            ),
        },
        draw(x, y, fits, (z, shrunk, formula), shares),
        (f"{ROWS} rows, λ = 0.8 (lasso), 0.4 (ridge)", f"{problems} random problems of each size, λ = 0.6 for both"),
    )


def draw_limit(axis: Axes, norm: int, fit: Solution, x: np.ndarray, y: np.ndarray) -> None:
    """The limit on ‖θ‖, curves of equal cost, and where they touch."""
    side = np.linspace(-1.3, 2.2, 200)
    grid = np.stack(np.meshgrid(side, side), -1)
    least = least_squares(x, y, intercept=False).coef
    cost = squared_cost(grid, x, y)
    touching = float(squared_cost(fit.coef, x, y))
    lowest = float(squared_cost(least, x, y))
    levels = lowest + (touching - lowest) * np.array([0.1, 0.4, 1, 2.2, 4, 7, 12])
    axis.contour(side, side, cost, levels, colors=GREY, linewidths=np.where(np.arange(7) == 2, 1.8, 0.7))
    axis.fill(*boundary(norm, float(np.linalg.norm(fit.coef, norm))).T, color=SHADE[norm], alpha=0.3)
    axis.axhline(0, color=GREY, lw=0.8)
    axis.axvline(0, color=GREY, lw=0.8)
    axis.plot(*least, "x", color=GREEN, ms=8, mew=2, label="least squares")
    axis.plot(*fit.coef, "o", color=SHADE[norm], ms=8, label=f"{NAMES[norm]}: ({fit.coef[0]:.2f}, {fit.coef[1]:.2f})")
    axis.set(xlabel="θ₁", ylabel="θ₂", aspect="equal", xlim=(-1.3, 2.2), ylim=(-1.3, 1.3))
    axis.set_title(f"{LIMITS[norm]}: curves of equal E touch it")
    axis.grid(False)
    legend_above(axis)


NAMES, LIMITS, SHADE = {1: "lasso", 2: "ridge"}, {1: "A diamond, ‖θ‖₁ ≤ t", 2: "A disc, ‖θ‖₂ ≤ t"}, {1: BLUE, 2: ORANGE}


@styled()
def draw(
    x: np.ndarray,
    y: np.ndarray,
    fits: dict[int, Solution],
    shrinking: tuple[np.ndarray, dict[int, np.ndarray], dict[int, np.ndarray]],
    shares: dict[int, tuple[float, float]],
) -> Figure:
    figure, (diamond, disc, shrink, zero) = panels(2, 2)
    for axis, norm in ((diamond, 1), (disc, 2)):
        draw_limit(axis, norm, fits[norm], x, y)
    z, found, formula = shrinking
    shrink.plot(z, z, color=GREY, lw=1, label="least squares")
    for norm, marker in ((1, "o"), (2, "s")):
        shrink.plot(z, formula[norm], color=SHADE[norm], label=f"{NAMES[norm]}, formula")
        shrink.plot(z, found[norm], marker, color=SHADE[norm], ms=4, label=f"{NAMES[norm]}, found")
    shrink.set(xlabel="z, the least squares coefficient", ylabel="θ", title="Orthonormal columns, λ = 1")
    legend_above(shrink, 3)
    place = np.arange(len(shares))
    for i, norm in enumerate((1, 2)):
        height = [100 * s[i] for s in shares.values()]
        bars = zero.bar(place + 0.4 * i - 0.2, height, 0.4, color=SHADE[norm], label=NAMES[norm])
        zero.bar_label(bars, fmt="%.0f", fontsize=9)
    zero.set(xlabel="columns", ylabel="coefficients that are 0, %", title="Only lasso gives exact zeros")
    zero.set_xticks(place, [str(size) for size in shares])
    legend_above(zero)
    return figure
