"""Q_π by a network in a Gymnasium environment: the same regression on the Bellman error δ, for actions.

    δ_t = r_{t+1} + γ V(s_{t+1}) − V(s_t)                          the lecture's, for V_π (its γ is 1)
    δ_t = r_{t+1} + γ Σ_a π(a|s_{t+1}) Q(s_{t+1}, a) − Q(s_t, a_t)   for Q_π; γ counts as 0 where the episode ended

The environment is Gymnasium's FrozenLake-v1: a 4 × 4 lake, slippery, reward 1 at the goal. π chooses at random. The
network reads the row and the column and has an output for each action; y = Q + δ is made with a copy of θ that is
renewed every `RENEW` updates, and `Regression.update` does the rest. One transition is worked out by hand: a single
step of descent on ½δ² moves θ by α δ ∂Q/∂θ. The environment's own table gives the exact Q_π to compare with.
"""

from __future__ import annotations

from typing import NamedTuple

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from rlnut.demos.frame import Ask, Chapter
from rlnut.envs.tabular import from_env
from rlnut.networks.architectures import mlp
from rlnut.regression.core import Regression, regression
from rlnut.runtime.plotting import BLUE, GREEN, GREY, ORANGE, legend_above, map_frame, new_figure, plain_frame, styled
from rlnut.truth.dynamic_programming import action_values, chain, uniform, values
from rlnut.types import Array, Batch, Fit, Params

GAMMA, ALPHA, RENEW, ROWS = 0.95, 0.1, 50, 256
SIDE, ACTIONS = 4, ("←", "↓", "→", "↑")


class Steps(NamedTuple):
    """What was lived through: [T] each."""

    s: Array
    action: Array
    reward: Array
    gamma: Array  # 0 where the episode terminated
    after: Array


def walk_at_random(env: gym.Env, steps: int, seed: int) -> Steps:
    """Follow π, the uniform policy, through a Gymnasium environment with whole-numbered states."""
    actions = np.random.default_rng(seed).integers(0, len(ACTIONS), steps)
    rows, s = [], env.reset(seed=seed)[0]
    for action in actions.tolist():
        after, reward, terminated, truncated, _ = env.step(action)
        rows.append((s, action, reward, 0.0 if terminated else GAMMA, after))
        s = env.reset()[0] if terminated or truncated else after
    s_, a, r, gamma, after_ = zip(*rows, strict=True)
    return Steps(np.array(s_), np.array(a), np.array(r, np.float32), np.array(gamma, np.float32), np.array(after_))


