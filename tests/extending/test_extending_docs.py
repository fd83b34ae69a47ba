"""docs/extending.md as it stands: every block is run; every agent trains, resumes, evaluates and knows the answer."""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.commands import run_main

import rlnut
from rlnut.agents.catalogue import AGENTS
from rlnut.control.host_loop import one_row
from rlnut.envs.make import EnvName
from rlnut.envs.probes import ProbeEnv
from rlnut.envs.spaces import read_spaces
from rlnut.prediction.methods import METHODS
from rlnut.types import Look, Transition

PAGE = Path(__file__).resolve().parents[2] / "docs" / "extending.md"
pytestmark = [
    pytest.mark.skipif(not PAGE.exists(), reason="these tests run away from a checkout"),
    pytest.mark.usefixtures("shared_programs"),
]
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(), re.S) if PAGE.exists() else []
DEFINED = [text for kind, text in BLOCKS if kind == "python" and re.search(r"^(class|def|from) ", text, re.M)]
USED = [text for kind, text in BLOCKS if kind == "python" and text not in DEFINED]
NAMES = [str(re.findall(r"^class (\w+)|^([A-Z]{3,}) = Method", text, re.M)[0][0]) or "ADAGRAD" for text in DEFINED]
SMALL: dict[str, Any] = {"gamma": 0.5, "hidden": (), "n_step": 1, "lr": 0.03, "batch": 32, "learning_starts": 32,
                         "target_every": 20, "epsilon_end": 1.0, "loss": "squared"}  # fmt: skip
