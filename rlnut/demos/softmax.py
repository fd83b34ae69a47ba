"""Softmax regression: ten digits, one template θ_m for each, all as pictures.

    P(y = m | x) = e^{−θ_m·x} / Σₖ e^{−θ_k·x}            (the lecture's sign, as in statistical mechanics)

θ_m·x is the energy of "x is an m": ink where θ_m < 0 lowers it and speaks for m, ink where θ_m > 0 speaks against it.
The library writes e^{+W_m·x}, so W = −θ. With two digits softmax is logistic regression with θ = θ₀ − θ₁.
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from rlnut.data.dataset import Dataset
from rlnut.demos.frame import Ask, Chapter, digits
from rlnut.linear_models.logistic import logistic
from rlnut.runtime.plotting import BLUE, GREY, ORANGE, new_figure, plain_frame, styled


def lecture_probabilities(theta: np.ndarray, energy_0: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The lecture's formula, word for word: e^{−θ_m·x − b_m} over its sum, [B, M]."""
    weight = np.exp(-(x @ theta + energy_0))
    return weight / weight.sum(1, keepdims=True)


def chapter(ask: Ask, rows: int = 4000) -> Chapter:
    """Fit to the minimum, judge on new digits, and look at θ; then 3 against 8 in both ways."""
    data = digits(ask, rows)
    x, x_test = (part.reshape(len(part), -1) / 255.0 for part in (data.x_train, data.x_test))
    lam = 1e-4 if ask.full else 5e-3
    found = logistic(x, data.y_train, lam, tol=1e-5)
    theta, offset = -found.solution.coef, -found.solution.intercept
    p = lecture_probabilities(theta, offset, x_test)
    right = found.predict(x_test) == data.y_test
    sign = float(np.abs(p - found.probabilities(x_test)).max())
    each = [float(right[data.y_test == m].mean()) for m in range(10)]
    goal = 0.92 if ask.full else 0.85 if rows >= 4000 else 0.75

    pair = np.isin(data.y_train, (3, 8))
    two = logistic(x[pair], data.y_train[pair], 0.01, softmax=True)
    one = logistic(x[pair], data.y_train[pair], 0.005)
    apart = float(np.abs(two.solution.coef[:, 1] - two.solution.coef[:, 0] - one.solution.coef).max())
    shifted = float(np.abs(lecture_probabilities(theta + theta[:, :1], offset, x_test) - p).max())

    return Chapter(
        f"{len(x):,} digits of {data.name} to learn from, {len(x_test):,} to judge by",
        {
            "train_size": len(x),
            "test_size": len(x_test),
            "lambda": lam,
            "objective": found.solution.objective,
            "gradient_norm": found.gradient,
            "test_accuracy": float(right.mean()),
            "test_accuracy_of_each_digit": each,
            "two_classes_from_logistic": apart,
        },
        {
            f"{100 * right.mean():.1f} % of new digits are read right, at least {100 * goal:g} %": right.mean() >= goal,
            f"the lecture's e^(−θ·x) with θ = −W is the same probability ({sign:.0e})": sign < 1e-10,
            f"one vector added to every θ_m changes no probability ({shifted:.0e})": shifted < 1e-10,
            f"with two classes it is logistic regression ({apart:.0e})": apart < 1e-5,
        },
        draw(-theta.reshape(28, 28, 10), data, p, np.array(each)),
        (f"λ = {lam:g}", f"{len(x):,} training rows", f"{len(x_test):,} test rows"),
    )


@styled()
def draw(templates: np.ndarray, data: Dataset, p: np.ndarray, each: np.ndarray) -> Figure:
    """The templates W = −θ [28, 28, 10] (ink where W > 0 speaks for the digit); how often each digit is read right."""
    figure = new_figure(11, 8)
    above, below = np.asarray(figure.subfigures(2, 1, height_ratios=(2, 1)), object)
    axes = above.subplots(2, 5).ravel()
    most = np.abs(templates).max() * 0.8
    for m, axis in enumerate(axes):
        image = axis.imshow(templates[..., m], cmap="PuOr_r", vmin=-most, vmax=most)
        axis.set_title(f"−θ{'₀₁₂₃₄₅₆₇₈₉'[m]}")
        axis.axis("off")
    label = "−θ of a pixel: ink where it is\n> 0 (orange) speaks for the digit,\n< 0 (purple) against it"
    above.colorbar(image, ax=axes.tolist(), label=label, shrink=0.8)

    digit, says, wrong = below.subplots(1, 3, width_ratios=(1, 2, 2))
    names = [str(m) for m in range(10)]
    doubt = int(np.argmin(np.abs(p.max(1) - 0.6)))
    digit.imshow(data.x_test[doubt], cmap="Greys")
    digit.set_title(f"A {data.y_test[doubt]}, in doubt")
    digit.axis("off")
    says.bar(names, p[doubt], color=[ORANGE if m == data.y_test[doubt] else BLUE for m in range(10)])
    says.set(xlabel="digit m", ylabel="P(y = m | x)", title="What softmax says of it (orange: right)")
    rows = np.bincount(data.y_test, minlength=10)
    wrong.bar(names, 100 * (1 - each), yerr=100 * np.sqrt(each * (1 - each) / rows), color=GREY)
    wrong.set(xlabel="digit", ylabel="read wrong, % (±1σ)", title=f"Errors on {len(data.y_test):,} new digits")
    plain_frame(says, wrong, grid=False)
    return figure
