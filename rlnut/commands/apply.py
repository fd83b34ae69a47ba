"""`rlnut predict DIR FILE`: predictions of a saved fit for new data."""

from __future__ import annotations

import argparse
import csv
import io
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rlnut.errors import UsageError, counted

if TYPE_CHECKING:
    import numpy as np

    from rlnut.supervised.fitted_model import FittedModel


def chosen(words: Sequence[str]) -> bool:
    """Do the words name a folder of a fit where METHOD would stand?"""
    pairs = zip(["", *words], words, strict=False)
    first = next((word for before, word in pairs if word[:1] != "-" and (before[:2] != "--" or before == "--json")), "")
    return bool(first) and Path(first).is_dir()


def configure(parser: argparse.ArgumentParser) -> None:
    from rlnut.data.dataset import FILES

    parser.add_argument("dir", metavar="DIR", help="folder of a fit")
    parser.add_argument(
        "rows", metavar="FILE", help=f"new data ({', '.join(FILES)}), or a dataset, whose test rows are used"
    )
    parser.add_argument("--out", metavar="FILE", help="new .csv file for the predictions (default: standard output)")
    parser.add_argument("--data", metavar="DIR", help="folder with the dataset's files")


def run(args: argparse.Namespace) -> Mapping[str, object]:
    """Predict for each row; where the rows bring y, say how good that is."""
    from rlnut.data.catalogue import load_dataset
    from rlnut.data.dataset import FILES
    from rlnut.data.table_code import TableCode
    from rlnut.data.user_files import read_rows
    from rlnut.runtime.files import atomic_write, new_file
    from rlnut.runtime.log import say
    from rlnut.supervised.fitted_model import load

    out = None if args.out is None else new_file(args.out, ".csv", "--out")
    fitted = load(args.dir)
    if Path(args.rows).suffix.lower() in FILES:
        if args.data is not None:
            raise UsageError("--data is the folder of a named dataset: it has no effect with a file")
        x, y, ignored, note = read_rows(args.rows, TableCode.of(fitted.about), fitted.about["target"])
        if note:
            say(f"{args.rows}: {note}")
        if ignored:
            say(f"ignored, because {args.dir} was fitted without them: {', '.join(ignored)}")
    else:
        dataset = load_dataset(args.rows, args.data)
        x, y = dataset.x_test, dataset.y_test
    x = _shaped(x, fitted)
    predictions = fitted.predict(x)
    found: dict[str, object] = {"model": fitted.about["model"], "rows": len(predictions), "predictions": predictions}
    columns, table = ["prediction"], [predictions]
    if fitted.classes is None and predictions.ndim > 1:
        columns, table = [f"prediction {i}" for i in range(predictions.shape[1])], list(predictions.T)
    if fitted.probable:
        chance = fitted.predict_proba(x)
        found |= {"classes": list(fitted.classes or ()), "probabilities": chance}
        columns, table = columns + [f"P({name})" for name in fitted.classes or ()], [*table, *chance.T]
    verdict = {} if y is None else fitted.judged(x, y)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(column.tolist() for column in table), strict=True))
    if out is not None:
        atomic_write(out, text.getvalue())
    elif not args.json:
        sys.stdout.write(text.getvalue())
    how = "".join(f": {name} {figure:.4f}" for name, figure in verdict.items())
    say(
        f"{counted(len(predictions), 'row')} predicted by {found['model']}{how}"
        + (f"; they are in {out}" if out else "")
    )
    return found | verdict | {"out": None if out is None else str(out)}


def _shaped(x: np.ndarray, fitted: FittedModel) -> np.ndarray:
    """Flat rows of a file in the model's shape; whole numbers 0 … 255 as uint8 where it was fitted to such."""
    import numpy as np

    if x.ndim == 2 and x.shape[1] == math.prod(fitted.row):
        x = x.reshape(len(x), *fitted.row)
    if fitted.x_scale is None and x.dtype != np.uint8 and np.array_equal(x, np.clip(np.round(x), 0, 255)):
        x = x.astype(np.uint8)
    return x
