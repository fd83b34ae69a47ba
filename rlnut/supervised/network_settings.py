"""The named models of `rlnut fit MODEL DATASET`: frozen settings with defaults that train; importing this is cheap.

A model that is trained by gradient steps derives `FitSettings` and gives its architecture in `network()`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from rlnut.choices import NORMS, PADDINGS, POOLINGS, SMALLEST_IMAGE, Activation, Norm, Padding, Pooling, RateSchedule
from rlnut.errors import UsageError
from rlnut.gradient_settings import GradientSettings, LayerSettings
from rlnut.settings import Options, changed, setting
from rlnut.supervised.fit_settings import LARGE, NARROW, WIDE, FitSettings, epochs_text, prior_text

if TYPE_CHECKING:
    import numpy as np

    from rlnut.types import Network, Shape


@dataclass(frozen=True)
class Softmax(FitSettings):
    """Softmax regression: P(y = m | x) = exp(θ_m·x + b_m) / Σ_k exp(θ_k·x + b_k). The lecture writes −θ for our θ."""

    passes: ClassVar[int] = 20
    prior: ClassVar[float] = WIDE

    epochs: int | None = setting(None, epochs_text(20), low=1)
    lr: float | None = setting(None, "learning rate α (None: 2e-3; for tables: 0.03)", above=0)
    l2: float | None = setting(None, prior_text(WIDE), low=0)

    @property
    def linear(self) -> bool:
        return True

    def left_open(self, rows: int, table: bool) -> Options:
        return super().left_open(rows, table) | {"lr": 0.03 if table else 2e-3}

    def network(self) -> Network:
        from rlnut.networks.architectures import linear

        return linear()

    def accept(self, row: Shape, classify: bool) -> None:
        super().accept(row, classify)
        if not classify:
            raise UsageError("softmax classifies, but y holds numbers: use mlp, or --task classification")


@dataclass(frozen=True)
class MLP(FitSettings, LayerSettings):
    """Fully connected network."""

    prior: ClassVar[float] = NARROW

    l2: float | None = setting(None, prior_text(NARROW), low=0)
    hidden: tuple[int, ...] | None = setting(
        None, f"widths of the hidden layers (None: 512,256; for tables of fewer than {LARGE:,} rows: 64,64)", low=1
    )
    layer_norm: bool = setting(False, "layer normalisation before each activation")
    dropout: float | None = setting(
        None, "dropout rate of the hidden units (None: 0.2; for small tables: 0)", low=0, below=1
    )
    validation: float | None = setting(
        None,
        "share of the training rows held out for validation (None: 0; for regression on a small table: 0.2)",
        low=0,
        below=1,
    )
    patience: int | None = setting(
        None,
        "early stopping: epochs without a lower validation cost, 0: never (None: a quarter of all epochs where "
        "rows are held out by default)",
        low=0,
    )
    zero_head: bool | None = setting(
        None,
        "initialise the last layer's weights to 0: start at the mean, or at equal probabilities (None: only "
        "for small tables)",
    )

    @property
    def linear(self) -> bool:
        return self.hidden == ()

    def stops_early(self, rows: int, table: bool, classify: bool) -> bool:
        """Squared errors of few, noisy values are overfitted by any prior that leaves the network its freedom."""
        return table and 50 <= rows < LARGE and not classify and not self.linear

    def left_open(self, rows: int, table: bool) -> Options:
        small = table and rows < LARGE
        found = super().left_open(rows, table) | {"hidden": (64, 64) if small else (512, 256)}
        found |= {"dropout": 0.0 if small else 0.2, "zero_head": small}
        return found | {"l2": WIDE / rows} if table and self.linear else found

    def network(self) -> Network:
        from rlnut.networks.architectures import mlp

        hidden, dropout = (512, 256) if self.hidden is None else self.hidden, self.dropout
        return mlp(
            hidden, self.activation, self.initializer, 0.2 if dropout is None else dropout, self.layer_norm,
            last="zeros" if self.zero_head else "glorot",
        )  # fmt: skip


@dataclass(frozen=True)
class CNN(FitSettings):
    """Convolutional network: (convolution, ReLU, pooling) for each of `channels`, then fully connected layers."""

    passes: ClassVar[int] = 8

    epochs: int | None = setting(None, epochs_text(8), low=1)
    shift: int = setting(1, "augmentation: shift each training image at random by up to this many pixels", low=0)
    channels: tuple[int, ...] = setting((32, 64), "number of filters of each convolutional layer", low=1)
    filter_size: int = setting(3, "filter size F: filters are F × F", low=1)
    stride: int = setting(1, "stride of each convolution", low=1)
    padding: Padding = setting(
        "same", "zero padding that keeps the size (same), or no padding (valid)", choices=PADDINGS
    )
    norm: Norm = setting(
        "none",
        "group normalisation of the feature maps (group), or weight standardisation of the filters (weight)",
        choices=NORMS,
    )
    window: int = setting(2, "side of the pooling windows (1: no pooling)", low=1)
    pooling: Pooling = setting("max", "max pooling or average pooling", choices=POOLINGS)
    pool_stride: int | None = setting(
        None, "stride of the pooling windows (None: their side, so that they do not overlap)", low=1
    )
    hidden: tuple[int, ...] = setting((128,), "widths of the fully connected layers", low=1)
    dropout: float = setting(
        0.3, "dropout rate of the fully connected layers (half of it before the first)", low=0, below=1
    )
    dims: int = setting(2, "2: convolutions over images [H, W(, C)]; 1: over sequences [T(, C)]", low=1, high=2)

    def network(self) -> Network:
        from rlnut.networks.architectures import cnn

        return cnn(
            self.channels, self.filter_size, self.stride, self.window, self.hidden, self.dropout, padding=self.padding,
            pooling=self.pooling, pool_stride=self.pool_stride, filter_norm=self.norm, dims=self.dims,
        )  # fmt: skip

    def accept(self, row: Shape, classify: bool) -> None:
        super().accept(row, classify)
        if self.window == 1 and (self.pooling != "max" or self.pool_stride is not None):
            raise UsageError("pooling and pool_stride say how to pool, but window 1 means no pooling")
        _accept_images("cnn", row, self.dims)
        sides = row[: self.dims]
        for stage in range(1, len(self.channels) + 1):
            if self.padding == "valid" and min(sides) < self.filter_size:
                raise UsageError(f"what is left at convolution {stage}, {_by(sides)}, is smaller than a filter")
            short = self.filter_size - 1 if self.padding == "valid" else 0
            sides = tuple(math.ceil((side - short) / self.stride) for side in sides)
            if min(sides) < self.window:
                raise UsageError(f"rows {_by(row[: self.dims])} vanish in {stage} poolings by {self.window}")
            sides = tuple((side - self.window) // (self.pool_stride or self.window) + 1 for side in sides)


@dataclass(frozen=True)
class LeNet(FitSettings):
    """LeNet-5 (LeCun et al. 1998): two convolutions of 5 × 5 with pooling, then layers of 120 and 84 units."""

    lr: float = changed(GradientSettings, "lr", 2e-3)
    activation: Activation = changed(LayerSettings, "activation", "tanh")  # as in 1998
    pooling: Pooling = setting(
        "average", "max or average pooling over 2 × 2 windows (LeCun et al. 1998: average)", choices=POOLINGS
    )

    def network(self) -> Network:
        from rlnut.networks.architectures import lenet

        return lenet(self.activation, self.pooling)

    def accept(self, row: Shape, classify: bool) -> None:
        super().accept(row, classify)
        _accept_images("lenet", row, 2)
        if min(row[:2]) < (least := SMALLEST_IMAGE["lenet"]):
            raise UsageError(f"lenet needs images of at least {least}×{least}, got {_by(row[:2])}")


@dataclass(frozen=True)
class ResNet(FitSettings):
    """Residual network: (convolution, pooling, residual blocks) for each of `channels`, mean over places, head."""

    lr: float = changed(GradientSettings, "lr", 3e-3)
    schedule: RateSchedule = changed(GradientSettings, "schedule", "one-cycle")
    decay: float = changed(GradientSettings, "decay", 0.01)
    smoothing: float = setting(
        0.1, "label smoothing: share of each label that is spread over all classes", low=0, below=1
    )
    shift: int = setting(2, "augmentation: shift each training image at random by up to this many pixels", low=0)
    turn: float = setting(
        10.0, "augmentation: rotate each training image at random by up to this many degrees", low=0, high=180
    )
    channels: tuple[int, ...] = setting(
        (32, 64), "number of filters in each stage; the sides are halved after each", low=1
    )
    blocks: int = setting(1, "residual blocks (two convolutions each) in each stage", low=0)
    filter_size: int = setting(3, "filter size F: filters are F × F", low=1)
    skip: bool = setting(True, "skip connections: blocks add to their input (off: the plain network of the same depth)")
    norm: Norm = setting(
        "weight",
        "group normalisation of the feature maps (group), weight standardisation of the filters (weight), or none",
        choices=NORMS,
    )
    dropout: float = setting(0.0, "dropout rate of the last features", low=0, below=1)
    dims: int = setting(2, "2: convolutions over images [H, W(, C)]; 1: over sequences [T(, C)]", low=1, high=2)

    def network(self) -> Network:
        from rlnut.networks.residual_networks import resnet

        return resnet(self.channels, self.blocks, self.filter_size, self.dropout, self.norm, self.skip, self.dims)

    def accept(self, row: Shape, classify: bool) -> None:
        super().accept(row, classify)
        if not self.blocks and not self.skip:
            raise UsageError("without blocks there is nothing to skip: set blocks, or leave skip as it is")
        _accept_images("resnet", row, self.dims)
        if min(row[: self.dims]) < 2 ** len(self.channels):
            raise UsageError(f"rows {_by(row[: self.dims])} vanish in {len(self.channels)} halvings")


@dataclass(frozen=True)
class Impala(FitSettings):
    """IMPALA's residual network (Espeholt et al. 2018): convolution, pooling and residual blocks, then layers."""

    schedule: RateSchedule = changed(GradientSettings, "schedule", "one-cycle")
    shift: int = setting(1, "augmentation: shift each training image at random by up to this many pixels", low=0)
    channels: tuple[int, ...] = setting(
        (16, 32, 32), "number of filters in each stage; each stage halves the sides", low=1
    )
    blocks: int = setting(2, "residual blocks (two convolutions each) in each stage", low=0)
    hidden: tuple[int, ...] = setting((256,), "widths of the fully connected layers", low=1)
    activation: Activation = changed(LayerSettings, "activation", "relu")
    dropout: float = setting(0.0, "dropout rate of the fully connected layers", low=0, below=1)

    def network(self) -> Network:
        from rlnut.networks.residual_networks import impala

        return impala(self.channels, self.blocks, self.hidden, self.dropout, self.activation)

    def accept(self, row: Shape, classify: bool) -> None:
        super().accept(row, classify)
        _accept_images("impala", row, 2)
        if self.dropout and not self.hidden:
            raise UsageError("dropout silences fully connected units, and there are none: set hidden, or dropout to 0")


