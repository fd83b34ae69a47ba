"""Figures of what a trained agent values and does: maps of grids and boxes, cost-to-go surfaces, lines over walks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from rlnut.control.cell_maps import grid_figure
from rlnut.control.plots import facts_of
from rlnut.control.policy import Policy
from rlnut.control.result import Trained
from rlnut.control.run_folder import CONFIG, trained_policy
from rlnut.control.value_grids import ValueMap, ValueSlice, value_map
from rlnut.envs.make import EnvLike, env_name, shown_environment
from rlnut.learner.config import AgentConfig
from rlnut.runtime.files import read_json
from rlnut.runtime.plotting import (
    BLUE,
    GREY,
    ORANGE,
    PALETTE,
    caption,
    heading,
    legend_above,
    map_frame,
    new_figure,
    styled,
    whole_numbers,
)

MOST_GROUPS = 4  # of decoupled choices that are drawn
VALUES = "viridis"


@styled()
def value_maps(
    run: Policy | Trained | str | Path,
    dims: Sequence[int] | None = None,
    at: Sequence[float] | None = None,
    env: EnvLike | None = None,
    agent: AgentConfig | type[AgentConfig] | None = None,
    trust: bool = False,
    seed: int = 0,
) -> Figure:
    """V(s) = max_a q(s, a) and the greedy policy of a run (a folder, what `train` returned, or a policy) as a figure.

    Grids and walks have the exact v* and the difference beside them. dims, at: as in `value_grids.value_map`; env,
    agent, trust: as in `load_policy`, for a folder.
    """
    policy, facts, title = described_run(run, env, agent, trust)
    found = value_map(policy, dims, at, seed)
    if len(found.dims) == 1:
        figure = _line(found)
    elif found.coordinates.whole:
        figure = grid_figure(found)
    else:
        figure = _box(found)
    heading(figure, f"Values and greedy policy of {title}")
    caption(figure, *facts, notes=[found.note] if found.note else [])
    return figure


def described_run(
    run: Policy | Trained | str | Path,
    env: EnvLike | None = None,
    agent: AgentConfig | type[AgentConfig] | None = None,
    trust: bool = False,
) -> tuple[Policy, list[str], str]:
    """The policy of a run, facts for a caption, and its name."""
    if isinstance(run, Trained):
        run = run.folder or run.policy
    if not isinstance(run, Policy):
        policy = trained_policy(run, env=env, agent=agent, trust=trust)
        config = read_json(Path(run) / CONFIG)
        return policy, facts_of(config), f"{config['agent']} on {shown_environment(config['env'])}"
    name = env_name(run.env)
    shown = run.spec.name if name is None else str(name)
    origin = run.origin
    if origin is None:
        return run, [], f"a policy on {shown}"
    return run, facts_of({"config": vars(origin.config)}), f"{type(origin.config).__name__} on {shown}"


def _line(found: ValueMap) -> Figure:
    """V and q of each action over one coordinate, v* behind them; below, the greedy action."""
    one, x = found.slices[0], found.x
    figure = new_figure(8, 5.4)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    few = found.coordinates.whole and len(x) <= 60
    if one.exact is not None:
        above.plot(x, one.exact[0], color=GREY, lw=5, alpha=0.55, label="exact v*")
    above.plot(x, one.v[0], color=BLUE, marker="o" if few else None, label="learned max q(s, a)")
    above.set_ylabel("value")
    legend_above(above)
    groups = one.actions[0]
    for d, names in enumerate(found.names[:MOST_GROUPS]):
        taken = np.where(groups[:, d] >= 0, groups[:, d], np.nan).astype(float)
        label = f"choice {d}" if len(found.names) > 1 else None
        below.plot(x, taken, "o" if few else ".", markersize=6 if few else 3, color=PALETTE[d], label=label)
        below.set_yticks(range(len(names)), names)
    if one.optimal is not None:
        shown = one.optimal[0] & ~one.optimal[0].all(-1, keepdims=True)
        at, best = np.nonzero(shown)
        below.plot(x[at], best, "s", markersize=11, markerfacecolor="none", color=GREY, zorder=1, label="optimal")
        legend_above(below)
    below.set(ylabel="greedy action", xlabel=found.coordinates.names[found.dims[0]])
    below.margins(y=0.25)
    if found.coordinates.whole:
        whole_numbers(below.xaxis)
    return figure


def _box(found: ValueMap) -> Figure:
    """Values, greedy actions and the surface of a box of two numbers; where greedy episodes went as dots."""
    one, shown = found.slices[0], min(len(found.names), MOST_GROUPS)
    figure = new_figure(5.0 * (shown + 2), 4.8)
    grid: Any = figure.add_gridspec(1, shown + 2)
    value = figure.add_subplot(grid[0])
    image = value.pcolormesh(found.x, found.y, one.v, cmap=VALUES, shading="nearest", rasterized=True)
    figure.colorbar(image, ax=value, pad=0.01)
    value.set_title("max q(s, a)")
    for d in range(shown):
        axis = figure.add_subplot(grid[1 + d])
        names = found.names[d]
        colours = ListedColormap([_action_colour(k, len(names)) for k in range(len(names))])
        drawn = axis.pcolormesh(found.x, found.y, one.actions[..., d], cmap=colours, vmin=-0.5, vmax=len(names) - 0.5,
                                shading="nearest", rasterized=True)  # fmt: skip
        bar = figure.colorbar(drawn, ax=axis, pad=0.01, ticks=range(len(names)))
        bar.ax.set_yticklabels(names)
        axis.set_title("greedy action" + (f", choice {d}" if len(found.names) > 1 else ""))
    x, y = found.dims[0], found.dims[1]
    for axis in figure.axes:
        if axis.get_title(loc="left"):
            map_frame(axis)
            axis.set(xlabel=found.coordinates.names[x], ylabel=found.coordinates.names[y])
            axis.set(xlim=(found.x[0], found.x[-1]), ylim=(found.y[0], found.y[-1]))
    if len(found.visited):
        value.plot(found.visited[:, x], found.visited[:, y], ".", color=ORANGE, markersize=2, alpha=0.6,
                   label="greedy episodes")  # fmt: skip
        legend_above(value)
    _surface(figure.add_subplot(grid[shown + 1], projection="3d"), found, one)
    return figure


def _action_colour(k: int, count: int) -> Any:
    return PALETTE[k] if count <= len(PALETTE) - 1 else colormaps["turbo"]((k + 0.5) / count)


def _surface(axis: Any, found: ValueMap, one: ValueSlice) -> None:
    """−max_a q(s, a), the cost to go (S&B figure 10.1), where values are costs; else max_a q(s, a)."""
    costs = float(np.median(one.v)) < 0
    x, y = np.meshgrid(found.x, found.y)
    axis.plot_surface(
        x, y, -one.v if costs else one.v, cmap=VALUES + ("_r" if costs else ""), rcount=50, ccount=50, lw=0.1
    )
    axis.set_title("cost to go, \N{MINUS SIGN}max q(s, a)" if costs else "max q(s, a)")
    axis.set(xlabel=found.coordinates.names[found.dims[0]], ylabel=found.coordinates.names[found.dims[1]])
    axis.tick_params(labelsize=7)
    axis.view_init(elev=35, azim=-60)
