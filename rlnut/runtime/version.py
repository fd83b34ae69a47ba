"""The installed version of rlnut, read from the package's metadata: pyproject.toml is the only place that states it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str:
    """The version, or "0+unknown" where the code runs without being installed."""
    try:
        return version("rlnut")
    except PackageNotFoundError:
        return "0+unknown"
