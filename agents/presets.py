"""Presets: tuned settings of an agent for an environment; benchmarks/README.md has the figures."""

from __future__ import annotations

from typing import Any

_COMPILED = {"native": True, "num_envs": 8, "steps": 400_000, "eval_every": 40_000, "log_every": 20_000}


# a policy may be lost from one start in twenty: few episodes do not show it, and the best of them would be luck
_TAXI: dict[str, dict[str, Any]] = {
    "config": {"lr": 0.5, "epsilon_steps": 100_000},
    "training": _COMPILED | {"eval_episodes": 200, "final_episodes": 300},
}


# on-policy: the values are those of exploring, too, as long as it goes on
_TAXI_ON_POLICY = _TAXI | {"config": {"lr": 0.5, "epsilon_end": 0.0, "epsilon_steps": 300_000}}


# slippery: values settle only as the step size falls; and returns are 0 or 1, so policies differ by many episodes only
_LAKE: dict[str, dict[str, Any]] = {
    "config": {"lr": 0.5, "lr_power": 0.6, "epsilon_end": 0.3, "epsilon_steps": 100_000},
    "training": _COMPILED | {"eval_episodes": 200, "final_episodes": 1000},
}


# double Q: each table learns from half of the steps, and no overestimated maximum helps values that are too low
_LAKE_DOUBLE = _LAKE | {
    "training": _LAKE["training"] | {"steps": 4_000_000, "eval_every": 400_000, "log_every": 200_000}
}


_CLIFF: dict[str, dict[str, Any]] = {
    "config": {"lr": 0.5, "epsilon_start": 0.5, "epsilon_end": 0.0, "epsilon_steps": 40_000},
    "training": {"native": True, "final_episodes": 1, "eval_episodes": 1, "eval_every": 10_000, "log_every": 2_500},
}


# episodes have no limit: unless the goal is found by chance, to walk on for ever (−1/(1 − γ)) is the best that is known
_CLIFF_DOUBLE = {
    "config": {"lr": 0.5, "epsilon_end": 0.0, "epsilon_steps": 160_000},
    "training": _CLIFF["training"] | {"steps": 200_000, "eval_every": 40_000, "log_every": 10_000},
}


_CARDS = {
    "config": {"gamma": 1.0, "lr": 1.0, "lr_power": 0.9, "epsilon_end": 0.5, "epsilon_steps": 1_000_000},
    "training": _COMPILED | {"num_envs": 64, "steps": 2_000_000, "eval_every": 2_000_000, "final_episodes": 10_000},
}


CLASSIC_PRESETS: dict[tuple[str, str], dict[str, Any]] = {
    **{(name, "Taxi-v4"): _TAXI for name in ("q-learning", "double-q")},
    **{(name, "Taxi-v4"): _TAXI_ON_POLICY for name in ("sarsa", "expected-sarsa")},
    **{(name, "FrozenLake-v1"): _LAKE for name in ("expected-sarsa", "q-learning")},
    ("double-q", "FrozenLake-v1"): _LAKE_DOUBLE,
    ("q-learning", "CliffWalking-v1"): _CLIFF,
    ("double-q", "CliffWalking-v1"): _CLIFF_DOUBLE,
    **{(name, "Blackjack-v1"): _CARDS for name in ("q-learning", "double-q")},
    ("sarsa-lambda", "MountainCar-v0"): {"training": {"native": True, "final_episodes": 100}},
}


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


# of all environments of a namespace. Atari: published settings, shortened to hours and made to fit into 8 GB; they are
# not measured here. A step is 4 frames.
_ATARI: dict[str, Any] = {"reward_clip": 1.0, "eval_episodes": 5, "final_episodes": 10, "log_every": 10_000}
FAMILIES: dict[tuple[str, str], dict[str, Any]] = {
    # Mnih et al. 2015; step size, exploration and target of Dopamine (Castro et al. 2018); a tenth of the replay
    ("dqn", "ALE"): {
        "config": {
            "network": "nature",
            "hidden": (512,),
            "lr": 6.25e-5,
            "batch": 32,
            "replay": 100_000,
            "learning_starts": 20_000,
            "train_every": 4,
            "gradient_steps": 1,
            "target_every": 2_000,
            "double": False,
            "n_step": 1,
            "epsilon_end": 0.01,
            "epsilon_steps": 250_000,
        },
        "training": _ATARI | {"steps": 2_000_000, "eval_every": 100_000},
    },
    # Gallici et al. 2024, a fifth of the steps
    ("pqn", "ALE"): {
        "config": {
            "network": "nature",
            "hidden": (512,),
            "lr": 2.5e-4,
            "rollout": 4_096,
            "epochs": 2,
            "minibatches": 32,
            "epsilon_end": 0.001,
            "epsilon_steps": 1_000_000,
        },
        "training": _ATARI | {"steps": 10_000_000, "num_envs": 128, "eval_every": 500_000, "log_every": 50_000},
    },
}
