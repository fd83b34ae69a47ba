"""Figures of the site, the output of the commands that draw them, chapters of the lecture: made when the site is built.

They take minutes the first time and stay in docs/figures. With RLNUT_SITE_FIGURES=off those that are not there are left
out (captions and commands stand alone), and everything else about the site is checked in seconds.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from site_tables import cell, table

from rlnut.demos import CHAPTERS

ROOT = Path(__file__).resolve().parents[1]
MADE = ROOT / "docs" / "figures"
SWITCH = "RLNUT_SITE_FIGURES"

# name of a figure -> (command, the picture that it leaves); its output is kept beside it
FIGURES = {
    "dqn-cartpole": ("train dqn CartPole-v1 --out OUT", "curve.png"),
    "pqn-cartpole": ("train pqn CartPole-v1 --native --out OUT", "curve.png"),
    "sarsa-lambda-car": ("train sarsa-lambda MountainCar-v0 --out OUT", "curve.png"),
    "td-lambda-walk": ("predict td-lambda rlnut/RandomWalk19-v0 --lam 0.8 --out OUT", "values.png"),
    "lstd-walk": ("predict lstd rlnut/RandomWalk19-v0 --out OUT", "values.png"),
    "sb-7.2": ("figure 7.2 --out OUT/figure.png", "figure.png"),
    "sb-11.5": ("figure 11.5 --out OUT/figure.png", "figure.png"),
    "sb-12.3": ("figure 12.3 --out OUT/figure.png", "figure.png"),
} | {f"demo-{name}": (f"demo {name} --out OUT/figure.png", "figure.png") for name in CHAPTERS}


def draw_figures() -> None:
    """Every figure that is not there, two at a time; none with the switch off."""
    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(figure, [name for name in FIGURES if not left_out(name)]):
            pass


def left_out(name: str) -> bool:
    return os.environ.get(SWITCH) == "off" and not (MADE / f"{name}.png").exists()


def figure(name: str) -> Path:
    """The picture NAME.png in docs/figures, made if it is not there; beside it NAME.txt, what the command printed."""
    command, picture = FIGURES[name]
    target, work = MADE / f"{name}.png", MADE / f"{name}.out"
    if target.exists():
        return target
    shutil.rmtree(work, ignore_errors=True)
    MADE.mkdir(exist_ok=True)
    if "OUT/" in command:
        work.mkdir()
    words = [sys.executable, "-m", "rlnut", *command.replace("OUT", str(work)).split()]
    env = os.environ | {"MPLBACKEND": "Agg"}
    found = subprocess.run(words, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if found.returncode:
        raise RuntimeError(f"rlnut {command} failed:\n{found.stdout}")
    (MADE / f"{name}.txt").write_text(found.stdout.replace(str(work), "OUT"))
    shutil.copy(work / picture, target)
    shutil.rmtree(work)
    return target


def shown_command(name: str) -> str:
    """The command of a figure as a user types it."""
    words = FIGURES[name][0].replace(" --out OUT/figure.png", "").replace(" --out OUT", "")
    return f"rlnut {words}"


def printed(name: str) -> str:
    """What the command of a figure printed, with the place where it wrote without --out."""
    if left_out(name):
        return ""
    figure(name)
    text = (MADE / f"{name}.txt").read_text().rstrip()
    return text.replace("OUT/figure.png", f"{name}.png").replace("OUT", default_folder(name))


def output_of(name: str) -> str:
    """The command of a figure and what it printed, as a block."""
    return f"```console\n$ {shown_command(name)}\n{printed(name)}\n```"


def default_folder(name: str) -> str:
    """The folder that a training run has without --out."""
    words = [*FIGURES[name][0].split(), ""]
    return f"runs/{words[1]}-{words[2].replace('/', '-')}-seed0"


def chapter(name: str, up: str) -> str:
    """The picture of a chapter, its claims with their numbers, all that it printed, its notebook and its source."""
    key = f"demo-{name}"
    text = printed(key)
    claims = [f"- {cell(claim)}" for claim in re.findall(r"^  holds: (.*)$", text, re.M)]
    if not claims and not left_out(key):
        raise ValueError(f"rlnut {FIGURES[key][0]} printed no claim")
    everything = "\n".join(f"    {line}" for line in output_of(key).splitlines())
    return "\n".join(
        (
            "## The picture\n",
            image(f"{key} | {CHAPTERS[name][0].upper()}{CHAPTERS[name][1:]}.", up),
            "\n## Claims, with the numbers measured when this page was built\n",
            *claims,
            f'\n??? note "Everything that the command printed"\n\n{everything}\n',
            f"[This page as a notebook]({name}.ipynb) · the chapter's code: "
            f"[rlnut/demos/{name}.py](../../rlnut/demos/{name}.py)",
        )
    )


def chapters_table() -> str:
    rows = (f"| [{name}]({name}.md) | {cell(line)} | `rlnut demo {name}` |" for name, line in CHAPTERS.items())
    return table("chapter | what it shows | command", rows)


def image(words: str, up: str) -> str:
    """`NAME | caption` -> the picture with its caption and its command; up: "../" for a page in a folder of docs."""
    name, _, caption = (part.strip() for part in words.partition("|"))
    shown = f"*{caption} Made by `{shown_command(name)}`.*"
    return shown if left_out(name) else f"![{caption}]({up}figures/{figure(name).name})\n\n{shown}"
