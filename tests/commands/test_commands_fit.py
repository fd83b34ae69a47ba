"""`rlnut fit` on the command line: the contract's keys, help without heavy imports, errors of one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlnut.data.catalogue import load_dataset
from rlnut.supervised.network_settings import CNN, MLP, MODELS, Softmax


def command(*words: str, **kwargs) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "rlnut", *words], capture_output=True, text=True, **kwargs)


@pytest.mark.mnist
def test_command_line_answers_with_the_contract_s_keys(mnist_source, tmp_path):
    name, data = mnist_source
    where = ["--data", data] if data else []
    done = command("fit", "softmax", name, *where, "--epochs", "1", "--out", str(tmp_path / "o"), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert {"model", "dataset", "train_size", "test_size", "test_accuracy", "epochs", "wall_s"} <= set(found)
    assert (found["train_size"], found["test_size"]) == ((60000, 10000) if mnist_source.full else (4000, 1000))
    assert np.shape(found["coef"]) == (10, 784) and np.shape(found["intercept"]) == (10,)
    assert len(done.stdout.splitlines()) == 1
    assert "7,850 parameters" in done.stderr and "epoch 1/1" in done.stderr
    x = load_dataset(*mnist_source)
    logits = x.x_test.reshape(-1, 784) / 255 @ np.transpose(found["coef"]) + found["intercept"]
    assert np.mean(logits.argmax(1) == x.y_test) == pytest.approx(found["test_accuracy"], abs=1e-3)
    again = command("fit", "softmax", name, *where, "--out", str(tmp_path / "o"))
    assert again.returncode == 2 and "exists already" in again.stderr


def test_help_lists_the_options_without_jax():
    probe = (
        "import sys; from rlnut.cli import main; code = main(['fit', 'mlp', '--help']);"
        "assert not {'jax', 'scipy', 'gymnasium', 'matplotlib'} & set(sys.modules), 'heavy'; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--hidden" in done.stdout and "--dropout" in done.stdout and "--channels" not in done.stdout


@pytest.mark.parametrize(
    "words, status, text",
    [
        (["mlpp", "mnist-5k"], 2, "Did you mean mlp"),
        (["mlp", "mnsit"], 2, "Did you mean mnist"),
        (["mlp", "mnist-5k", "--hiden", "3"], 2, "Did you mean --hidden"),
        (["mlp", "mnist-5k", "--lr", "x"], 2, "not of type float"),
        (["mlp", "mnist", "--data", "nowhere"], 2, "not a folder"),
        (["mlp", "mnist", "--data", "."], 1, "not found in"),
    ],
)
def test_command_line_refuses_in_one_line(words, status, text, tmp_path):
    from rlnut.cli import main

    done = command("fit", *words, cwd=tmp_path) if words == ["mlp", "mnist-5k", "--lr", "x"] else None
    if done is not None:
        assert (done.returncode, len(done.stderr.splitlines())) == (status, 1)
        assert text in done.stderr
        return
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        assert main(["fit", *words]) == status
    finally:
        os.chdir(here)


def test_every_named_model_has_settings_that_build():
    for name, kind in MODELS.items():
        model = kind().network()((3,))
        x = jnp.zeros((2, 28, 28))
        y = jax.eval_shape(lambda key, model=model, x=x: model.apply(model.init(key, x), x), jax.random.key(0))
        assert y.shape == (2, 3), name
    assert Softmax().linear and MLP(hidden=()).linear and not MLP().linear and not CNN().linear
