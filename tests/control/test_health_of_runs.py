"""Health in the log of a run, which it does not change; remarks: none without a fault, and to follow one matters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import jax
import numpy as np
import pytest

import rlnut
from rlnut import DQN, RlnutError
from rlnut.agents.catalogue import AGENTS, PQN
from rlnut.agents.online_settings import QLearning, SARSALambda
from rlnut.agents.presets import PRESETS
from rlnut.control.evaluate import OVERESTIMATION
from rlnut.control.run_loop import RunLook
from rlnut.control.training import configured
from rlnut.envs.gymnax import PREFIX
from rlnut.learner.config import AgentConfig, OfflineConfig
from rlnut.learner.health import DELTA_COLUMNS
from rlnut.learner.remarks import RunFacts, way_out_of_divergence
from rlnut.runtime.files import read_json
from rlnut.runtime.log import COLUMNS, read_metrics

pytestmark = pytest.mark.usefixtures("shared_programs")
ALONE: dict[str, Any] = {"target": "none", "target_every": 200, "double": False}  # no target network
SMALL = DQN(hidden=(8,), batch=24, replay=100, learning_starts=16, target_every=5, epsilon_steps=100)
COURSE: dict[str, Any] = {"steps": 160, "eval_every": 40, "log_every": 20, "eval_episodes": 1, "final_episodes": 1}
COURSE |= {"quiet": True, "seed": 3}
NETWORK = (*DELTA_COLUMNS, "gradient_share", "update_share", "dead_units", "feature_rank", "weight_norm")
REPLAYED = (*NETWORK, "target_drift", "replay_age")


class Chain(gym.Env):
    """Five states, episodes of 12 steps; a reward only at the right end, where action 1 leads."""

    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, length: int = 4, reward: float = 1.0) -> None:
        self.length, self.reward = length, reward

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.place = self.count = 0
        return self._obs(), {}

    def _obs(self) -> np.ndarray:
        return np.array([self.place / self.length, 1 - self.place / self.length], np.float32)

    def step(self, action: Any) -> Any:
        self.place, self.count = max(0, self.place + (1 if action else -1)), self.count + 1
        there = self.place >= self.length
        return self._obs(), self.reward * there, there, self.count >= 12, {}


@pytest.fixture(autouse=True)
def from_the_first_update(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlnut.control.health.FIRST", 1)


def trained(config: AgentConfig, env: Any = Chain, **course: Any) -> Any:
    return rlnut.train(config, env, **(COURSE | course))


def weights(run: Any) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(run.policy.params)]


@pytest.mark.parametrize(
    "config, native, columns",
    [
        (SMALL, False, REPLAYED),
        pytest.param(SMALL, True, REPLAYED, marks=pytest.mark.slow),
        pytest.param(
            SMALL.replace(memory="gru", memory_size=4, sequence=4, burn_in=1, prioritised=True), False, REPLAYED,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            SMALL.replace(hidden=(), **ALONE), False, {*REPLAYED} - {"target_drift", "dead_units", "feature_rank"},
            marks=pytest.mark.slow,
        ),
        (PQN(hidden=(8,), rollout=16, minibatches=2, epochs=1, epsilon_steps=50), True, NETWORK),
        (SARSALambda(features="tiles:2", epsilon_steps=100), False, (*DELTA_COLUMNS, "weight_norm")),
    ],
)  # fmt: skip
def test_every_evaluation_has_the_numbers_that_the_agent_has(
    config: AgentConfig, native: bool, columns: Any, tmp_path: Path
):
    trained(config, "CartPole-v1", native=native, num_envs=2, out=tmp_path / "run")
    rows = read_metrics(tmp_path / "run" / "metrics.csv")
    assert rows[0].keys() - {*COLUMNS, *OVERESTIMATION} == set(columns)
    learned = [row for row in rows if row["eval_mean"] == row["eval_mean"] and row["updates"]]
    assert len(learned) >= 3
    assert all(np.isfinite(row[name]) for row in learned for name in columns)
    for row in learned:
        assert 0 <= row["delta_median"] <= row["delta_90"] <= row["delta_max"] and row["weight_norm"] > 0
        assert 0 <= row.get("dead_units", 0) <= 1 and row.get("feature_rank", 1) <= 8
        assert row.get("replay_age", 0) <= min(row["step"], 101)


def test_whoever_measures_changes_no_weight(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """With and without probes a run ends in the same state, of which the probe's keys are no part."""
    from rlnut.control.health import Health

    trained(SMALL, out=tmp_path / "with")
    monkeypatch.setattr(Health, "measure", lambda self, look: {})
    trained(SMALL, out=tmp_path / "without")
    a, b = (tmp_path / name for name in ("with", "without"))
    assert (a / "policy.safetensors").read_bytes() == (b / "policy.safetensors").read_bytes()
    with_, without = read_metrics(a / "metrics.csv"), read_metrics(b / "metrics.csv")
    assert [[row[k] for k in COLUMNS[1:9]] for row in with_][-1] == [[row[k] for k in COLUMNS[1:9]] for row in without][
        -1
    ]


