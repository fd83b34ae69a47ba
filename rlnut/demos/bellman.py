"""The bridge: the same regression, and nobody labels the data; the Bellman equation makes y.

    labels       y = V_π(s)                        as if someone knew
    returns      y = G_t = Σ γᵏ r_{t+k+1}          wait for the end of the episode (Monte Carlo)
    Bellman      y = r_{t+1} + γ v(s_{t+1})        use what g_θ says of the next state; r alone where the episode ended

A random walk of 5 states (Sutton & Barto, example 6.2) ends on the left with reward 0, on the right with 1, so that
V_π(s) = s/6. x is one-hot, the model linear, so θ is a table. δ = y − v(s) is the residual of the regression and the
Bellman error δ_t = r_{t+1} + V(s_{t+1}) − V(s_t) at once. Single δ stay noisy for ever, since the walk does; what
shrinks is their mean in each state.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from rlnut.demos.frame import Ask, Chapter
from rlnut.envs.walks import random_walk
from rlnut.errors import counted
from rlnut.learner.bellman import bootstrap
from rlnut.networks.architectures import linear
from rlnut.networks.layers import one_hot_layer, serial
from rlnut.prediction.simulate import folded_experience, simulate
from rlnut.regression.core import regression
from rlnut.runtime.plotting import BLUE, GREEN, GREY, ORANGE, legend_above, panels, styled
from rlnut.truth.dynamic_programming import chain, values
from rlnut.types import Array, Batch, Fit

WAYS = {  # how y is made -> in words, and its colour
    "labels": ("given labels", GREEN),
    "returns": ("returns", ORANGE),
    "bellman": ("the Bellman equation", BLUE),
}
STATES = 5
FLOAT32 = float(np.finfo(np.float32).eps)


def chapter(ask: Ask, episodes: int = 2000, steps: int = 400) -> Chapter:
    """One set of experience, three ways to make y, one `Regression.update`."""
    walk = random_walk(STATES, left=0)
    truth = values(chain(walk.mdp, walk.policy), 1.0)
    stream = simulate(walk, walk.policy, walk.policy, 1.0, jax.random.key(ask.seed), 100, episodes // 100)
    whole = folded_experience(stream, len(stream.step.reward))
    lived = np.asarray(stream.step.valid)
    s, reward, discount, after = (
        jnp.asarray(a[lived]) for a in (stream.step.obs, stream.step.reward, stream.step.discount, stream.step.next_obs)
    )
    returns = jnp.asarray(np.asarray(whole.step.reward)[lived])

    core = regression(serial(one_hot_layer(STATES), linear()(())), optimizer=optax.sgd(1.0))
    make = {  # (θ) -> y, outside what is differentiated
        "labels": lambda params: jnp.asarray(truth, jnp.float32)[s],
        "returns": lambda params: returns,
        "bellman": lambda params: bootstrap(reward, discount, core.predict(params, after)),
    }
    every = jnp.arange(STATES)
    count = jnp.maximum(jnp.bincount(s, length=STATES), 1)

    def learn(way: str) -> tuple[Array, ...]:
        def step(fit: Fit, _: None) -> tuple[Fit, tuple[Array, ...]]:
            batch = Batch(s, make[way](fit.params))
            delta = batch.y - core.predict(fit.params, s)
            mean = jnp.bincount(s, weights=delta, length=STATES) / count
            seen = core.predict(fit.params, every), jnp.sqrt(jnp.mean(mean**2)), jnp.sqrt(jnp.mean(delta**2))
            return core.update(fit, batch)[0], seen

        fit = core.init(jax.random.key(ask.seed), s)
        return jax.jit(lambda fit: jax.lax.scan(step, fit, None, steps)[1])(fit)

    found = {way: tuple(np.asarray(a, float) for a in learn(way)) for way in make}
    rms = {way: np.sqrt(np.mean((v - truth) ** 2, 1)) for way, (v, _, _) in found.items()}
    mean_delta, each_delta = found["bellman"][1:]
    return Chapter(
        f"the values of a random walk from {episodes:,} episodes, {int(lived.sum()):,} steps",
        {
            "states": STATES,
            "episodes": episodes,
            "transitions": int(lived.sum()),
            "exact_values": truth,
            "bellman_values": found["bellman"][0][-1],
            "rms_error": {way: float(error[-1]) for way, error in rms.items()},
            "mean_delta_first": float(mean_delta[0]),
            "mean_delta_last": float(mean_delta[-1]),
            "single_delta_last": float(each_delta[-1]),
        },
        {
            f"labels give V_π: {rms['labels'][-1]:.0e} from it": rms["labels"][-1] < 1e-3,
            f"so do returns ({rms['returns'][-1]:.3f})": rms["returns"][-1] < 0.06,
            f"and so does the Bellman equation, which no one labelled ({rms['bellman'][-1]:.3f})": rms["bellman"][-1]
            < 0.06,
            f"the mean δ of a state shrinks from {mean_delta[0]:.2f} to {mean_delta[-1]:.0e}": (
                mean_delta[-1] < mean_delta[0] / 100
            ),
            f"single δ do not ({each_delta[-1]:.2f}): the walk is random": each_delta[-1] > 10 * mean_delta[-1],
        },
        draw(truth, found, rms),
        ("γ = 1 (0 where an episode ends)", "α = 1", f"{steps} updates"),
    )


@styled()
def draw(truth: np.ndarray, found: dict[str, tuple[np.ndarray, ...]], rms: dict[str, np.ndarray]) -> Figure:
    figure, (value, error, delta) = panels(1, 3)
    states = np.arange(1, STATES + 1)
    value.plot(states, truth, color=GREY, lw=6, alpha=0.4, label="exact")
    steps = len(rms["bellman"])
    for i, shade in ((1, 0.25), (9, 0.5), (steps - 1, 1.0)):
        label = f"Bellman, {counted(i + 1, 'update')}"
        value.plot(states, found["bellman"][0][i], "o-", color=BLUE, alpha=shade, ms=4, label=label)
    value.plot(states, found["returns"][0][-1], "x", color=ORANGE, label="returns")
    value.set(xlabel="state", ylabel=r"value $V_\pi(s)$", title="The values that no one labelled")
    value.set_xticks(states)
    legend_above(value)

    at = np.arange(1, steps + 1)
    for (way, (words, colour)), style in zip(WAYS.items(), (":", "--", "-"), strict=True):
        error.loglog(at, rms[way], style, color=colour, lw=2, label=f"y from {words}")
    error.set(xlabel="updates", ylabel=r"RMS error against $V_\pi$", title="One regression, three ways to make y")
    error.legend(loc="center left")

    delta.loglog(at, found["bellman"][2], "--", color=ORANGE, lw=2, label="single δ")
    delta.loglog(at, found["bellman"][1], color=BLUE, lw=2, label="mean δ of a state")
    delta.set(xlabel="updates", ylabel="root mean square of δ", title="Bellman error δ = r + γ v(s′) − v(s)")
    floor = FLOAT32 * float(np.abs(truth).max())
    for axis, least in ((error, rms["labels"].min()), (delta, found["bellman"][1].min())):
        if least < 10 * floor:
            axis.axhline(floor, color=GREY, lw=1)
            axis.annotate("rounding of float32", (1, floor), va="bottom", fontsize=8, color=GREY)
    delta.legend()
    return figure
