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
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from damage import DAMAGES, edit, exchange, forge
from saved_files import Kind, Use, kinds

LIMIT = 60  # seconds after which a call hangs
ANOTHER = (
    "not exact",
    "the fit was not finished",
    "a new one is begun",
    "from the beginning",
)  # of a notice: the numbers may be other ones
Numbers = dict[str, str]  # parts of what a use gives, as text


class Tried(NamedTuple):
    """One damage, one use, and how it was answered."""

    kind: str
    file: str
    damage: str
    use: str
    outcome: str  # same, error, notice, other, or FAULT: …


class Hang(BaseException):
    """A call takes too long."""


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


def answer(use: Use, path: Path) -> tuple[str, Numbers]:
    """(how it ended, "" for well and without a word; the numbers, none after an error)."""
    from rlnut.errors import RlnutError

    said, over = io.StringIO(), list[int]()
    try:
        with limited() as over, contextlib.redirect_stderr(said):
            found = use(path)
    except (RlnutError, Hang) as error:
        text = str(error)
        if over:
            return "FAULT: it hangs", {}
        return ("error" if "\n" not in text and len(text) < 1000 else f"FAULT: not one line: {text[:300]}"), {}
    except Exception as error:  # what a user would see as a traceback
        return f"FAULT: {type(error).__name__}: {str(error)[:200]}", {}
    line = said.getvalue().strip()
    how = "notice: other numbers" if any(words in line for words in ANOTHER) else "notice" if line else ""
    return how, {name: shown(part) for name, part in (found if isinstance(found, dict) else {"": found}).items()}


def shown(found: object) -> str:
    """Numbers as text, all digits of them."""
    if isinstance(found, np.ndarray):
        return f"{found.dtype}{found.shape}{found.tobytes().hex()}" if found.dtype != object else str(found.tolist())
    if isinstance(found, (list, tuple)):
        return f"[{','.join(map(shown, found))}]"
    return repr(found)


def difference(before: Numbers, now: Numbers) -> str:
    """Which parts are other ones, and how the first of them begins to differ."""
    names = [name for name in before if before[name] != now.get(name)]
    a, b = before[names[0]], now.get(names[0], "")
    start = max(0, next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))) - 40)
    return f"{', '.join(names)}: {a[start : start + 100]} -> {b[start : start + 100]}"


def try_one(name: str, kind: Kind, known: dict[str, Numbers], work: Path, draw: random.Random) -> list[Tried]:
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
            allowed = kind.users or alone or damage is forge
            how = "other" if allowed else f"FAULT: other numbers without a word: {difference(known[use], numbers)}"
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
    known: dict[str, dict[str, Numbers]] = {}
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
    faults = Counter(one for one in found if one.outcome.startswith("FAULT"))
    for fault, count in faults.most_common():
        print(count, *fault, sep=" | ", file=sys.stderr)
    print(f"{args.count} damages, {len(found)} calls, {sum(faults.values())} faults")
    print(table(found))
    if args.json:
        print(json.dumps(Counter(one.outcome.partition(":")[0] for one in found)))
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
