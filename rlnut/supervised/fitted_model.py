"""What a supervised fit returns: predictions with the labels of the data, its score, its history, and its folder."""

from __future__ import annotations

import html
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np

from rlnut.data.dataset import Dataset, indices, inputs, targets
from rlnut.data.frames import is_table
from rlnut.data.table_code import TableCode
from rlnut.data.user_files import read_rows
from rlnut.data.user_tables import answer_column, given_values
from rlnut.errors import RlnutError, UsageError
from rlnut.networks.layers import serial, unit_scale
from rlnut.networks.summary import named_parameters
from rlnut.runtime.arrays import all_finite, checksum, in_structure, read_arrays, save_arrays
from rlnut.runtime.files import JsonObject, as_path, digest, made_folder, read_json, write_json
from rlnut.runtime.history import History, RowRecorder
from rlnut.runtime.log import METRICS_FILE, MetricsFile, say
from rlnut.runtime.notebook import line_picture
from rlnut.runtime.version import check_written_by, installed_version
from rlnut.settings import Settings
from rlnut.supervised.epochs import Epoch, accuracy_or_r2, outputs
from rlnut.supervised.fit_look import COLUMNS
from rlnut.supervised.fit_text import fit_line, fit_text
from rlnut.supervised.linear_settings import LINEAR_MODELS
from rlnut.supervised.network_settings import MODELS
from rlnut.supervised.predicted_rows import PredictedRows, confusion_matrix, judged_rows, mistakes
from rlnut.supervised.scaling import Scale, scale_of
from rlnut.types import Model, Network, Params, Shape

if TYPE_CHECKING:
    from rlnut.supervised.coefficient_table import CoefficientTable


