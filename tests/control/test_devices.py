"""Runs over several devices beside the same runs on one: in processes of their own, with forced host devices."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rlnut
from rlnut.cli import main
from rlnut.errors import UsageError
from rlnut.runtime.arrays import read_arrays
from rlnut.runtime.devices import agreed, check_split, device_count, join_processes, mesh, on_each, split

COURSE = {"steps": 256, "num_envs": 8, "eval_every": 128, "log_every": 128, "eval_episodes": 1, "final_episodes": 1}
SMALL = "hidden=(8,), batch=32, replay=400, learning_starts=64, train_every=32"
AGENTS = {
    "pqn": "rlnut.PQN(hidden=(8,), rollout=128, minibatches=4, epochs=1)",
    "dqn": f"rlnut.DQN({SMALL}, prioritised=True)",
}
RUNS = """
import json, sys
import jax, numpy as np
import rlnut
from rlnut.control.settings import RunSettings
from rlnut.control.setup import played

def leaves(params):
    return [np.asarray(a) for a in jax.tree.leaves(params)]

def gap(one, other):
    return max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(leaves(one), leaves(other)))

course = json.loads(sys.argv[1])
one, *others = [rlnut.train(AGENT, "CartPole-v1", native=True, quiet=True, devices=n, **course) for n in COUNTS]
gaps = [gap(one.policy.params, other.policy.params) for other in others]
episodes = [run.history["episodes"].tolist() for run in (one, *others)]
settings = RunSettings(native=True, devices=COUNTS[1], **course)
loop = played(AGENT, "CartPole-v1", settings, 0, None).loop
loop.start(0)
(program,) = loop.programs.compiled.values()
parts = "all-reduce" in program.as_text()  # of gradients: each device has a part of the rows
print(json.dumps({"gaps": gaps, "episodes": episodes, "parts": parts}))
"""
SEEDS = """
import json
import jax, jax.numpy as jnp, numpy as np
import rlnut
from jax.sharding import NamedSharding, PartitionSpec
from rlnut.control.native_loop import first_episodes, rounds
from rlnut.envs.functional import func_vector
from rlnut.envs.twins import twin
from rlnut.runtime.devices import AXIS, made_mesh
import gymnasium as gym

vector = func_vector(twin(gym.make("CartPole-v1")), 4, 500)
config = rlnut.DQN(hidden=(8,), batch=8, replay=200, learning_starts=16, train_every=8).planned(400, 4)
begin, one_round = rounds(config.build(vector.spec), vector, 0.99)
train = jax.vmap(lambda key: first_episodes(begin, one_round, key, 12))
keys = jax.random.split(jax.random.key(0), 4)
alone = [jax.jit(train)(keys[i : i + 1]) for i in range(4)]
apart = jax.device_put(keys, NamedSharding(made_mesh(4), PartitionSpec(AXIS)))
spread = jax.jit(train)(apart)
print(json.dumps({
    "devices": len(spread[0].sharding.device_set),
    "equal": all(np.array_equal(np.concatenate(one), many) for one, many in zip(zip(*alone), spread)),
}))
"""
FIT = """
import json
import jax, numpy as np
import rlnut

