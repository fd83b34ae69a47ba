"""Agents and methods of others: by a registered name, by MODULE:NAME on the command line, by an installed package."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.commands import run_main

import rlnut
from rlnut import UsageError
from rlnut.agents.catalogue import AGENTS
from rlnut.control.recipe import CONFIG
from rlnut.learner.config import AgentConfig
from rlnut.prediction.methods import METHODS, Method, find
from rlnut.runtime.files import read_json, write_json

TINY = ["--hidden=4", "--batch=4", "--replay=100", "--learning-starts=16", "--epsilon-steps=50"]
SHORT = ["--steps=60", "--eval-every=60", "--eval-episodes=1", "--final-episodes=1", *TINY]
QUICK: dict[str, Any] = {"steps": 60, "eval_every": 60, "eval_episodes": 1, "final_episodes": 1, "quiet": True}

MODULE = '''
from dataclasses import dataclass
import rlnut
from rlnut.agents.td_rules import TDRule
from rlnut.learner.bellman import Next, one_hot_policy
from rlnut.prediction.methods import Method
from rlnut.settings import setting


@dataclass(frozen=True)
class Cautious(rlnut.DQN):
    """v(s') = the mean of the largest and the smallest value."""

    share: float = setting(0.5, "share of the largest value", low=0, high=1)

    def make_next_policy(self):
        def rule(online, target, mask, seen):
            best, worst = (one_hot_policy((sign * target).argmax(-1), target) for sign in (1, -1))
            return Next(self.share * best + (1 - self.share) * worst)

        return rule


class Bare(rlnut.DQN):
    x: float = setting(0.5, "an option of a class that is no dataclass")


@dataclass(frozen=True)
class Clash(rlnut.DQN):
    steps: int = setting(3, "a name that the command has, too")


SLOW = Method("TD(0) at a tenth of the step", TDRule(gradient=lambda m: (0.1 * m.alpha * m.u * m.delta * m.e, m.h)))
NUMBER = 3
'''


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder, with a module of a user's in it."""
    (tmp_path / "lab_agents.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("lab_agents", None)


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten."""
    monkeypatch.setattr(AGENTS, "added", {})
    monkeypatch.setattr(METHODS, "added", {})


@pytest.fixture
def package(lab: Path, clean: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that offers an agent, a method, and two that cannot be loaded."""
    (lab / "site").mkdir()
    (lab / "lab_agents.py").rename(lab / "site" / "lab_agents.py")
    about = lab / "site" / "lab_package-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-package\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[rlnut.agents]\ncautious = lab_agents:Cautious\nlost = no_such_module:X\nnumber = lab_agents:NUMBER\n"
        "dqn = lab_agents:Cautious\n[rlnut.methods]\nslow = lab_agents:SLOW\n"
    )
    monkeypatch.syspath_prepend(str(lab / "site"))
    return lab


class Mine(rlnut.DQN):
    """An agent of a user's own."""


# --- MODULE:CLASS on the command line


def test_an_agent_of_the_working_folder_trains_evaluates_and_resumes(lab: Path, capsys: pytest.CaptureFixture[str]):
    words = ["lab_agents:Cautious", "rlnut/ProbeBoth-v0", *SHORT, "--share=0.25"]
    status, out, err = run_main(capsys, "train", *words, "--json")
    assert status == 0, err
    folder = Path(json.loads(out.splitlines()[-1])["out"])
    assert folder == Path("runs/lab_agents-Cautious-rlnut-ProbeBoth-v0-seed0")
    found = read_json(folder / CONFIG)
    assert found["agent"] == "lab_agents:Cautious" and found["config"]["share"] == 0.25
    for command in (["evaluate", str(folder), "--episodes=1"], ["resume", str(folder), "--steps=80"]):
        sys.modules.pop("lab_agents")
        status, _, err = run_main(capsys, *command)
        assert status == 2 and "--agent MODULE:CLASS" in err and "--trust" in err and "lab_agents" not in sys.modules
        assert run_main(capsys, *command, "--agent=lab_agents:Cautious")[0] == 0
    status, _, err = run_main(capsys, "evaluate", str(folder), "--episodes=1", "--agent=lab_agents:Clash")
    assert status == 2 and "was made with the agent lab_agents:Cautious, agent= is lab_agents:Clash" in err
    assert run_main(capsys, "evaluate", str(folder), "--episodes=1", "--trust")[0] == 0
    assert (
        run_main(capsys, "predict", "td0", "rlnut/ProbeBoth-v0", f"--policy={folder}", "--trust", "--steps=50")[0] == 0
    )


def test_its_options_are_in_its_help_and_are_checked(lab: Path, capsys: pytest.CaptureFixture[str]):
    for words in (["lab_agents:Cautious", "--help"], ["--json", "lab_agents:Cautious", "x", "-h"]):
        status, out, _ = run_main(capsys, "train", *words)
        assert status == 0 and "--share FLOAT" in out and "share of the largest value (default: 0.5)" in out
    status, _, err = run_main(capsys, "train", "--steps", "60", "lab_agents:Cautious", "CartPole-v1", "--share=2")
    assert status == 2 and "share must be >= 0 and <= 1, got 2" in err
    status, _, err = run_main(capsys, "train", "lab_agents:Cautious", "CartPole-v1", "--shaer=2")
    assert status == 2 and "unknown option '--shaer'. Did you mean --share?" in err


WRONG = [
    ("no_such_lab:Cautious", "cannot be imported: ModuleNotFoundError: No module named 'no_such_lab'"),
    ("lab_agents:Cautios", "lab_agents has no 'Cautios': did you mean Cautious?"),
    ("lab_agents:NUMBER", "lab_agents:NUMBER is not the class of an agent"),
    ("lab_agents:NUMBER.x", "cannot be imported: lab_agents has no 'x'"),
    ("lab_agents:Cautious.Inner", "cannot be imported: Cautious has no 'Inner'"),
    ("lab_agents:SLOW", "is not the class of an agent"),
    ("lab_agents:Bare", "Bare.x is no option yet: put @dataclass(frozen=True) in front of its class"),
    ("lab_agents:Clash", "--steps is an option of the command already"),
    ("lab_broken:Any", "cannot be imported: ZeroDivisionError: division by zero"),
    ("lab_leaves:Any", "cannot be imported: ImportError: lab_leaves raised SystemExit 3"),
    ("lab agents:Cautious", "unknown agent 'lab agents:Cautious'"),
    ("dqnn", "unknown agent 'dqnn'. Did you mean dqn"),
]


@pytest.mark.parametrize(("word", "reason"), WRONG, ids=[word for word, _ in WRONG])
def test_what_is_no_agent_is_one_line(word: str, reason: str, lab: Path, capsys: pytest.CaptureFixture[str]):
    (lab / "lab_broken.py").write_text("1 / 0")
    (lab / "lab_leaves.py").write_text("raise SystemExit(3)")
    for words in (["train", word, "CartPole-v1"], ["train", word, "--help"]):
        status, out, err = run_main(capsys, *words)
        if words[2] == "--help" and "unknown" in reason:
            continue  # the general help
        assert status == 2 and out == "" and err.startswith("rlnut: ") and err.count("\n") == 1 and reason in err, err


def test_an_environment_of_a_module_is_not_taken_for_an_agent(lab: Path, capsys: pytest.CaptureFixture[str]):
    for words in (["dqnn", "lab_agents:Cautious"], ["lab_agents:Cautious", "dqn"]):
        status, _, err = run_main(capsys, "train", *words)
        assert status == 2 and ("unknown agent 'dqnn'" in err or "the two are swapped" in err), err


# --- names


def test_a_registered_agent_is_known_by_its_name(clean: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rlnut.register_agent("mine", Mine)
    rlnut.register_agent("mine", Mine)
    folder = tmp_path / "run"
    options: dict[str, Any] = {"hidden": (4,), "batch": 4, "replay": 100, "learning_starts": 16, "epsilon_steps": 50}
    run = rlnut.train(Mine(**options), "rlnut/ProbeBoth-v0", out=folder, **QUICK)
    assert read_json(folder / CONFIG)["agent"] == "mine"
    assert rlnut.resume(folder, 80, quiet=True).steps == 80
    assert run_main(capsys, "evaluate", str(folder), "--episodes=1")[0] == 0
    assert "mine" in json.loads(run_main(capsys, "list", "--json")[1].splitlines()[-1])["agents"]
    assert "mine" in run_main(capsys, "train", "--help")[1]
    assert run_main(capsys, "train", "mine", "rlnut/ProbeBoth-v0", *SHORT, f"--out={tmp_path / 'other'}")[0] == 0

    AGENTS.added.clear()  # another process, where nothing is registered
    with pytest.raises(UsageError, match=r"the agent .*:Mine is not one of rlnut's"):
        rlnut.load_policy(folder).evaluate(1)
    known: Any
    for known in ({"agent": Mine}, {"trust": True}):
        loaded = rlnut.load_policy(folder, **known)
        np.testing.assert_array_equal(loaded.q([1.0]).shape, run.q([1.0]).shape)
    rlnut.register_agent("mine", AGENTS["pqn"])
    with pytest.raises(UsageError, match=r"the run was made with mine of .*:Mine, and mine is .*PQN here"):
        rlnut.load_policy(folder).evaluate(1)


ANYTHING: Any = 3
NUMBER: Any = int
REFUSED: list[tuple[Callable[[], None], str]] = [
    (lambda: rlnut.register_agent("dqn", Mine), "the agent name 'dqn' is taken: it is rlnut's"),
    (lambda: rlnut.register_agent("a:b", Mine), "name of an agent is letters"),
    (lambda: rlnut.register_agent("--x", Mine), "name of an agent is letters"),
    (lambda: rlnut.register_agent("", Mine), "name of an agent is letters"),
    (lambda: rlnut.register_agent(ANYTHING, Mine), "name of an agent is letters"),
    (lambda: rlnut.register_agent("mine", ANYTHING), "mine is not the class of an agent"),
    (lambda: rlnut.register_agent("mine", NUMBER), "mine is not the class of an agent.*: the class int"),
    (lambda: rlnut.register_method("td0", Method("x")), "the method name 'td0' is taken"),
    (lambda: rlnut.register_method("TD(0)", Method("x")), "'TD\\(0\\)' is taken: it is another spelling of td0"),
    (lambda: rlnut.register_method("mine", ANYTHING), "mine is not a rlnut.prediction.methods.Method"),
    (lambda: rlnut.register_method("mine", Method("x", ANYTHING)), "its rule must be a rlnut.agents.td_rules.TDRule"),
    (lambda: rlnut.register_method("mine", Method("x", uses=("alfa",))), "unknown option in the uses of mine 'alfa'"),
]


@pytest.mark.parametrize(("call", "reason"), REFUSED, ids=[reason[:30] for _, reason in REFUSED])
def test_names_that_are_taken_and_wrong_types_are_refused(call: Any, reason: str, clean: None):
    with pytest.raises(UsageError, match=reason):
        call()


def test_a_name_is_taken_by_the_first(clean: None):
    rlnut.register_agent("mine", Mine)
    with pytest.raises(UsageError, match=r"'mine' is taken: it is test_registry:Mine"):
        rlnut.register_agent("mine", AGENTS["pqn"])
    again = type("Mine", (rlnut.DQN,), {"__module__": Mine.__module__})  # a cell of a notebook that is run again
    rlnut.register_agent("mine", again)
    assert AGENTS["mine"] is again


# --- installed packages


def test_an_installed_package_brings_names(package: Path, capsys: pytest.CaptureFixture[str]):
    assert "lab_agents" not in sys.modules
    listed = json.loads(run_main(capsys, "list", "--json")[1].splitlines()[-1])
    assert {"cautious", "lost"} <= set(listed["agents"]) and "slow" in listed["methods"]
    assert "lab_agents" not in sys.modules  # a list reads the names only
    status, out, _ = run_main(capsys, "train", "cautious", "--help")
    assert status == 0 and "--share FLOAT" in out
    status, _, err = run_main(capsys, "train", "cautious", "rlnut/ProbeBoth-v0", *SHORT, "--out=run")
    assert status == 0, err
    found = read_json(package / "run" / CONFIG)
    assert (found["agent"], found["agent_class"]) == ("cautious", "lab_agents:Cautious")
    AGENTS.added.clear()
    assert run_main(capsys, "evaluate", "run", "--episodes=1")[0] == 0
    assert run_main(capsys, "resume", "run", "--steps=80")[0] == 0
    assert AGENTS["dqn"] is rlnut.DQN  # a name of rlnut's stays what it is
    assert run_main(capsys, "predict", "slow", "rlnut/RandomWalk5-v0", "--steps=50")[0] == 0


def test_a_package_that_cannot_be_loaded_is_one_line(package: Path, capsys: pytest.CaptureFixture[str]):
    for name, reason in (
        ("lost", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("number", "is not the class"),
    ):
        status, _, err = run_main(capsys, "train", name, "CartPole-v1")
        assert status == 2 and "lab-package" in err and reason in err and err.count("\n") == 1, err
    assert run_main(capsys, "train", "dqn", "--help")[0] == 0
    with pytest.raises(UsageError, match="'cautious' is taken: it is of an installed package, lab_agents:Cautious"):
        rlnut.register_agent("cautious", Mine)


def test_a_folder_cannot_choose_what_is_imported(package: Path, capsys: pytest.CaptureFixture[str]):
    """Only what an installed package offers by exactly this name of a class is loaded without --trust."""
    assert run_main(capsys, "train", "cautious", "rlnut/ProbeBoth-v0", *SHORT, "--out=run")[0] == 0
    sys.modules.pop("lab_agents")
    AGENTS.added.clear()
    (package / "evil.py").write_text("import pathlib; pathlib.Path('pwned').touch()")
    for agent, kind in (("cautious", "evil:Agent"), ("other", "evil:Agent"), ("evil:Agent", "evil:Agent")):
        config = read_json(package / "run" / CONFIG)
        write_json(package / "run" / CONFIG, config | {"agent": agent, "agent_class": kind})
        status, _, err = run_main(capsys, "evaluate", "run")
        assert status == 2 and "evil" not in sys.modules and not (package / "pwned").exists(), err


def test_help_loads_no_package_and_reads_no_entry_points():
    code = (
        "import sys\nfrom rlnut.cli import main\n"
        "for words in ('train --help', 'train dqn --help', 'predict --help'): assert main(words.split()) == 0\n"
        "print(sorted({'jax', 'gymnasium', 'importlib.metadata'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


# --- prediction


def test_a_method_is_used_by_itself_by_module_and_by_name(lab: Path, clean: None, capsys: pytest.CaptureFixture[str]):
    """A tenth of every step: TD(0) with α = 0.1 is this with α = 1."""
    env = "rlnut/RandomWalk5-v0"
    given: dict[str, Any] = {"steps": 300, "seed": 1}
    slow = find("lab_agents:SLOW")
    right = rlnut.predict("td0", env, alpha=0.1, **given).values
    rlnut.register_method("slow", slow)
    for method in (slow, "slow", "SLOW", "lab_agents:SLOW"):
        np.testing.assert_allclose(rlnut.predict(method, env, alpha=1.0, **given).values, right, rtol=1e-5)
    words = [env, "--alpha=1", "--steps=300", "--seed=1", "--json"]
    for name in ("lab_agents:SLOW", "slow"):
        status, out, err = run_main(capsys, "predict", name, *words)
        assert status == 0, err
        answer = json.loads(out.splitlines()[-1])
        assert answer["method"] == name
        np.testing.assert_allclose(answer["values"], right, rtol=1e-5)
    assert "slow" in run_main(capsys, "list")[1]
    with pytest.raises(UsageError, match="--lam has no effect with slow"):
        rlnut.predict("slow", env, lam=0.5)


def test_what_is_no_method_is_one_line(lab: Path, capsys: pytest.CaptureFixture[str]):
    for word, reason in (
        ("lab_agents:Cautious", "is not a rlnut.prediction.methods.Method"),
        ("lab_agents:slow", "lab_agents has no 'slow': did you mean SLOW?"),
        ("no_such_lab:X", "the method no_such_lab:X cannot be imported"),
        ("td00", "unknown method 'td00'. Did you mean td0?"),
    ):
        status, _, err = run_main(capsys, "predict", word, "rlnut/RandomWalk5-v0")
        assert status == 2 and reason in err and err.count("\n") == 1, err
    with pytest.raises(UsageError, match="method must be a name, such as 'td0' or 'lstd', or a Method"):
        rlnut.predict(ANYTHING, "rlnut/RandomWalk5-v0")


def test_every_name_of_ours_is_of_its_type():
    assert all(issubclass(kind, AgentConfig) for kind in AGENTS.values())
    assert all(isinstance(method, Method) and find(name).name == name for name, method in METHODS.items())
