"""One style for all figures: three formats whose bytes repeat, whole ticks, and the user's matplotlib left alone."""

from __future__ import annotations

import ast
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

import rlnut
from rlnut.errors import UsageError
from rlnut.runtime.plotting import (
    PALETTE,
    caption,
    figure_path,
    has_description,
    heading,
    legend_above,
    line_style,
    panels,
    save_figure,
    styled,
    whole_numbers,
)

pytestmark = pytest.mark.figures
BEGINS = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


@styled()
def picture() -> Figure:
    figure, (left, right) = panels(1, 2)
    for i in range(3):
        left.plot(np.arange(9) * i, label=f"curve {i}", **line_style(i))
    left.set_title("Three lines")
    legend_above(left)
    right.imshow(np.eye(3))
    heading(figure, "A figure")
    caption(figure, "seed 0", "", "γ = 0.9")
    return figure


@pytest.mark.parametrize("form", BEGINS)
def test_a_format_by_its_ending_with_bytes_that_repeat(form: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_figure(picture(), tmp_path / f"{name}.{form}", "rlnut demo x")
    first = (tmp_path / f"a.{form}").read_bytes()
    assert first.startswith(BEGINS[form]) and first == (tmp_path / f"b.{form}").read_bytes()
    assert has_description(tmp_path / f"a.{form}", "rlnut demo x")
    assert not has_description(tmp_path / f"a.{form}", "rlnut demo y")


def test_other_endings_are_refused_with_the_three_that_are_known(tmp_path: Path) -> None:
    for name in ("x.jpg", "x", "x.png.gz"):
        with pytest.raises(UsageError, match=r"\.png, \.svg or \.pdf"):
            save_figure(picture(), tmp_path / name)
        with pytest.raises(UsageError, match=r"\.png, \.svg or \.pdf"):
            figure_path(str(tmp_path / name), "figure")
    assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError, match="folder that exists"):
        figure_path(str(tmp_path / "nowhere" / "x.png"), "figure")
    assert figure_path(str(tmp_path), "figure-7.2", "svg") == tmp_path / "figure-7.2.svg"
    assert figure_path(None, "figure") == Path("figure.png")


def test_the_users_settings_stay_and_do_not_change_the_figure(tmp_path: Path) -> None:
    save_figure(picture(), tmp_path / "a.png")
    with matplotlib.rc_context({"axes.facecolor": "black", "font.size": 30, "axes.spines.top": True}):
        before = dict(matplotlib.rcParams)
        save_figure(picture(), tmp_path / "b.png")
        assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_no_module_uses_pyplot() -> None:
    """pyplot keeps figures, chooses a backend and opens windows: a library that draws into files needs none of it."""
    root = Path(rlnut.__file__).parents[1]
    for path in (path for folder in ("rlnut", "agents", "envs") for path in (root / folder).rglob("*.py")):
        names = [
            f"{getattr(node, 'module', '')}.{alias.name}"
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for alias in node.names
        ]
        assert not any("pyplot" in name for name in names), path


def test_curves_differ_in_colour_and_in_line_style() -> None:
    assert len({str(line_style(i)) for i in range(20)}) == 20
    styles = [line_style(i) for i in range(len(PALETTE))]
    assert len({one["color"] for one in styles}) == len({str(one["linestyle"]) for one in styles}) == len(PALETTE)


@pytest.mark.parametrize("top", [1, 4, 19, 500_000])
def test_what_is_counted_has_whole_ticks(top: int) -> None:
    figure, (axis,) = panels(1, 1)
    axis.plot([0, top], [0, 1])
    whole_numbers(axis.xaxis)
    figure.draw_without_rendering()
    ticks = axis.get_xticks()
    assert len(ticks) >= 2 and np.array_equal(ticks, np.round(ticks))
    shown = [label.get_text() for label in axis.get_xticklabels()]
    assert [int(text.replace(",", "").replace("\N{MINUS SIGN}", "-")) for text in shown] == ticks.tolist()
    assert "100,000" in shown or top < 1000


def test_the_caption_has_the_version() -> None:
    assert picture().get_supxlabel() == f"seed 0 · γ = 0.9 · rlnut {rlnut.__version__}"
