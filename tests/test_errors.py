"""Errors: a status for each kind, near misses first, then the whole list."""

from __future__ import annotations

import argparse
from importlib import import_module

import pytest

import rlnut
from rlnut.agents.catalogue import AGENTS, DQN
from rlnut.cli import main, parse
from rlnut.errors import RlnutError, UsageError, distance, near_misses, unknown
from rlnut.other_names import AGENT_NAMES, OPTIONS, POLICY_LEARNERS, SAME


def command_options(words: str) -> list[str]:
    """The options that a command has after these words."""
    command, *rest = words.split()
    parser = argparse.ArgumentParser()
    import_module(f"rlnut.commands.{command.replace('-', '_')}").configure(parser, rest)
    return ["--seed", *(name for action in parser._actions for name in action.option_strings)]


def test_status():
    assert (RlnutError.status, UsageError.status) == (1, 2)
    assert issubclass(UsageError, RlnutError) and issubclass(UsageError, ValueError)


ENVIRONMENTS = ["CartPole-v1", "CartPole-v0", "Acrobot-v1", "Ant-v5", "Walker2d-v5", "MountainCar-v0", "rlnut/Cliff-v0"]
ENVIRONMENTS += [f"Other{i}Thing-v0" for i in range(60)]


@pytest.mark.parametrize(
    "given, near",
    [
        ("cartpole-v1", "CartPole-v1"), ("CartPol-v1", "CartPole-v1"), ("Acrobat-v1", "Acrobot-v1"),
        ("Cliff-v0", "rlnut/Cliff-v0"), ("MountainCar", "MountainCar-v0"), ("Catrpole-v1", "CartPole-v1"),
        ("Walker-v5", "Walker2d-v5"), ("dqm", "dqn"), ("DQN", "dqn"), ("dnq", "dqn"), ("double_dqn", "double-dqn"),
        ("sarsa_lamda", "sarsa-lambda"), ("reinbow", "rainbow"), ("--lrr", "--lr"), ("--hiden", "--hidden"),
        ("--epsilon-strat", "--epsilon-start"), ("--gama", "--gamma"), ("--drop", "--dropout"), ("retarce", "retrace"),
    ],
)  # fmt: skip
def test_a_slip_is_a_near_miss(given: str, near: str):
    names = [*ENVIRONMENTS, *AGENTS, "--lr", "--hidden", "--epsilon-start", "--epsilon-end", "--gamma", "--dropout"]
    assert near_misses(given, names)[0] == near


@pytest.mark.parametrize(
    "given",
    ["ALE/Pong-v5", "Pong-v5", "Breakout-v4", "Hex-v0", "ppo", "sac", "a2c", "--learning-rate", "--buffer-size", "--x",
     "--discount", "--verbose", "zzz", "", "x", "-", "y" * 1000],
)  # fmt: skip
def test_what_is_far_is_no_near_miss(given: str):
    options = ["--learning-starts", "--value-min", "--out", "--replay", "--lr", "--gamma", "--seed", "--eval-every"]
    assert near_misses(given, [*ENVIRONMENTS, *options]) == []
    if "-v" not in given:
        assert near_misses(given, AGENTS) == []


@pytest.mark.parametrize(
    "a, b, slips",
    [("", "", 0), ("", "ab", 2), ("ab", "ba", 1), ("kitten", "sitting", 3), ("abc", "ac", 1), ("ca", "abc", 3)],
)
def test_distance(a: str, b: str, slips: int):
    assert distance(a, b) == distance(b, a) == slips


def test_short_lists_in_full_and_long_ones_in_part():
    assert str(unknown("task", "zzz", ["dqn", "abc"])) == "unknown task 'zzz'. Known: abc, dqn"
    names = [f"name{i:02d}" for i in range(40)]
    said = str(unknown("table", "zzz", names))
    assert said == f"unknown table 'zzz'. Known: {', '.join(names[:8])}, … (40 in all)"
    said = str(unknown("environment", "CartPol-v1", ENVIRONMENTS))
    assert said.startswith(
        "unknown environment 'CartPol-v1'. Did you mean CartPole-v1 or CartPole-v0? rlnut list envs shows all"
    )
    assert all(len(str(unknown(kind, "?" * 9000, names * 9))) < 400 for kind in ("agent", "environment", "option", "a"))