COURSE: dict[str, Any] = {"eval_every": 400, "eval_episodes": 1, "final_episodes": 1, "quiet": True}


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """The name of a class or method -> the same from a module with its block, in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(AGENTS, "added", {})
    monkeypatch.setattr(METHODS, "added", {})
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, text in zip(NAMES, DEFINED, strict=True):
        (tmp_path / f"page_{name.lower()}.py").write_text(text)
    before = set(sys.modules)
    yield lambda name: getattr(import_module(f"page_{name.lower()}"), name)
    for name in set(sys.modules) - before:
        if name.startswith(("page_", "my_")):
            del sys.modules[name]


def test_the_page_has_an_example_of_each_kind_of_at_most_twenty_lines():
    kinds = ["MellowmaxDQN", "RescaledDQN", "LogCoshDQN", "RecentDQN", "PersistentDQN", "AveragedDQN", "ADAGRAD"]
    assert kinds == NAMES
    for name, text in zip(NAMES, DEFINED, strict=True):
        lines = [line for line in text.splitlines() if line.strip()]  # imports count, too
        assert len(lines) <= 20 and max(map(len, lines)) <= 120, f"{name}: {len(lines)} lines"


# Two states; action 0 leads to the first, 1 to the second, whatever the state: r(s, a)
REWARD = np.array([[1.0, 0.0], [0.0, 2.0]])


def two_states(folder: Path) -> EnvName:
    P = np.zeros((2, 2, 2))
    P[:, 0, 0] = P[:, 1, 1] = 1
    np.savez(folder / "two.npz", P=P, R=REWARD)
    return EnvName("rlnut/Tabular-v0", {"source": str(folder / "two.npz"), "max_episode_steps": 10})


def fixed_point(value: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """q = r + ½ v(s'), iterated; value: q [S, A] -> v [S]."""
    q = np.zeros((2, 2))
    for _ in range(100):
        q = REWARD + 0.5 * value(q)[None]
    return q


def mellowmax(q: np.ndarray) -> np.ndarray:
    result: np.ndarray = np.log(np.exp(5 * q).mean(1)) / 5
    return result


BEST = fixed_point(lambda q: q.max(1))
TRUTH = [("MellowmaxDQN", fixed_point(mellowmax), {"double": False}), ("RescaledDQN", BEST, {"lr": 0.02})]
TRUTH += [("AveragedDQN", BEST, {"target_every": 4})]
TRUTH += [(name, BEST, {}) for name in ("LogCoshDQN", "RecentDQN", "PersistentDQN")]


@pytest.mark.parametrize(("name", "truth", "options"), TRUTH, ids=[name for name, _, _ in TRUTH])
def test_each_agent_learns_what_dynamic_programming_says_and_goes_on(
    name: str, truth: np.ndarray, options: dict[str, Any], page: Any, tmp_path: Path
):
    kind, env = page(name), two_states(tmp_path)
    config = kind(**SMALL | options)
    assert np.abs(fixed_point(mellowmax) - BEST).max() > 0.1  # so that one is not taken for the other
    whole = rlnut.train(config, env, steps=800, out=tmp_path / "whole", **COURSE)
    np.testing.assert_allclose(whole.q([0, 1]), truth, atol=0.05)
    rlnut.train(config, env, steps=400, out=tmp_path / "part", **COURSE)
    rlnut.resume(tmp_path / "part", steps=800, agent=kind, quiet=True)
    for file in ("policy.safetensors", "checkpoint.safetensors", "metrics.csv"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "part" / file).read_bytes(), file
    loaded = rlnut.load_policy(tmp_path / "part", agent=kind)
    assert loaded.evaluate(1).returns == whole.policy.evaluate(1).returns
    assert loaded.act(0) == (1 if truth[0, 1] > truth[0, 0] else 0)


def test_mellowmax_and_the_rescaling_by_hand(page: Any):
    rule = page("MellowmaxDQN")(omega=2.0, double=False).make_next_policy()
    q = jnp.array([[0.0, 1.0, 3.0], [2.0, 2.0, 2.0]])
    for mask, right in (
        (None, [np.log((1 + np.exp(2) + np.exp(6)) / 3) / 2, 2.0]),
        (jnp.array([[True, True, False], [True, False, False]]), [np.log((1 + np.exp(2)) / 2) / 2, 2.0]),
    ):
        policy, bonus, one = rule(q, q, mask, None)
        np.testing.assert_allclose((policy * q).sum(1) + bonus, right, rtol=1e-5)
        assert not one
    module = sys.modules[type(page("RescaledDQN")()).__module__]
    z = np.array([-100.0, -1.0, 0.0, 3.0, 1e4])
    np.testing.assert_allclose(module.squashed(z)[3], 1.003)
    np.testing.assert_allclose(module.unsquashed(module.squashed(z)), z, rtol=1e-6, atol=1e-9)


def test_the_loss_by_hand(page: Any):
    loss = page("LogCoshDQN")().make_loss(None)
    outputs, y = jnp.array([0.0, 1.0, -50.0]), jnp.array([0.5, 1.0, 50.0])
    np.testing.assert_allclose(loss(outputs, y), [np.log(np.cosh(0.5)), 0, 100 - np.log(2)], atol=1e-6)
    slope = jax.grad(lambda o: loss(o, y).sum())(outputs)
    np.testing.assert_allclose(-slope[::2], np.tanh([0.5, 100.0]), atol=1e-6)


def test_the_memory_draws_the_newer_of_two(page: Any):
    """Of ages spread evenly over 0 … 1 the smaller of two has the mean ⅓, not ½."""
    memory = page("RecentDQN")(replay=2000, n_step=1).make_memory(None)
    row = one_row(read_spaces(ProbeEnv("Both")), 2)
    seen: Any = jax.tree.map(lambda a: jnp.zeros((400, *a.shape), a.dtype), row)
    seen = seen._replace(reward=jnp.broadcast_to(jnp.arange(400.0)[:, None], (400, 2)), valid=jnp.ones((400, 2), bool))
    state = memory.add(memory.init(row, 400), seen)
    drawn: Transition = memory.read(state, memory.draw(state, jax.random.key(0), 4000))
    assert np.abs((399 - np.asarray(drawn.reward)).mean() / 400 - 1 / 3) < 4 * np.sqrt(1 / 18 / 4000)


def test_exploring_actions_are_repeated_as_the_law_says(page: Any):
    """ε = 1: a run of n steps of one action has P(n) = 1/(n(n + 1)); ε = 0: greedy; an episode begins anew."""
    spec = read_spaces(ProbeEnv("Both"))._replace(acts=read_spaces(ProbeEnv("Both")).acts._replace(choices=(1000,)))
    agent = page("PersistentDQN")(epsilon_end=1.0).build(spec)
    explore = page("PersistentDQN")(epsilon_end=1.0).make_exploration(spec)
    noise = jax.tree.map(np.asarray, explore.draw(jax.random.key(1), jnp.arange(400), 50))
    held, taken, q = explore.empty(50), [], np.zeros((50, 1000))
    for row in zip(*noise, strict=True):
        action, held = explore.act(q, None, row, held, np.zeros(50, bool))
        taken.append(action)
    lengths: list[int] = []
    for column in np.array(taken).T:  # 1000 actions: two runs of the same one in a row are rare
        change = np.flatnonzero(np.diff(column)) + 1
        lengths += np.diff(change).tolist()
    share = np.array([np.mean(np.array(lengths) == n) for n in (1, 2, 3)])
    right = np.array([1 / 2, 1 / 6, 1 / 12])  # a little more: long runs do not fit into 400 steps
    assert (np.abs(share - right) < 5 * np.sqrt(right * (1 - right) / len(lengths)) + 0.02).all()
    _, (left, _) = explore.act(q, None, jax.tree.map(lambda a: a[0], noise), held, np.ones(50, bool))
    np.testing.assert_array_equal(left, noise[0][0] - 1)  # what was left of the old episode is gone
    still = page("PersistentDQN")(epsilon_start=0.0, epsilon_end=0.0).build(spec)
    state = jax.eval_shape(lambda: agent.init(jax.random.key(0), one_row(spec, 2, carry=agent.carry(2))))
    assert state.fit is not None
    params = jax.jit(lambda: still.init(jax.random.key(0), one_row(spec, 2, carry=still.carry(2))).fit.params)()
    look = Look(np.zeros((2, 1), np.float32), np.ones(2, bool))
    drawn = (np.zeros(2, np.int32), np.array([5, 6], np.int32))
    action, _ = still.act(params, still.carry(2), look, drawn)
    np.testing.assert_array_equal(action, np.asarray(still.q(params, still.carry(2), look)[0]).argmax(-1))


def test_the_step_sizes_by_hand_and_the_values_by_their_truth(page: Any):
    method = page("ADAGRAD")
    row: Any = type("Row", (), {"alpha": 0.1, "u": 2.0, "delta": 3.0, "e": np.array([1.0, 0.0, -2.0]),
                                "h": np.array([0.0, 1.0, 25.0])})  # fmt: skip
    change, total = method.rule.gradient.step(row)
    np.testing.assert_allclose(total, [36, 1, 169])
    np.testing.assert_allclose(change, [0.1, 0, -0.1 * 12 / 13], rtol=1e-6)
    found = rlnut.predict(method, "rlnut/RandomWalk5-v0", alpha=0.1, steps=20_000)
    np.testing.assert_allclose(found.truth, np.arange(1, 6) / 6, rtol=1e-6)
    assert found.rmse < 0.06
    again = rlnut.predict(method, "rlnut/RandomWalk5-v0", alpha=0.1, steps=20_000, lam=0.8, features="polynomial:2")
    assert again.rmse < 0.1


def test_what_the_page_does_with_them_works_too(page: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The lines of Python and of the shell, in their order, with fewer steps."""
    for name, module in (("MellowmaxDQN", "my_agents"), ("ADAGRAD", "my_methods")):
        (tmp_path / f"{module}.py").write_text(DEFINED[NAMES.index(name)])
    head = "import rlnut\nfrom my_agents import MellowmaxDQN\nfrom my_methods import ADAGRAD\n"
    for i, text in enumerate(USED):
        fewer = text.replace("20_000", "300").replace("40_000", "400").replace("omega=2.0", "omega=2.0, hidden=(4,)")
        (tmp_path / f"page_use_{i}.py").write_text(head + fewer.replace("DQN(omega", "DQN(learning_starts=50, omega"))
        import_module(f"page_use_{i}")
    assert AGENTS["mellowmax"].__name__ == "MellowmaxDQN" and METHODS["adagrad-td"].uses[0] == "alpha"
    short = {"train": ["--steps=100", "--learning-starts=50", "--hidden=4", "--eval-episodes=1", "--final-episodes=1"],
             "predict": ["--steps=200"], "evaluate": ["--episodes=1"], "resume": []}  # fmt: skip
    for kind, text in BLOCKS:
        for line in text.splitlines() if kind == "sh" else []:
            words = shlex.split(line.replace("60000", "200"))
            assert words[0] == "rlnut"
            status, out, err = run_main(capsys, *words[1:], *short[words[1]])
            assert status == 0, err
            if "--help" in words:
                assert "--omega FLOAT" in out
    groups = tomllib.loads(next(text for kind, text in BLOCKS if kind == "toml"))["project"]["entry-points"]
    assert groups == {
        AGENTS.group: {"mellowmax": "my_agents:MellowmaxDQN"}, METHODS.group: {"adagrad-td": "my_methods:ADAGRAD"}
    }  # fmt: skip
    for names in groups.values():
        for target in names.values():
            module, _, thing = target.partition(":")
            assert hasattr(import_module(module), thing)
