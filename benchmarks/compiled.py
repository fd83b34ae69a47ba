"""Training and environments in one compiled program, beside rejax and gymnax: steps/s on CartPole-v1 and others.

    python benchmarks/compiled.py [dqn10] [dqn4] [pqn] [twins] [--seeds 1,16] [--lanes 1,16,256,4096] [--quick]

dqn10, dqn4: 10 (4) environments side by side, one update of 128 rows for 10 (4) steps, 64-64, ReLU, replay 10,000.
pqn: rejax's own settings: 16 environments × 128 steps, 5 epochs × 16 minibatches, Adam, 64-64 with layer norm, λ = .9.
Steps are summed over the seeds, which `vmap` trains at once; no evaluations; compilation is apart (column `compile`).
twins: our functional environments and gymnax's under `lax.scan` with random actions, auto-reset and time limits on both
sides. rejax: `train_iteration` in a loop, what its `train` runs between evaluations. Peers: benchmarks/README.md.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from side_by_side import Row, Worker, checkouts, compared, in_turns, options, pairs_of, report, serve

WINDOW = {"dqn10": 100_000, "dqn4": 40_000, "pqn": 200_000, "twins": 4_000_000}  # steps, about 3 s a window
TARGETS = {
    ("dqn10", 1): 3.0,
    ("dqn10", 16): 2.0,
    ("dqn4", 1): 3.0,
    ("dqn4", 16): 2.0,
    ("pqn", 1): 1.5,
    ("pqn", 16): 1.5,
}
GAMES = {"CartPole-v1": 500, "MountainCar-v0": 200, "Acrobot-v1": 500, "Pendulum-v1": 200}  # time limits
Step = Callable[[Any], Any]
Parts = tuple[Callable[[Any], Any], Step, int]  # (key -> state, state -> state after a round, steps of a round)


def our_training(kind: str) -> Parts:
    """`control.native_loop.rounds` of an agent."""
    from rlnut.agents.dqn_settings import DQN
    from rlnut.agents.pqn_settings import PQN
    from rlnut.control.native_loop import rounds
    from rlnut.envs.classic_control import CartPole
    from rlnut.envs.functional import func_vector

    if kind == "pqn":
        vector, size = func_vector(CartPole(), 16, 500), 2_048
        config: Any = PQN(rollout=size, epochs=5, minibatches=16, optimizer="adam", lam=0.9, lr=3e-4)
    else:
        size = int(kind[3:])
        vector = func_vector(CartPole(), size, 500)
        config = DQN(
            lr=2.5e-4, batch=128, replay=10_000, learning_starts=1_000, train_every=size, gradient_steps=1,
            target_every=500 // size, hidden=(64, 64), double=False, n_step=1, epsilon_steps=2_000,
        )  # fmt: skip
    begin, one_round = rounds(config.build(vector.spec), vector, 0.99)
    return begin, lambda live: one_round(live)[0], size


def their_training(kind: str) -> Parts:
    """rejax with the same sizes."""
    import rejax

    if kind == "pqn":
        settings = {"num_envs": 16, "num_steps": 128, "num_epochs": 5, "num_minibatches": 16, "learning_rate": 3e-4}
        made, size = rejax.PQN.create(env="CartPole-v1", td_lambda=0.9, max_grad_norm=10, gamma=0.99, **settings), 2_048
    else:
        size = int(kind[3:])
        settings = {"num_envs": size, "batch_size": 128, "buffer_size": 10_000, "fill_buffer": 1_000, "num_epochs": 1}
        more = {"learning_rate": 2.5e-4, "max_grad_norm": 10, "target_update_freq": 500, "polyak": 0.0, "ddqn": False}
        made = rejax.DQN.create(env="CartPole-v1", agent_kwargs={"activation": "relu"}, gamma=0.99, **settings, **more)
    return made.init_state, made.train_iteration, size


def our_environment(name: str, lanes: int) -> Parts:
    """A twin; the state carries the sum of all that was seen, so that nothing is left out by the compiler."""
    import gymnasium
    import jax
    import jax.numpy as jnp

    from rlnut.envs.functional import func_vector
    from rlnut.envs.twins import twin

    vector = func_vector(twin(gymnasium.make(name)), lanes, GAMES[name])
    actions = vector.spec.actions

    def begin(key: Any) -> Any:
        first, _ = vector.reset(key)
        return first, key, jnp.zeros(())

    def step(state: Any) -> Any:
        now, key, total = state
        key, draw = jax.random.split(key)
        now, look, seen = vector.step(now, jax.random.randint(draw, (lanes,), 0, actions))
        return now, key, total + look.obs.sum() + seen.reward.sum()

    return begin, step, lanes


def their_environment(name: str, lanes: int) -> Parts:
    """The same of gymnax."""
    import gymnax
    import jax
    import jax.numpy as jnp

    env, params = gymnax.make(name)
    torque = name == "Pendulum-v1"
    actions = 3 if torque else env.num_actions

    def begin(key: Any) -> Any:
        _, first = jax.vmap(env.reset, (0, None))(jax.random.split(key, lanes), params)
        return first, key, jnp.zeros(())

    def step(state: Any) -> Any:
        now, key, total = state
        key, draw, luck = jax.random.split(key, 3)
        action = jax.random.randint(draw, (lanes,), 0, actions)
        action = (action - 1.0) * 2 if torque else action
        obs, now, reward, *_ = jax.vmap(env.step, (0, 0, 0, None))(jax.random.split(luck, lanes), now, action, params)
        return now, key, total + obs.sum() + reward.sum()

    return begin, step, lanes


def built(who: str, kind: str, count: int, window: int, game: str = "") -> tuple[Callable[[], int], dict[str, float]]:
    """A window of about `window` steps, compiled; count: seeds, or environments of a twin."""
    import jax

    try:
        from rlnut.runtime.compiling import program
    except ImportError:  # of a peer, or an older rlnut
        program = jax.jit
    if game:
        begin, step, size = (our_environment if who == "rlnut" else their_environment)(game, count)
        seeds = 1
    else:
        begin, step, size = (our_training if who == "rlnut" else their_training)(kind)
        seeds = count
    rounds = max(6, window // (size * seeds))

    def many(state: Any) -> Any:
        return jax.lax.scan(lambda now, _: (step(now), None), state, None, rounds)[0]

    key = jax.random.PRNGKey(0) if who != "rlnut" else jax.random.key(0)
    keys = jax.random.split(key, seeds) if seeds > 1 else key
    begin, many = (jax.vmap(begin), jax.vmap(many)) if seeds > 1 else (begin, many)
    state = jax.jit(begin)(keys)
    began = time.perf_counter()
    compiled = program(many, donate_argnums=0).lower(state).compile()
    compile_s = time.perf_counter() - began
    state = jax.tree.map(jax.numpy.copy, state)  # leaves that share a buffer cannot both be given away

    def run() -> int:
        nonlocal state
        state = jax.block_until_ready(compiled(state))
        return rounds * size * seeds

    return run, {"compile": compile_s}


def main() -> None:
    parser = options(__doc__, "jax")
    parser.add_argument("what", nargs="*", default=list(WINDOW), help="of dqn10, dqn4, pqn, twins")
    parser.add_argument("--seeds", default="1,16")
    parser.add_argument("--lanes", default="1,16,256,4096")
    parser.add_argument("--games", default=",".join(GAMES), help=f"of {', '.join(GAMES)}")
    args = parser.parse_args()
    if args.serve:
        serve(lambda **setting: built(args.serve[0], **setting), json.loads(args.serve[1]))
        return
    rows: list[Row] = []
    for kind in args.what:
        games = args.games.split(",") if kind == "twins" else [""]
        counts = args.lanes if kind == "twins" else args.seeds
        for game, count in ((game, int(n)) for game in games for n in counts.split(",")):
            window = WINDOW[kind] // (4 if args.quick else 1)
            if game:
                window = min(window, 300_000 * count) // (4 if game in ("Acrobot-v1", "Pendulum-v1") else 1)
            setting = {"kind": kind, "count": count, "window": window, "game": game}
            sides = {
                side: Worker(sys.executable, __file__, "rlnut", setting, at) for side, at in checkouts(args).items()
            }
            peer = "gymnax" if game else "rejax"
            sides[peer] = Worker(args.peers_jax, __file__, peer, setting)
            found: dict[str, Row] = in_turns(dict(sides), pairs_of(args))
            for name, worker in sides.items():
                found[name]["compile"] = worker.ready["compile"]
                worker.close()
            title = f"{game} × {count}" if game else f"{kind}, {count} seed{'s' * (count > 1)}"
            rows += compared(title, found, [peer], TARGETS.get((kind, count), 1.5))
    report(args, rows, args.peers_jax)


if __name__ == "__main__":
    main()
