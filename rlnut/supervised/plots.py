"""The learning curve of a fit."""

from __future__ import annotations

from pathlib import Path

from rlnut.supervised.epochs import Epoch


def picture(history: tuple[Epoch, ...], title: str, path: Path) -> None:
    """The learning curve: cost against epoch, and the validation figures where rows were held out."""
    from matplotlib.figure import Figure

    from rlnut.runtime.plotting import BLUE, ORANGE, plain_frame, save_figure

    held = history[0].validation_cost is not None
    figure = Figure(figsize=(9 if held else 5, 3.6), layout="constrained")
    axes = figure.subplots(1, 2 if held else 1, squeeze=False)[0]
    epochs = [e.epoch for e in history]
    axes[0].plot(epochs, [e.cost for e in history], "o-", color=BLUE, label="training, with noise and penalty")
    if held:
        axes[0].plot(epochs, [e.validation_cost for e in history], "s--", color=ORANGE, label="validation")
        axes[1].plot(epochs, [e.validation_score for e in history], "s--", color=ORANGE)
        axes[1].set(xlabel="epoch", ylabel="validation score")
    axes[0].set(xlabel="epoch", ylabel="cost E", title=title)
    axes[0].legend(frameon=False)
    for axis in axes:
        axis.xaxis.get_major_locator().set_params(integer=True)
        plain_frame(axis)
    save_figure(figure, path)
