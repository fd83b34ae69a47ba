"""The table of layers: shapes and numbers worked out on paper, and names of all parameters."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import rlnut
from rlnut import UsageError
from rlnut.networks.layers import parameter_count
from rlnut.networks.summary import named_parameters


def test_lenet_has_the_layers_of_the_paper() -> None:
    """LeNet-5 for 28 × 28: (5·5·1 + 1)·6 = 156, (5·5·6 + 1)·16 = 2416, 401·120, 121·84, 85·10."""
    found = rlnut.summary(rlnut.lenet(), (28, 28), 10)
    counts = [layer.parameters for layer in found.layers if layer.parameters]
    assert counts == [150, 6, 2400, 16, 48120, 10164, 850] and found.parameters == 61706 == sum(counts)
    shapes = [layer.shape for layer in found.layers if layer.name.startswith(("conv", "dense", "average"))]
    assert shapes == [(28, 28, 6), (14, 14, 6), (10, 10, 16), (5, 5, 16), (120,), (84,), (10,)]
    text = str(found).splitlines()
    assert text[0].split() == ["layer", "output", "parameters"] and text[-1].split() == ["total", "61,706"]


@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet", "lstm"])
def test_the_layers_of_every_network_add_up(name: str) -> None:
    network, row = getattr(rlnut, name), (5,) if name == "mlp" else (16, 16)
    build = rlnut.recurrent(rlnut.lstm, (8,)) if name == "lstm" else network()
    found = rlnut.summary(build, row, (3,))
    assert sum(layer.parameters for layer in found.layers) == found.parameters and found.layers[-1].shape == (3,)


def test_parameters_have_names() -> None:
    model = rlnut.mlp((4,), "tanh")((2,))
    params = model.init(jax.random.key(0), np.zeros((1, 3), np.float32))
    named = named_parameters(model, params)
    assert {key: value.shape for key, value in named.items()} == {
        "dense_1/b": (4,), "dense_1/w": (3, 4), "dense_2/b": (2,), "dense_2/w": (4, 2),
    }  # fmt: skip
    np.testing.assert_array_equal(named["dense_1/w"], params[1]["w"])
    assert repr(model) == "Model(flatten, dense 4, tanh, dense 2, function)"
    own = rlnut.Model(lambda key, x: {"a": np.ones(3)}, lambda params, x: x @ params["a"])
    found = rlnut.summary(own, 3)
    assert (found.parameters, found.layers[0].name, found.layers[0].shape) == (3, "function", ())
    assert parameter_count(own.init(jax.random.key(0), np.zeros((1, 3)))) == 3


def test_what_is_no_network_or_shape_is_refused() -> None:
    for network, shape in ((3, (4,)), (rlnut.mlp(), (0,)), (rlnut.mlp(), ("a",))):
        with pytest.raises(UsageError, match="must be"):
            rlnut.summary(network, shape)  # type: ignore[arg-type]
