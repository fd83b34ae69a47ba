"""The perceptron: the step function g = ½(sign s + 1), s = θᵀ(x, 1), and a rule that learns from its mistakes only.

    θ ← θ + (y − g)(x, 1)            mistakes <= (R/γ)²   if a plane separates the classes with margin γ

Where labels near the plane are a matter of chance, no plane separates them: rows with s ≈ 0 flip θ for ever, and g says
"0" or "1" where the truth is "perhaps". The averaged θ calms down; the probability itself is the next chapter.
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from rlnut.demos.frame import Ask, Chapter
from rlnut.linear_models.least_squares import least_squares
from rlnut.linear_models.perceptron import perceptron
from rlnut.runtime.plotting import BLUE, GREEN, GREY, ORANGE, legend_above, panels, styled, whole_numbers

PLANE = np.array([2.0, -1.0, 0.3])  # (w, b) of the true plane
MARGINS = (0.4, 0.2, 0.1, 0.05, 0.02)


def separable(rows: int, margin: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Rows in [−1, 1]² at least `margin` from the true plane: x, y, and R and γ of the rows (x, 1) themselves."""
    x = rng.uniform(-1, 1, (40 * rows, 2))
    s = x @ PLANE[:2] + PLANE[2]
    far = np.flatnonzero(np.abs(s) >= margin * np.linalg.norm(PLANE))[:rows]
    longest = np.sqrt(1 + (x[far] ** 2).sum(1).max())
    return x[far], (s[far] >= 0).astype(int), longest, np.abs(s[far]).min() / np.linalg.norm(PLANE)


