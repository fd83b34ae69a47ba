"""A fit as it stands after an epoch: what its callbacks are given, and what they can do."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rlnut.errors import RlnutError, UsageError
from rlnut.runtime.history import History
from rlnut.runtime.loggers import RowLog
from rlnut.runtime.observing import Callbacks
from rlnut.supervised.epochs import Epoch
from rlnut.types import Params

if TYPE_CHECKING:
    from rlnut.supervised.fitted_model import FittedModel

COLUMNS = Epoch._fields[:-1]  # of metrics.csv


class FitTools(NamedTuple):
    """The functions behind the methods of a look."""

    model: Callable[[Params], FittedModel]
    save: Callable[[Params], object] | None  # None: the fit has no folder
    lr: float | None  # α of the settings; None: of an optimiser that was given
    total: int  # epochs planned


class FitLook:
    """A fit after an epoch. It is good until the next one; a model that it gave stays good.

    >>> import numpy as np, rlnut
    >>> x = np.linspace(-1, 1, 64)[:, None]
    >>> def good_enough(look):
    ...     look.change(lr=0.1 / (1 + look.step / 50))
    ...     if look.epoch.cost < 1e-3:
    ...         look.stop()
    >>> data = (x, 3 * x[:, 0], x, 3 * x[:, 0])
    >>> line = rlnut.fit(rlnut.linear(), data, lr=0.1, epochs=300, callbacks=[good_enough], progress=False)
    >>> line.result["ended"], bool(line.history["cost"][-1] < 1e-3), len(line.history.step) < 300
    ('stopped', True, True)
    """

    __slots__ = ("_params", "_rows", "_tools", "epoch", "factor", "stopping")

    def __init__(self, epoch: Epoch, params: Params, rows: RowLog, tools: FitTools, factor: float | None) -> None:
        self.epoch = epoch  # cost, validation_cost and validation_score of the epoch
        self.factor = factor  # of every step from now on; None: it was never changed
        self.stopping = False
        self._params, self._rows, self._tools = params, rows, tools

    @property
    def step(self) -> int:
        """Epochs done."""
        return self.epoch.epoch

    @property
    def total(self) -> int:
        """Epochs planned."""
        return self._tools.total

    @property
    def row(self) -> Mapping[str, float | None]:
        """Of the log."""
        return {name: getattr(self.epoch, name) for name in COLUMNS}

    @property
    def history(self) -> History:
        """The log until now: `history["validation_cost"]`."""
        return self._rows.history()

    @property
    def model(self) -> FittedModel:
        """The model of this moment: it predicts, and judges other rows by `score` and `judged`."""
        return self._tools.model(self._params)

    def save(self) -> None:
        """Write the model of this moment into the folder of the fit; its end writes another one there."""
        if self._tools.save is not None:
            self._tools.save(self._params)

    def change(self, *, lr: float) -> None:
        """Continue with another step size α, times the schedule; compiled once more at the first change."""
        if self._tools.lr is None:
            raise UsageError("the step size of an optimizer that was given cannot be changed: give it a schedule")
        if isinstance(lr, bool) or not hasattr(lr, "__float__") or not (math.isfinite(lr) and lr > 0):
            raise UsageError(f"lr must be > 0, got {lr!r}")
        self.factor = lr / self._tools.lr

    def stop(self) -> None:
        """End the fit after this epoch, as if its epochs were done."""
        self.stopping = True


class EpochObserver:
    """Puts every epoch into the log, then calls the callbacks.

    What a callback raises ends the fit where it is, and is kept as `failure` until what was learned is written.
    """

    def __init__(self, callbacks: Callbacks[FitLook], rows: RowLog) -> None:
        self.callbacks, self.rows = callbacks, rows
        self.tools: FitTools | None = None  # known when learning begins
        self.failure: RlnutError | None = None
        self.factor: float | None = None

    def __call__(self, epochs: Sequence[Epoch], params: Params) -> FitLook:
        assert self.tools is not None
        self.rows.write(epochs[-1]._asdict())
        look = FitLook(epochs[-1], params, self.rows, self.tools, self.factor)
        try:
            self.callbacks(look)
        except RlnutError as error:
            self.failure = error
            look.stop()
        self.factor = look.factor
        return look

    def checked(self, fitted: FittedModel) -> FittedModel:
        """The model; what a callback raised is raised now, with the model."""
        if self.failure is not None:
            self.failure.learned = fitted
            raise self.failure
        return fitted

    def close(self) -> None:
        """Tell the callbacks that there are no more looks, and close the loggers."""
        try:
            self.callbacks.end()
        except RlnutError as error:
            self.failure = self.failure or error
        finally:
            self.rows.loggers.close()
