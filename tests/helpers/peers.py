"""Other libraries that tests compare with, where they are installed."""

from __future__ import annotations

import warnings
from types import ModuleType

import pytest


def rlax_module() -> ModuleType:
    """rlax; the test is skipped without it. It needs a nightly build of TensorFlow Probability, hence its own extra."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the packages that rlax itself imports
        try:
            import rlax
        except ImportError as error:
            pytest.skip(f"rlax is not here ({error}): pip install -e '.[test-rlax]' brings it")
    return rlax
