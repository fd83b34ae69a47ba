"""Where a run was made: commits as git tells them, checksums that change with the code, and what is different now."""

from __future__ import annotations

import shutil
import subprocess
import sys
import types
from pathlib import Path

import gymnasium as gym
import pytest

from rlnut import DQN
from rlnut.control.differences import Change, differences
from rlnut.control.provenance import code_checksums, head_commit, own_code, versions


@pytest.mark.skipif(shutil.which("git") is None, reason="git tells what is right")
def test_the_commit_is_the_one_that_git_says(tmp_path: Path):
    def git(*words: str, at: Path = tmp_path / "a") -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        return subprocess.run(["git", *who, *words], cwd=at, check=True, capture_output=True, text=True).stdout.strip()

    (tmp_path / "a" / "inner").mkdir(parents=True)
    git("init", "-q")
    assert head_commit(tmp_path / "a") is None  # nothing is committed
    git("commit", "-q", "--allow-empty", "-m", "one")
    assert head_commit(tmp_path / "a" / "inner") == git("rev-parse", "HEAD")
    git("commit", "-q", "--allow-empty", "-m", "two")
    git("pack-refs", "--all")
    assert head_commit(tmp_path / "a") == git("rev-parse", "HEAD")
    git("worktree", "add", "-q", "-b", "other", str(tmp_path / "b"))
    git("commit", "-q", "--allow-empty", "-m", "three", at=tmp_path / "b")
    assert head_commit(tmp_path / "b") == git("rev-parse", "HEAD", at=tmp_path / "b") != head_commit(tmp_path / "a")
    git("checkout", "-q", "--detach", "HEAD~1")
    assert head_commit(tmp_path / "a") == git("rev-parse", "HEAD")
    (tmp_path / "a" / ".git" / "HEAD").write_text("ref: refs/heads/\x1b[2J")
    assert head_commit(tmp_path / "a") is None


def test_checksums_follow_the_file_of_a_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    text = "import gymnasium\nclass Own(gymnasium.Env):\n    pass\n"
    (tmp_path / "own_env_file.py").write_text(text)
    import own_env_file  # type: ignore[import-not-found]

    before = code_checksums(DQN(), own_env_file.Own)
    assert set(before) == {"rlnut", "own_env_file:Own"}
    (tmp_path / "own_env_file.py").write_text(text + "# changed\n")
    after = code_checksums(DQN(), own_env_file.Own)
    assert before["rlnut"] == after["rlnut"] == own_code() and before["own_env_file:Own"] != after["own_env_file:Own"]
    assert "gymnasium.envs.classic_control.cartpole:CartPoleEnv" in code_checksums(DQN(), "CartPole-v1")


def test_only_what_was_recorded_is_compared():
    now = {"versions": {"jax": "2", "numpy": "1"}, "machine": {"cores": 4}, "code": {"rlnut": "b"}, "git": {}}
    assert differences({}, now) == {}
    assert differences({"versions": {"jax": "1", "numpy": "1"}, "machine": {"cores": 2}}, now) == {
        "jax": Change("1", "2"),
        "cores": Change(2, 4),
    }
    assert differences({"code": {"rlnut": "a", "gone:Env": "c"}}, now) == {
        "code of rlnut": Change("a", "b"),
        "code of gone:Env": Change("c", None),
    }
    commits = {"code": {"rlnut": "a"}, "git": {"rlnut": {"commit": "1" * 40, "dirty": True}}}
    there = now | {"git": {"rlnut": {"commit": "2" * 40, "dirty": False}}}
    shown = Change(f"commit {'1' * 10}, with changes", f"commit {'2' * 10}")
    assert differences(commits, there) == {"code of rlnut": shown}
    assert differences(commits | {"code": {"rlnut": "b"}}, there) == {}  # another commit, the same code


def test_versions_are_those_of_the_packages():
    import jax
    import numpy

    found = versions(DQN, "CartPole-v1")
    assert found["jax"] == jax.__version__ and found["numpy"] == numpy.__version__


def test_a_simulator_counts_where_it_is_used(monkeypatch: pytest.MonkeyPatch):
    """Not because something else in this process has imported it."""
    simulator = types.ModuleType("Box2D")
    simulator.__version__ = "7.0"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "Box2D", simulator)
    assert "Box2D" not in versions(DQN, "CartPole-v1")
    user = types.ModuleType("of_a_user")
    user.Box2D = simulator  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "of_a_user", user)
    kind = type("Lander", (gym.Env,), {"__module__": "of_a_user"})
    assert "Box2D" in versions(DQN, kind)
