"""The named models of `rlnut fit MODEL DATASET`: frozen settings with defaults that train; importing this is cheap.

A model that is trained by gradient steps derives `Training` and gives its architecture in `network()`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from rlnut.errors import UsageError
from rlnut.settings import Settings, setting

if TYPE_CHECKING:
    import numpy as np

    from rlnut.types import Network, Shape

ACTIVATIONS = ("relu", "tanh", "sigmoid", "elu", "identity")
INITIALIZERS = ("he", "glorot", "orthogonal")


@dataclass(frozen=True)
class Training(Settings):
    """How a network is trained; by itself, the settings of a network that is given as a function."""

    epochs: int = setting(10, "passes through the training rows", low=1)
    batch: int = setting(128, "rows of one update", low=1)
    lr: float = setting(1e-3, "step size α of the optimiser", above=0)
    optimizer: str = setting("adam", "the gradient method", choices=("adam", "sgd", "momentum", "rmsprop"))
    schedule: str = setting("cosine", "α: constant, or to 0 along a cosine", choices=("cosine", "constant"))
    l2: float = setting(0.0, "λ of the penalty λ‖W‖² (biases are free)", low=0)
    l1: float = setting(0.0, "λ of the penalty λ‖W‖₁ (biases are free)", low=0)
    shift: int = setting(0, "move each training image by up to this many pixels, at random", low=0)
    scale: str = setting(
        "auto",
        "inputs: to mean 0 and deviation 1 of the training rows (standard), or as they are (none); "
        "auto: standard, but uint8 from 0 … 255 to 0 … 1",
        choices=("auto", "standard", "none"),
    )
    task: str = setting(
        "auto", "what y is; auto: integers and text are classes", choices=("auto", "classification", "regression")
    )
    validation: float = setting(0.0, "share of the training rows held out to watch the learning", low=0, below=1)
    patience: int = setting(0, "stop after this many epochs without a better validation cost (0: never)", low=0)

    @property
    def linear(self) -> bool:
        """Is ŷ = W x + b, so that it has coefficients to show?"""
        return False

    @property
    def sequences(self) -> bool:
        """Are rows sequences [T, ...] that may differ in length?"""
        return False

    def suited(self, x: np.ndarray) -> Self:
        """These settings, with those that were left open chosen for the rows x [N, ...]."""
        return self

    def network(self) -> Network:
        """The architecture without its head."""
        raise NotImplementedError

    def accept(self, row: Shape, classify: bool) -> None:
        """Refuse rows of a shape, or a task, that this model cannot serve."""


@dataclass(frozen=True)
class Softmax(Training):
    """Softmax regression: P(y = m | x) = exp(θ_m·x + b_m) / Σ_k exp(θ_k·x + b_k). The lecture writes −θ for our θ."""

    epochs: int = setting(20, "passes through the training rows", low=1)
    lr: float = setting(2e-3, "step size α of the optimiser", above=0)

    @property
    def linear(self) -> bool:
        return True

    def network(self) -> Network:
        from rlnut.networks import linear

        return linear()

    def accept(self, row: Shape, classify: bool) -> None:
        if not classify:
            raise UsageError("softmax classifies, but y holds numbers: use mlp, or --task classification")


@dataclass(frozen=True)
class MLP(Training):
    """Fully connected network."""

    hidden: tuple[int, ...] = setting((512, 256), "width of each hidden layer", low=1)
    activation: str = setting("relu", "non-linearity between layers", choices=ACTIVATIONS)
    initializer: str = setting("he", "law of the first weights", choices=INITIALIZERS)
    layer_norm: bool = setting(False, "normalise the hidden units of each layer before the non-linearity")
    dropout: float = setting(0.2, "share of hidden units silenced in each update", low=0, below=1)

    @property
    def linear(self) -> bool:
        return not self.hidden

    def network(self) -> Network:
        from rlnut.networks import mlp

        return mlp(self.hidden, self.activation, self.initializer, self.dropout, self.layer_norm)


@dataclass(frozen=True)
class CNN(Training):
    """Convolutional network: (convolution, ReLU, max pooling) for each of `channels`, then fully connected layers."""

    epochs: int = setting(8, "passes through the training rows", low=1)
    shift: int = setting(1, "move each training image by up to this many pixels, at random", low=0)
    channels: tuple[int, ...] = setting((16, 32), "number of filters of each convolution", low=1)
    filter_size: int = setting(3, "filters are F × F", low=1)
    stride: int = setting(1, "step of each convolution", low=1)
    window: int = setting(2, "max pooling over windows of this side (1: none)", low=1)
    hidden: tuple[int, ...] = setting((128,), "width of each fully connected layer", low=1)
    dropout: float = setting(
        0.3, "share of fully connected units silenced in each update (half of it before them)", low=0, below=1
    )

    def network(self) -> Network:
        from rlnut.networks import cnn

        return cnn(self.channels, self.filter_size, self.stride, self.window, self.hidden, self.dropout)

    def accept(self, row: Shape, classify: bool) -> None:
        if len(row) not in (2, 3):
            raise UsageError(f"cnn needs images [height, width] or [..., channels] as rows, got {list(row)}")
        sides = list(row[:2])
        for _ in self.channels:
            sides = [math.ceil(side / self.stride) // self.window for side in sides]
        if 0 in sides:
            raise UsageError(f"images of {row[0]}×{row[1]} vanish in {len(self.channels)} poolings by {self.window}")


@dataclass(frozen=True)
class LSTM(Training):
    """Long short-term memory: reads the steps of a sequence in turn, and answers by what it holds at the end."""

    lr: float = setting(3e-3, "step size α of the optimiser", above=0)
    shift: int | None = setting(  # type: ignore[assignment]
        None, "move each training image by up to this many pixels, at random (none: 1 for uint8 images)", low=0
    )
    hidden: tuple[int, ...] = setting((128,), "units of each recurrent layer", low=1)
    dropout: float = setting(0.0, "share of the last layer's units silenced in each update", low=0, below=1)

    @property
    def sequences(self) -> bool:
        return True

    def suited(self, x: np.ndarray) -> Self:
        image = x.dtype == "uint8" and x.ndim == 3
        return self.replace(shift=int(image)) if self.shift is None else self

    def network(self) -> Network:
        from rlnut.recurrent import CELLS, recurrent

        return recurrent(CELLS[type(self).__name__.lower()], self.hidden, self.dropout)


@dataclass(frozen=True)
class GRU(LSTM):
    """Gated recurrent units that read the steps of a sequence in turn: as the LSTM, with fewer gates."""


@dataclass(frozen=True)
class RNN(LSTM):
    """Elman's recurrent network: a layer of tanh units that also sees its own last output. It forgets soon."""


MODELS: dict[str, type[Training]] = {
    "softmax": Softmax, "mlp": MLP, "cnn": CNN, "rnn": RNN, "lstm": LSTM, "gru": GRU,
}  # fmt: skip
