"""Networks are checked when they are described, not when a batch first goes through them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlnut import UsageError
from rlnut.networks.architectures import cnn, lenet, linear, mlp


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (mlp, {"hidden": (-1,)}, "hidden must be whole numbers >= 1, as in .*, got .-1,."),
        (mlp, {"hidden": (0,)}, "hidden must be whole numbers"),
        (mlp, {"hidden": "x"}, "hidden must be whole numbers"),
        (mlp, {"hidden": 64}, "hidden must be whole numbers"),
        (mlp, {"hidden": (2.5,)}, "hidden must be whole numbers"),
        (mlp, {"hidden": (True,)}, "hidden must be whole numbers"),
        (mlp, {"activation_name": "rleu"}, "unknown activation 'rleu'. Did you mean relu"),
        (mlp, {"initializer": 3}, "unknown initializer 3"),
        (mlp, {"drop": 1}, "dropout must be a share >= 0 and < 1, got 1"),
        (mlp, {"drop": "x"}, "dropout must be a share"),
        (cnn, {"channels": "x"}, "channels must be whole numbers"),
        (cnn, {"channels": (3, 0)}, "channels must be whole numbers"),
        (cnn, {"filter_size": 0}, "filter_size must be whole numbers"),
        (cnn, {"stride": -1}, "stride must be whole numbers"),
        (cnn, {"window": 0}, "window must be whole numbers"),
        (cnn, {"padding": "full"}, "unknown padding 'full'"),
        (cnn, {"pooling": "mean"}, "unknown pooling 'mean'"),
        (cnn, {"filter_norm": "batch"}, "unknown norm 'batch'"),
        (cnn, {"dims": 3}, "dims must be 1 .* or 2"),
        (lenet, {"pooling": "sum"}, "unknown pooling 'sum'"),
        (lenet, {"activation_name": "x"}, "unknown activation 'x'"),
        (linear, {"initializer": "one"}, "unknown initializer 'one'"),
    ],
)
def test_wrong_arguments_are_refused_when_the_network_is_described(make: Any, options: dict[str, Any], message: str):
    with pytest.raises(UsageError, match=message) as caught:
        make(**options)
    assert "\n" not in str(caught.value)


def test_numpy_numbers_and_lists_are_taken():
    model = mlp([np.int64(3), 2], drop=0.0)((4,))  # type: ignore[arg-type]
    x = jnp.zeros((5, 2))
    params = model.init(jax.random.key(0), x)
    assert model.apply(params, x).shape == (5, 4)
    assert [leaf.shape for leaf in jax.tree.leaves(params) if leaf.ndim == 2] == [(2, 3), (3, 2), (2, 4)]
