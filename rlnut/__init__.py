"""rlnut learns value functions: one regression core for supervised data and for the Bellman equation.

Names are imported when first used, so `import rlnut` and `rlnut --help` cost nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlnut.agents.configs import DQN as DQN
    from rlnut.agents.configs_classic import SARSA as SARSA
    from rlnut.agents.configs_classic import DoubleQ as DoubleQ
    from rlnut.agents.configs_classic import ExpectedSARSA as ExpectedSARSA
    from rlnut.agents.configs_classic import PengQ as PengQ
    from rlnut.agents.configs_classic import QLearning as QLearning
    from rlnut.agents.configs_classic import Retrace as Retrace
    from rlnut.agents.configs_classic import SARSALambda as SARSALambda
    from rlnut.agents.configs_classic import TreeBackup as TreeBackup
    from rlnut.agents.configs_classic import WatkinsQ as WatkinsQ
    from rlnut.errors import RlnutError as RlnutError
    from rlnut.errors import UsageError as UsageError
    from rlnut.fitted import load as load
    from rlnut.networks import cnn as cnn
    from rlnut.networks import lenet as lenet
    from rlnut.networks import linear as linear
    from rlnut.networks import mlp as mlp
    from rlnut.predicting import predict as predict
    from rlnut.regression import Regression as Regression
    from rlnut.residual import resnet as resnet
    from rlnut.runs import load_policy as load_policy
    from rlnut.sequences import pad as pad
    from rlnut.supervised import fit as fit
    from rlnut.training import resume as resume
    from rlnut.training import train as train
    from rlnut.types import Batch as Batch
    from rlnut.types import Fit as Fit
    from rlnut.types import Model as Model
    from rlnut.types import Transition as Transition

__version__ = "0.1.0"

_HOME = {
    "DQN": "agents.configs",
    "DoubleQ": "agents.configs_classic",
    "ExpectedSARSA": "agents.configs_classic",
    "PengQ": "agents.configs_classic",
    "QLearning": "agents.configs_classic",
    "Retrace": "agents.configs_classic",
    "SARSA": "agents.configs_classic",
    "SARSALambda": "agents.configs_classic",
    "TreeBackup": "agents.configs_classic",
    "WatkinsQ": "agents.configs_classic",
    "RlnutError": "errors",
    "UsageError": "errors",
    "cnn": "networks",
    "lenet": "networks",
    "linear": "networks",
    "mlp": "networks",
    "Regression": "regression",
    "resnet": "residual",
    "load_policy": "runs",
    "predict": "predicting",
    "resume": "training",
    "train": "training",
    "fit": "supervised",
    "load": "fitted",
    "pad": "sequences",
    "Batch": "types",
    "Fit": "types",
    "Model": "types",
    "Transition": "types",
}
__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"rlnut.{_HOME[name]}"), name)
    raise AttributeError(f"module 'rlnut' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