@pytest.mark.parametrize("native", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_run_that_goes_on_measures_the_same(native: bool, tmp_path: Path):
    whole, part = tmp_path / "whole", tmp_path / "part"
    rlnut.train(SMALL, "CartPole-v1", native=native, out=whole, **COURSE)
    rlnut.train(SMALL, "CartPole-v1", native=native, out=part, **(COURSE | {"steps": 80}))
    rlnut.resume(part, steps=160, quiet=True)
    for name in ("metrics.csv", "policy.safetensors", "checkpoint.safetensors"):
        assert (whole / name).read_bytes() == (part / name).read_bytes(), name


def test_a_step_size_that_was_changed_is_that_of_the_measured_update():
    """A step of gradient descent is α ∂E/∂θ, so update and gradient have the ratio α, before and after the change."""

    def change(look: RunLook) -> None:
        if look.step == 80:
            look.change(lr=0.04)

    plain = SMALL.replace(optimizer="sgd", lr=0.01, max_gradient=1e9)
    history = trained(plain, callbacks=[change]).history
    ratio = history["update_share"] / history["gradient_share"]
    np.testing.assert_allclose(ratio[np.isfinite(ratio)], [0.01, 0.01, 0.04, 0.04], rtol=1e-4)


def planned_facts(config: Any, steps: int) -> RunFacts:
    updates = config.make_pace().due(steps) if hasattr(config, "make_pace") else steps
    return RunFacts(steps, updates, (config.epsilon_start, config.epsilon_end))


ONLINE = [name for name, kind in AGENTS.own.items() if not issubclass(kind, OfflineConfig)]


@pytest.mark.parametrize(("name", "env"), [*((name, "CartPole-v1") for name in ONLINE), *PRESETS])
def test_nothing_is_remarked_of_defaults_and_presets(name: str, env: str):
    if env.startswith(PREFIX):
        pytest.importorskip("gymnax")
    config, course, _ = configured(name, env)
    assert config.remarks(planned_facts(config, course.steps)) == []


# what can be known before the run: in SMALL each of these is put right
FAULTS: dict[str, dict[str, Any]] = {
    "never copied": {"target_every": 1000},
    "the same ones again": {"replay": 20},
    "never explores": {"epsilon_start": 0.0, "epsilon_end": 0.0},
    "reaches --epsilon-end": {"epsilon_steps": 5000},
}


@pytest.fixture(scope="module")
def right() -> list[np.ndarray]:
    run = rlnut.train(SMALL, Chain, **COURSE)
    assert run.remarks == ()
    return weights(run)


@pytest.mark.parametrize(
    "fault", [*list(FAULTS)[:1], *(pytest.param(name, marks=pytest.mark.slow) for name in list(FAULTS)[1:])]
)
def test_a_fault_of_the_plan_stands_in_it_and_to_follow_the_remark_matters(
    fault: str, right: list[np.ndarray], capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    run = trained(SMALL.replace(**FAULTS[fault]), out=tmp_path / "run", quiet=False)
    remark = run.remarks[0]
    told = capsys.readouterr().err
    assert fault in remark and told.count(remark) == 1 and f"note       {remark}" in told
    assert read_json(tmp_path / "run" / "summary.json")["remarks"] == list(run.remarks)
    assert any((a != b).any() for a, b in zip(weights(run), right, strict=True))


@pytest.mark.parametrize("fault", FAULTS)
def test_the_remark_names_the_options_that_end_it(fault: str):
    def planned(config: DQN) -> list[str]:
        return [text for _, text in config.remarks(planned_facts(config, 160))]

    (text,) = planned(SMALL.replace(**FAULTS[fault]))
    assert fault in text and planned(SMALL) == []
    assert all(f"--{name.replace('_', '-')}" in text for name in FAULTS[fault])


def test_no_reward_so_far_is_remarked_once_while_the_run_goes(capsys: pytest.CaptureFixture[str]):
    lazy = SMALL.replace(epsilon_start=0.02, epsilon_end=0.02)
    looks, seen = rlnut.training(lazy, lambda: Chain(3), **(COURSE | {"quiet": False})), []
    for look in looks:
        seen.append((look.step, look.remarks))
    (remark,) = looks.result().remarks
    first = next(step for step, remarks in seen if remarks)
    assert first == 40 and "the first 40 steps was 0" in remark and "--epsilon-end" in remark
    assert capsys.readouterr().err.count(remark) == 1
    busy = trained(lazy.replace(epsilon_start=1.0, epsilon_end=1.0), lambda: Chain(3))
    assert busy.remarks == ()


def test_exploding_values_are_remarked():
    wild = SMALL.replace(hidden=(), lr=3.0, loss="squared", **ALONE, max_gradient=1e9, optimizer="sgd")
    (remark,) = trained(wild, log_every=8).remarks
    assert "explode" in remark and "a smaller --lr" in remark
    assert "--target-every" not in remark  # it has no target network
    assert trained(wild.replace(lr=0.1), log_every=8).remarks == ()


def test_a_dead_network_is_remarked():
    dead = SMALL.replace(lr=10.0)
    remark = trained(dead).remarks[0]
    assert "hidden layer 1" in remark and "--layer-norm" in remark and "--activation elu" in remark
    assert not any("hidden layer" in text for text in trained(dead.replace(activation="elu")).remarks)


def test_divergence_advises_what_the_agent_has():
    assert way_out_of_divergence(DQN()) == (
        "a smaller --lr, more updates between target copies (--target-every) or a smaller --gamma"
    )
    assert way_out_of_divergence(PQN()) == "a smaller --lr or a smaller --gamma"
    assert "--target-every" not in way_out_of_divergence(DQN(target="polyak"))
    with pytest.raises(RlnutError, match=r"diverged .* use a smaller --lr or a smaller --gamma"):
        trained(QLearning(features="fourier:3", low=(0, 0), high=(1, 1), lr=1e20), steps=400)