def chance(rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows in [−3, 3]² whose label is 1 with probability σ(s): x, y and s."""
    x = rng.uniform(-3, 3, (rows, 2))
    s = x @ PLANE[:2] + PLANE[2]
    return x, (rng.random(rows) < 1 / (1 + np.exp(-s))).astype(int), s


def chapter(ask: Ask, rows: int = 200, epochs: int = 20) -> Chapter:
    """Mistakes against Novikoff's bound for smaller and smaller margins; then labels that no plane separates."""
    rng = np.random.default_rng(ask.seed)
    counts, bounds, ended = [], [], True
    for margin in MARGINS:
        x, y, longest, gamma = separable(rows, margin, rng)
        found = perceptron(x, y, 10_000)
        counts.append(sum(found.mistakes))
        bounds.append(float((longest / gamma) ** 2))
        ended &= found.mistakes[-1] == 0

    (x, y, _), (x_test, y_test, s) = chance(2 * rows, rng), chance(20 * rows, rng)
    guess = {
        kind: np.stack([perceptron(x, y, k + 1, average=kind == "averaged").predict(x_test) for k in range(epochs)])
        for kind in ("last", "averaged")
    }
    errors = {kind: (found != y_test).mean(1) for kind, found in guess.items()}
    flips = {kind: float((found[1:] != found[:-1]).mean()) for kind, found in guess.items()}
    mistakes = perceptron(x, y, epochs).mistakes
    line = least_squares(x, y.astype(float)).predict(x_test)  # linear regression on the labels 0 and 1
    outside = float(((line < 0) | (line > 1)).mean())
    away_from_truth = float(np.abs(line - 1 / (1 + np.exp(-s))).max())
    wrong = guess["averaged"][-1] != y_test
    near, away = float(wrong[np.abs(s) < 0.5].mean()), float(wrong[np.abs(s) > 4].mean())

    return Chapter(
        "the step function learns from mistakes",
        {
            "margins": list(MARGINS),
            "mistakes": counts,
            "novikoff_bounds": bounds,
            "mistakes_per_epoch_by_chance": list(mistakes),
            "test_error_last": float(errors["last"].mean()),
            "test_error_averaged": float(errors["averaged"].mean()),
            "predictions_changed_per_epoch": flips,
            "error_near_s_0": near,
            "error_beyond_s_4": away,
            "linear_regression_outside_0_to_1": outside,
            "linear_regression_from_probability": away_from_truth,
        },
        {
            "where a plane separates the classes the mistakes end": ended,
            "and are no more than (R/γ)²": all(m <= bound for m, bound in zip(counts, bounds, strict=True)),
            "where labels are a matter of chance they do not end": min(mistakes) > 0,
            f"the averaged θ changes its mind less often: {flips['averaged']:.4f} of new rows an epoch against "
            f"{flips['last']:.4f}": flips["averaged"] < flips["last"] / 2,
            "and errs less on new rows": errors["averaged"].mean() < errors["last"].mean(),
            f"near s = 0 it is nearly a coin toss ({near:.2f} wrong), far away it is right ({away:.3f} wrong)": (
                near > 0.3 and away < 0.05
            ),
            f"linear regression on the labels is no probability: {100 * outside:.0f} % of it is below 0 or above 1": (
                outside > 0.01
            ),
        },
        draw((x_test, y_test, s), line, wrong, (counts, bounds), errors, epochs),
        (f"{rows} separable rows", f"{2 * rows} with chance", f"{20 * rows:,} new rows"),
    )


@styled()
def draw(
    points: tuple[np.ndarray, np.ndarray, np.ndarray],
    line: np.ndarray,
    wrong: np.ndarray,
    novikoff: tuple[list[float], list[float]],
    errors: dict[str, np.ndarray],
    epochs: int,
) -> Figure:
    figure, (step, bound, epoch, near) = panels(2, 2)
    _, y, s = points
    edges = np.linspace(-6, 6, 25)
    middle = (edges[1:] + edges[:-1]) / 2
    bins = np.digitize(s, edges) - 1
    share = [y[bins == i].mean() for i in range(len(middle))]
    fine = np.linspace(-6, 6, 300)
    step.plot(middle, share, "o", color=GREY, label="share of labels 1")
    step.step(fine, fine >= 0, color=ORANGE, lw=2, label="step function g(s)")
    fitted = [line[bins == i].mean() for i in range(len(middle))]
    step.plot(middle, fitted, ":", color=GREEN, lw=2.5, label="linear regression on labels")
    step.plot(fine, 1 / (1 + np.exp(-fine)), "--", color=BLUE, lw=2, label="σ(s), the truth")
    step.set(
        xlabel="s = θᵀ(x, 1) of the true θ",
        ylabel="label (share of labels 1)",
        title="It is sure where it should be in doubt",
    )
    legend_above(step)

    counts, bounds = novikoff
    bound.loglog(bounds, counts, "o", color=BLUE, ms=8, label="mistakes until none is left")
    ends = np.array([min(counts) / 2, 2 * max(bounds)])
    bound.loglog(ends, ends, color=GREY, label="(R/γ)²")
    bound.set(xlabel="Novikoff's bound (R/γ)²", ylabel="mistakes", title="Separable classes, margins 0.4 to 0.02")
    bound.legend()

    at = np.arange(1, epochs + 1)
    epoch.plot(at, 100 * errors["last"], "s--", color=ORANGE, label="last θ")
    epoch.plot(at, 100 * errors["averaged"], "o-", color=BLUE, label="averaged θ")
    epoch.set(xlabel="epochs", ylabel="error on new rows, %", title="Labels with chance: the last θ never settles")
    whole_numbers(epoch.xaxis)
    legend_above(epoch)

    best = 100 / (1 + np.exp(np.abs(fine)))
    near.bar(middle, [100 * wrong[bins == i].mean() for i in range(len(middle))], 0.42, color=BLUE, label="averaged θ")
    near.plot(fine, best, color=GREEN, lw=2, label="no rule can do better")
    near.set(xlabel="s of the true θ", ylabel="error on new rows, %", title="Mistakes are made where s ≈ 0")
    near.legend()
    return figure