def test_two_words_that_were_swapped():
    said = str(unknown("agent", "CartPole-v1", AGENTS, other="dqn"))
    assert said == "unknown agent 'CartPole-v1', but 'dqn' is one: the two are swapped"
    assert "swapped" not in str(unknown("agent", "CartPole-v1", AGENTS, other="Acrobot-v1"))


def test_learners_of_policies_are_answered_with_the_nearest_learner_of_values():
    for name, nearest in POLICY_LEARNERS.items():
        assert nearest in AGENTS and name not in AGENTS
        said = str(unknown("agent", name.upper(), AGENTS))
        assert "value functions" in said and said.endswith(f"Nearest to it: {nearest}")
    for name, ours in AGENT_NAMES.items():
        assert ours in AGENTS and name not in AGENTS
        assert str(unknown("agent", name.replace("-", "_"), AGENTS)).endswith(f": use {ours}")


OURS = {
    option.removeprefix("--")
    for words in ("train dqn", "train pqn", "train cql", "train sarsa-lambda", "predict td0", "fit mlp", "fit ridge",
                  "fit logistic", "evaluate x", "demo ohm", "figure 7.2", "check-env x")
    for option in command_options(words)
}  # fmt: skip


def test_every_option_that_is_advised_exists():
    assert set(OPTIONS) <= OURS
    assert not [name for names in OPTIONS.values() for name in names.split() if "_" in name or name != name.lower()]


@pytest.mark.parametrize(
    "line, advice",
    [
        ("train dqn CartPole-v1 --target-update-interval 9", "target-every counts updates"),
        ("train dqn CartPole-v1 --exploration-fraction .1", "use epsilon-steps, the same share of steps"),
        ("train dqn CartPole-v1 --exploration-fraction 2 --steps 100", "a share > 0 and <= 1 of --steps"),
        ("train dqn CartPole-v1 --learning-rate 1 --lr 2", "--learning-rate is another name of --lr: give one"),
        ("train dqn CartPole-v1 --alpha .5", "use lr, the step size, or priority-exponent"),
        ("train dqn CartPole-v1 --episodes 9", "use --steps"),
        ("train pqn CartPole-v1 --n-steps 2", "it counts steps of each environment elsewhere: use rollout"),
        (
            "fit ridge diabetes --alpha .5",
            "l2, scikit-learn's alpha of Ridge over the number of training rows",
        ),
        ("fit lasso diabetes --alpha .5", "l1, which is twice scikit-learn's alpha of Lasso"),
        ("fit mlp iris --alpha .5", "scikit-learn's alpha of an MLP over twice the rows of a batch"),
        ("fit logistic iris --alpha .5", "use lr, the step size, or l2"),
        ("fit mlp iris --max-iter 5", "use --epochs"),
        ("train CartPole-v1 my_agents:Mine", "which comes after my_agents:Mine: the two are swapped"),
        ("lern dqn CartPole-v1", "unknown command 'lern'"),
        ("train dqn CartPole-v1 --env Ant-v5", "the environment is named without an option"),
        ("train dqn CartPole-v1 --device cuda", "JAX_PLATFORMS"),
        ("train dqn CartPole-v1 --zzz 5", "unknown option '--zzz'. rlnut train dqn --help shows all"),
        ("train dqm CartPole-v1 --lr 1", "unknown agent 'dqm'. Did you mean dqn?"),
        ("train ppo CartPole-v1 --clip 1", "unknown agent 'ppo': it learns a policy"),
        ("train CartPole-v1 dqn", "unknown agent 'CartPole-v1', but 'dqn' is one: the two are swapped"),
        ("predict CartPole-v1 td0", "but 'td0' is one: the two are swapped"),
        ("fit iris mlp", "but 'mlp' is one: the two are swapped"),
        (
            "train dqn Other/Pong-v5",
            "nothing that is loaded registers Other/…; name its module in front, as in ale_py:ALE",
        ),
        ("train dqn CartPole-v1 --hidden 64 64", "several values of --hidden have commas between them"),
        ("train dqn --hidden 64 64 CartPole-v1", "several values of --hidden have commas between them"),
        ("train dqn CartPole-v1 --hidden=64 64", "several values of --hidden have commas between them"),
        ("train dqn CartPole-v1 --lr 1 2", "unexpected argument '2': --lr takes one value"),
        ("train dqn CartPole-v1 --json 2", "unexpected argument '2' (see: rlnut train dqn --help)"),
        ("train dqn CartPole-v1 -5", "unexpected argument '-5'"),
        ("train dqn CartPole-v1 -²", "unknown option '-²'"),
        ("list all", "unknown kind 'all'. Known: agents, datasets"),
    ],
)
def test_advice_on_the_command_line(line: str, advice: str, capsys: pytest.CaptureFixture[str]):
    assert main(line.split()) == 2
    said = capsys.readouterr()
    assert said.out == "" and advice in said.err
    assert said.err.count("\n") == 1 and len(said.err) < 350


