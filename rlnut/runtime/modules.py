"""Modules of the user: found where Python finds them, or in the working folder."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType


def import_users_module(name: str) -> ModuleType:
    """Import a module that the user has named; raises what the import raises, an ImportError where it exits."""
    here = str(Path.cwd())
    added = here not in sys.path
    sys.path[:0] = [here] if added else []
    try:
        return import_module(name)
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:  # SystemExit and the like
        raise ImportError(f"{name} raised {type(error).__name__} {error}".rstrip(), name=name) from error
    finally:
        if added and here in sys.path:
            sys.path.remove(here)
