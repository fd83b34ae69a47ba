"""Every agent by its name on the command line, and settings that were measured. Importing this needs no JAX.

`PRESETS` holds the settings of environments for which other values than the defaults were found better; `--no-preset`
leaves them out.
"""

from __future__ import annotations

from typing import Any

from rlnut.agents.agent_config import AgentConfig as AgentConfig
from rlnut.agents.configs_batch import BATCH
from rlnut.agents.configs_classic import CLASSIC, CLASSIC_PRESETS
from rlnut.agents.configs_deep import DEEP
from rlnut.agents.configs_deep import DQN as DQN
from rlnut.agents.configs_deep import PQN as PQN
from rlnut.agents.configs_recurrent import DRQN as DRQN
from rlnut.agents.configs_recurrent import RECURRENT
from rlnut.agents.configs_recurrent import RecurrentPQN as RecurrentPQN

AGENTS: dict[str, type[AgentConfig]] = {**DEEP, **RECURRENT, **CLASSIC, **BATCH}

# the rollout, epochs and minibatches of PQN's paper, the hidden layer of MinAtar's
_MINATAR: dict[str, Any] = {
    "config": {"hidden": (128,), "rollout": 4_096, "epochs": 2, "minibatches": 32, "epsilon_steps": 200_000},
    "training": {"steps": 2_000_000, "num_envs": 128, "eval_every": 250_000, "log_every": 100_000, "native": True},
}
PRESETS: dict[tuple[str, str], dict[str, Any]] = {
    # returns are 0 or 1, so ten episodes cannot tell two policies apart
    ("dqn", "FrozenLake-v1"): {"training": {"eval_episodes": 100, "final_episodes": 500}},
    # a temperature is in units of return: what suits 500 would drown a return of 1
    ("soft-q", "CartPole-v1"): {"config": {"temperature": 1.0}},
    ("noisy-dqn", "CartPole-v1"): {"config": {"noisy_sigma": 2.0, "n_step": 1}},
    ("dqn", "Acrobot-v1"): {"training": {"final_episodes": 100}},
    # costs of up to 16 a step: beyond |δ| = 1 huber regresses on medians, and the values are means
    ("dqn", "Pendulum-v1"): {"config": {"loss": "squared"}, "training": {"final_episodes": 100}},
    # its goal is found by chance, so it takes long exploration, and a net and batches that can use what was found
    ("dqn", "MountainCar-v0"): {
        "config": {"hidden": (128, 128), "batch": 128, "target_every": 500, "epsilon_steps": 30_000},
        "training": {"steps": 150_000, "eval_every": 5_000, "final_episodes": 100},
    },
    ("dqn", "LunarLander-v3"): {
        "config": {
            "hidden": (128, 128),
            "lr": 5e-4,
            "batch": 128,
            "replay": 100_000,
            "learning_starts": 2_000,
            "target_every": 500,
            "epsilon_steps": 30_000,
        },
        "training": {"steps": 300_000, "eval_every": 10_000},
    },
    **{("pqn", f"gymnax/{game}-MinAtar"): _MINATAR for game in ("Asterix", "Breakout", "Freeway", "SpaceInvaders")},
    **CLASSIC_PRESETS,
}
