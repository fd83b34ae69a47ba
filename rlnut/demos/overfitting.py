"""Overfitting: what fits the training rows ever better fits new rows ever worse, and what a penalty does about it.

    E(θ) = (1/n) Σᵢ (yᵢ − θᵀφ(xᵢ))² + λ‖θ‖²   (ridge)      or  + λ‖θ‖₁   (lasso)

The training error can only fall with the degree of a polynomial, since each class of models holds the one before. A
penalty buys a little bias for much less variance. L¹ sets coefficients to exactly 0, L² only makes them small.

Degree and λ are chosen on validation rows. The test rows are looked at once, after that: the least error of many on the
rows that chose it would be too low. Generalised cross-validation needs no validation rows, but it judges by the
training rows alone: with 24 of them and 16 coefficients its choice of λ may be far off, and the picture shows both.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure

from rlnut.data.small_tables import sparse
from rlnut.demos.frame import Ask, Chapter
from rlnut.features.maps import polynomial
from rlnut.linear_models.lasso import LassoPath, lasso_path
from rlnut.linear_models.least_squares import RidgePath, least_squares, ridge_path
from rlnut.linear_models.solution import Solution
from rlnut.runtime.plotting import BLUE, GREEN, GREY, ORANGE, legend_above, panels, styled, whole_numbers
from rlnut.types import Array

NOISE = 0.3
HELD = 200  # validation rows
DEGREES = range(16)


def wave(rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """y = sin πx + noise, x in [−1, 1]."""
    x = rng.uniform(-1, 1, (rows, 1))
    return x, np.sin(np.pi * x[:, 0]) + NOISE * rng.normal(size=rows)


def mse(found: Solution, x: Array, y: Array) -> float:
    return float(np.mean((found.predict(x) - y) ** 2))


def chapter(ask: Ask, rows: int = 24) -> Chapter:
    """Polynomials of growing degree; ridge on the highest one; lasso where 5 of 50 columns matter."""
    rng = np.random.default_rng(ask.seed)
    (x, y), (x_test, y_test), (x_held, y_held) = wave(rows, rng), wave(2000, rng), wave(HELD, rng)
    fits = [least_squares(polynomial(1, d)(x), y, intercept=False) for d in DEGREES]
    train = [mse(fit, polynomial(1, d)(x), y) for d, fit in zip(DEGREES, fits, strict=True)]
    test = [mse(fit, polynomial(1, d)(x_test), y_test) for d, fit in zip(DEGREES, fits, strict=True)]
    best = int(np.argmin([mse(fit, polynomial(1, d)(x_held), y_held) for d, fit in zip(DEGREES, fits, strict=True)]))

    phi = polynomial(1, DEGREES[-1])
    lams = np.logspace(-12, 1, 60)
    ridge = ridge_path(phi(x), y, lams)
    held_error = np.mean((ridge.coef @ phi(x_held).T + ridge.intercept[:, None] - y_held) ** 2, 1)
    shrunk, chosen = ridge.choose(held_error)
    by_gcv, gcv_lambda = ridge.choose(ridge.gcv)
    ridge_test, gcv_test = mse(shrunk, phi(x_test), y_test), mse(by_gcv, phi(x_test), y_test)
    bent = ridge.coef @ phi(x_test).T + ridge.intercept[:, None]  # [λ, rows]

    few, new, held = sparse(60, ask.seed), sparse(2000, ask.seed + 1), sparse(HELD, ask.seed + 2)
    matters = np.array(few.truth["theta"]) != 0
    path = lasso_path(few.x, few.y, count=60)
    at = int(np.argmin(np.mean((held.x @ path.coef.T + path.intercept - held.y[:, None]) ** 2, 0)))
    lasso_test = float(np.mean((new.x @ path.coef[at] + path.intercept[at] - new.y) ** 2))
    zeros = path.coef[at] == 0
    plain, small = least_squares(few.x, few.y), ridge_path(few.x, few.y, lams)
    plain_test, ridge_sparse = mse(plain, new.x, new.y), small.choose(small.gcv)[0]

    return Chapter(
        f"{rows} noisy points of a sine, polynomials of degree 0 to {DEGREES[-1]}; 60 rows of 50 columns, 5 matter",
        {
            "train_mse": train,
            "test_mse": test,
            "chosen_degree": best,
            "chosen_degree_test_mse": test[best],
            "noise_variance": NOISE**2,
            "ridge_lambda": chosen,
            "ridge_test_mse": ridge_test,
            "gcv_lambda": gcv_lambda,
            "gcv_test_mse": gcv_test,
            "lasso_lambda": float(path.l1[at]),
            "lasso_test_mse": lasso_test,
            "least_squares_test_mse": plain_test,
            "ridge_sparse_test_mse": mse(ridge_sparse, new.x, new.y),
            "lasso_zeros": int(zeros.sum()),
            "lasso_relative_gap": float((path.gap / path.objective).max()),
        },
        {
            "training error falls with every degree": all(b <= a + 1e-12 for a, b in pairwise(train)),
            f"degree {best}, chosen on validation rows, errs half as much on test rows as {DEGREES[-1]}, or less": (
                2 < best < 10 and test[-1] > 2 * test[best]
            ),
            "ridge of the highest degree errs less than half as much on new rows": ridge_test < test[-1] / 2,
            f"its λ from {HELD} validation rows errs no more than 1.1 times as much as the best λ of all": (
                ridge_test <= 1.1 * np.mean((bent - y_test) ** 2, 1).min()
            ),
            f"lasso keeps the 5 columns that matter; {zeros.sum()} of 45 others are exactly 0": (
                not zeros[matters].any() and zeros.sum() >= 15
            ),
            "least squares and ridge have no zero": plain.coef.all() and ridge_sparse.coef.all(),
            "lasso errs less on new rows than least squares": lasso_test < plain_test,
            "lasso's duality gap proves it to 1e-6": bool((path.gap <= 1e-6 * path.objective).all()),
        },
        draw((x, y), fits, best, (train, test), (ridge, bent, y_test, (chosen, gcv_lambda)), (path, matters, at)),
        (f"{rows} training rows", f"{HELD} validation rows", "2,000 new rows", f"noise {NOISE:g}"),
    )


@styled()
def draw(
    points: tuple[np.ndarray, np.ndarray],
    fits: list[Solution],
    best: int,
    curves: tuple[list[float], list[float]],
    ridge: tuple[RidgePath, np.ndarray, np.ndarray, tuple[float, float]],
    lasso: tuple[LassoPath, np.ndarray, int],
) -> Figure:
    figure, (data, degree, strength, sparsity) = panels(2, 2)
    grid = np.linspace(-1, 1, 400)[:, None]
    data.plot(points[0][:, 0], points[1], "o", color=GREY, label="training rows")
    for d, colour, style in ((1, GREEN, ":"), (best, BLUE, "-"), (DEGREES[-1], ORANGE, "--")):
        data.plot(grid[:, 0], fits[d].predict(polynomial(1, d)(grid)), style, color=colour, lw=2, label=f"degree {d}")
    data.set(xlabel="x", ylabel="y", ylim=(-2.2, 2.8), title="Too stiff, chosen, too free")
    data.legend(ncols=2, loc="upper left")

    train, test = (np.maximum(c, 1e-6) for c in curves)
    degree.semilogy(DEGREES, train, "o-", color=BLUE, label="training rows")
    degree.semilogy(DEGREES, test, "s--", color=ORANGE, label="new rows")
    degree.axhline(NOISE**2, color=GREY, lw=1, label="noise")
    degree.axvline(best, color=BLUE, lw=1, ls=":", label="chosen on validation rows")
    degree.set(
        xlabel="degree of the polynomial",
        ylabel="mean squared error",
        title="The training error only falls, the error on new rows does not",
    )
    whole_numbers(degree.xaxis)
    legend_above(degree)

    path, bent, y_test, (chosen, gcv_lambda) = ridge
    phi = polynomial(1, DEGREES[-1])(points[0])
    fitted = path.coef @ phi.T + path.intercept[:, None]
    strength.loglog(path.lams, np.mean((fitted - points[1]) ** 2, 1), color=BLUE, label="training rows")
    strength.loglog(path.lams, np.mean((bent - y_test) ** 2, 1), "--", color=ORANGE, label="new rows")
    strength.axvline(chosen, color=BLUE, lw=1, ls=":", label="chosen on validation rows")
    strength.axvline(gcv_lambda, color=GREEN, lw=1, ls="-.", label=f"GCV on {len(points[1])} training rows")
    strength.set(xlabel="λ", ylabel="mean squared error", title=f"Ridge tames degree {DEGREES[-1]}")
    legend_above(strength)

    found, matters, at = lasso
    for j in np.argsort(matters):
        sparsity.semilogx(found.l1, found.coef[:, j], color=BLUE if matters[j] else GREY, lw=2 if matters[j] else 0.8)
    sparsity.plot([], [], color=BLUE, lw=2, label="5 that matter")
    sparsity.plot([], [], color=GREY, lw=0.8, label="45 others")
    sparsity.axvline(found.l1[at], color=ORANGE, lw=1, label="chosen on validation rows")
    sparsity.set(xlabel="λ", ylabel="coefficient θⱼ", ylim=(-4.4, 3.5), title="Lasso: coefficients reach exactly 0")
    legend_above(sparsity, 3)
    return figure