@pytest.mark.parametrize(
    "line, found",
    [
        ("train dqn X --learning-rate 1 --buffer-size 99 --batch-size=9 --discount .5 --total-timesteps 7",
         {"lr": 1.0, "replay": 99, "batch": 9, "gamma": 0.5, "steps": 7}),
        ("train dqn X --learning_rate=1 --timesteps 7 --num_envs 2 --train-freq 4 --n-steps 2",
         {"lr": 1.0, "steps": 7, "num_envs": 2, "train_every": 4, "n_step": 2}),
        ("train dqn X --tau .1 --exploration-final-eps .1 --n-envs 2 --prioritized --no-normalize",
         {"target_rate": 0.1, "epsilon_end": 0.1, "num_envs": 2, "prioritised": True, "normalise": False}),
        ("train dqn X --exploration-fraction .1 --total-timesteps 5000", {"epsilon_steps": 500, "steps": 5000}),
        ("train dqn X --steps=1e4 --exploration_fraction=.25 --seed 3", {"epsilon_steps": 2500, "seed": 3}),
        ("train q-learning X --alpha .5 --eval-episode 3", {"lr": 0.5, "eval_episodes": 3}),
        ("train sarsa-lambda X --lambda .5 --random-seed 4", {"lam": 0.5, "seed": 4}),
        ("train --learning-rate 1 dqn X --env-args a=1", {"lr": 1.0, "env_arg": ["a=1"]}),
        ("predict td0 X --learning-rate .5", {"alpha": 0.5}),
        ("predict td0 X --lr .5 --discount .5", {"alpha": 0.5, "gamma": 0.5}),
        ("fit mlp iris --hidden-layer-sizes 5,6 --n-epochs 2 --batch-size 4",
         {"hidden": (5, 6), "epochs": 2, "batch": 4}),
        ("fit ridge diabetes --cv 4 --no-fit-intercept", {"folds": 4, "intercept": False}),
        ("evaluate x --episode 5", {"episodes": 5}),
    ],
)  # fmt: skip
def test_other_libraries_names_are_understood(line: str, found: dict[str, object]):
    args = vars(parse(line.split())[1])
    assert {name: args[name] for name in found} == found


def test_names_that_are_understood_exist_and_are_nobodys():
    assert set(SAME) <= OURS
    assert not [name for names in SAME.values() for name in names.split() if "_" in name or name != name.lower()]
    config = DQN().replace(learning_rate=0.5, buffer_size=99, batch_size=9, discount=0.5)
    assert (config.lr, config.replay, config.batch, config.gamma) == (0.5, 99, 9, 0.5)
    with pytest.raises(UsageError, match=r"learning_rate is another name of lr"):
        DQN().replace(learning_rate=0.5, lr=0.5)
    with pytest.raises(UsageError, match=r"target-every counts updates"):
        DQN().replace(target_update_interval=9)


def test_advice_in_python_has_the_name_of_the_field():
    with pytest.raises(UsageError, match=r"^unknown DQN option 'eps_decay': use epsilon_steps$"):
        DQN().replace(eps_decay=1e-3)
    with pytest.raises(UsageError, match=r"^unknown agent 'CartPole-v1', but 'dqn' is one: the two are swapped$"):
        rlnut.train("CartPole-v1", "dqn")
