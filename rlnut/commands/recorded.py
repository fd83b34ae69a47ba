"""`rlnut fit --config FILE`: a fit keeps its command line in its folder, where it is found to be given again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rlnut.errors import RlnutError
from rlnut.runtime.files import read_json, write_json
from rlnut.runtime.log import say
from rlnut.runtime.version import check_written_by, installed_version

COMMAND, CONFIG = "command.json", "config.json"
OF_THE_CALL = {"--out": 1, "--log": 1, "--config": 1, "--json": 0, "--no-cache": 0}  # and how many values they take
COMPARED = ("metrics.csv", "model.safetensors")


def without(words: Sequence[str], options: dict[str, int]) -> list[str]:
    """The words but for these options and their values."""
    found, skip = [], 0
    for word in words:
        name, equals, _ = word.partition("=")
        if skip:
            skip -= 1
        elif name in options:
            skip = 0 if equals else options[name]
        else:
            found.append(word)
    return found


def record_command(folder: str | Path, words: Sequence[str]) -> None:
    """Keep a command line, but for what is of this call only."""
    write_json(Path(folder) / COMMAND, {"rlnut": installed_version(), "words": without(words, OF_THE_CALL)})


def folder_of(config: str) -> Path:
    """The folder of a config.json, or of a run that was given itself."""
    path = Path(config)
    return path.parent if path.name == CONFIG else path


def with_recorded(words: Sequence[str], config: str | None) -> list[str]:
    """The recorded words, and after them those given here, which take their place; config: of `--config`."""
    if config is None:
        return list(words)
    path = folder_of(config) / COMMAND
    if not path.exists():
        what = "it was made in Python, or by an earlier version" if path.parent.is_dir() else "there is no such folder"
        raise RlnutError(f"{path.parent} has no {COMMAND}, which says how it was fitted: {what}")
    found = read_json(path)
    check_written_by(path, found.get("rlnut", "0.0"))
    recorded = found.get("words")
    if not isinstance(recorded, list) or not all(isinstance(word, str) for word in recorded):
        raise RlnutError(f"{path} is damaged: words must be a list of text")
    return [*without(recorded, OF_THE_CALL), *words]


def report_repeat(config: str, out: str | None, changed: bool) -> bool | None:
    """Whether a repeated fit has the bytes of the one it repeats, said to people; None: nothing to compare."""
    before, now = folder_of(config), installed_version()
    if (then := read_json(before / COMMAND).get("rlnut")) != now:
        say(f"not as recorded: rlnut {str(then)[:40]} → {now}")
    if out is None or changed:
        return None
    differ = [name for name in COMPARED if _bytes(before / name) != _bytes(Path(out) / name)]
    if differ:
        say(f"not the same as in {before}: {' and '.join(differ)}")
    else:
        say(f"the same bytes as in {before}: {' and '.join(COMPARED)}")
    return not differ


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
