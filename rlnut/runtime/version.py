"""The installed version of rlnut, read from the package's metadata; a build takes it from the tag (pyproject.toml)."""

from __future__ import annotations

from rlnut.errors import RlnutError


def installed_version() -> str:
    """The version, or "0+unknown" where the code runs without being installed."""
    from importlib.metadata import PackageNotFoundError, version  # a quarter of the time of --help

    try:
        return version("rlnut")
    except PackageNotFoundError:
        return "0+unknown"


def check_written_by(path: object, written: object) -> None:
    """RlnutError for a file that a newer rlnut wrote: what its settings mean is not known here."""
    installed = installed_version()
    ours, theirs = _release(installed), _release(written)
    if theirs is None:
        raise RlnutError(f"{path} is damaged: {written!r} is not a version of rlnut")
    if ours is not None and ours != (0, 0) and theirs > ours:
        raise RlnutError(
            f"{path} was written by rlnut {written}, and this is rlnut {installed}: update rlnut to read it"
        )


def _release(text: object) -> tuple[int, int] | None:
    """ "1.2.3" -> (1, 2): versions that differ in less read each other's files."""
    major, _, rest = str(text).partition(".")
    minor = rest.partition(".")[0]
    if text == "0+unknown":
        return 0, 0
    if not isinstance(text, str) or not (major.isdecimal() and minor.isdecimal()) or len(text) > 40:
        return None
    return int(major), int(minor)
