"""`rlnut list`: what there is."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence


def configure(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    pass


def run(args: argparse.Namespace) -> Mapping[str, object]:
    import gymnasium as gym

    import rlnut.envs  # noqa: F401  registers rlnut/…
    from rlnut.agents.catalogue import AGENTS
    from rlnut.book.figures import FIGURES
    from rlnut.data.catalogue import DATASETS
    from rlnut.demos import CHAPTERS
    from rlnut.prediction.methods import METHODS
    from rlnut.supervised.linear_settings import LINEAR_MODELS
    from rlnut.supervised.network_settings import MODELS

    environments = sorted(gym.registry)
    found = {
        "agents": sorted(AGENTS),
        "methods": sorted(METHODS),
        "models": sorted([*LINEAR_MODELS, *MODELS]),
        "datasets": sorted(DATASETS),
        "figures": list(FIGURES),
        "demos": list(CHAPTERS),
        "environments": environments,
    }
    if not args.json:
        for kind, names in found.items():
            print(f"{kind}: {', '.join(names)}")
    return found
