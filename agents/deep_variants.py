"""The named variants of DQN and PQN: the same classes with other defaults. Importing this needs no JAX."""

from __future__ import annotations

from dataclasses import make_dataclass
from typing import Any, TypeVar, cast, get_type_hints

from rlnut.agents.deep_settings import Deep
from rlnut.agents.dqn_settings import DQN
from rlnut.agents.pqn_settings import PQN
from rlnut.settings import changed

Config = TypeVar("Config", bound=Deep)


def variant(base: type[Config], name: str, doc: str, **defaults: Any) -> type[Config]:
    """A config with other defaults under a name of its own; how it is shown and compared is its base's business."""
    types = get_type_hints(base)
    moved = [(option, types[option], changed(base, option, value)) for option, value in defaults.items()]
    same: Any = {"frozen": True, "repr": False, "eq": False, "namespace": {"__doc__": doc, "__module__": __name__}}
    return cast(type[Config], make_dataclass(name, moved, bases=(base,), **same))


DoubleDQN = variant(DQN, "DoubleDQN", "Double DQN (van Hasselt et al. 2016).", n_step=1)
DuelingDQN = variant(DQN, "DuelingDQN", "DQN with dueling streams (Wang et al. 2016).", dueling="mean")
PrioritisedDQN = variant(DQN, "PrioritisedDQN", "DQN with prioritised replay (Schaul et al. 2016).", prioritised=True)
NStepDQN = variant(DQN, "NStepDQN", "DQN with n-step returns, not double.", double=False)
NoisyDQN = variant(DQN, "NoisyDQN", "DQN with noisy weights (Fortunato et al. 2018).", explore="noisy")
TwoHotDQN = variant(DQN, "TwoHotDQN", "DQN as classification, two-hot (Farebrother et al. 2024).", loss="two-hot")
HLGaussDQN = variant(DQN, "HLGaussDQN", "DQN as classification, HL-Gauss (Farebrother et al. 2024).", loss="hl-gauss")
C51 = variant(DQN, "C51", "DQN of the distribution of returns over atoms (Bellemare et al. 2017).", loss="c51")
QRDQN = variant(DQN, "QRDQN", "DQN of the quantiles of returns (Dabney et al. 2018a).", loss="quantile", atoms=32)
IQN = variant(DQN, "IQN", "DQN of implicit quantiles (Dabney et al. 2018b).", loss="iqn", atoms=8)
SoftQ = variant(DQN, "SoftQ", "Soft Q-learning (Haarnoja et al. 2017): soft maximum, Boltzmann exploration.",
                double=False, backup="soft", n_step=1, explore="boltzmann", temperature=0.1)  # fmt: skip
MunchausenDQN = variant(DQN, "MunchausenDQN", "Munchausen DQN (Vieillard et al. 2020).",
                        double=False, backup="munchausen", n_step=1)  # fmt: skip
Rainbow = variant(DQN, "Rainbow", "Six additions to DQN at once (Hessel et al. 2018).",
                  dueling="mean", prioritised=True, explore="noisy", loss="c51")  # fmt: skip
DRQN = variant(DQN, "DRQN", "DQN with a recurrent layer, for what one look does not show (Hausknecht & Stone 2015).",
               memory="lstm", batch=16, gradient_steps=2)  # fmt: skip
RecurrentPQN = variant(PQN, "RecurrentPQN", "PQN with a recurrent layer: λ-returns along the memory, in windows.",
                       memory="lstm")  # fmt: skip

DEEP: dict[str, type[Deep]] = {
    "dqn": DQN,
    "double-dqn": DoubleDQN,
    "dueling-dqn": DuelingDQN,
    "per-dqn": PrioritisedDQN,
    "n-step-dqn": NStepDQN,
    "noisy-dqn": NoisyDQN,
    "two-hot-dqn": TwoHotDQN,
    "hl-gauss-dqn": HLGaussDQN,
    "c51": C51,
    "qr-dqn": QRDQN,
    "iqn": IQN,
    "soft-q": SoftQ,
    "munchausen-dqn": MunchausenDQN,
    "rainbow": Rainbow,
    "pqn": PQN,
    "drqn": DRQN,
    "recurrent-pqn": RecurrentPQN,
}
