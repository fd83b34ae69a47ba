"""Run folders as `rlnut train` leaves them, with chosen numbers: for what reads many runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rlnut.agents.catalogue import DQN
from rlnut.control.settings import RunSettings
from rlnut.runtime.files import write_json
from rlnut.runtime.log import COLUMNS, MetricsFile


def recorded(
    folder: Path,
    seed: int = 0,
    returns: Sequence[float] | None = (1.0,),
    *,
    curve: Mapping[int, float] | None = None,
    agent: str = "dqn",
    env: str = "CartPole-v1",
    interrupted: bool = False,
    training: Mapping[str, object] | None = None,
    **config: object,
) -> Path:
    """A run with these returns in its final evaluation (None: it is not finished) and this curve, {step: mean}."""
    folder.mkdir(parents=True)
    content = {
        "rlnut": "0.1.0", "agent": agent, "config": asdict(DQN()) | config, "env": {"id": env, "kwargs": {}},
        "training": asdict(RunSettings()) | dict(training or {}), "seed": seed, "custom_network": False,
    }  # fmt: skip
    write_json(folder / "config.json", content)
    metrics = MetricsFile(folder / "metrics.csv", COLUMNS)
    for step, mean in ({100: 0.0, 200: 1.0} if curve is None else curve).items():
        metrics.write({"step": step - 1, "return": mean})  # a row without an evaluation
        metrics.write({"step": step, "return": mean, "eval_mean": mean, "eval_std": 0.0, "eval_length": 1.0})
    if returns is not None:
        found = {"mean": 0.0, "std": 0.0, "episodes": len(returns), "returns": list(returns), "lengths": []}
        summary = {"agent": agent, "env": env, "seed": seed, "steps": 200, "eval": found, "interrupted": interrupted}
        write_json(folder / "summary.json", summary)
    return folder


def seeds_of(folder: Path, means: Sequence[float], **more: object) -> Path:
    """A folder with a run for each mean return, of the seeds 0, 1, …"""
    for seed, mean in enumerate(means):
        recorded(folder / f"seed{seed}", seed, (mean,), **more)  # type: ignore[arg-type]
    return folder
