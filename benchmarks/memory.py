"""What experience costs to keep: prioritised replay beside uniform replay, frames stored for a step, checkpoints.

    python benchmarks/memory.py [draws] [frames] [checkpoints] [--quick]

draws: µs of one update of the memory (a step is added, 64 rows drawn, weighed, read and scored again) with 10⁵ and 10⁶
rows, prioritised less uniform. frames: bytes of the observations of a replay of stacks of 4 frames 84 × 84, over those
of one frame a step. checkpoints: share of a run's wall time that its checkpoints take, on such stacks, and their bytes.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from side_by_side import Row, Worker, checkouts, in_turns, options, pairs_of, report, serve

ROWS = (100_000, 1_000_000)
UPDATES = 300


class Screen(gymnasium.Env):
    """Random frames 84 × 84: an environment as large as an Atari game, and as fast as can be."""

    observation_space = gymnasium.spaces.Box(0, 255, (84, 84), np.uint8)
    action_space = gymnasium.spaces.Discrete(4)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return self._frame(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return self._frame(), 1.0, bool(self.np_random.random() < 0.01), False, {}

    def _frame(self) -> np.ndarray:
        return self.np_random.integers(0, 256, (84, 84), np.uint8)


def stacked() -> gymnasium.Env:
    return gymnasium.wrappers.FrameStackObservation(Screen(), 4)


def draws(kind: str, rows: int) -> tuple[Callable[[], int], dict[str, float]]:
    """Updates of a memory alone; a "step" of the window is one of them."""
    import jax
    import jax.numpy as jnp

    from rlnut.learner.prioritised_replay import prioritised
    from rlnut.learner.replay import replay
    from rlnut.types import transition

    try:
        from rlnut.runtime.compiling import program
    except ImportError:  # an older rlnut
        program = jax.jit
    memory = (prioritised if kind == "prioritised" else replay)(rows)
    obs, number, flag = jnp.ones((1, 1, 4)), jnp.ones((1, 1)), jnp.zeros((1, 1), bool)
    seen = transition(obs, jnp.zeros((1, 1), jnp.int32), number, obs, flag, flag, 0.99, ~flag, fresh=flag)
    row = jax.tree.map(lambda a: a[0], seen)
    block = 1_000

    def fill(state: Any) -> Any:
        many = jax.tree.map(lambda a: jnp.broadcast_to(a, (block, *a.shape[1:])), seen)
        return jax.lax.fori_loop(0, math.ceil(rows / block), lambda _, s: memory.add(s, many), state)

    def update(i: Any, carry: Any) -> Any:
        state, total = carry
        state = memory.add(state, seen)
        found = memory.draw(state, jax.random.fold_in(jax.random.key(0), i), 64)
        read = memory.read(state, found)
        surprise = 1 + jnp.sin(i + jnp.arange(64.0))  # stands for |δ|
        if memory.weigh is not None and memory.score is not None:
            total += jnp.sum(memory.weigh(state, found, i))
            state = memory.score(state, found, surprise)
        return state, total + read.obs.sum() + read.next_obs.sum()

    def window(carry: Any) -> Any:
        return jax.lax.fori_loop(0, UPDATES, update, carry)

    carry = program(lambda: (fill(memory.init(row, block)), jnp.zeros(())))()
    compiled = program(window, donate_argnums=0).lower(carry).compile()
    carry = jax.tree.map(jnp.copy, carry)

    def run() -> int:
        nonlocal carry
        carry = jax.block_until_ready(compiled(carry))
        return UPDATES

    return run, {}


def frames() -> float:
    """Frames stored for a step: bytes of the replay's pictures over 84 · 84 · rows."""
    import jax

    from rlnut.agents.dqn_settings import DQN
    from rlnut.control.settings import RunSettings
    from rlnut.control.setup import played

    rows = 10_000
    loop = played(DQN(replay=rows), stacked, RunSettings(), 0, None).loop
    leaves = jax.tree.leaves(loop.shapes().agent)
    return sum(a.size for a in leaves if a.dtype == np.uint8 and a.size > rows * 84) / (84 * 84 * rows)


def checkpoints(steps: int, rows: int) -> dict[str, float]:
    """Seconds of writing checkpoints in a run of ordinary settings, and of the run."""
    from rlnut.agents.dqn_settings import DQN
    from rlnut.control.checkpoints import Saver
    from rlnut.control.training import train

    spent, write = [0.0], Saver.write

    def timed(*args: Any, **more: Any) -> Any:
        began = time.perf_counter()
        write(*args, **more)
        spent.append(time.perf_counter() - began)

    Saver.write = timed  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as place:
        began = time.perf_counter()
        config = DQN(replay=rows, train_every=64, gradient_steps=1, batch=32, learning_starts=1_000)
        train(
            config,
            stacked,
            steps=steps,
            eval_every=max(2_000, steps // 20),
            eval_episodes=1,
            final_episodes=1,
            out=f"{place}/run",
        )
        wall = time.perf_counter() - began
        size = sum(file.stat().st_size for file in Path(place).rglob("*") if file.is_file())
    return {
        "checkpoints": len(spent) - 1,
        "seconds": sum(spent),
        "wall_s": wall,
        "share": sum(spent) / wall,
        "MiB": size / 2**20,
    }


def main() -> None:
    parser = options(__doc__)
    parser.add_argument(
        "what", nargs="*", default=["draws", "frames", "checkpoints"], help="of draws, frames, checkpoints"
    )
    args = parser.parse_args()
    if args.serve:
        what, setting = args.serve[0], json.loads(args.serve[1])
        if what == "draws":
            serve(draws, setting)
        else:
            print(json.dumps({"frames": frames()} if what == "frames" else checkpoints(**setting)))
        return
    found: list[Row] = []
    for rows in ROWS if "draws" in args.what else ():
        workers = {
            f"{side} {kind}": Worker(sys.executable, __file__, "draws", {"kind": kind, "rows": rows}, folder)
            for side, folder in checkouts(args).items()
            for kind in ("uniform", "prioritised")
        }
        speeds = in_turns(dict(workers), pairs_of(args))
        for worker in workers.values():
            worker.close()
        for side in checkouts(args):
            us = {kind: 1e6 / speeds[f"{side} {kind}"]["steps_s"] for kind in ("uniform", "prioritised")}
            beyond = us["prioritised"] - us["uniform"]
            found.append({"what": f"{rows:,} rows, µs", "side": side, **us, "beyond": beyond, "target": 100.0})
    for what, setting, target in (
        ("frames", {}, 1.05),
        ("checkpoints", {"steps": 4_000 if args.quick else 40_000, "rows": 20_000 if args.quick else 100_000}, 0.02),
    ):
        if what in args.what:
            for side, folder in checkouts(args).items():
                worker = Worker(sys.executable, __file__, what, setting, folder)
                found.append({"what": what, "side": side, **worker.ready, "target": target})
                worker.close()
    report(args, found)


if __name__ == "__main__":
    main()
