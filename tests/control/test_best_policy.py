"""The best of a run's policies: told apart by the same episodes, within a budget; nothing is lost by a pause."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import rlnut
from rlnut import DQN
from rlnut.control import best_policy, checkpoints
from rlnut.control.best_policy import behind, contest, with_evaluated, with_exact
from rlnut.control.checkpoints import Best
from rlnut.runtime.arrays import read_arrays

EXACT = ("policy.safetensors", "checkpoint.safetensors", "metrics.csv")


def policy(mean: float, step: int, std: float | None = 5.0, size: int = 1) -> Best:
    return Best(np.zeros(size, np.float32), mean, step, std)


def steps(kept: Any) -> list[int]:
    return [one.step for one in kept]


def test_those_that_may_be_the_best_are_kept_the_best_first() -> None:
    kept: tuple[Best, ...] = ()
    for mean, step in ((0.0, 10), (20.0, 20), (19.0, 30), (20.0, 40), (18.0, 50), (17.0, 60), (19.5, 70)):
        kept = with_evaluated(kept, policy(mean, step), 20)
    assert steps(kept) == [40, 20, 70, 30]  # 10 is 20/√(2·25/20) standard errors away; of four, no more
    assert steps(with_evaluated(kept, policy(40, 80), 20)) == [80]
    assert steps(with_evaluated(kept, policy(22, 80, 0.0), 400)) == [80]  # many episodes tell more apart
    large = tuple(policy(10 - k, k, size=best_policy.MOST_BYTES // 8) for k in range(2))
    assert steps(with_evaluated(large, policy(9.5, 9, size=best_policy.MOST_BYTES // 8), 20)) == [0, 9]


def test_of_exact_returns_the_best_and_of_equals_the_later() -> None:
    kept = with_exact((), policy(1.0, 1))
    assert steps(with_exact(kept, policy(0.999, 2))) == [1]
    assert steps(with_exact(kept, policy(1.0 - 1e-15, 2))) == [2]  # rounding
    assert steps(with_exact(kept, policy(1.1, 2))) == [2]


def test_behind_is_more_than_chance_or_the_same() -> None:
    assert behind([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert behind([1.0, 2.0, 3.0], [2.0, 3.0, 4.0])  # always one less: no chance in it
    assert not behind([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
    assert not behind([1.0], [9.0])  # one episode tells nothing


class Game:
    """Returns of policies with known means: luck that all share in an episode, and luck of their own."""

    def __init__(self, seed: int, shared: float, own: float) -> None:
        self.seed, self.shared, self.own, self.calls = seed, shared, own, 0

    def returns(self, worth: float, step: int, number: int, episodes: int) -> np.ndarray:
        luck = np.random.default_rng([self.seed, number]).normal(size=episodes)
        own = np.random.default_rng([self.seed, number, step]).normal(size=episodes)
        return worth + self.shared * luck + self.own * own

    def played(self, worth: dict[int, float], episodes: int) -> Any:
        def play(one: Best, first: int) -> list[float]:
            self.calls += 1
            return self.returns(worth[one.step], one.step, 10**6 + first, episodes).tolist()

        return play


def chosen(seed: int, shared: float, own: float, budget: int) -> tuple[float, float, int]:
    """(how good the best by evaluations is, how good the winner is, evaluations played) of 20 policies."""
    worth = {k: float(w) for k, w in enumerate(np.random.default_rng(seed).normal(-90, 3, 20))}
    game = Game(seed, shared, own)
    kept: tuple[Best, ...] = ()
    for k in worth:
        found = game.returns(worth[k], k, k, 20)
        kept = with_evaluated(kept, Best(np.zeros(1), found.mean(), k, found.std(ddof=1)), 20)
    winner, played = contest(kept, game.played(worth, 20), 20, budget)
    assert game.calls * 20 == played and game.calls <= min(best_policy.MOST_EVALUATIONS, budget // 2)
    return worth[kept[0].step], worth[winner.step], game.calls


def test_a_contest_finds_better_policies_than_single_evaluations() -> None:
    """Twenty policies around −90 ± 3, episodes of ± 15: mean over 200 runs of what is returned."""
    found = np.array([chosen(seed, 10.0, 11.0, 20) for seed in range(200)])
    gain = found[:, 1] - found[:, 0]
    assert gain.mean() > 3 * gain.std() / np.sqrt(200)


def test_a_contest_ends_as_soon_as_all_is_clear() -> None:
    worth = {0: -90.0, 1: -80.0, 2: -80.0}
    kept = [policy(-80.0, k) for k in worth]
    game = Game(0, 15.0, 0.0)  # all luck is shared: the differences are exact after one evaluation each
    winner, played = contest(kept, game.played(worth, 20), 20, 20)
    assert winner.step == 2 and played == 60
    assert contest(kept[:1], game.played(worth, 20), 20, 20) == (kept[0], 0)
    assert contest(kept, game.played(worth, 20), 20, 5) == (kept[0], 0)  # no budget: two evaluations for three


# --- in a run

SMALL = DQN(hidden=(8,), batch=8, replay=60, learning_starts=16, target_every=5, epsilon_steps=150)
SHORT: dict[str, Any] = {"steps": 160, "eval_every": 16, "eval_episodes": 2, "final_episodes": 2, "log_every": 16}
SHORT |= {"quiet": True}


class Dice(gym.Env):
    """Random rewards, episodes of 3 steps: all policies are nearly the same."""

    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.count = 0
        return self._obs(), {}

    def _obs(self) -> np.ndarray:
        return self.np_random.uniform(-1, 1, 2).astype(np.float32)

    def step(self, action: Any) -> Any:
        self.count += 1
        return self._obs(), float(action) + 9 * self.np_random.normal(), self.count >= 3, False, {}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    rlnut.train(SMALL, Dice, seed=5, out=folder, **SHORT)
    return folder


def test_a_run_returns_the_winner(whole: Path) -> None:
    summary = json.loads((whole / "summary.json").read_text())
    meta = read_arrays(whole / "checkpoint.safetensors").meta
    kept = [meta["best"][1], *(step for _, step, _ in meta["rivals"])]
    assert summary["choice"] == {"by": "evaluation", "candidates": len(kept), "episodes": summary["choice"]["episodes"]}
    assert len(kept) > 1 and 0 < summary["choice"]["episodes"] <= 2 * 160 // 16 // 2
    assert summary["best_step"] in kept
    assert read_arrays(whole / "policy.safetensors").meta["step"] == summary["best_step"]


@pytest.mark.parametrize("at", [0, 40, 96, 160])
def test_a_run_that_is_left_and_resumed_chooses_the_same(at: int, whole: Path, tmp_path: Path) -> None:
    for look in rlnut.training(SMALL, Dice, seed=5, out=tmp_path / "run", **SHORT):
        if look.step >= at:
            break
    if not (tmp_path / "run" / "summary.json").exists():
        rlnut.resume(tmp_path / "run", env=Dice, quiet=True)
    for name in EXACT:
        assert (whole / name).read_bytes() == (tmp_path / "run" / name).read_bytes(), name
    one, other = (json.loads((folder / "summary.json").read_text()) for folder in (whole, tmp_path / "run"))
    assert (one["choice"], one["best_step"], one["eval"]) == (other["choice"], other["best_step"], other["eval"])


def test_a_checkpoint_of_an_earlier_version_has_no_rivals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = checkpoints._packed

    def as_it_was(*args: Any) -> Any:
        arrays, meta = packed(*args)
        del arrays["rivals"], meta["rivals"], meta["best_std"]
        return arrays, meta

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "_packed", as_it_was)
        for look in rlnut.training(SMALL, Dice, seed=5, out=tmp_path / "run", **SHORT):
            if look.step >= 96:
                break
    assert "rivals" not in read_arrays(tmp_path / "run" / "checkpoint.safetensors").meta
    assert rlnut.resume(tmp_path / "run", env=Dice, quiet=True).steps == 160