@dataclass(frozen=True)
class FittedModel:
    """A fitted model. `about` repeats the run; `result` is what `rlnut fit --json` prints."""

    model: Model  # scaled inputs, or uint8 as it is, -> logits [B, M] or scaled values [B, ...]
    params: Params
    row: Shape  # of one x
    head: Shape  # of one ŷ
    classes: tuple | None  # None: regression
    x_scale: Scale | None  # None: x is uint8, scaled inside the model
    y_scale: Scale | None  # None: classification
    about: JsonObject
    result: JsonObject
    epochs: tuple[Epoch, ...] = ()
    sequences: bool = False  # a row may have any number of steps, and NaN after its end

    def __repr__(self) -> str:
        """One line: the model, its data, and how good it is."""
        return f"FittedModel({fit_line(self)})"

    def _repr_html_(self) -> str:
        """The same in a notebook, above the cost while it learned."""
        costs = line_picture((done.epoch for done in self.epochs), (done.cost for done in self.epochs), "cost")
        return f"<div>{html.escape(repr(self))}</div>{costs}"

    @property
    def history(self) -> History:
        """The log of the learning, column by column: `history["cost"]`; no rows of a solved or a loaded model."""
        return RowRecorder(COLUMNS, (done._asdict() for done in self.epochs)).history()

    @property
    def test_accuracy(self) -> float | None:
        """Share of the test rows whose most probable class is right; None for regression."""
        return self.result.get("test_accuracy")

    @property
    def test_mse(self) -> float | None:
        """Mean of (y − ŷ)² over the test rows; None for classification."""
        return self.result.get("test_mse")

    def outputs(self, x: object) -> np.ndarray:
        """What the model says before it is put in the data's words: logits [B, M], or scaled values [B, ...]."""
        apply = self.model.apply if self.exact else jax.jit(self.model.apply)
        return outputs(apply, self.params, self.prepared(x))

    @property
    def exact(self) -> bool:
        """Is this a solved linear model? It then predicts in NumPy, in float64."""
        return self.about["model"] in LINEAR_MODELS

    @property
    def _float(self) -> type:
        return np.float64 if self.exact else np.float32

    def prepared(self, x: object) -> np.ndarray:
        """x as the model takes it; rows of another shape or kind than the training rows are refused."""
        x = inputs("x", self._of_table(x), self.sequences)
        row = (x.shape[1], *self.row[1:]) if self.sequences else self.row
        if x.shape[1:] != row or (self.x_scale is None and x.dtype != np.uint8):
            kind = "uint8" if self.x_scale is None else "numbers"
            raise UsageError(f"x must be {kind} [rows, {', '.join(map(str, row))}], got {x.dtype} {list(x.shape)}")
        return x if self.x_scale is None else self.x_scale.forth(x, self._float)

    def _of_table(self, x: object) -> object:
        """A table as numbers, as the training rows were; numbers stay what they are, but gaps in them are filled."""
        code = TableCode.of(self.about) if self.about.get("columns") or "encoding" in self.about else TableCode(())
        gaps = not code.plain and all(column.levels is None for column in code.columns)
        if is_table(x) or (gaps and np.asarray(x).shape[1:] == (len(code.columns),)):
            return read_rows(x, code, self.about.get("target")).x
        return x

    def predict(self, x: object) -> np.ndarray:
        """The most probable label of each row [B], or the value [B, ...]."""
        found = self.outputs(x)
        return np.asarray(self.classes)[found.argmax(-1)] if self.y_scale is None else self.y_scale.back(found)

    def predict_proba(self, x: object) -> np.ndarray:
        """P(class | x) [B, M], in the order of `classes`."""
        if self.classes is None:
            raise UsageError("predict_proba needs a classification; this model regresses numbers")
        if not self.probable:
            raise UsageError(f"predict_proba: the scores of {self.about['model']} are no log-probabilities")
        return np.asarray(jax.nn.softmax(self.outputs(x)))

    @property
    def probable(self) -> bool:
        """Are the outputs log-probabilities of classes? Those of least squares and of the perceptron are not."""
        exact = LINEAR_MODELS.get(self.about["model"])
        return self.classes is not None and (exact is None or exact.probable)

    def score(self, x: object, y: object) -> float:
        """Accuracy, or for regression R² = 1 − Σ(y − ŷ)²/Σ(y − mean y)², as in scikit-learn."""
        return accuracy_or_r2(self.outputs(x), self.encoded(y), self.classes is not None)

    def judged(self, x: object, y: object) -> dict[str, float]:
        """{"accuracy": …} or {"mse": mean of (y − ŷ)²}, in the data's own units."""
        found, aim = self.outputs(x), self.encoded(y)
        if self.y_scale is None:
            return {"accuracy": accuracy_or_r2(found, aim, True)}
        return {"mse": float(np.mean((self.y_scale.back(found) - np.asarray(y).reshape(found.shape)) ** 2))}

    def encoded(self, y: object) -> np.ndarray:
        """y as the loss takes it: positions in `classes`, or scaled values."""
        if self.y_scale is not None:
            return self.y_scale.forth(targets("y", given_values(y)[1]), self._float)
        return indices("y", answer_column(given_values(y)[1], "y"), np.asarray(self.classes))

    def coefficients(self) -> tuple[np.ndarray, np.ndarray]:
        """W [M, D] (or [D]) and b [M] (or a number) of a linear model, for x as given; uint8 x counts as x/255."""
        w, b = sorted((np.asarray(leaf, float) for leaf in jax.tree.leaves(self.params)), key=lambda a: -a.ndim)
        if self.x_scale is not None:
            mean, deviation = (np.broadcast_to(v, self.row).reshape(-1, 1) for v in self.x_scale)
            w = w / deviation
            b = b - (w * mean).sum(0)
        if self.y_scale is not None:
            w, b = w * self.y_scale.deviation, b * self.y_scale.deviation + self.y_scale.mean
        return (w.T, b) if self.head else (w[:, 0], b[0])

    def summary(self) -> str:
        """The layers with shapes and parameters, or the coefficients of a linear model; and the test figure."""
        return fit_text(self)

    @property
    def named_params(self) -> dict[str, np.ndarray]:
        """θ by names, such as "dense_1/w"."""
        return named_parameters(self.model, self.params)

    def confusion(self, x: object, y: object) -> np.ndarray:
        """How often rows of class i were taken for class j, [M, M]: true classes as rows, in the order of `classes`."""
        rows = self._judged_rows(x, y)
        return confusion_matrix(rows.true, rows.predicted, len(self.classes or ()))

    def misread(self, x: object, y: object) -> np.ndarray:
        """The numbers of the rows whose class is not the true one, the surest mistakes first."""
        return mistakes(self._judged_rows(x, y))

    def _judged_rows(self, x: object, y: object) -> PredictedRows:
        if self.classes is None:
            raise UsageError("only the predictions of a classification can be mistaken; this model regresses numbers")
        return judged_rows(self, x, self.encoded(y))

    @property
    def coefficient_table(self) -> CoefficientTable:
        """The coefficients of a linear model with one output by name, with standard errors, t, p and R².

        >>> import numpy as np, rlnut
        >>> x = np.arange(8.0)[:, None]
        >>> line = rlnut.fit("linear", x, 3 * x[:, 0] + 1 + (-1.0) ** np.arange(8), test=0, quiet=True)
        >>> line.coefficient_table.coef.round(3).tolist(), round(line.coefficient_table.r2, 3)
        ([2.905, 1.333], 0.979)
        """
        from rlnut.supervised.coefficient_table import coefficient_table

        return coefficient_table(self)

    def save(self, folder: str | Path, image: str = "png") -> None:
        """Make the folder; write what `load` reads, metrics.csv (no clock times), summary.json and curve.png.

        `image` "svg" or "pdf": the learning curve in this format instead.
        """
        folder = made_folder(as_path(folder, "the folder of a fit"))
        self.save_model(folder)
        table = MetricsFile(folder / METRICS_FILE, COLUMNS)
        for done in self.epochs:
            table.write(done._asdict())
        weights = checksum((self.params, self.x_scale, self.y_scale))
        belongs = {"run": digest(self._described), "metrics": table.checksum, "weights": weights}
        write_json(folder / "summary.json", self.result | belongs)
        if self.epochs:
            from rlnut.runtime.plotting import save_figure
            from rlnut.supervised.plots import learning_figure

            facts = (f"seed {self.about['seed']}",)
            figure = learning_figure(self.epochs, f"{self.about['model']} on {self.about['dataset']}", facts)
            save_figure(figure, folder / f"curve.{image}")

    def save_model(self, folder: Path) -> None:
        """Write config.json and model.safetensors."""
        write_json(folder / "config.json", self._described)
        belongs = {"run": digest(self._described)}
        save_arrays(folder / "model.safetensors", (self.params, self.x_scale, self.y_scale), belongs)

    @property
    def _described(self) -> JsonObject:
        """What config.json says."""
        shapes = {"row": self.row, "head": self.head, "uint8": self.x_scale is None, "classes": self.classes}
        return self.about | shapes | {"sequences": self.sequences}