def place(s: Array) -> jax.Array:
    """What the network reads of states [B]: row and column from −1 to 1, [B, 2]."""
    return 2 * jnp.stack([jnp.asarray(s) // SIDE, jnp.asarray(s) % SIDE], -1).astype(jnp.float32) / (SIDE - 1) - 1


def q_targets(core: Regression, params: Params, steps: Steps) -> Array:
    """y = r + γ Σ_a π(a|s') Q(s', a), [B]."""
    return steps.reward + steps.gamma * core.predict(params, place(steps.after)).mean(-1)


class Worked(NamedTuple):
    """One transition in numbers, and how far one step of descent is from α δ ∂Q/∂θ."""

    lines: list[str]
    delta: float
    apart: float


def term(value: float) -> str:
    """A number of the worked example."""
    return f"{value:.3f}".replace("-", "−")


def factor(value: float) -> str:
    """The same behind a sign: in brackets if it is negative."""
    return f"({term(value)})" if value < 0 else term(value)


def work_out(core: Regression, params: Params, steps: Steps) -> Worked:
    """δ of the first move from which the next reached the goal, term by term; then that of reaching it."""
    moved = (steps.s != steps.after) & (steps.gamma > 0)
    t = int(np.argmax(moved[:-1] & (steps.reward[1:] > 0)))
    one = Steps(*(part[t : t + 1] for part in steps))
    s, action, after = int(one.s[0]), int(one.action[0]), int(one.after[0])
    goal, chosen = int(steps.s[t + 1]), int(steps.action[t + 1])
    q_goal = float(core.predict(params, place(steps.s[t + 1 : t + 2]))[0, chosen])
    q, q_after = (np.asarray(core.predict(params, place(part)))[0] for part in (one.s, one.after))
    reward, gamma = float(one.reward[0]), float(one.gamma[0])
    delta = reward + gamma * float(q_after.mean()) - float(q[action])
    v, v_after = float(q.mean()), float(q_after.mean())

    sgd = regression(mlp((64, 64), "tanh")((len(ACTIONS),)), optimizer=optax.sgd(ALPHA))
    fit = Fit(params, optax.sgd(ALPHA).init(params), jnp.zeros((), jnp.int32), jax.random.key(0))
    y = q_targets(core, params, one)
    after_one = sgd.update(fit, Batch(place(one.s), y, jnp.asarray(one.action)))[0].params
    slope = jax.grad(lambda p: core.predict(p, place(one.s))[0, action])(params)
    by_hand = jax.tree.map(lambda p, g: p + ALPHA * delta * g, params, slope)
    gaps = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), after_one, by_hand)
    values_after, reached = ", ".join(map(term, q_after.tolist())), float(steps.reward[t + 1])
    made = f"{reward:g} + {gamma:g}·{factor(v_after)}"
    lines = [
        f"s = {s}, a = {ACTIONS[action]}, r = {reward:g}, s′ = {after}, γ = {gamma:g}, π(a|s′) = 1/4, "
        f"Q(s′, ·) = ({values_after}), so V(s′) = {term(v_after)}",
        f"δ for V = r + γ V(s′) − V(s) = {made} − {factor(v)} = {term(reward + gamma * v_after - v)}",
        f"δ for Q = r + γ Σ π Q(s′, ·) − Q(s, a) = {made} − {factor(float(q[action]))} = {term(delta)}",
        f"One step later the episode ends (γ = 0): s = {goal}, a = {ACTIONS[chosen]}, r = {reached:g}, "
        f"δ = r − Q(s, a) = {reached:g} − {factor(q_goal)} = {term(reached - q_goal)}",
        f"One step of descent: θ ← θ + α δ ∂Q(s, a)/∂θ with α = {ALPHA:g}",
    ]
    return Worked(lines, delta, max(jax.tree.leaves(gaps)))


def chapter(ask: Ask, steps: int = 60_000, updates: int = 2500) -> Chapter:
    """Follow π in the environment, work out one δ, regress on all of them, compare with the exact Q_π."""
    env = gym.make("FrozenLake-v1")
    lived = walk_at_random(env, steps, ask.seed)
    finite = from_env(env)
    assert finite is not None
    mdp = finite.mdp
    truth = action_values(mdp, values(chain(mdp, uniform(mdp)), GAMMA), GAMMA)
    inside = np.unique(lived.s)  # states where something is chosen: not the holes, not the goal

    schedule = optax.cosine_decay_schedule(3e-3, updates)
    core = regression(mlp((64, 64), "tanh")((len(ACTIONS),)), optimizer=optax.adam(schedule))
    data = Steps(*map(jnp.asarray, lived))
    every = place(np.arange(SIDE * SIDE))

    def step(state: tuple[Fit, Params], i: Array) -> tuple[tuple[Fit, Params], tuple[Array, Array]]:
        fit, old = state
        old = jax.tree.map(lambda a, b: jnp.where(i % RENEW == 0, a, b), fit.params, old)
        rows = jax.random.randint(jax.random.fold_in(jax.random.key(ask.seed), i), (ROWS,), 0, steps)
        some = Steps(*(part[rows] for part in data))
        fit, metrics = core.update(fit, Batch(place(some.s), q_targets(core, old, some), some.action))
        return (fit, old), (core.predict(fit.params, every), metrics["cost"])

    start = core.init(jax.random.key(ask.seed), every)
    worked = work_out(core, start.params, lived)
    (last, _), (found, _) = jax.jit(lambda f: jax.lax.scan(step, (f, f.params), jnp.arange(updates)))(start)
    q = np.asarray(found, float)  # [updates, S, A]
    rms = np.sqrt(((q - truth)[:, inside] ** 2).mean((1, 2)))
    spread = float(truth[inside].std())
    delta = np.asarray(q_targets(core, last.params, data) - found[-1][data.s, data.action])
    pairs = lived.s * len(ACTIONS) + lived.action
    each = np.bincount(pairs, delta) / np.maximum(np.bincount(pairs), 1)
    mean_delta = float(np.sqrt((each**2).mean()))

    return Chapter(
        f"Q of a random policy π on FrozenLake-v1 by a network, from {steps:,} steps",
        {
            "transitions": steps,
            "worked_example": worked.lines,
            "delta_of_the_example": worked.delta,
            "rms_error_of_q": float(rms[-1]),
            "deviation_of_exact_q": spread,
            "single_delta_last": float(np.sqrt((delta**2).mean())),
            "mean_delta_of_a_pair_last": mean_delta,
        },
        {
            f"one step of descent moves θ by α δ ∂Q/∂θ ({worked.apart:.0e})": worked.apart < 1e-6,
            f"the network's Q is the exact Q_π within {rms[-1]:.3f} (it varies by {spread:.3f})": rms[-1] < spread / 4,
            f"at first it was off by {rms[0]:.2f}": rms[-1] < rms[0] / 5,
            f"the mean δ of a state and action is near 0 ({mean_delta:.3f}); single δ are not": (
                mean_delta < np.sqrt((delta**2).mean()) / 3
            ),
        },
        draw(worked, rms, q[-1], truth, inside),
        (f"γ = {GAMMA:g}", f"{updates:,} updates of {ROWS:,} rows", "two hidden layers of 64 units"),
    )


