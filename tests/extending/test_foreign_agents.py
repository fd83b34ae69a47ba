"""Agents that are not rlnut's, of every family: train, resume, evaluate, pickle; by class, and from a script."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest

import rlnut
from rlnut import UsageError
from rlnut.agents.catalogue import PQN
from rlnut.agents.default_networks import value_model
from rlnut.agents.offline_settings import FQI
from rlnut.control.recipe import CONFIG
from rlnut.learner.agent import Agent, Pace, feed_forward, polyak, value_agent
from rlnut.learner.bellman import q_problem
from rlnut.learner.config import AgentConfig
from rlnut.learner.explore import epsilon_greedy, linear_schedule
from rlnut.learner.readout import scalar
from rlnut.learner.replay import replay
from rlnut.learner.spec import Spec
from rlnut.networks.architectures import mlp
from rlnut.regression.core import regression
from rlnut.runtime.files import read_json
from rlnut.settings import setting
from rlnut.types import Network, call

pytestmark = pytest.mark.usefixtures("shared_programs")
COURSE: dict[str, Any] = {"eval_every": 100, "eval_episodes": 1, "final_episodes": 1, "quiet": True, "seed": 5}
SMALL: dict[str, Any] = {"hidden": (8,), "batch": 8, "learning_starts": 32, "replay": 300}


@dataclass(frozen=True)
class FromScratch(AgentConfig):
    """Q-learning with a network, composed by hand: it derives from nothing but the base."""

    width: int = setting(32, "units of the hidden layer", low=1)

    def build(self, spec: Spec, network: Network | None = None) -> Agent:
        model = value_model(spec, network or mlp((self.width,)))
        return value_agent(
            regression(model, optimizer=optax.adam(3e-3)),
            q_problem(lambda params, x, key: call(model, params, x)),
            epsilon_greedy(linear_schedule(1.0, 0.1, 500), spec.actions),
            replay(500),
            Pace(starts=32, every=2, updates=2, batch=16),
            feed_forward(model),
            host=True,
            readout=scalar(),
            target=polyak(0.05),
        )


class MyDQN(rlnut.DQN):
    """A name of one's own for DQN."""


class MyPQN(PQN):
    """The same of PQN."""


class MySARSA(rlnut.SARSA):
    """The same of a table."""


class MyFQI(FQI):
    """The same of an agent that learns from a batch."""


FAMILIES: list[tuple[AgentConfig, str, dict[str, Any]]] = [
    (FromScratch(gamma=0.5), "rlnut/ProbeBoth-v0", {"steps": 100}),
    (MyDQN(**SMALL), "rlnut/ProbeBoth-v0", {"steps": 100}),
    (MyPQN(hidden=(8,), rollout=32, minibatches=2, epochs=1), "rlnut/ProbeBoth-v0", {"steps": 128}),
    (MySARSA(), "FrozenLake-v1", {"steps": 200}),
    (MyFQI(iterations=2), "FrozenLake-v1", {"steps": 200}),
]


@pytest.mark.parametrize(("config", "env", "words"), FAMILIES, ids=[type(row[0]).__name__ for row in FAMILIES])
def test_every_family_goes_all_the_way(config: AgentConfig, env: str, words: dict[str, Any], tmp_path: Path):
    folder, kind = tmp_path / "run", type(config)
    run = rlnut.train(config, env, out=folder, **COURSE | words)
    assert read_json(folder / CONFIG)["agent"] == f"{__name__}:{kind.__name__}"
    assert rlnut.load_policy(folder, agent=kind).evaluate(3).returns == run.policy.evaluate(3).returns
    again = pickle.loads(pickle.dumps(run.policy))
    assert again.evaluate(3).returns == run.policy.evaluate(3).returns and type(again.origin.config) is kind
    assert pickle.loads(pickle.dumps(config)) == config.replace() == config
    longer: dict[str, Any] = {"iterations": 3} if isinstance(config, MyFQI) else {"steps": words["steps"] + 128}
    assert rlnut.resume(folder, agent=kind, quiet=True, **longer).folder == folder


def test_an_agent_from_scratch_learns_and_its_loop_can_be_watched():
    run = rlnut.training(FromScratch(gamma=0.5), "rlnut/ProbeBoth-v0", **COURSE | {"steps": 1500})
    steps = [look.step for look in run]
    assert steps[-1] == 1500
    np.testing.assert_allclose(run.result().q([[1.0], [-1.0]]), [[-1, 1], [1, -1]], atol=0.1)


def test_what_a_class_lacks_is_said(tmp_path: Path):
    class Nothing(AgentConfig):
        """No build."""

    with pytest.raises(NotImplementedError, match=r"Nothing has no method build\(spec, network\)"):
        rlnut.train(Nothing(), "CartPole-v1", **COURSE)

    class Bare(rlnut.DQN):
        share: float = setting(0.5, "an option of a class that is no dataclass")

    with pytest.raises(UsageError, match=r"Bare.share is no option yet: put @dataclass\(frozen=True\) in front"):
        Bare()

    @dataclass(frozen=True)
    class Odd(rlnut.DQN):
        table: dict[str, int] | None = None

    assert Odd().table is None
    with pytest.raises(UsageError, match=r"table has type dict\[str, int\]: an option is a bool, int, float or str"):
        Odd(table={"a": 1})


SCRIPT = '''
from dataclasses import dataclass
import sys
import rlnut

@dataclass(frozen=True)
class Scripted(rlnut.DQN):
    """Defined in a script that is run."""

if __name__ == "__main__":
    config = Scripted(hidden=(4,), batch=4, learning_starts=16, replay=100)
    rlnut.train(config, "rlnut/ProbeBoth-v0", steps=40, final_episodes=1, quiet=True, out=sys.argv[1])
    rlnut.load_policy(sys.argv[1], agent=Scripted)
'''


def test_a_run_of_a_script_goes_on_in_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """There the class is `__main__:Scripted`, here it is `scripted:Scripted`."""
    script = tmp_path / "scripted.py"
    script.write_text(SCRIPT)
    subprocess.run([sys.executable, str(script), str(tmp_path / "run")], check=True, cwd=tmp_path)
    assert read_json(tmp_path / "run" / CONFIG)["agent"] == "__main__:Scripted"
    monkeypatch.syspath_prepend(str(tmp_path))
    scripted: Any = __import__("scripted")
    assert rlnut.resume(tmp_path / "run", 60, agent=scripted.Scripted, quiet=True).steps >= 60
    with pytest.raises(UsageError, match="was made with the agent __main__:Scripted, agent= is dqn"):
        rlnut.load_policy(tmp_path / "run", agent=rlnut.DQN)
    with pytest.raises(UsageError, match="__main__:Scripted cannot be imported"):
        rlnut.load_policy(tmp_path / "run", trust=True)
    assert jax.tree.leaves(rlnut.load_policy(tmp_path / "run", agent=scripted.Scripted).params)
