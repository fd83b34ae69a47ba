"""The figures of a fit: the learning curve; predicted against true values, or confusion matrix and misread images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from rlnut.errors import counted
from rlnut.runtime.plotting import (
    BLUE,
    GREY,
    ORANGE,
    caption,
    heading,
    legend_above,
    line_style,
    map_frame,
    new_figure,
    panels,
    styled,
    whole_numbers,
)
from rlnut.supervised.epochs import Epoch
from rlnut.supervised.predicted_rows import PredictedRows, mistakes

WRITTEN = 20  # classes, up to which a confusion matrix has its numbers in the cells
SHOWN = 32  # misread images
MANY = 2000  # dots, from which on they are smaller and paler


@styled()
def learning_figure(history: Sequence[Epoch], title: str, facts: Sequence[str] = ()) -> Figure:
    """Cost against epoch, and the validation figures where rows were held out."""
    held = history[0].validation_cost is not None
    figure, axes = panels(1, 2 if held else 1, 5.6 if held else 7.0, 4.0)
    epochs, marker = [e.epoch for e in history], "o" if len(history) <= 50 else ""
    axes[0].plot(epochs, [e.cost for e in history], marker=marker, color=BLUE, label="training, with noise and penalty")
    if held:
        style = {"marker": marker and "s", "ls": "--", "color": ORANGE}
        axes[0].plot(epochs, [e.validation_cost for e in history], label="validation", **style)
        axes[1].plot(epochs, [e.validation_score for e in history], **style)
        axes[1].set(xlabel="epoch", ylabel="validation score", title="The score of held-out rows")
    axes[0].set(xlabel="epoch", ylabel="cost E", title="The cost while learning")
    legend_above(axes[0])
    for axis in axes:
        whole_numbers(axis.xaxis)
    heading(figure, title)
    caption(figure, *facts)
    return figure


@styled()
def residual_figure(rows: PredictedRows, title: str, target: str = "y", facts: Sequence[str] = ()) -> Figure:
    """Predicted against true values, on the diagonal where they agree; and the residuals against the prediction."""
    true, predicted = (values.reshape(len(values), -1) for values in (rows.true, rows.predicted))
    residual = true - predicted
    rms = np.sqrt((residual**2).mean(0))
    figure, (both, left) = panels(1, 2, 5.6, 4.6)
    few = len(true) <= MANY
    dot = {"ls": "", "ms": 4 if few else 2, "alpha": 0.6 if few else 0.25, "rasterized": not few}
    for k in range(true.shape[1]):
        marker, colour = "os^Dvp*"[k % 7], line_style(k)["color"]
        label = target if true.shape[1] == 1 else f"{target}[{k}]"
        both.plot(true[:, k], predicted[:, k], marker=marker, color=colour, label=label, **dot)
        left.plot(predicted[:, k], residual[:, k], marker=marker, color=colour, label=label, **dot)
        left.axhspan(-rms[k], rms[k], color=colour, alpha=0.1, lw=0)
    ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
    both.plot(ends, ends, color=GREY, lw=1)
    both.set(xlabel=f"true {target}", ylabel=f"predicted {target}", title="On the line they agree")
    left.axhline(0, color=GREY, lw=1)
    left.set(xlabel=f"predicted {target}", ylabel="residual, true − predicted")
    left.set_title(f"Residuals; the band is ±RMSE, {', '.join(f'{r:.3g}' for r in rms[:4])}")
    if true.shape[1] > 1:
        legend_above(both, 4)
    heading(figure, title)
    caption(figure, *facts)
    return figure


@styled()
def confusion_figure(matrix: np.ndarray, classes: Sequence[object], title: str, facts: Sequence[str] = ()) -> Figure:
    """Counts [M, M] and the share of each true class, in percent: what rows of a class were taken for."""
    total = matrix.sum(1, keepdims=True)
    percent = 100 * matrix / np.maximum(total, 1)
    count, names = len(classes), [str(name) for name in classes]
    side = min(max(4.0, 0.62 * count), 12.0)
    figure = new_figure(side + 2.2, side + 1.4)
    axis = figure.subplots()
    image = axis.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    figure.colorbar(image, ax=axis, label="% of the rows of a true class", shrink=0.8)
    axis.set(xlabel="predicted class", ylabel="true class")
    map_frame(axis)
    if count > WRITTEN:
        whole_numbers(axis.xaxis, axis.yaxis)
    else:
        long = max(map(len, names)) > 4
        axis.set_xticks(range(count), names, rotation=40 if long else 0, ha="right" if long else "center")
        axis.set_yticks(range(count), [f"{name} ({int(n)})" for name, n in zip(names, total[:, 0], strict=True)])
        for (i, j), number in np.ndenumerate(matrix):
            if number:
                colour = "white" if percent[i, j] > 55 else "black"
                axis.text(j, i, f"{number}\n{percent[i, j]:.1f} %", ha="center", va="center", fontsize=7, color=colour)
    heading(figure, title)
    caption(figure, *facts, notes=["Counts, and percent of the rows of each true class (how many in brackets)."])
    return figure


def is_image(x: np.ndarray) -> bool:
    """Can rows x [N, ...] be drawn: uint8 [N, H, W], or [N, H, W, 1 or 3]?"""
    return (x.ndim == 3 and x.dtype == np.uint8) or (x.ndim == 4 and x.shape[-1] in (1, 3))


@styled()
def misread_figure(x: np.ndarray, rows: PredictedRows, title: str, facts: Sequence[str] = ()) -> Figure | None:
    """Images x [N, H, W] that were misread: true → predicted, and the probability of that; None if there is none."""
    places, classes = mistakes(rows)[:SHOWN], rows.classes
    if not len(places) or classes is None:
        return None
    columns = min(8, len(places))
    lines = -(-len(places) // columns)
    figure = new_figure(max(1.25 * columns, 5.0), 1.5 * lines + 1.0)
    axes = np.ravel(figure.subplots(lines, columns))
    for axis in axes:
        axis.set_axis_off()
    for axis, i in zip(axes, places, strict=False):
        axis.imshow(np.squeeze(x[i]), cmap="Greys")
        sure = "" if rows.probability is None else f"\np = {rows.probability[i]:.2f}"
        axis.set_title(f"{classes[rows.true[i]]} → {classes[rows.predicted[i]]}{sure}", fontsize=8, loc="center")
    heading(figure, title)
    wrong = int((rows.true != rows.predicted).sum())
    sure = "" if rows.probability is None else ", the surest first"
    note = f"True → predicted class: {len(places)} of {counted(wrong, 'mistake')} in {len(rows.true):,} rows{sure}."
    caption(figure, *facts, notes=[note])
    return figure