def _result(folder: Path, about: JsonObject, learned: str) -> JsonObject:
    """What summary.json says of the fit; RlnutError if it is not of this one. learned: the checksum of its weights."""
    path = folder / "summary.json"
    if not path.exists():
        say(f"{path} is missing: the fit was not finished, or its figures were removed")
        return {}
    found = read_json(path)
    run, weights = found.pop("run", None), found.pop("weights", None)  # earlier versions have none
    found.pop("metrics", None)
    if "train_size" not in found or (run is not None and run != digest(about)):
        raise RlnutError(f"{path} does not belong to config.json beside it: one of them is of another fit")
    if weights is not None and weights != learned:
        raise RlnutError(f"{path} does not belong to model.safetensors beside it: one of them is of another fit")
    return found


def described(model: str, config: Settings, seed: int, problem: Dataset, data: str | Path | None) -> JsonObject:
    """What config.json says of a fit before it begins: enough to repeat it."""
    return {
        "rlnut": installed_version(),
        "model": model,
        "config": asdict(config),
        "seed": seed,
        "dataset": problem.name,
        "data": None if data is None else str(data),
        "columns": problem.columns,
        "target": problem.target,
        **({} if problem.code is None else {"encoding": problem.code.as_json()}),
    }


def architecture(network: Network, head: Shape, uint8: bool) -> Model:
    """The model that a fit trains: uint8 rows are scaled to 0 … 1 in it, so that images stay small until then."""
    body = network(head)
    return serial(unit_scale(), body) if uint8 else body


def load(folder: str | Path, network: Network | None = None) -> FittedModel:
    """The model that `fit(..., out=folder)` left; `network` only where it was given as a function then too."""
    folder = as_path(folder, "the folder of a fit")
    if network is not None and not callable(network):
        raise UsageError(f"network must be a function such as rlnut.mlp(), got {network!r}")
    about = read_json(folder / "config.json")
    check_written_by(folder / "config.json", about.get("rlnut", "0.0"))
    if "agent" in about:
        raise UsageError(f"{folder} holds a trained agent, not a fit: rlnut.load_policy reads it")
    stored = read_arrays(folder / "model.safetensors")
    if stored.meta.get("run", digest(about)) != digest(about):
        raise RlnutError(f"{folder / 'config.json'} is not the one that {stored.path.name} was fitted with")
    try:
        row, head, uint8, sequences = tuple(about["row"]), tuple(about["head"]), about["uint8"], about["sequences"]
        classes = None if about["classes"] is None else tuple(about["classes"])
        exact = network is None and about["model"] in LINEAR_MODELS
        if exact:
            network = LINEAR_MODELS[about["model"]](**about["config"]).network(about["basis"])
        elif network is None:
            network = MODELS[about["model"]](**about["config"]).network()
    except (KeyError, TypeError, UsageError) as error:
        raise RlnutError(f"{folder / 'config.json'} does not describe a fit with a named model: {error}") from None
    model = architecture(network, head, uint8)
    x = np.zeros((1, *row), np.uint8 if uint8 else np.float32)
    params = jax.eval_shape(model.init, jax.random.key(0), x)
    if exact:
        params = jax.tree.map(lambda leaf: np.zeros(leaf.shape), params)
    x_like = None if uint8 else scale_of(x, False, sequences)
    y_like = None if classes else scale_of(np.zeros((1, *head)), False)
    params, x_scale, y_scale = in_structure(stored, (params, x_like, y_like))
    if not all_finite((params, x_scale, y_scale)):
        raise RlnutError(f"{stored.path} is damaged: it holds numbers that are not finite")
    result = _result(folder, about, checksum((params, x_scale, y_scale)))
    return FittedModel(model, params, row, head, classes, x_scale, y_scale, about, result, sequences=sequences)
