"""rlnut learns value functions: one regression core for supervised data and for the Bellman equation.

Names are imported when first used, so `import rlnut` and `rlnut --help` cost nothing. The environments `rlnut/…` are
registered with Gymnasium as soon as both packages are imported, in either order.
"""

from __future__ import annotations

import sys
from importlib import import_module
from os.path import dirname, isdir, join
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from rlnut import agents as agents
    from rlnut import envs as envs
    from rlnut import oracle as oracle
    from rlnut import sklearn as sklearn
    from rlnut.agents.catalogue import DQN as DQN
    from rlnut.agents.catalogue import DRQN as DRQN
    from rlnut.agents.catalogue import PQN as PQN
    from rlnut.agents.catalogue import RecurrentPQN as RecurrentPQN
    from rlnut.agents.catalogue import register_agent as register_agent
    from rlnut.agents.offline_settings import CQL as CQL
    from rlnut.agents.offline_settings import FQI as FQI
    from rlnut.agents.offline_settings import LSPI as LSPI
    from rlnut.agents.offline_settings import NFQ as NFQ
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
    from rlnut.control.evaluate import Evaluation as Evaluation
    from rlnut.control.loaded_policy import load_policy as load_policy
    from rlnut.control.maps import value_maps as value_maps
    from rlnut.control.policy import Policy as Policy
    from rlnut.control.repeat import repeat as repeat
    from rlnut.control.result import Trained as Trained
    from rlnut.control.return_plots import return_distributions as return_distributions
    from rlnut.control.run_loop import RunLook as RunLook
    from rlnut.control.settings import RunSettings as RunSettings
    from rlnut.control.training import resume as resume
    from rlnut.control.training import train as train
    from rlnut.control.training import training as training
    from rlnut.control.video import record as record
    from rlnut.data.dataset import Dataset as Dataset
    from rlnut.data.sequences import pad as pad
    from rlnut.envs.checking import check_env as check_env
    from rlnut.errors import RlnutError as RlnutError
    from rlnut.errors import UsageError as UsageError
    from rlnut.features.maps import Features as Features
    from rlnut.networks.architectures import cnn as cnn
    from rlnut.networks.architectures import lenet as lenet
    from rlnut.networks.architectures import linear as linear
    from rlnut.networks.architectures import mlp as mlp
    from rlnut.networks.recurrent_networks import gru as gru
    from rlnut.networks.recurrent_networks import lstm as lstm
    from rlnut.networks.recurrent_networks import recurrent as recurrent
    from rlnut.networks.recurrent_networks import rnn as rnn
    from rlnut.networks.residual_networks import impala as impala
    from rlnut.networks.residual_networks import resnet as resnet
    from rlnut.networks.summary import summary as summary
    from rlnut.prediction.learned_values import load_values as load_values
    from rlnut.prediction.methods import register_method as register_method
    from rlnut.prediction.predict import predict as predict
    from rlnut.prediction.result import PredictionLook as PredictionLook
    from rlnut.prediction.result import PredictionResult as PredictionResult
    from rlnut.regression.core import Regression as Regression
    from rlnut.runtime.history import History as History
    from rlnut.runtime.history import history as history
    from rlnut.runtime.loggers import Logger as Logger
    from rlnut.runtime.trackers import MLflowLogger as MLflowLogger
    from rlnut.runtime.trackers import TensorBoardLogger as TensorBoardLogger
    from rlnut.runtime.trackers import WandbLogger as WandbLogger
    from rlnut.supervised.fit import fit as fit
    from rlnut.supervised.fit_look import FitLook as FitLook
    from rlnut.supervised.fitted_model import FittedModel as FittedModel
    from rlnut.supervised.fitted_model import load as load
    from rlnut.truth.finite import Finite as Finite
    from rlnut.types import Batch as Batch
    from rlnut.types import Fit as Fit
    from rlnut.types import Model as Model
    from rlnut.types import Transition as Transition

    __version__: str