rng = np.random.default_rng(0)
x = rng.normal(size=(256, 3)).astype(np.float32)
y = (x @ [1.0, -2.0, 0.5] + 1).astype(np.float32)
fits = [rlnut.fit("mlp", (x, y, x[:8], y[:8]), epochs=3, batch=32, devices=n, quiet=True) for n in (1, 4)]
one, many = (np.concatenate([np.ravel(a) for a in jax.tree.leaves(f.params)]) for f in fits)
print(json.dumps({"gap": float(np.abs(one - many).max()), "size": float(np.abs(one).max())}))
"""


def last_line(program: str, *words: str, devices: int = 4) -> Any:
    """What a program prints last, as JSON, where JAX has so many devices."""
    around = os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    done = subprocess.run([sys.executable, "-c", program, *words], env=around, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("name", "counts"),
    [("pqn", (1, 4)), *(pytest.param(name, (1, 2, "all"), marks=pytest.mark.slow) for name in AGENTS)],
)
def test_the_numbers_of_one_device(name: str, counts: tuple[int | str, ...]):
    """Only float32 sums are rounded otherwise, and the work is divided."""
    program = RUNS.replace("AGENT", AGENTS[name]).replace("COUNTS", repr(counts))
    found = last_line(program, json.dumps(COURSE), devices=8 if "all" in counts else 4)
    assert found["parts"] and max(found["gaps"]) < 1e-5
    assert all(episodes == found["episodes"][0] for episodes in found["episodes"])


@pytest.mark.slow
def test_seeds_over_devices_are_bit_for_bit_those_of_one_alone():
    assert last_line(SEEDS) == {"devices": 4, "equal": True}


def test_a_fit_over_devices_has_the_numbers_of_one():
    found = last_line(FIT)
    assert found["gap"] < 1e-5 * found["size"]


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@pytest.mark.slow
def test_two_processes_learn_what_one_does(tmp_path: Path):
    """Each with two devices: process 0 leaves the folder of the run on four devices of one process."""
    course = [w for name, number in COURSE.items() for w in (f"--{name.replace('_', '-')}", str(number))]
    words = ["train", "pqn", "CartPole-v1", "--native", "--devices", "all", *course, "--hidden", "8"]
    words += ["--rollout", "128", "--minibatches", "4", "--epochs", "1", "--json"]
    place = f"127.0.0.1:{free_port()}"

    def start(devices: int, out: Path, *more: str) -> subprocess.Popen[str]:
        around = os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
        line = [sys.executable, "-m", "rlnut", *words, "--out", str(out), *more]
        return subprocess.Popen(line, env=around, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    joined = [
        start(2, tmp_path / "two", "--coordinator", place, "--processes", "2", "--process", str(i)) for i in (0, 1)
    ]
    alone = start(4, tmp_path / "one")
    said = [process.communicate(timeout=300) for process in (*joined, alone)]
    assert [process.returncode for process in (*joined, alone)] == [0, 0, 0], said
    first, second, one = (json.loads(out.splitlines()[-1]) for out, _ in said)
    assert second == {"process": 1, "steps": 256}
    assert first["steps"] == one["steps"] and first["eval"]["returns"] == one["eval"]["returns"]
    weights = [read_arrays(tmp_path / name / "policy.safetensors").arrays for name in ("one", "two")]
    for name, array in weights[0].items():
        np.testing.assert_allclose(weights[1][name], array, rtol=1e-5, atol=1e-7)


def test_one_device_changes_nothing():
    x = np.ones((4, 2))
    assert split(x, 4) is x and on_each(x) is x and agreed(3) == 3
    with mesh(1):
        assert split(x, 4) is x


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"devices": 2}, "devices has no effect without native"),
        ({"devices": "all"}, "devices has no effect without native"),
        ({"devices": 99, "native": True}, "devices 99: JAX has 1 cpu device here"),
        ({"devices": "many"}, "devices must be of type int"),
        ({"devices": -1}, "devices must be >= 0"),
    ],
)
def test_impossible_devices(options: dict[str, Any], text: str):
    with pytest.raises(UsageError, match=text):
        rlnut.train("dqn", "CartPole-v1", quiet=True, steps=2000, **options)


def test_parts_are_equal():
    check_split(4, "num_envs", 8)
    with pytest.raises(UsageError, match="num_envs 6 is not a multiple of the 4 devices"):
        check_split(4, "num_envs", 6)
    assert device_count(0) == 1


def test_words_of_processes(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(UsageError, match="process 2: 2 processes are numbered from 0 to 1"):
        join_processes("127.0.0.1:1", 2, 2)
    assert main(["train", "pqn", "CartPole-v1", "--coordinator", "h:1"]) == 2
    assert "--processes is missing" in capsys.readouterr().err
    words = ["train", "pqn", "CartPole-v1", "--coordinator", "h:1", "--processes", "2", "--process", "0"]
    for more in ([], ["--native", "--seeds", "2"]):  # where each process would train alone, and say nothing
        assert main([*words, *more]) == 2
        assert "joins processes in one run with --native --devices all" in capsys.readouterr().err
