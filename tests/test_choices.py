"""One list of names for each option: the tables of functions have exactly the names that options offer."""

from __future__ import annotations

import pytest

from rlnut import choices
from rlnut.agents import td_expected
from rlnut.commands.fit import NAMES
from rlnut.data import sequences, small_tables
from rlnut.data.catalogue import DATASETS
from rlnut.envs import PROBES
from rlnut.envs import probes as probe_tables
from rlnut.networks import convolution, layers
from rlnut.networks.architectures import filters
from rlnut.networks.recurrent_networks import CELLS
from rlnut.prediction.methods import METHODS
from rlnut.regression import optimizers
from rlnut.supervised.network_settings import LSTM, MODELS


@pytest.mark.parametrize(
    ("names", "table"),
    [
        (choices.ACTIVATIONS, layers.ACTIVATIONS),
        ((*choices.INITIALIZERS, "zeros"), layers.INITIALIZERS),
        (choices.OPTIMIZERS, optimizers.DIRECTIONS),
        (choices.SCHEDULES, optimizers.SCHEDULES),
        (choices.TABLES, {**small_tables.SYNTHETIC, **small_tables.REAL}),
        (choices.MEMORY, sequences.MEMORY),
        (PROBES, probe_tables.PROBES),
    ],
)
def test_tables_have_the_names_of_the_options(names: tuple[str, ...], table: dict):
    assert list(names) == list(table) and len(set(names)) == len(names)


def test_names_that_no_table_holds_are_all_understood():
    for padding in choices.PADDINGS:
        convolution.conv(2, padding=padding)
    for pooling in choices.POOLINGS:
        convolution.pool(2, pooling)
    for norm in choices.NORMS:
        filters(2, norm=norm)


def test_every_network_of_agents_is_a_model_of_fit_too():
    assert choices.NETWORKS[0] == "auto" and set(choices.NETWORKS[1:]) - {"nature"} < set(MODELS)
    assert set(choices.SMALLEST_IMAGE) < set(choices.NETWORKS)


def test_names_of_models_datasets_and_methods():
    assert set(CELLS) == {name for name, kind in MODELS.items() if issubclass(kind, LSTM)}
    assert {*choices.TABLES, *choices.MEMORY} < set(DATASETS)
    assert {method.expected for method in METHODS.values()} - {None} <= set(td_expected.NAMES)
    assert len(NAMES) == len(set(NAMES.values()))