_HOME = {
    "DQN": "agents.catalogue",
    "DRQN": "agents.catalogue",
    "PQN": "agents.catalogue",
    "RecurrentPQN": "agents.catalogue",
    "register_agent": "agents.catalogue",
    "CQL": "agents.offline_settings",
    "FQI": "agents.offline_settings",
    "LSPI": "agents.offline_settings",
    "NFQ": "agents.offline_settings",
    "DoubleQ": "agents.online_settings",
    "ExpectedSARSA": "agents.online_settings",
    "PengQ": "agents.online_settings",
    "QLearning": "agents.online_settings",
    "Retrace": "agents.online_settings",
    "SARSA": "agents.online_settings",
    "SARSALambda": "agents.online_settings",
    "TreeBackup": "agents.online_settings",
    "WatkinsQ": "agents.online_settings",
    "compare": "comparison.compare",
    "Evaluation": "control.evaluate",
    "value_maps": "control.maps",
    "Policy": "control.policy",
    "repeat": "control.repeat",
    "Trained": "control.result",
    "return_distributions": "control.return_plots",
    "load_policy": "control.loaded_policy",
    "RunLook": "control.run_loop",
    "RunSettings": "control.settings",
    "resume": "control.training",
    "train": "control.training",
    "training": "control.training",
    "record": "control.video",
    "Dataset": "data.dataset",
    "pad": "data.sequences",
    "check_env": "envs.checking",
    "RlnutError": "errors",
    "UsageError": "errors",
    "Features": "features.maps",
    "cnn": "networks.architectures",
    "lenet": "networks.architectures",
    "linear": "networks.architectures",
    "mlp": "networks.architectures",
    "gru": "networks.recurrent_networks",
    "lstm": "networks.recurrent_networks",
    "recurrent": "networks.recurrent_networks",
    "rnn": "networks.recurrent_networks",
    "impala": "networks.residual_networks",
    "resnet": "networks.residual_networks",
    "summary": "networks.summary",
    "load_values": "prediction.learned_values",
    "register_method": "prediction.methods",
    "predict": "prediction.predict",
    "PredictionLook": "prediction.result",
    "PredictionResult": "prediction.result",
    "Regression": "regression.core",
    "History": "runtime.history",
    "history": "runtime.history",
    "Logger": "runtime.loggers",
    "MLflowLogger": "runtime.trackers",
    "TensorBoardLogger": "runtime.trackers",
    "WandbLogger": "runtime.trackers",
    "fit": "supervised.fit",
    "FitLook": "supervised.fit_look",
    "FittedModel": "supervised.fitted_model",
    "load": "supervised.fitted_model",
    "Finite": "truth.finite",
    "Batch": "types",
    "Fit": "types",
    "Model": "types",
    "Transition": "types",
}
_SUBMODULES = ("agents", "envs", "oracle", "sklearn")
__all__ = ["__version__", *_SUBMODULES, *_HOME]

if not isdir(join(__path__[0], "agents")):  # a checkout without symbolic links: agents/ and envs/ stand beside rlnut/
    __path__.append(dirname(__path__[0]))


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from rlnut.runtime.version import installed_version

        return installed_version()
    if name in _HOME:
        return getattr(import_module(f"rlnut.{_HOME[name]}"), name)
    if name in _SUBMODULES:
        return import_module(f"rlnut.{name}")
    raise AttributeError(f"module 'rlnut' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


class _WaitsForGymnasium:
    """An import hook: `rlnut.envs`, which registers its environments, is imported right after Gymnasium.

    Gymnasium 1 loads no plugins (entry points), and importing it here would cost every `import rlnut` its time.
    """

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Of `gymnasium` what the other finders say, with our import after its own; None of all else."""
        if name != "gymnasium":
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                run(module)
                if self in sys.meta_path:
                    sys.meta_path.remove(self)
                import_module("rlnut.envs")

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


if "gymnasium" in sys.modules:
    import_module("rlnut.envs")
else:
    sys.meta_path.insert(0, _WaitsForGymnasium())
