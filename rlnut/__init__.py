"""rlnut learns value functions: one regression core for supervised data and for the Bellman equation.

Names are imported when first used, so `import rlnut` and `rlnut --help` cost nothing.
"""

from __future__ import annotations

from importlib import import_module
from os.path import dirname, isdir, join
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlnut.agents.catalogue import DQN as DQN
    from rlnut.agents.catalogue import register_agent as register_agent
    from rlnut.agents.online_settings import SARSA as SARSA
    from rlnut.agents.online_settings import DoubleQ as DoubleQ
    from rlnut.agents.online_settings import ExpectedSARSA as ExpectedSARSA
    from rlnut.agents.online_settings import PengQ as PengQ
    from rlnut.agents.online_settings import QLearning as QLearning
    from rlnut.agents.online_settings import Retrace as Retrace
    from rlnut.agents.online_settings import SARSALambda as SARSALambda
    from rlnut.agents.online_settings import TreeBackup as TreeBackup
    from rlnut.agents.online_settings import WatkinsQ as WatkinsQ
    from rlnut.comparison.compare import compare as compare
    from rlnut.control.maps import value_maps as value_maps
    from rlnut.control.repeat import repeat as repeat
    from rlnut.control.return_plots import return_distributions as return_distributions
    from rlnut.control.run_folder import load_policy as load_policy
    from rlnut.control.run_loop import RunLook as RunLook
    from rlnut.control.training import resume as resume
    from rlnut.control.training import train as train
    from rlnut.control.training import training as training
    from rlnut.control.video import record as record
    from rlnut.data.sequences import pad as pad
    from rlnut.envs.checking import check_env as check_env
    from rlnut.errors import RlnutError as RlnutError
    from rlnut.errors import UsageError as UsageError
    from rlnut.networks.architectures import cnn as cnn
    from rlnut.networks.architectures import lenet as lenet
    from rlnut.networks.architectures import linear as linear
    from rlnut.networks.architectures import mlp as mlp
    from rlnut.networks.residual_networks import impala as impala
    from rlnut.networks.residual_networks import resnet as resnet
    from rlnut.prediction.learned_values import load_values as load_values
    from rlnut.prediction.methods import register_method as register_method
    from rlnut.prediction.predict import predict as predict
    from rlnut.prediction.result import PredictionLook as PredictionLook
    from rlnut.regression.core import Regression as Regression
    from rlnut.runtime.history import History as History
    from rlnut.runtime.history import history as history
    from rlnut.runtime.loggers import Logger as Logger
    from rlnut.runtime.trackers import MLflowLogger as MLflowLogger
    from rlnut.runtime.trackers import TensorBoardLogger as TensorBoardLogger
    from rlnut.runtime.trackers import WandbLogger as WandbLogger
    from rlnut.supervised.fit import fit as fit
    from rlnut.supervised.fit_look import FitLook as FitLook
    from rlnut.supervised.fitted_model import load as load
    from rlnut.types import Batch as Batch
    from rlnut.types import Fit as Fit
    from rlnut.types import Model as Model
    from rlnut.types import Transition as Transition

    __version__: str

_HOME = {
    "DQN": "agents.catalogue",
    "DoubleQ": "agents.online_settings",
    "ExpectedSARSA": "agents.online_settings",
    "PengQ": "agents.online_settings",
    "QLearning": "agents.online_settings",
    "Retrace": "agents.online_settings",
    "SARSA": "agents.online_settings",
    "SARSALambda": "agents.online_settings",
    "TreeBackup": "agents.online_settings",
    "WatkinsQ": "agents.online_settings",
    "RlnutError": "errors",
    "UsageError": "errors",
    "check_env": "envs.checking",
    "cnn": "networks.architectures",
    "impala": "networks.residual_networks",
    "lenet": "networks.architectures",
    "linear": "networks.architectures",
    "mlp": "networks.architectures",
    "Regression": "regression.core",
    "resnet": "networks.residual_networks",
    "compare": "comparison.compare",
    "load_policy": "control.run_folder",
    "load_values": "prediction.learned_values",
    "register_agent": "agents.catalogue",
    "register_method": "prediction.methods",
    "predict": "prediction.predict",
    "repeat": "control.repeat",
    "resume": "control.training",
    "record": "control.video",
    "return_distributions": "control.return_plots",
    "RunLook": "control.run_loop",
    "value_maps": "control.maps",
    "FitLook": "supervised.fit_look",
    "PredictionLook": "prediction.result",
    "History": "runtime.history",
    "history": "runtime.history",
    "Logger": "runtime.loggers",
    "MLflowLogger": "runtime.trackers",
    "TensorBoardLogger": "runtime.trackers",
    "WandbLogger": "runtime.trackers",
    "train": "control.training",
    "training": "control.training",
    "fit": "supervised.fit",
    "load": "supervised.fitted_model",
    "pad": "data.sequences",
    "Batch": "types",
    "Fit": "types",
    "Model": "types",
    "Transition": "types",
}
__all__ = ["__version__", *_HOME]

if not isdir(join(__path__[0], "agents")):  # a checkout without symbolic links: agents/ and envs/ stand beside rlnut/
    __path__.append(dirname(__path__[0]))


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from rlnut.runtime.version import installed_version

        return installed_version()
    if name in _HOME:
        return getattr(import_module(f"rlnut.{_HOME[name]}"), name)
    raise AttributeError(f"module 'rlnut' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
