"""The command line as a contract: what goes to which stream, exit status, help without heavy imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import rlnut
from rlnut.cli import COMMANDS, main
from rlnut.commands import list as list_command
from rlnut.commands.options import plain

HEAVY = ("jax", "gymnasium", "matplotlib", "optax", "scipy")
HELPS = [
    ["--help"],
    *([command, "--help"] for command in COMMANDS),
    ["train", "dqn", "--help"],
    ["fit", "mlp", "--help"],
]


def test_help_of_everything_needs_no_heavy_import():
    """All of them in one fresh process; each says how it is used."""
    program = f"""
import sys
from rlnut.cli import main
for words in {HELPS!r}:
    assert main(words) == 0, words
heavy = [name for name in {HEAVY!r} if name in sys.modules]
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("usage: rlnut") == len(HELPS)


@pytest.mark.parametrize("words", HELPS, ids=" ".join)
def test_help_shows_the_common_options(words: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(words) == 0
    said = capsys.readouterr()
    assert said.err == ""
    if len(words) > 1:
        assert "--seed" in said.out and "--json" in said.out
    else:
        assert all(command in said.out for command in COMMANDS)
    if words[:2] == ["train", "dqn"]:
        assert "--epsilon-steps" in said.out and "--num-envs" in said.out


@pytest.mark.parametrize("word", ["--version", "-V", "version"])
def test_version(word: str, capsys: pytest.CaptureFixture[str]):
    assert main([word]) == 0
    assert capsys.readouterr().out == f"rlnut {rlnut.__version__}\n"


@pytest.mark.parametrize(
    "words, same", [("help", "--help"), ("help train dqn", "train dqn --help"), ("help lists", "list --help")]
)
def test_help_is_a_command(words: str, same: str, capsys: pytest.CaptureFixture[str]):
    assert main(words.split()) == main(same.split()) == 0
    said = capsys.readouterr()
    assert said.err == "" and said.out[: len(said.out) // 2] == said.out[len(said.out) // 2 :]


def test_a_command_without_arguments(capsys: pytest.CaptureFixture[str]):
    for command in ("train", "predict", "fit", "demo"):
        assert main([command]) == 2
        said = capsys.readouterr()
        assert "required: " in said.err and said.err.count("\n") == 1


def test_help_of_nothing_known(capsys: pytest.CaptureFixture[str]):
    assert main(["help", "trian"]) == 2
    assert "unknown command 'trian'. Did you mean train?" in capsys.readouterr().err


def test_list_of_a_kind_has_a_line_about_each(capsys: pytest.CaptureFixture[str]):
    for kind in list_command.KINDS:
        if kind == "envs":  # see below
            continue
        assert main(["list", kind, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found[kind] == list(found["descriptions"][kind])
        assert all(line.strip() and "\n" not in line for line in found["descriptions"][kind].values()), kind
    assert main(["lists", "agent"]) == 0
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert shown["rainbow"] == "Six additions to DQN at once (Hessel et al. 2018)"
    assert main(["list", "agnets"]) == 2
    assert "Did you mean agents?" in capsys.readouterr().err


def no_such_package(**kwargs: Any) -> gym.Env[Any, Any]:
    """Never called."""
    raise AssertionError


def test_list_has_only_environments_whose_packages_are_installed(capsys: pytest.CaptureFixture[str]):
    gym.register("Lacking-v0", entry_point="no_such_package_at_all.envs:Lacking")
    gym.register("Having-v0", entry_point=no_such_package)
    try:
        assert main(["list", "environments", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert main(["list", "envs", "--all", "--json"]) == 0
        every = json.loads(capsys.readouterr().out)
    finally:
        del gym.registry["Lacking-v0"], gym.registry["Having-v0"]
    assert "Having-v0" in found["environments"] and "Lacking-v0" not in found["environments"]
    assert "GymV21Environment-v0" not in found["environments"]
    assert {"Lacking-v0", "GymV21Environment-v0", "Having-v0"} <= set(every["environments"])
    assert found["descriptions"]["environments"]["Having-v0"] == "Never called"
    assert found["descriptions"]["environments"]["rlnut/Cliff-v0"].startswith("Cliff walking (S&B example 6.6)")


@pytest.mark.parametrize(
    "words, reply",
    [
        (["tr"], ["train"]), (["train", "rainb"], ["rainbow"]), (["list", "pre"], ["presets"]),
        (["train", "dqn", "--epsilon-s"], ["--epsilon-start", "--epsilon-steps", "--epsilon-schedule",
                                           "--epsilon-spread"]),
        (["train", "dqn", "rainb"], []), (["help", "res"], ["resume"]), (["fit", "ridge", "--fol"], ["--folds"]),
    ],
)  # fmt: skip
def test_completion_in_bash(words: list[str], reply: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    asked = f"COMP_WORDS=(rlnut {' '.join(words)}); COMP_CWORD={len(words)}; _rlnut; echo ${{COMPREPLY[@]}}"
    done = subprocess.run(["bash", "-c", script + asked], capture_output=True, text=True, check=True)
    assert (done.stdout.split(), done.stderr) == (reply, "")


def test_completion_of_other_shells(capsys: pytest.CaptureFixture[str]):
    assert main(["completion", "zsh"]) == 0
    assert "bashcompinit" in capsys.readouterr().out
    assert main(["completion", "fish"]) == 0
    assert "__fish_seen_subcommand_from train' -l gradient-steps\n" in capsys.readouterr().out
    assert main(["completion", "csh"]) == 2
    assert "Known: bash, fish, zsh" in capsys.readouterr().err


@pytest.mark.parametrize("program", [["-m", "rlnut"], ["-m", "rlnut.cli"]])
def test_as_a_module(program: list[str]):
    done = subprocess.run([sys.executable, *program, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("rlnut ")


def test_list_is_one_json_object_on_stdout(capsys: pytest.CaptureFixture[str]):
    assert main(["list", "--json"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert said.out.count("\n") == 1 and said.err == ""
    assert set(found) >= {"agents", "models", "datasets", "figures", "environments"}
    assert "dqn" in found["agents"] and {"softmax", "mlp", "cnn"} <= set(found["models"])
    assert {"mnist", "mnist-5k"} <= set(found["datasets"])
    assert {"CartPole-v1", "Acrobot-v1", "FrozenLake-v1", "rlnut/RandomWalk19-v0"} <= set(found["environments"])
    assert main(["list"]) == 0
    assert "agents: " in capsys.readouterr().out


def test_check_env(capsys: pytest.CaptureFixture[str]):
    assert main(["check-env", "CartPole-v1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["env"] == "CartPole-v1" and found["time_limit"] == 500 and found["solved_at"] == 475
    assert "float32[4]" in found["learner_sees"] and "2 actions" in found["learner_sees"] and found["reproducible"]
    assert main(["check-env", "FrozenLake-v1", "--env-arg", "is_slippery=false"]) == 0
    out = capsys.readouterr().out
    assert "one-hot [16]" in out and out.endswith("nothing looks suspicious\n")


def test_no_words(capsys: pytest.CaptureFixture[str]):
    assert main([]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.endswith("rlnut: no command given\n")


@pytest.mark.parametrize(
    "error, status, said",
    [
        (rlnut.RlnutError("it failed"), 1, "rlnut: it failed\n"),
        (rlnut.UsageError("it is wrong"), 2, "rlnut: it is wrong\n"),
        (KeyboardInterrupt(), 130, "rlnut: stopped\n"),
        (ZeroDivisionError("a\nb"), 1, "rlnut: ZeroDivisionError: a b (RLNUT_DEBUG=1 shows where)\n"),
        (MemoryError(), 1, "rlnut: MemoryError:  (RLNUT_DEBUG=1 shows where)\n"),
        (SystemExit(), 1, "rlnut: SystemExit:  (RLNUT_DEBUG=1 shows where)\n"),
        (SystemExit(0), 1, "rlnut: SystemExit: 0 (RLNUT_DEBUG=1 shows where)\n"),
        (SystemExit("enough"), 1, "rlnut: SystemExit: enough (RLNUT_DEBUG=1 shows where)\n"),
        (GeneratorExit(), 1, "rlnut: GeneratorExit:  (RLNUT_DEBUG=1 shows where)\n"),
    ],
)
def test_every_error_is_one_line_and_a_status(
    error: BaseException, status: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def fails(args: Any) -> dict[str, Any]:
        raise error

    monkeypatch.delenv("RLNUT_DEBUG", raising=False)
    monkeypatch.setattr(list_command, "run", fails)
    assert main(["list", "--json"]) == status
    assert capsys.readouterr() == ("", said)
    if isinstance(error, ZeroDivisionError):
        monkeypatch.setenv("RLNUT_DEBUG", "1")
        with pytest.raises(ZeroDivisionError):
            main(["list"])


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("word", ["list", "--help"])
def test_a_closed_pipe_is_quiet(word: str, buffered: bool):
    """`rlnut list | true` ends without a word, whenever Python hands over what was printed."""
    program = f"import sys; from rlnut.cli import main; sys.stdin.read(); sys.exit(main(['{word}']))"
    env = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    env |= {} if buffered else {"PYTHONUNBUFFERED": "1"}
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe, stderr=pipe, env=env) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdout.close()
        process.stdin.close()
        assert process.stderr.read() == b""


def test_plain_is_json():
    found = plain(
        {1: np.float32(0.5), "a": np.arange(2), "b": (float("nan"), np.inf, None, True), "c": np.array([np.nan, 1.0])}
    )
    assert json.loads(json.dumps(found, allow_nan=False)) == {
        "1": 0.5, "a": [0, 1], "b": [None, None, None, True], "c": [None, 1.0],
    }  # fmt: skip


def ends_the_program(**kwargs: Any) -> gym.Env[Any, Any]:
    """An environment that ends the program when it is made, with the status of success."""
    sys.exit(0)


@pytest.mark.parametrize("words", [["check-env"], ["train", "dqn"], ["predict", "td0"]], ids=lambda words: words[0])
def test_an_environment_that_ends_the_program_is_a_failed_run(words: list[str], capsys: pytest.CaptureFixture[str]):
    gym.register("Exits-v0", entry_point=ends_the_program)
    try:
        assert main([*words, "Exits-v0", "--json"]) == 1
    finally:
        del gym.registry["Exits-v0"]
    said = capsys.readouterr()
    assert said.out == "" and "SystemExit" in said.err.splitlines()[-1]
