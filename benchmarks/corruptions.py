"""Random damage to every file of every kind of folder, and to files of users: none may be answered without a word.

    python benchmarks/corruptions.py [--count 2000] [--seed 0] [--json]

A folder is copied, one of its files is damaged (bits, a cut, zeros, blocks exchanged, bytes at the end, a value of its
JSON edited, with and without a new checksum, deleted, emptied, exchanged for that of another run), and everything that
reads it is called: `evaluate`, `resume`, the log and the summary of a run; `load` and predictions of a fit;
`load_values`; the readers of `.npz` and `.csv`. Each call must give the same numbers as before, or an error or a notice
in a line; a traceback, a hang, or other numbers without a word is a fault. Files of users have no checksum: what can
still be read of them may be other numbers (`other`), as may a file with all that a folder holds when it is exchanged.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Use = Callable[[Path], object]  # a folder or file -> numbers, comparable by their digest
LIMIT = 60  # seconds after which a call hangs
ANOTHER = (
    "not exact",
    "the fit was not finished",
    "a new one is begun",
    "from the beginning",
)  # of a notice: the numbers may be other ones
COURSE = {"eval_every": 64, "eval_episodes": 1, "final_episodes": 2, "log_every": 32, "quiet": True}


class Kind(NamedTuple):
    """A kind of folder (or file of a user): one, another of the same kind, and what reads it."""

    whole: Path
    other: Path
    uses: dict[str, Use]
    users: bool = False  # is it a file of a user, without a checksum?


class Tried(NamedTuple):
    """One damage, one use, and how it was answered."""

    kind: str
    file: str
    damage: str
    use: str
    outcome: str  # same, error, notice, other, or FAULT: …


class Hang(BaseException):
    """A call takes too long."""


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
    return (folder / "policy.safetensors").read_bytes(), run.evaluation.returns, checked_log(folder)


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
    from rlnut.data.user_files import read_table

    found = read_table(path, "y" if path.suffix == ".csv" else None)
    return np.asarray(found.x), np.asarray(found.y)


# --- folders and files of every kind


def kinds(home: Path) -> dict[str, Kind]:
    """All of them, made as small as can be."""
    import rlnut
    from rlnut.agents.catalogue import AGENTS

    small = {"hidden": (8,), "batch": 8, "replay": 100, "learning_starts": 32}
    sizes = {
        "dqn": (rlnut.DQN(**small), {"steps": 160, "normalise": True}),
        "native": (rlnut.DQN(**small, double=True), {"steps": 160, "native": True, "num_envs": 2}),
        "offline": (AGENTS["fqi"]().replace(features="tiles:2", iterations=4), {"steps": 90}),
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


# --- damage


def bits(path: Path, other: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(draw.choice((1, 1, 1, 8, 64))):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def cut(path: Path, other: Path, draw: random.Random) -> None:
    content = path.read_bytes()
    size = len(content)
    path.write_bytes(content[: draw.choice((1, 2, 7, 8, 9, size // 2, size - 8, size - 1, draw.randrange(size)))])


def zeros(path: Path, other: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    start, length = draw.randrange(len(content)), draw.choice((1, 16, 512, 4096))
    content[start : start + length] = bytes(min(length, len(content) - start))
    path.write_bytes(content)


def blocks(path: Path, other: Path, draw: random.Random) -> None:
    """Two blocks exchanged."""
    content = bytearray(path.read_bytes())
    size = draw.choice((1, 16, 64, 512))
    a, b = (draw.randrange(max(1, len(content) - size)) for _ in range(2))
    content[a : a + size], content[b : b + size] = content[b : b + size], content[a : a + size]
    path.write_bytes(content)


def more(path: Path, other: Path, draw: random.Random) -> None:
    """Bytes at the end."""
    path.write_bytes(path.read_bytes() + draw.randbytes(draw.choice((1, 8, 300))))


def delete(path: Path, other: Path, draw: random.Random) -> None:
    path.unlink()


def empty(path: Path, other: Path, draw: random.Random) -> None:
    path.write_bytes(b"")


def exchange(path: Path, other: Path, draw: random.Random) -> None:
    """By the file of that name of another run, or by another file of the same run."""
    rest = [one for one in path.parent.iterdir() if one != path and one.suffix == path.suffix]
    shutil.copyfile(other if other.exists() and (draw.random() < 0.7 or not rest) else draw.choice(rest), path)


def edit(path: Path, other: Path, draw: random.Random) -> None:
    """A value in JSON, or a number of a table, that stays valid; the checksum stays as it was."""
    _edited(path, draw, False)


def forge(path: Path, other: Path, draw: random.Random) -> None:
    """The same with a new checksum: whoever does that knows what he does, but it may not end in a fault."""
    _edited(path, draw, True)


def _edited(path: Path, draw: random.Random, again: bool) -> None:
    from safetensors.numpy import save_file

    from rlnut.runtime.arrays import read_arrays, save_arrays
    from rlnut.runtime.files import CHECKSUM, write_json

    if path.suffix == ".json":
        found = json.loads(path.read_text())
        _change(found, draw, {CHECKSUM})
        if again:
            found.pop(CHECKSUM, None)
            write_json(path, found)
        else:
            path.write_text(json.dumps(found))
    elif path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(path, framework="numpy") as file:
            meta = json.loads(file.metadata()["meta"])
            arrays = {name: np.array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
        if draw.random() < 0.5 and arrays:
            name = draw.choice(sorted(arrays))
            arrays[name] = np.array(_changed(arrays[name], draw), order="C")
        else:
            _change(meta, draw, {CHECKSUM})
        if again:
            meta.pop(CHECKSUM, None)
        save_file(arrays, path, {"meta": json.dumps(meta)})
        if again and draw.random() < 0.5:
            with contextlib.suppress(Exception):
                stored = read_arrays(path)
                save_arrays(path, stored.arrays, stored.meta)  # names change: the arrays are of another kind
    elif path.suffix == ".csv":
        lines = path.read_text().split("\n")
        k = draw.randrange(len(lines) - 1)
        cells = lines[k].split(",")
        cells[draw.randrange(len(cells))] = draw.choice(("", "7", "nan", "1e400", "x", "-1", "٣", '"'))
        lines[k] = ",".join(cells)
        path.write_text("\n".join(lines))
    else:
        bits(path, path, draw)


def _changed(array: np.ndarray, draw: random.Random) -> np.ndarray:
    """Other values, another shape or another type."""
    how = draw.randrange(4)
    if how == 0:
        return array[..., None]
    if how == 1:
        return array.astype(np.float32 if array.dtype != np.float32 else np.float64)
    if how == 2 and array.dtype.kind == "f":
        return array + np.array(1, array.dtype)
    return array[:0] if array.ndim else array + np.array(1, array.dtype) if array.dtype != bool else ~array


def _change(found: Any, draw: random.Random, leave: set[str]) -> None:
    """One value, somewhere inside, in place."""
    while True:
        keys = [key for key in (found if isinstance(found, dict) else range(len(found))) if key not in leave]
        if not keys:
            return
        key = draw.choice(keys)
        if isinstance(found[key], (dict, list)) and found[key] and draw.random() < 0.9:
            found = found[key]
            continue
        values = (None, True, 0, -1, 3, 10**12, 0.5, float("nan"), "x", "", [], {}, [1, 2], 1e308, 2**64)
        if isinstance(found, dict) and draw.random() < 0.15:
            del found[key]
        else:
            found[key] = draw.choice(values)
        return


DAMAGES = (bits, bits, cut, zeros, blocks, more, delete, empty, exchange, edit, forge)


# --- trying


@contextlib.contextmanager
def limited() -> Iterator[list[int]]:
    """Raises `Hang` after LIMIT seconds; gives a list that is not empty then (a run may make another error of it)."""
    over: list[int] = []

    def stop(number: int, frame: object) -> None:
        over.append(number)
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT)
    try:
        yield over
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def answer(use: Use, path: Path) -> tuple[str, str]:
    """("", the numbers as text), or (how it ended, what was said); the numbers, and what was said on standard error."""
    from rlnut.errors import RlnutError

    said, over = io.StringIO(), list[int]()
    try:
        with limited() as over, contextlib.redirect_stderr(said):
            found = use(path)
    except (RlnutError, Hang) as error:
        text = str(error)
        if over:
            return "FAULT: it hangs", ""
        return ("error" if "\n" not in text and len(text) < 1000 else f"FAULT: not one line: {text[:300]}"), ""
    except Exception as error:  # what a user would see as a traceback
        return f"FAULT: {type(error).__name__}: {str(error)[:200]}", ""
    line = said.getvalue().strip()
    how = "notice: other numbers" if any(words in line for words in ANOTHER) else "notice" if line else ""
    return how, shown(found)


def shown(found: object) -> str:
    """Numbers as text, all digits of them."""
    if isinstance(found, np.ndarray):
        return f"{found.dtype}{found.shape}{found.tobytes().hex()}" if found.dtype != object else str(found.tolist())
    if isinstance(found, (list, tuple)):
        return f"[{','.join(map(shown, found))}]"
    return repr(found)


def try_one(name: str, kind: Kind, known: dict[str, str], work: Path, draw: random.Random) -> list[Tried]:
    """One damage to one file of a folder, and what each use of it makes of that."""
    folder = kind.whole.is_dir()
    files = sorted(path.name for path in kind.whole.iterdir()) if folder else [kind.whole.name]
    file, damage = draw.choice(files), draw.choice(DAMAGES)
    if not folder and damage is forge:
        damage = edit
    found: list[Tried] = []
    seed = draw.random()
    for use, call in kind.uses.items():
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        copy = work / kind.whole.name
        (shutil.copytree if folder else shutil.copyfile)(kind.whole, copy)
        path = copy / file if folder else copy
        before = path.read_bytes()
        damage(path, kind.other / file if folder else kind.other, random.Random(seed))
        harmless = path.exists() and path.read_bytes() == before
        how, numbers = answer(call, copy)
        if how in ("", "notice") and numbers != known[use]:
            alone = name.startswith("prediction") and damage is exchange  # one file holds all that is read
            how = "other" if kind.users or alone or damage is forge else "FAULT: other numbers without a word"
        how = how or "same"
        if harmless and how != "same":
            how = f"FAULT: nothing was changed, and it says {how}"
        found.append(Tried(name, file, damage.__name__, use, how))
    return found


def tried(count: int, seed: int, home: Path, only: Sequence[str] = ()) -> list[Tried]:
    """`count` damages, the kinds in turns."""
    import jax

    every = {name: kind for name, kind in kinds(home).items() if not only or name in only}
    work, found = home / "work", list[Tried]()
    known: dict[str, dict[str, str]] = {}
    for name, kind in every.items():
        known[name] = {}
        for use, call in kind.uses.items():
            copy = home / "known"
            shutil.rmtree(copy, ignore_errors=True)
            copy = copy if kind.whole.is_dir() else copy.with_suffix(kind.whole.suffix)
            (shutil.copytree if kind.whole.is_dir() else shutil.copyfile)(kind.whole, copy)
            how, known[name][use] = answer(call, copy)
            assert how == "", f"{name}, {use}: {how}"
    for k in range(count):
        name = sorted(every)[k % len(every)]
        new = try_one(name, every[name], known[name], work, random.Random(f"{seed} {k}"))
        found += new
        for one in new:
            if one.outcome.startswith("FAULT"):
                print(f"{k}: {one}", file=sys.stderr, flush=True)
        if k % 100 == 99:
            jax.clear_caches()
            print(
                f"{k + 1} of {count}, {sum(one.outcome.startswith('FAULT') for one in found)} faults", file=sys.stderr
            )
    return found


def table(found: Sequence[Tried]) -> str:
    """How many calls were answered how, by kind and use."""
    names = ("same", "error", "notice", "other", "FAULT")
    counts = Counter((one.kind, one.use, one.outcome.partition(":")[0]) for one in found)
    lines = [f"| {'kind':22} | {'use':8} | " + " | ".join(f"{name:>6}" for name in names) + " |", "|---" * 7 + "|"]
    for kind, use in sorted({(one.kind, one.use) for one in found}):
        row = " | ".join(f"{counts[kind, use, name]:>6}" for name in names)
        lines.append(f"| {kind:22} | {use:8} | {row} |")
    sums = " | ".join(f"{sum(n for (*_, what), n in counts.items() if what == name):>6}" for name in names)
    return "\n".join([*lines, f"| {'all':22} | {'':8} | {sums} |"])


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", help="kinds, as the table names them (default: all)")
    parser.add_argument("--count", type=int, default=2000, help="damages (default: 2000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="corruptions-") as home:
        found = tried(args.count, args.seed, Path(home), args.kinds)
    faults = Counter((one.kind, one.file, one.damage, one.use, one.outcome) for one in found if "FAULT" in one.outcome)
    for fault, count in faults.most_common():
        print(count, *fault, sep=" | ", file=sys.stderr)
    print(f"{args.count} damages, {len(found)} calls, {sum(faults.values())} faults")
    print(table(found))
    if args.json:
        print(json.dumps(Counter(one.outcome.partition(":")[0] for one in found)))
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
