"""Seconds from a process's start to a solved CartPole-v1, beside Stable-Baselines3 and rejax: whole processes.

    python benchmarks/time_to_solve.py [dqn] [pqn] [--seeds 10] [--quick]

Solved: a greedy evaluation of mean ≥ 475 over 20 episodes; ours and Stable-Baselines3's on the real environment, with
which they stop. dqn: our defaults, against the settings that RL Zoo has for CartPole-v1 (50,000 steps, evaluated every
2,500 on both sides). pqn: ours with `--native`, against rejax's whole process with its own settings (one program that
cannot stop, its evaluations on gymnax's CartPole). cold: an empty cache of compiled programs; warm: one in which a run
with another seed has been. A side that did not solve it counts as infinite.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from side_by_side import Row, checkouts, environment, options, report

SOLVED = 475.0
TARGETS = {"dqn": 0.25, "pqn": 0.5}
BUDGET = {"dqn": 50_000, "pqn": 500_000}  # steps; a run that ends before has solved it


def stable_baselines(seed: int) -> bool:
    """DQN with RL Zoo's settings for CartPole-v1."""
    import gymnasium
    import torch
    from stable_baselines3 import DQN
    from stable_baselines3.common.callbacks import EvalCallback, StopTrainingOnRewardThreshold
    from stable_baselines3.common.monitor import Monitor

    torch.set_num_threads(1)
    model = DQN(
        "MlpPolicy", "CartPole-v1", learning_rate=2.3e-3, batch_size=64, buffer_size=100_000, learning_starts=1_000,
        gamma=0.99, target_update_interval=10, train_freq=256, gradient_steps=128, exploration_fraction=0.16,
        exploration_final_eps=0.04, policy_kwargs={"net_arch": [256, 256]}, seed=seed, device="cpu",
    )  # fmt: skip
    env, stop = Monitor(gymnasium.make("CartPole-v1")), StopTrainingOnRewardThreshold(SOLVED)
    seen = EvalCallback(env, callback_on_new_best=stop, n_eval_episodes=20, eval_freq=2_500, verbose=0)
    model.learn(50_000, callback=seen)
    return bool(seen.best_mean_reward >= SOLVED)


def rejax_pqn(seed: int) -> bool:
    """PQN with rejax's settings for CartPole-v1."""
    import jax
    import rejax

    made = rejax.PQN.create(
        env="CartPole-v1", num_envs=16, num_steps=128, num_minibatches=16, max_grad_norm=10, learning_rate=3e-4,
        num_epochs=5, total_timesteps=524_288, eval_freq=16_384, exploration_fraction=0.5, gamma=0.99, td_lambda=0.9,
    )  # fmt: skip
    _, (_, returns) = jax.jit(made.train)(jax.random.PRNGKey(seed))
    return bool(returns.mean(1).max() >= SOLVED)


PEERS = {"dqn": ("SB3", stable_baselines), "pqn": ("rejax", rejax_pqn)}


def timed(words: list[str], around: dict[str, str]) -> tuple[float, str]:
    """Seconds of a process, and what it printed last."""
    began = time.perf_counter()
    done = subprocess.run(words, env=around, capture_output=True, text=True, check=True)
    return time.perf_counter() - began, done.stdout.strip().splitlines()[-1]


def our_run(kind: str, seed: int, folder: Path, cache: Path) -> float:
    """A whole `rlnut train`, up to the first evaluation that solves it (and its evaluation at the end)."""
    with tempfile.TemporaryDirectory() as out:
        line = [
            "train",
            kind,
            "CartPole-v1",
            "--until",
            str(SOLVED),
            "--seed",
            str(seed),
            "--out",
            f"{out}/run",
            "--json",
        ]
        line += ["--steps", str(BUDGET[kind]), *(["--native"] if kind == "pqn" else [])]
        words = [sys.executable, "-m", "rlnut", *line]
        around = environment(folder) | {"RLNUT_CACHE": str(cache)}
        seconds, said = timed(words, around)
    return seconds if json.loads(said)["steps"] < BUDGET[kind] else float("inf")


def main() -> None:
    parser = options(__doc__, "torch", "jax")
    parser.add_argument("what", nargs="*", default=list(PEERS), help="of dqn, pqn")
    parser.add_argument("--seeds", type=int, help="runs of each side (default: 10)")
    args = parser.parse_args()
    if args.serve:
        print(PEERS[args.serve[0]][1](int(args.serve[1])))
        return
    rows: list[Row] = []
    for kind in args.what:
        peer, python = PEERS[kind][0], args.peers_torch if kind == "dqn" else args.peers_jax
        seconds: dict[str, list[float]] = {}
        with tempfile.TemporaryDirectory() as place:
            for side, folder in checkouts(args).items():
                our_run(kind, 1_000, folder, Path(place) / side)
            for seed in range(args.seeds or (2 if args.quick else 10)):
                for side, folder in checkouts(args).items():
                    cold = Path(place) / f"{side}-{seed}"
                    seconds.setdefault(f"{side}, cold", []).append(our_run(kind, seed, folder, cold))
                    seconds.setdefault(f"{side}, warm", []).append(our_run(kind, seed, folder, Path(place) / side))
                taken, solved = timed([python, __file__, "--serve", kind, str(seed)], environment())
                seconds.setdefault(peer, []).append(taken if solved == "True" else float("inf"))
        against = statistics.median(seconds[peer])
        for side, found in seconds.items():
            row = {
                "what": kind,
                "side": side,
                "median_s": statistics.median(found),
                "low": min(found),
                "high": max(found),
            }
            ours = {} if side == peer else {"ratio": row["median_s"] / against, "target": TARGETS[kind]}
            rows.append(row | {"unsolved": sum(s == float("inf") for s in found)} | ours)
    report(args, rows, args.peers_torch, args.peers_jax)


if __name__ == "__main__":
    main()
