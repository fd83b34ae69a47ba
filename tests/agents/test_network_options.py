"""Network, optimiser and schedule of agents are those of `fit`, and an option that would have no effect is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from gymnasium import spaces

import rlnut
from rlnut import UsageError
from rlnut.agents.catalogue import AGENTS, DRQN, PQN
from rlnut.agents.offline_settings import CQL, NFQ
from rlnut.choices import NETWORKS
from rlnut.control.host_loop import one_row
from rlnut.envs.spaces import read_spaces
from rlnut.learner.spec import Spec
from rlnut.networks.layers import parameter_count
from rlnut.regression.losses import Loss
from rlnut.runtime.files import read_json
from rlnut.types import Look

VECTOR = spaces.Box(-1, 1, (5,), np.float32)
IMAGE = spaces.Box(0, 255, (12, 12, 1), np.uint8)
SMALL = spaces.Box(0, 255, (8, 9, 1), np.uint8)
BOTH = spaces.Dict({"image": IMAGE, "vector": VECTOR})
QUICK: dict[str, Any] = {"eval_every": 64, "eval_episodes": 1, "final_episodes": 1, "quiet": True}
TINY: dict[str, Any] = {"hidden": (8,), "batch": 8, "replay": 300, "learning_starts": 32, "epsilon_steps": 200}


class Fake(gym.Env[Any, Any]):
    """An environment that has spaces and nothing else."""

    def __init__(self, observation: spaces.Space) -> None:
        self.observation_space, self.action_space = observation, spaces.Discrete(3)


def seen(space: spaces.Space) -> Spec:
    return read_spaces(Fake(space))


def weights(config: Any, spec: Spec) -> int:
    """Numbers in θ, and that it gives values of these observations."""
    agent = config.build(spec)
    row = one_row(spec, 2, carry=agent.carry(2))
    params = jax.eval_shape(lambda: agent.init(jax.random.key(0), row).fit.params)
    q, _ = jax.eval_shape(agent.q, params, agent.carry(2), Look(row.obs, row.end))
    assert q.shape == (2, 3)
    return sum(int(np.prod(p.shape)) for p in jax.tree.leaves(params))


def test_networks_of_images_are_those_of_fit_with_the_hidden_layers_behind() -> None:
    """Convolutions counted by hand for 12 × 12 × 1, then 7 and 3 units: (what is left) · 7 + 7 + 7 · 3 + 3."""
    convolutions = {
        "auto": (9 * 16 + 16, 144 * 16),
        "cnn": (9 * 16 + 16, 144 * 16),
        "mlp": (0, 144),
        "lenet": (156 + 2416, 16),
        "impala": (160 + 4 * 2320 + 4640 + 8 * 9248 + 9248, 4 * 32),
    }
    name: Any
    for name, (count, left) in convolutions.items():
        assert weights(rlnut.DQN(network=name, hidden=(7,)), seen(IMAGE)) == count + left * 7 + 7 + 7 * 3 + 3, name
    plain = rlnut.resnet()((3,))
    count = parameter_count(jax.eval_shape(plain.init, jax.random.key(0), jnp.zeros((1, 12, 12, 1)))) - (64 * 3 + 3)
    assert weights(rlnut.DQN(network="resnet", hidden=(7,)), seen(IMAGE)) == count + 64 * 7 + 7 + 7 * 3 + 3


@pytest.mark.parametrize("kind", [PQN, DRQN, NFQ])
def test_every_agent_takes_every_network(kind: type) -> None:
    for name in set(NETWORKS) - {"nature"}:  # for larger images: tests/envs/test_atari.py
        weights(kind(network=name), seen(IMAGE))
        if name != "mlp" and kind is not NFQ:
            weights(kind(network=name), seen(BOTH))
    for name in ("auto", "mlp"):
        assert weights(kind(network=name), seen(VECTOR)) == weights(kind(), seen(VECTOR))


@pytest.mark.parametrize(
    ("config", "space", "reason"),
    [
        (rlnut.DQN(network="cnn"), VECTOR, "network cnn takes images, and the observations are "),
        (PQN(network="impala"), VECTOR, "network impala takes images"),
        (CQL(network="resnet"), VECTOR, "network resnet takes images"),
        (rlnut.DQN(network="mlp"), BOTH, "network mlp takes one array, and the observations are"),
        (rlnut.DQN(network="lenet"), SMALL, "network lenet needs images of at least 12×12, got 8×9"),
        (PQN(network="nature"), IMAGE, "network nature needs images of at least 36×36, got 12×12"),
        (rlnut.DQN(activation="tanh", hidden=()), VECTOR, "activation has no effect here"),
        (rlnut.DQN(initializer="glorot", hidden=()), IMAGE, "initializer has no effect here"),
        (rlnut.DQN(initializer="glorot", hidden=(4,), memory="gru"), VECTOR, "initializer has no effect here"),
        (rlnut.DQN(initializer="glorot", hidden=(4,), loss="iqn"), VECTOR, "initializer has no effect here"),
        (rlnut.DQN(initializer="glorot", explore="noisy"), IMAGE, "initializer has no effect here"),
        (rlnut.DQN(schedule="cosine"), VECTOR, "schedule cosine needs lr_updates"),
    ],
)  # fmt: skip
def test_what_would_have_no_effect_is_refused(config: Any, space: spaces.Space, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as refused:
        config.build(seen(space))
    assert "\n" not in str(refused.value)


def test_options_that_need_another_are_refused_when_the_config_is_made() -> None:
    for kind in (rlnut.DQN, PQN, NFQ):
        with pytest.raises(UsageError, match="lr_updates has no effect here: it needs schedule linear or cosine"):
            kind(lr_updates=10)


@pytest.mark.parametrize("option", [{"network": "mlp"}, {"activation": "tanh"}, {"initializer": "orthogonal"}])
@pytest.mark.parametrize("kind", [rlnut.DQN, DRQN, CQL])
def test_a_network_of_ones_own_leaves_nothing_to_choose(kind: type, option: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(option))} has no effect on a network of your own"):
        kind(**option).build(seen(VECTOR), rlnut.mlp((4,)))


def test_weight_decay_and_schedule_are_what_they_say() -> None:
    """A loss without a slope: W ← W (1 − αₖ decay), αₖ = lr (1 − k/K) for k = 0 … K − 1; biases stay."""

    class Flat(rlnut.DQN):
        def make_loss(self, readout: Any) -> Loss:
            return lambda outputs, y: 0 * outputs

    spec = seen(VECTOR)
    options: dict[str, Any] = {"optimizer": "sgd", "lr": 0.5, "schedule": "linear", "decay": 0.1, "lr_updates": 4}
    agent = Flat(**TINY | {"learning_starts": 1, "gradient_steps": 4, "train_every": 2} | options).build(spec)
    row = one_row(spec, 2)
    state = agent.init(jax.random.key(0), row)
    played: Any = jax.tree.map(lambda a: jnp.zeros((1, *a.shape), a.dtype), row)
    played = played._replace(valid=jnp.ones((1, 2), bool), end=jnp.ones((1, 2), bool), fresh=jnp.ones((1, 2), bool))
    after, _ = jax.jit(agent.learn)(state, played)
    factor = np.prod([1 - 0.1 * 0.5 * (1 - k / 4) for k in range(4)])
    pairs = zip(jax.tree.leaves(state.fit.params), jax.tree.leaves(after.fit.params), strict=True)
    for before, now in pairs:
        np.testing.assert_allclose(now, before * (factor if before.ndim == 2 else 1), rtol=1e-5)


@pytest.mark.parametrize("kind", [rlnut.DQN, PQN, NFQ])
def test_an_optimizer_by_name_is_the_one_of_optax_behind_the_clipping(kind: type) -> None:
    grads, params = {"w": jnp.array([[30.0, -40.0]])}, {"w": jnp.ones((1, 2))}
    ours = kind(optimizer="rmsprop", lr=0.1).make_optimizer()
    clip = [] if kind is NFQ else [optax.clip_by_global_norm(10.0)]
    theirs = optax.chain(*clip, optax.rmsprop(0.1))
    (found, _), (known, _) = (method.update(grads, method.init(params), params) for method in (ours, theirs))
    np.testing.assert_allclose(found["w"], known["w"], rtol=1e-6)


def test_a_schedule_is_over_the_updates_planned_at_the_start(tmp_path: Path) -> None:
    """DQN: from step 32 on 8 for every 8 steps; kept in config.json, so that a run that is resumed is uninterrupted."""
    config = rlnut.DQN(**TINY, schedule="cosine")
    whole = rlnut.train(config, "CartPole-v1", steps=128, out=tmp_path / "whole", **QUICK)
    kept = read_json(tmp_path / "whole" / "config.json")["config"]
    assert kept["lr_updates"] == ((128 - 32) // 8 + 1) * 8
    with pytest.raises(UsageError, match="schedule cosine ends at update 104 with α = 0, and this run would make 168"):
        rlnut.resume(tmp_path / "whole", steps=192, quiet=True)
    longer = config.replace(lr_updates=104)
    rlnut.train(longer, "CartPole-v1", steps=64, out=tmp_path / "part", **QUICK)
    part = rlnut.resume(tmp_path / "part", steps=128, quiet=True)
    assert part.evaluation == whole.evaluation
    for file in ("policy.safetensors", "checkpoint.safetensors", "metrics.csv"):
        first, second = ((tmp_path / name / file).read_bytes() for name in ("whole", "part"))
        assert first == second, file
    assert rlnut.load_policy(tmp_path / "whole").q(np.zeros(4)).shape == (2,)


def test_every_agent_counts_its_updates() -> None:
    for envs in (1, 3):  # rounds of 256 steps, of 255 with three environments
        pqn = PQN(schedule="linear", rollout=255, minibatches=5).planned(1000, envs)
        assert pqn.lr_updates == 4 * 4 * 5
    nfq = NFQ(schedule="linear", iterations=3, epochs=2, batch=100).planned(250, 1)
    assert nfq.lr_updates == 3 * 2 * 2
    assert PQN().planned(1000, 1) == PQN() and AGENTS["sarsa"]().planned(1000, 1) == AGENTS["sarsa"]()


def test_a_batch_agent_with_a_schedule_goes_through_a_run(tmp_path: Path) -> None:
    config = CQL(schedule="one-cycle", optimizer="nadam", decay=0.01, iterations=2, hidden=(4,), activation="elu")
    run = rlnut.train(config, "CartPole-v1", steps=256, out=tmp_path / "run", final_episodes=1, quiet=True)
    assert read_json(tmp_path / "run" / "config.json")["config"]["lr_updates"] == 2 * 2 * 2
    np.testing.assert_array_equal(rlnut.load_policy(tmp_path / "run").q(np.zeros(4)), run.q(np.zeros(4)))
