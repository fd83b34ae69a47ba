"""Figures over runs: learning curves with bands; a comparison as intervals, profiles, curves and probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlnut.comparison.statistics import Band
from rlnut.comparison.table import NAMES, score_name
from rlnut.errors import counted
from rlnut.runtime.plotting import (
    GREY,
    PALETTE,
    caption,
    heading,
    legend_above,
    line_style,
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
            n = len(curve.seeds)
            text = f"{curve.label}, " + (f"seed {curve.seeds[0]}" if n == 1 else f"IQM of {counted(n, 'seed')}")
            draw_curve(axis, curve, labels.index(curve.label), fill(text, 40), runs=len(labels) == 1)
        axis.set(title=env, ylabel="return of greedy episodes", xlabel=_steps(here))
        legend_above(axis, columns=1 if max(len(curve.label) for curve in here) > 12 else 2)
    for axis in axes[len(envs) :]:
        axis.set_visible(False)
    bands = any(len(curve.seeds) > 1 for curve in found.curves)
    caption(figure, "bands: 95 % intervals over seeds (stratified bootstrap), at each step" if bands else "")
    return figure


@styled()
def comparison_figure(found: Comparison) -> Figure:
    """Above: each statistic with its interval. Below: performance profiles, learning curves, P(improvement)."""
    labels, names = found.labels, [*found.estimates]
    pairs = [*found.differences]
    figure = new_figure(13, 4.6 + 0.35 * max(len(labels), 3) + 0.1 * len(pairs))
    (above,), (below,) = figure.subfigures(
        2, 1, squeeze=False, height_ratios=(1.2 + 0.35 * len(labels), 4.0 + 0.1 * len(pairs))
    )
    for name, axis in zip(names, above.subplots(1, len(names), sharey=True, squeeze=False)[0], strict=True):
        for i, label in enumerate(labels):
            one = found.estimates[name][label]
            _interval(axis, i, one.value, one.ci95, PALETTE[i % len(PALETTE)])
        axis.set(title=NAMES[name], ylim=(len(labels) - 0.5, -0.5))
        axis.set_yticks(range(len(labels)), [fill(label, 28) for label in labels])
    axes = below.subplots(1, 3 if pairs else 2, squeeze=False)[0]
    for i, label in enumerate(labels):
        style = line_style(i)
        axes[0].plot(
            found.thresholds, found.profiles[label].value, **style, label=fill(label, 40), drawstyle="steps-post"
        )
        _band(axes[0], found.thresholds, found.profiles[label], style["color"], step="post")
    axes[0].set(title="performance profile", xlabel="τ", ylabel="share of runs with a score > τ", ylim=(-0.02, 1.02))
    legend_above(axes[0], columns=1 if max(map(len, labels)) > 12 else 2)
    for curve in found.curves:
        draw_curve(axes[1], curve, labels.index(curve.label), curve.label)
    scaled = "" if found.normalisation.kind == "none" else ", normalised"
    axes[1].set(title="learning curves", xlabel=_steps(found.curves), ylabel=f"IQM of greedy returns{scaled}")
    if not found.curves:
        axes[1].set_visible(False)
    if pairs:
        _improvements(axes[2], found, pairs)
    where = found.envs[0] if len(found.envs) == 1 else f"{len(found.envs)} environments"
    heading(figure, f"{where}: {score_name(found)}")
    facts = f"95 % intervals over seeds: stratified bootstrap, {found.resamples:,} resamples"
    caption(figure, ", ".join(found.envs) if 1 < len(found.envs) < 6 else "", facts)
    return figure


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


def _improvements(axis: Axes, found: Comparison, pairs: Sequence[tuple[str, str]]) -> None:
    """P(X > Y) of every two agents."""
    middle, half = (len(pairs) - 1) / 2, max(len(pairs), 3) / 2
    for i, pair in enumerate(pairs):
        one = found.improvement[pair]
        _interval(axis, i, one.value, one.ci95, PALETTE[found.labels.index(pair[0]) % len(PALETTE)])
    axis.axvline(0.5, color=GREY, linewidth=1, linestyle="--")
    axis.set(title="P(X > Y): a run of X beats one of Y", xlim=(-0.02, 1.02), ylim=(middle + half, middle - half))
    axis.set_yticks(range(len(pairs)), [f"{fill(x, 24)}\n> {fill(y, 24)}" for x, y in pairs])
