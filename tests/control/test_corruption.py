"""Damaged files of every kind, at random: the same numbers, or an error or a notice in one line."""

from __future__ import annotations

import importlib
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import rlnut

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def corruptions() -> Iterator[ModuleType]:
    """benchmarks/corruptions.py, where there is a checkout."""
    folder = ROOT / "benchmarks"
    if not folder.exists():
        pytest.skip("these tests run away from a checkout")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield importlib.import_module("corruptions")


def test_damage_is_never_answered_without_a_word(corruptions: ModuleType, trained: Path, tmp_path: Path):
    """150 of the cheap ones: a run, a fit, a prediction, files of users. The slow test resumes and makes 2,000."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(30, 3))
    for k in (0, 1):
        rlnut.fit("ridge", (x + k, x @ [1.0, 2.0, 3.0], x[:5], x[:5, 0]), out=tmp_path / f"fit{k}", progress=False)
        rlnut.predict("td0", "rlnut/RandomWalk5-v0", seed=k, steps=40, gamma=0.9, out=tmp_path / f"values{k}")
        np.savez(tmp_path / f"tables{k}.npz", P=np.eye(3)[draw.integers(0, 3, (3, 2))], R=draw.normal(size=(3, 2)))
        rows = "".join(",".join(f"{v:.3f}" for v in row) + "\n" for row in x + k)
        (tmp_path / f"rows{k}.csv").write_text(f"a,b,y\n{rows}")
    other = Path(shutil.copytree(trained, tmp_path / "other"))
    saved = importlib.import_module("saved_files")
    uses = {"log": saved.logged, "summary": saved.summed_up, "evaluate": saved.evaluated}
    every = {
        "run": saved.Kind(trained, other, uses),
        "fit": saved.Kind(tmp_path / "fit0", tmp_path / "fit1", {"predict": saved.predicted}),
        "prediction": saved.Kind(tmp_path / "values0", tmp_path / "values1", {"value": saved.valued}),
        "npz": saved.Kind(tmp_path / "tables0.npz", tmp_path / "tables1.npz", {"r": saved.tables_read}, True),
        "csv": saved.Kind(tmp_path / "rows0.csv", tmp_path / "rows1.csv", {"r": saved.table_read}, True),
    }
    known = {
        name: {use: corruptions.answer(call, kind.whole)[1] for use, call in kind.uses.items()}
        for name, kind in every.items()
    }
    found = []
    for k in range(150):
        name = sorted(every)[k % len(every)]
        found += corruptions.try_one(name, every[name], known[name], tmp_path / "work", random.Random(k))
    assert [one for one in found if one.outcome.startswith("FAULT")] == []
    assert {one.outcome for one in found} >= {"same", "error"}


@pytest.mark.slow
def test_two_thousand_damages(corruptions: ModuleType):
    assert corruptions.main([]) == 0
