"""Figures over runs: learning curves with bands; a comparison as intervals, profiles, curves and probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from rlnut.comparison.statistics import Band
from rlnut.comparison.table import NAMES, PAIRED, score_name, with_numbers
from rlnut.errors import counted
from rlnut.runtime.plotting import (
    GREY,
    PALETTE,
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

if TYPE_CHECKING:
    from rlnut.comparison.compare import Comparison
    from rlnut.comparison.curves import CurveOverSeeds, LearningCurves

COLUMNS = 3  # of panels, at most
RUNS = 10  # thin lines for each run, where a group has no more


@styled()
def curves_figure(found: LearningCurves) -> Figure:
    """A panel for each environment, a line with its 95 % band for each agent; thin lines are single runs."""
    envs = list(dict.fromkeys(curve.envs[0] for curve in found.curves))
    labels = list(dict.fromkeys(curve.label for curve in found.curves))
    columns = min(len(envs), COLUMNS)
    figure, axes = panels(-(-len(envs) // columns), columns)
    for env, axis in zip(envs, axes, strict=False):
        here = [curve for curve in found.curves if curve.envs[0] == env]
        for curve in here:
            text = curve.label if len(labels) > 1 else f"{curve.label}, {_seeds([curve])}"
            draw_curve(axis, curve, labels.index(curve.label), fill(text, 60), runs=len(labels) == 1)
        axis.set(title=env, ylabel="return of greedy episodes", xlabel=_steps(here))
        if len(labels) == 1:
            legend_above(axis)
    for axis in axes[len(envs) :]:
        axis.set_visible(False)
    if len(labels) > 1:
        _common_legend(figure, axes, 5.2 * columns)
    bands = any(len(curve.seeds) > 1 for curve in found.curves)
    about = "bands: 95 % intervals over seeds (stratified bootstrap), at each step" if bands else ""
    caption(figure, _seeds(found.curves) if len(labels) > 1 else "", about)
    return figure


@styled()
def comparison_figure(found: Comparison) -> Figure:
    """Above: each statistic with its interval. Below: performance profiles, learning curves, P(improvement)."""
    labels, names = found.labels, [*found.estimates]
    figure = new_figure(13, 6.2 + 0.4 * len(labels))
    heights = (1.2 + 0.4 * len(labels), 4.5)
    (above,), (below,) = figure.subfigures(2, 1, squeeze=False, height_ratios=heights)
    rows = with_numbers(labels) if len(labels) > PAIRED else labels
    for name, axis in zip(names, above.subplots(1, len(names), sharey=True, squeeze=False)[0], strict=True):
        for i, label in enumerate(labels):
            one = found.estimates[name][label]
            _interval(axis, i, one.value, one.ci95, PALETTE[i % len(PALETTE)])
        axis.set(title=NAMES[name], ylim=(len(labels) - 0.5, -0.5))
        axis.set_yticks(range(len(labels)), [fill(label, 28) for label in rows])
    axes = below.subplots(1, 3 if len(labels) > 1 else 2, squeeze=False)[0]
    for i, label in enumerate(labels):
        style, profile = line_style(i), found.profiles[label]
        axes[0].plot(found.thresholds, profile.value, **style, label=fill(label, 40), drawstyle="steps-post")
        _band(axes[0], found.thresholds, profile, style["color"], step="post")
    scaled = "" if found.normalisation.kind == "none" else "normalised "
    axes[0].set(title="performance profile", xlabel=f"{scaled}return τ", ylabel="share of runs above τ")
    axes[0].set_ylim(-0.02, 1.02)
    for curve in found.curves:
        draw_curve(axes[1], curve, labels.index(curve.label), curve.label)
    axes[1].set(title="learning curves", xlabel=_steps(found.curves), ylabel=f"IQM of {scaled}greedy returns")
    if not found.curves:
        axes[1].set_visible(False)
    if len(labels) > 1:
        (_improvements if len(labels) <= PAIRED else _improvement_matrix)(axes[2], found)
        _common_legend(below, axes[:1], 13)
    where = found.envs[0] if len(found.envs) == 1 else f"{len(found.envs)} environments"
    heading(figure, f"{where}: {score_name(found)}")
    facts = f"95 % intervals over seeds: stratified bootstrap, {found.resamples:,} resamples"
    caption(figure, ", ".join(found.envs) if 1 < len(found.envs) < 6 else "", facts)
    return figure


def _common_legend(figure: Figure | SubFigure, axes: Sequence[Axes], width: float) -> None:
    """One legend above all panels, of `width` inches, with each name once."""
    lines = {text: line for axis in axes for line, text in zip(*axis.get_legend_handles_labels(), strict=True)}
    longest = max(len(row) for text in lines for row in text.split("\n"))
    columns = max(1, min(len(lines), int(width / (0.085 * longest + 0.7))))
    figure.legend([*lines.values()], [*lines], loc="outside upper left", ncols=columns, frameon=False)


def _seeds(curves: Sequence[CurveOverSeeds]) -> str:
    """Of how many seeds the lines are."""
    counts = [len(curve.seeds) for curve in curves]
    if max(counts) == 1:
        return f"seed {curves[0].seeds[0]}" if len(curves) == 1 else "1 seed each"
    return f"IQM of {counted(counts[0], 'seed') if len({*counts}) == 1 else f'{min(counts)} to {max(counts)} seeds'}"


def draw_curve(axis: Axes, curve: CurveOverSeeds, i: int, label: str, runs: bool = False) -> None:
    """The IQM with its band as line i; `runs`: each run as a thin line, too."""
    style = line_style(i)
    one = sum(values.shape[-1] for values in curve.each) == 1
    marker = "o" if len(curve.steps) < 30 else None
    axis.plot(curve.steps, curve.band.value, **style, marker=marker, label=label, zorder=3)
    _band(axis, curve.steps, curve.band, style["color"])
    if runs and not one and curve.each[0].shape[-1] <= RUNS:
        lines = axis.plot(curve.steps, curve.each[0], color=GREY, linewidth=0.7, zorder=1)
        lines[0].set_label("single seeds")
    whole_numbers(axis.xaxis)


def _steps(curves: Sequence[CurveOverSeeds]) -> str:
    """What the x axis counts."""
    kinds = {curve.offline for curve in curves}
    if len(kinds) > 1:
        return "environment steps (offline agents: iterations)"
    return "iterations" if kinds == {True} else "environment steps"


def _band(axis: Axes, x: np.ndarray, one: Band, color: str, step: Literal["post"] | None = None) -> None:
    if np.isfinite(one.low).all():
        axis.fill_between(x, one.low, one.high, color=color, alpha=0.2, linewidth=0, step=step)


def _interval(axis: Axes, y: float, value: float, ci95: tuple[float, float] | None, color: Any) -> None:
    """An interval as a bar, the value as a line across it."""
    if ci95 is not None:
        axis.barh(y, ci95[1] - ci95[0], left=ci95[0], height=0.55, color=color, alpha=0.4)
    axis.use_sticky_edges = False  # room beside the bars
    axis.plot([value, value], [y - 0.32, y + 0.32], color=color, linewidth=2.2)


def _improvements(axis: Axes, found: Comparison) -> None:
    """P(X > Y) of every two agents, with intervals."""
    pairs = [*found.differences]
    middle, half = (len(pairs) - 1) / 2, max(len(pairs), 3) / 2
    for i, pair in enumerate(pairs):
        one = found.improvement[pair]
        _interval(axis, i, one.value, one.ci95, PALETTE[found.labels.index(pair[0]) % len(PALETTE)])
    axis.axvline(0.5, color=GREY, linewidth=1, linestyle="--")
    axis.set(title="P(X > Y): a run of X beats one of Y", xlim=(-0.02, 1.02), ylim=(middle + half, middle - half))
    axis.set_yticks(range(len(pairs)), [f"{fill(x, 24)}\n> {fill(y, 24)}" for x, y in pairs])


def _improvement_matrix(axis: Axes, found: Comparison) -> None:
    """P(X > Y) of many agents: a row for X, a column for Y; bold where the interval leaves out ½."""
    labels = found.labels
    chances = np.full((len(labels), len(labels)), np.nan)
    for (x, y), (value, ci95) in found.improvement.items():
        i, j = labels.index(x), labels.index(y)
        chances[i, j] = value
        clear = ci95 is not None and not ci95[0] <= 0.5 <= ci95[1]
        size = 9 if len(labels) < 9 else 6
        axis.text(j, i, f"{value:.2f}", ha="center", va="center", size=size, weight="bold" if clear else "normal")
    map_frame(axis)
    axis.imshow(chances, cmap="PuOr", vmin=-0.25, vmax=1.25, aspect="auto")  # pale enough for black letters
    axis.set(title="P(row > column); bold: interval without ½")
    axis.set_xticks(range(len(labels)), [str(i + 1) for i in range(len(labels))])
    axis.set_yticks(range(len(labels)), [str(i + 1) for i in range(len(labels))])
