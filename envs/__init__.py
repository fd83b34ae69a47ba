"""Environments with known values, registered with Gymnasium under `rlnut/…` when this package is imported."""

from __future__ import annotations

if __name__ != "rlnut.envs":  # the checkout's root is on sys.path: there this would be a second copy of everything
    raise ImportError(f"{__name__} is imported as rlnut.envs")

import gymnasium

PROBES = ("Constant", "Obs", "Delay", "Action", "Both", "Limit")
WALKS, BROKEN = "rlnut.envs.walks", "rlnut.envs.counterexamples"
GRIDS = "rlnut.envs.gridworlds"

# id -> (function that makes the tables, its options, time limit of those that never end)
FINITE: dict[str, tuple[str, dict[str, object], int | None]] = {
    "RandomWalk5-v0": (f"{WALKS}:random_walk", {"states": 5, "left": 0.0}, None),
    "RandomWalk19-v0": (f"{WALKS}:random_walk", {"states": 19}, None),
    "RandomWalk1000-v0": (f"{WALKS}:random_walk", {"states": 1000, "jump": 100}, None),
    "BoyanChain-v0": (f"{WALKS}:boyan_chain", {}, None),
    "ChainWalk4-v0": (f"{WALKS}:chain_walk", {}, 100),
    "ChainWalk20-v0": (f"{WALKS}:chain_walk", {"states": 20, "rewards": (0, 19)}, 500),
    "ChainWalk50-v0": (f"{WALKS}:chain_walk", {"states": 50, "rewards": (9, 40)}, 500),
    "Baird-v0": (f"{BROKEN}:baird", {}, 1000),
    "WTo2W-v0": (f"{BROKEN}:w_to_2w", {}, 1000),
    "AB-v0": (f"{BROKEN}:a_b", {}, None),
    "MaximisationBias-v0": (f"{BROKEN}:maximisation_bias", {}, None),
    "MaximisationBias100-v0": (f"{BROKEN}:maximisation_bias", {"actions": 100}, None),
    "WindyGridworld-v0": (f"{GRIDS}:windy_gridworld", {}, None),
    "WindyGridworldKing-v0": (f"{GRIDS}:windy_gridworld", {"king": True}, None),
    "WindyGridworldKingStay-v0": (f"{GRIDS}:windy_gridworld", {"king": True, "stay": True}, None),
    "Cliff-v0": (f"{GRIDS}:cliff", {}, None),
    "Garnet-v0": ("rlnut.envs.garnet:garnet", {}, 1000),
}


def _register() -> None:
    entry = "rlnut.envs.tabular:Tabular"
    gymnasium.register("rlnut/Tabular-v0", entry_point=entry)  # gymnasium.make("rlnut/Tabular-v0", source=...)
    for name, (source, options, limit) in FINITE.items():
        kwargs = {"source": source, **options}
        gymnasium.register(f"rlnut/{name}", entry_point=entry, kwargs=kwargs, max_episode_steps=limit)
    gymnasium.register("rlnut/Recall-v0", entry_point="rlnut.envs.recall:Recall", reward_threshold=0.9)
    for probe in PROBES:
        limit = 3 if probe == "Limit" else None
        gymnasium.register(
            f"rlnut/Probe{probe}-v0", "rlnut.envs.probes:ProbeEnv", max_episode_steps=limit, kwargs={"probe": probe}
        )


_register()
