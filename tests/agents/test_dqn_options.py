"""Every agent by name: it comes to the true Q of the probe environments, and every option of every agent matters."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlnut
from rlnut import UsageError
from rlnut.agents.catalogue import AGENTS
from rlnut.agents.deep_settings import Deep
from rlnut.agents.deep_variants import DEEP
from rlnut.agents.dqn_settings import DQN
from rlnut.agents.pqn_settings import PQN
from rlnut.control.host_loop import one_row
from rlnut.control.round_buffer import RoundBuffer
from rlnut.envs.probes import GAMMA, PROBES, ProbeEnv
from rlnut.envs.spaces import read_spaces
from rlnut.envs.vector import EnvList
from rlnut.types import Look, Transition

ENVS, ROWS = 2, 32
# parts of rainbow, dqn with other arguments, or like hl-gauss-dqn
IN_OTHERS = {
    "double-dqn",
    "dueling-dqn",
    "per-dqn",
    "n-step-dqn",
    "noisy-dqn",
    "two-hot-dqn",
    "c51",
    "qr-dqn",
    "soft-q",
}
RECURRENT = {"drqn", "recurrent-pqn"}  # their truth is in tests/learner/test_sequence_replay.py
NAMES = [pytest.param(name, marks=[pytest.mark.slow] * (name in IN_OTHERS)) for name in DEEP if name not in RECURRENT]
TINY: dict[str, Any] = {"gamma": GAMMA, "hidden": (16,), "lr": 1e-2}
SMALL: dict[str, Any] = {"batch": 64, "replay": 3000, "learning_starts": 1, "train_every": 64, "gradient_steps": 32,
                         "target_every": 10}  # fmt: skip


def two_actions(probe: str) -> ProbeEnv:
    """A probe as an environment of two actions, so that all of them fit one compiled learner."""
    env = ProbeEnv(probe)
    env.action_space = gym.spaces.Discrete(2)
    return env


def walk(probe: str) -> Transition:
    """Random actions: experience [T, N, ...]."""
    vector = EnvList(lambda: two_actions(probe), ENVS)
    rng = np.random.default_rng(0)
    look = Look(vector.reset(0), np.ones(ENVS, bool))
    buffer = RoundBuffer(ROWS, look)
    for t in range(ROWS):
        action = rng.integers(2, size=ENVS)
        step = vector.step(action)
        buffer.write(t, look, (), action, step)
        look = Look(step.obs, step.terminated | step.truncated)
    return buffer.experience(GAMMA)


def configured(name: str, **options: Any) -> Deep:
    """A small and quick version of an agent, all else as it is."""
    kind = DEEP[name]
    if issubclass(kind, PQN):
        return kind(**TINY | {"rollout": ENVS * ROWS, "epochs": 8, "minibatches": 4} | options)
    if name in ("soft-q", "munchausen-dqn"):
        options = {"temperature": 1e-3} | options  # soft values as good as hard ones
    return kind(**TINY | SMALL | options)


def anything() -> Transition:
    """Random experience [T, N, ...] in which every option can matter: longer episodes, ended and cut short."""
    rng = np.random.default_rng(1)
    obs, last = rng.normal(size=(2, ROWS + 1, ENVS, 1)).astype(np.float32)
    kind = rng.random((ROWS, ENVS))
    end = kind > 0.8
    return Transition(
        obs=obs[:-1],
        action=rng.integers(2, size=(ROWS, ENVS)).astype(np.int32),
        reward=rng.normal(size=(ROWS, ENVS)).astype(np.float32),
        discount=np.where(kind > 0.9, 0, GAMMA).astype(np.float32),
        next_obs=np.where(end[..., None], last[1:], obs[1:]),
        end=end,
        valid=np.ones((ROWS, ENVS), bool),
        fresh=np.concatenate([np.ones((1, ENVS), bool), end[:-1]]),
    )


@pytest.fixture(scope="module")
def walks() -> dict[str, Transition]:
    return {probe: walk(probe) for probe in PROBES}


@pytest.mark.parametrize("name", NAMES)
def test_every_agent_comes_to_the_true_q_of_the_probes(name, walks):
    """Which probe fails says what is broken: regression, observation, γ, action, or the time limit."""
    config = configured(name)
    spec = read_spaces(two_actions("Both"))
    agent = config.build(spec)
    learn, values = jax.jit(agent.learn), jax.jit(agent.q)
    first = jax.jit(lambda key: agent.init(key, one_row(spec, ENVS)))(jax.random.key(0))
    for probe, seen in walks.items():
        known, state = PROBES[probe], first
        starts = (0.0, 1.0) if probe == "Delay" else (known.observations * 2)[:2]
        look = Look(np.array(starts, np.float32)[:, None], np.ones(2, bool))
        truth = np.array([[known.q(o, a) for a in range(2)] for o in starts])
        if name == "munchausen-dqn":  # an action with π(a|s) = 0 loses α·1 of its reward, by intent
            truth -= 0.9 * (truth < truth.max(1, keepdims=True))
        for _ in range(20):
            state, _ = learn(state, seen)
            q = np.asarray(values(state.fit.params, (), look)[0])
            if np.abs(q - truth).max() < 5e-3:
                break
        np.testing.assert_allclose(q, truth, atol=1e-2, err_msg=f"{name} on {probe}")


# one option -> (what gives it a meaning, another value); γ is in the experience, too (host_loop.py)
FALLS = {"epsilon_steps": 50}  # within the steps that are looked at
COSINE = {"schedule": "cosine", "lr_updates": 10}
BOTH: dict[str, tuple[dict[str, Any], Any]] = {
    "optimizer": ({}, "rmsprop"), "schedule": (COSINE, "linear"), "lr_updates": (COSINE, 20), "decay": ({}, 0.1),
    "activation": ({}, "tanh"), "initializer": ({"hidden": (8, 8)}, "orthogonal"),
    "network": ({}, None),  # of images: test_networks_of_agents
    "gamma": ({"loss": "two-hot"}, 0.9), "lr": ({}, 2e-3), "hidden": ({}, (9,)), "dueling": ({}, "mean"),
    "atoms": ({"loss": "two-hot"}, 31), "value_min": ({"loss": "two-hot"}, -1.5),
    "value_max": ({"loss": "two-hot"}, 1.5), "explore": ({}, "boltzmann"),
    "epsilon_start": ({}, 0.5), "epsilon_end": (FALLS, 0.5), "epsilon_steps": ({}, 50), "epsilon_spread": (FALLS, 3.0),
    "epsilon_schedule": (FALLS, "exponential"), "temperature": ({"explore": "boltzmann"}, 0.5),
    "noisy_sigma": ({"explore": "noisy"}, 0.1), "max_gradient": ({}, 0.05), "memory": ({}, "gru"),
    "memory_size": ({"memory": "lstm"}, 5), "sequence": ({"memory": "lstm"}, 2),
}  # fmt: skip
NOT_PERIODIC = {"target_every": 200}  # as by default
SOFT = {"double": False, "backup": "soft", "n_step": 1}
MUNCHAUSEN = SOFT | {"backup": "munchausen"}
OPTIONS: dict[str, dict[str, tuple[dict[str, Any], Any]]] = {
    "dqn": BOTH | {
        "layer_norm": ({}, True), "loss": ({}, "squared"), "batch": ({}, 9), "replay": ({}, 150),
        "learning_starts": ({}, 100), "train_every": ({}, 32), "gradient_steps": ({}, 9),
        "target": (NOT_PERIODIC, "polyak"), "target_every": ({}, 3),
        "target_rate": (NOT_PERIODIC | {"target": "polyak"}, 0.5), "double": ({"lr": 0.1}, False),
        "backup": ({"double": False, "n_step": 1}, "soft"), "munchausen_share": (MUNCHAUSEN, 0.5),
        "munchausen_lowest": (MUNCHAUSEN, -0.01), "n_step": ({}, 2), "prioritised": ({}, True),
        "priority_exponent": ({"prioritised": True}, 0.2), "priority_beta": ({"prioritised": True}, 0.9),
        "priority_beta_steps": ({"prioritised": True}, 10), "burn_in": ({"memory": "lstm"}, 1),
    },
    "pqn": BOTH | {
        "layer_norm": ({}, False), "loss": ({}, "huber"), "rollout": ({}, 32), "epochs": ({}, 3),
        "minibatches": ({}, 8), "lam": ({}, 0.2),
    },
}  # fmt: skip
# what goes another way with a memory
OWN = ("memory", "memory_size", "sequence", "burn_in", "noisy_sigma", "prioritised", "priority_beta")
for name, base in (("drqn", "dqn"), ("recurrent-pqn", "pqn")):
    OPTIONS[name] = OPTIONS[base]
TWICE = {"dqn": [("layer_norm", ({"loss": "iqn"}, True))]}  # where it goes another way
VALUES = [  # of options with a list of words: each is a learner of its own
    *[{"loss": loss} for loss in ("huber", "squared", "two-hot", "hl-gauss", "c51", "quantile", "iqn")],
    {"dueling": "mean"}, {"dueling": "max"}, {"loss": "iqn", "dueling": "mean"}, {"explore": "boltzmann"},
    {"explore": "noisy"}, {"double": False}, NOT_PERIODIC | {"target": "polyak"},
    NOT_PERIODIC | {"double": False, "target": "none"},
]  # fmt: skip


def test_the_list_of_options_is_complete():
    for name in ("dqn", "pqn"):
        assert set(OPTIONS[name]) == {f.name for f in fields(AGENTS[name])}


def program(config: Deep, rounds: int) -> Any:
    """Rounds as a function of the key and the experience: what explores, what acts, what is learned."""
    spec = read_spaces(two_actions("Both"))
    agent = config.build(spec)
    carry = jax.tree.map(jnp.asarray, agent.carry(ENVS))

    def run(key: Any, seen: Transition) -> Any:
        seen = seen._replace(carry=jax.tree.map(lambda a: jnp.broadcast_to(a, (ROWS, *a.shape)), carry))
        state = agent.init(key, one_row(spec, ENVS, False, carry))
        noise = agent.draw(state, ENVS)
        seen = jax.tree.map(lambda a: a[: agent.pace.round_length(ENVS)], seen)
        fresh = np.ones(ENVS, bool)
        action = jax.vmap(lambda o, n: agent.act(state.fit.params, carry, Look(o, fresh), n)[0])(seen.obs, noise)
        for _ in range(rounds):
            state, metrics = agent.learn(state, seen)
        return noise, action, state.fit.params, state.target, metrics["delta"]

    return run


def small(name: str) -> Deep:
    """The smallest learner that still learns in one round."""
    rows = {"rollout": ENVS * ROWS, "epochs": 2, "minibatches": 4}
    rows = rows if "pqn" in name else SMALL | {"gradient_steps": 4}
    rows |= {"sequence": 4, "memory_size": 4} if name in RECURRENT else {}
    kind: Any = AGENTS[name]
    return kind(**{"gamma": GAMMA, "hidden": (8,)} | rows)


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_changes_the_program(name, walks):
    """No option that does nothing: moved from its default, other operations or other numbers are traced."""

    def traced(config: Deep) -> str:
        return str(jax.make_jaxpr(program(config, 1))(jax.random.key(0), walks["Both"]))

    known: dict[str, str] = {}
    for option, (context, value) in OPTIONS[name].items():
        if option == "network" or (name == "pqn" and option in BOTH) or (name in RECURRENT and option not in OWN):
            continue  # the same functions as for the others; the slow test has them
        base = small(name).replace(**context)
        if str(context) not in known:
            known[str(context)] = traced(base)
        assert traced(base.replace(**{option: value})) != known[str(context)], option


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_changes_training(name):
    """The same by the numbers that come out: noise, actions, weights, target weights."""
    seen = anything()

    def outcome(config: Deep) -> bytes:
        found = jax.jit(program(config, 2))(jax.random.key(0), seen)
        return b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(found))

    for option, (context, value) in [*OPTIONS[name].items(), *TWICE.get(name, [])]:
        if option == "network":
            continue
        base = small(name).replace(**context)
        assert outcome(base.replace(**{option: value})) != outcome(base), option


@pytest.mark.slow
@pytest.mark.parametrize("options", VALUES, ids=str)
def test_every_word_of_an_option_learns(options, walks):
    """…the probe of action and observation, from the same experience."""
    spec = read_spaces(two_actions("Both"))
    agent = DQN(**TINY | SMALL | options).build(spec)
    learn = jax.jit(agent.learn)
    state = jax.jit(lambda key: agent.init(key, one_row(spec, ENVS)))(jax.random.key(0))
    for _ in range(15):
        state, _ = learn(state, walks["Both"])
    q, _ = agent.q(state.fit.params, (), Look(np.array([[-1.0], [1.0]], np.float32), np.ones(2, bool)))
    np.testing.assert_allclose(q, [[1, -1], [-1, 1]], atol=0.02)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (
            lambda: DQN(atoms=11),
            "atoms has no effect here: it needs loss two-hot or hl-gauss or c51 or quantile or iqn",
        ),
        (lambda: DQN(target="polyak", target_every=5), "target_every has no effect here: it needs target periodic"),
        (lambda: DQN(temperature=1.0), "it needs backup soft or munchausen or explore boltzmann"),
        (
            lambda: DQN(explore="noisy", epsilon_end=0.1),
            "epsilon_end has no effect here: it needs explore epsilon-greedy",
        ),
        (lambda: DQN(priority_beta=0.5), "priority_beta has no effect here: it needs prioritised True"),
        (lambda: DQN(backup="soft"), "double has no effect with backup soft: give --no-double"),
        (lambda: DQN(target="none"), "double has no effect with target none"),
        (lambda: DQN(backup="munchausen", double=False), "needs n_step 1, got 3"),
        (lambda: DQN(backup="soft", double=False), "backup soft adds to one reward: it needs n_step 1, got 3"),
        (lambda: DQN(loss="c51", gamma=1.0), "loss c51 with gamma 1 needs value_min and value_max"),
        (lambda: DQN(loss="c51", value_min=3.0, value_max=3.0), "value_min must be < value_max, got 3 and 3"),
        (lambda: DQN(loss="hl-gauss", atoms=5), "loss hl-gauss needs atoms >= 8, got 5"),
        (lambda: DQN(loss="iqn", hidden=()), "loss iqn needs at least one hidden layer"),
        (lambda: DQN(epsilon_schedule="exponential", epsilon_end=0.0), "needs epsilon_start and epsilon_end > 0"),
        (lambda: PQN(loss="c51"), "unknown loss 'c51'"),  # type: ignore[arg-type]
        (lambda: PQN(rollout=100), "rollout 100 is not a multiple of minibatches 16"),
    ],
)
def test_options_that_mean_nothing_together_are_refused(make, reason):
    with pytest.raises(UsageError, match=reason):
        make()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rainbow", "pqn"])
def test_resumed_is_uninterrupted_bit_for_bit(name, tmp_path):
    """Priorities, noise and rollouts are in the checkpoint, too."""
    config = small(name)
    words: dict[str, Any] = {"num_envs": 2, "eval_every": 256, "eval_episodes": 1, "final_episodes": 1, "quiet": True}
    rlnut.train(config, "CartPole-v1", steps=512, out=tmp_path / "whole", **words)
    rlnut.train(config, "CartPole-v1", steps=256, out=tmp_path / "part", **words)
    rlnut.resume(tmp_path / "part", steps=512, quiet=True)
    for file in ("policy.safetensors", "checkpoint.safetensors", "metrics.csv"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "part" / file).read_bytes(), file