@styled()
def draw(worked: Worked, rms: np.ndarray, q: np.ndarray, truth: np.ndarray, inside: np.ndarray) -> Figure:
    figure = new_figure(13, 7.6)
    above, below = np.asarray(figure.subfigures(2, 1, height_ratios=(1, 3.2)), object)
    text = above.subplots()
    text.axis("off")
    text.set_title("The lecture's δ, worked out for one transition of the untrained network")
    for i, line in enumerate(worked.lines):
        text.text(0, 0.88 - 0.22 * i, line, transform=text.transAxes, fontsize=10)
    learn, compare, lake = below.subplots(1, 3)
    learn.loglog(np.arange(1, len(rms) + 1), rms, color=BLUE)
    learn.set(xlabel="updates", ylabel=r"RMS error against exact $Q_\pi$", title="Regression on δ finds Q of π")
    ends = np.array([min(truth.min(), 0), 1.05 * truth.max()])
    compare.plot(ends, ends, color=GREY, lw=1, label="equal")
    for a, (colour, marker) in enumerate(zip((BLUE, ORANGE, GREEN, GREY), "osD^", strict=True)):
        compare.plot(truth[inside, a], q[inside, a], marker, color=colour, label=ACTIONS[a])
    compare.set(xlabel=r"exact $Q_\pi(s, a)$", ylabel="the network's Q(s, a)", title="Each state and action")
    legend_above(compare, 3)
    shown = np.full(SIDE * SIDE, np.nan)
    shown[inside] = q[inside].mean(1)
    image = lake.imshow(shown.reshape(SIDE, SIDE), cmap="viridis", vmin=0)
    for s in range(SIDE * SIDE):
        good = s in inside
        exact = f"{shown[s]:.3f}\n({truth[s].mean():.3f})" if good else "goal" if s == SIDE * SIDE - 1 else "hole"
        colour = "white" if good and shown[s] < 0.6 * np.nanmax(shown) else "black"
        lake.text(s % SIDE, s // SIDE, exact, ha="center", va="center", fontsize=8, color=colour)
    lake.set(xlabel="column", ylabel="row", xticks=range(SIDE), yticks=range(SIDE), title="V = Σ π Q (exact below)")
    map_frame(lake)
    plain_frame(learn, compare)
    below.colorbar(image, ax=lake, label="V(s)", shrink=0.7)
    return figure