def _by(sides: Shape) -> str:
    return "×".join(map(str, sides))


def _accept_images(name: str, row: Shape, dims: int) -> None:
    if len(row) in (dims, dims + 1):
        return
    wanted = "images [height, width] or [..., channels]" if dims == 2 else "[steps] or [steps, channels]"
    hint = "; for sequences and signals set dims to 1" if len(row) == 1 and name in ("cnn", "resnet") else ""
    raise UsageError(f"{name} needs {wanted} as rows, got {list(row)}{hint}")


@dataclass(frozen=True)
class LSTM(FitSettings):
    """Long short-term memory: reads the steps of a sequence in turn, and answers by what it holds at the end."""

    lr: float = changed(GradientSettings, "lr", 3e-3)
    shift: int | None = setting(  # type: ignore[assignment]
        None, "move each training image by up to this many pixels, at random (none: 1 for uint8 images)", low=0
    )
    hidden: tuple[int, ...] = setting((128,), "number of units of each recurrent layer", low=1)
    dropout: float = setting(0.0, "dropout rate of the last layer's units", low=0, below=1)

    @property
    def sequences(self) -> bool:
        return True

    def suited(self, x: np.ndarray, classify: bool) -> Self:
        image = x.dtype == "uint8" and x.ndim == 3
        return super().suited(x, classify)._with({"shift": int(image)})

    def network(self) -> Network:
        from rlnut.networks.recurrent_networks import CELLS, recurrent

        return recurrent(CELLS[type(self).__name__.lower()], self.hidden, self.dropout)


@dataclass(frozen=True)
class GRU(LSTM):
    """Gated recurrent units that read the steps of a sequence in turn: as the LSTM, with fewer gates."""


@dataclass(frozen=True)
class RNN(LSTM):
    """Elman's recurrent network: a layer of tanh units that also sees its own last output. It forgets soon."""


MODELS: dict[str, type[FitSettings]] = {
    "softmax": Softmax, "mlp": MLP, "cnn": CNN, "lenet": LeNet, "resnet": ResNet, "impala": Impala,
    "rnn": RNN, "lstm": LSTM, "gru": GRU,
}  # fmt: skip
