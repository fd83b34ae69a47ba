"""The coefficients of a linear fit: by their names with their standard errors, as images, and the path of the lasso."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from rlnut.errors import counted
from rlnut.linear_models.lasso import LassoPath
from rlnut.runtime.plotting import (
    GREY,
    LINES,
    ORANGE,
    PALETTE,
    caption,
    heading,
    legend_above,
    legend_beside,
    new_figure,
    panels,
    styled,
)

SHOWN = 30  # coefficients
NAMED = 8  # curves of a path that have a colour of their own
OUTPUTS = 7  # outputs or classes whose dots can be told apart


def largest(coef: np.ndarray, deviation: np.ndarray, most: int = SHOWN) -> np.ndarray:
    """The columns j [k] whose effect |θⱼ| · deviation of xⱼ is largest, the largest first; coef is [p] or [p, K]."""
    effect = np.abs(coef.reshape(len(coef), -1)).max(1) * deviation
    return np.argsort(-effect, kind="stable")[:most]


@styled()
def coefficient_figure(
    coef: np.ndarray,
    deviation: np.ndarray,
    names: Sequence[str],
    title: str,
    outputs: Sequence[str] = (),
    errors: np.ndarray | None = None,
    facts: Sequence[str] = (),
) -> Figure:
    """Effects θⱼ · (deviation of column j) of coefficients [p] or [p, K], the largest above, with ±1 standard error.

    A column's own θⱼ is written beside its name, so that columns of any unit can be compared and read.
    """
    order = largest(coef, deviation)
    single = coef.ndim == 1
    coef, errors = coef.reshape(len(coef), -1), None if errors is None else errors.reshape(len(coef), -1)
    figure = new_figure(8.5, 1.8 + 0.3 * len(order) + 0.2)
    axis = figure.subplots()
    place, count = np.arange(len(order)), min(coef.shape[1], OUTPUTS)
    for k in range(count):
        shift = 0.0 if count == 1 else 0.6 * (k / (count - 1) - 0.5)
        bar = None if errors is None else errors[order, k] * deviation[order]
        axis.errorbar(
            coef[order, k] * deviation[order], place + shift, xerr=bar, fmt="os^Dvp*"[k], color=PALETTE[k],
            label=outputs[k] if k < len(outputs) else f"output {k}",
        )  # fmt: skip
    axis.axvline(0, color=GREY, lw=1)
    labels = []
    for j in order:
        sure = "" if errors is None else f" ± {errors[j, 0]:.3g}"
        labels.append(f"{names[j]}   θ = {coef[j, 0]:.3g}{sure}" if single else names[j])
    axis.set_yticks(place, labels)
    axis.invert_yaxis()
    axis.set_xlabel("θ × standard deviation of the column" + (", ±1 standard error" if errors is not None else ""))
    if not single:
        legend_above(axis, 4)
    heading(figure, title)
    hidden = len(coef) - len(order)
    notes = [f"The {len(order)} largest of {counted(len(coef), 'coefficient')}."] if hidden else []
    if coef.shape[1] > count:
        notes.append(f"The first {count} of {coef.shape[1]} outputs.")
    caption(figure, *facts, notes=notes)
    return figure


@styled()
def template_figure(
    coef: np.ndarray, shape: tuple[int, int], classes: Sequence[object], title: str, facts: Sequence[str] = ()
) -> Figure:
    """Coefficients [H · W, M] as an image for each class: where ink speaks for it (orange) and against it (purple)."""
    count = coef.shape[1]
    columns = min(5, count)
    lines = -(-count // columns)
    figure = new_figure(2.1 * columns + 1.2, 2.2 * lines + 0.8)
    axes = np.ravel(figure.subplots(lines, columns))
    most = float(np.abs(coef).max()) * 0.8 or 1.0
    for axis in axes:
        axis.set_axis_off()
    for m, axis in zip(range(count), axes, strict=False):
        image = axis.imshow(coef[:, m].reshape(shape), cmap="PuOr_r", vmin=-most, vmax=most)
        axis.set_title(str(classes[m]), loc="center")
    figure.colorbar(image, ax=axes.tolist(), label="θ of a pixel (> 0: speaks for the class)", shrink=0.8)
    heading(figure, title)
    caption(figure, *facts)
    return figure


@styled()
def lasso_figure(
    path: LassoPath, chosen: float, deviation: np.ndarray, names: Sequence[str], title: str, facts: Sequence[str] = ()
) -> Figure:
    """Coefficients × deviation of their column along λ₁, and how many are not 0."""
    figure, (curves, kept) = panels(1, 2, 6.0, 4.6)
    named = largest(path.coef[-1], deviation, NAMED)
    effect = path.coef * deviation
    others = [j for j in range(effect.shape[1]) if j not in named]
    for j in others:
        curves.plot(path.l1, effect[:, j], color=GREY, lw=0.8)
    for i, j in enumerate(named):
        curves.plot(path.l1, effect[:, j], color=PALETTE[i % 7], ls=LINES[i // 7], label=names[j])
    kept.step(path.l1, (path.coef != 0).sum(1), where="mid", color=PALETTE[0])
    for axis in (curves, kept):
        axis.set_xscale("log")
        axis.set_xlabel("λ₁")
        axis.axvline(chosen, color=ORANGE, lw=1, ls="--", label=f"λ₁ = {chosen:.3g}" if axis is curves else None)
    curves.set(ylabel="θ × standard deviation of the column", title="Coefficients reach exactly 0")
    kept.set(ylabel="coefficients that are not 0", title="How many are kept")
    kept.yaxis.get_major_locator().set_params(integer=True)
    legend_beside(curves)
    heading(figure, title)
    caption(figure, *facts)
    return figure
