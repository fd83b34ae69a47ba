"""One folder of every kind that rlnut writes, and files of users, as small as can be; and what reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

Use = Callable[[Path], object]  # a folder or file -> numbers, or parts of them by name
COURSE = {"eval_every": 64, "eval_episodes": 1, "final_episodes": 2, "log_every": 32, "quiet": True}


class Kind(NamedTuple):
    """A kind of folder (or file of a user): one, another of the same kind, and what reads it."""

    whole: Path
    other: Path
    uses: dict[str, Use]
    users: bool = False  # is it a file of a user, without a checksum?


# --- what reads a folder


def evaluated(folder: Path) -> object:
    import rlnut

    found = rlnut.load_policy(folder).evaluate(2, seed=1)
    return found.returns, found.lengths


def resumed(folder: Path) -> object:
    """To its planned end and beyond it: the policy, and all of its log."""
    import rlnut
    from rlnut.control.run_records import checked_log

    try:
        run = rlnut.resume(folder, steps=224, quiet=True)
    except rlnut.UsageError as error:
        if "give --iterations" not in str(error):
            raise
        run = rlnut.resume(folder, iterations=8, quiet=True)
    if run.interrupted:  # by a signal that was meant for this process
        raise KeyboardInterrupt
    weights = (folder / "policy.safetensors").read_bytes().hex()
    return {"policy": weights, "returns": run.evaluation.returns, "log": checked_log(folder)}


def logged(folder: Path) -> object:
    from rlnut.control.run_records import checked_log

    return checked_log(folder)


def summed_up(folder: Path) -> object:
    from rlnut.control.run_records import read_summary

    return read_summary(folder)


def predicted(folder: Path) -> object:
    import rlnut

    fitted = rlnut.load(folder)
    rows = 1 + np.arange(3 * int(np.prod(fitted.row))).reshape(3, *fitted.row) % 7
    return np.asarray(fitted.predict(rows.astype(float))), fitted.result


def valued(folder: Path) -> object:
    import rlnut

    values = rlnut.load_values(folder)
    return values.value(2) if hasattr(values, "table") else values.value(np.full((3, 4), 0.1, np.float32))


def transitions_read(path: Path) -> object:
    from rlnut.envs.make import EnvName
    from rlnut.envs.spaces import read_spaces
    from rlnut.envs.transitions import load_transitions

    env = EnvName("CartPole-v1", {}).make()
    return list(load_transitions(str(path), read_spaces(env), 0.9)._asdict().values())


def tables_read(path: Path) -> object:
    from rlnut.truth.finite import load_npz

    finite = load_npz(path)
    return [np.asarray(leaf) for leaf in finite.mdp]


def table_read(path: Path) -> object:
    from rlnut.data.table_settings import TableSettings
    from rlnut.data.user_files import read_user_file
    from rlnut.data.user_tables import Share

    found = read_user_file(path, "y" if path.suffix == ".csv" else None, "auto", TableSettings(), Share(0.0))
    return np.asarray(found.x_train), np.asarray(found.y_train)


# --- folders and files of every kind


def kinds(home: Path) -> dict[str, Kind]:
    """All of them, made as small as can be."""
    import rlnut
    from rlnut.agents.catalogue import AGENTS

    small = {"hidden": (8,), "batch": 8, "replay": 100, "learning_starts": 32}
    sizes = {
        "dqn": (rlnut.DQN(**small), {"steps": 160, "normalise": True}),
        "native": (rlnut.DQN(**small, double=True), {"steps": 160, "native": True, "num_envs": 2}),
        "offline": (AGENTS["fqi"]().replace(features="tiles:2,2", iterations=4), {"steps": 90}),
    }
    run_uses = {"evaluate": evaluated, "resume": resumed, "log": logged, "summary": summed_up}
    found: dict[str, Kind] = {}
    for name, (config, more) in sizes.items():
        for seed in (0, 1):
            rlnut.train(config, "CartPole-v1", seed=seed, out=home / name / f"seed{seed}", **(COURSE | more))
        found[f"run: {name}"] = Kind(home / name / "seed0", home / name / "seed1", run_uses)

    draw = np.random.default_rng(0)
    x = draw.normal(size=(60, 3))
    y = x @ [1.0, -2.0, 0.5] + 0.1 * draw.normal(size=60)
    for model, words in (("mlp", {"hidden": (4,), "epochs": 3}), ("ridge", {})):
        for k in (0, 1):
            data = (x + k, y, x[:5] + k, y[:5])
            rlnut.fit(model, data, out=home / model / str(k), progress=False, **words)
        found[f"fit: {model}"] = Kind(home / model / "0", home / model / "1", {"predict": predicted})
    for name, env, words in (
        ("table", "rlnut/RandomWalk5-v0", {}),
        ("function", "CartPole-v1", {"features": "tiles:2"}),
    ):
        for k in (0, 1):
            rlnut.predict("td0", env, seed=k, steps=60 + 10 * k, gamma=0.9, out=home / name / str(k), **words)
        found[f"prediction: {name}"] = Kind(home / name / "0", home / name / "1", {"values": valued})

    files = home / "files"
    files.mkdir()
    for k in (0, 1):
        steps = draw.normal(size=(41, 4)).astype(np.float32)
        end = np.zeros(40, bool)
        end[-1] = True
        np.savez(
            files / f"steps{k}.npz", obs=steps[:-1], next_obs=steps[1:], action=draw.integers(0, 2, 40),
            reward=np.ones(40), terminated=end, truncated=~end & False,
        )  # fmt: skip
        P = np.eye(3)[draw.integers(0, 3, (3, 2))]
        np.savez_compressed(files / f"tables{k}.npz", P=P, R=draw.normal(size=(3, 2)))
        np.savez(files / f"rows{k}.npz", x=x + k, y=y)
        rows = list(zip(x + k, y, strict=True))
        text = "a,b,c,y\n" + "".join(",".join(f"{v:.4f}" for v in (*row, out)) + "\n" for row, out in rows)
        (files / f"rows{k}.csv").write_text(text)
    for name, use in (("steps.npz", transitions_read), ("tables.npz", tables_read)):
        a, b = (files / name.replace(".", f"{k}.") for k in (0, 1))
        found[f"file: {name}"] = Kind(a, b, {"read": use}, True)
    for name in ("rows.npz", "rows.csv"):
        a, b = (files / name.replace(".", f"{k}.") for k in (0, 1))
        found[f"file: {name}"] = Kind(a, b, {"read": table_read}, True)
    return found
