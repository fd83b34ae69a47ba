"""The names that options may take, without the functions behind them: so help and settings load no JAX.

The tables of functions (`networks.layers.ACTIVATIONS`, `regression.optimizers.DIRECTIONS`, …) have exactly these keys;
a test says so. Type checkers know them by the `Literal` types.
"""

from typing import Literal, get_args

Activation = Literal["relu", "tanh", "sigmoid", "elu", "identity"]
Initializer = Literal["he", "glorot", "orthogonal"]
Padding = Literal["same", "valid"]
Pooling = Literal["max", "average"]
Norm = Literal["none", "group", "weight"]
Optimizer = Literal[
    "adam", "nadam", "radam", "amsgrad", "adabelief", "lion", "rmsprop", "adagrad", "momentum", "nesterov", "sgd"
]
RateSchedule = Literal["cosine", "one-cycle", "linear", "constant"]
AgentNetwork = Literal["auto", "mlp", "cnn", "lenet", "resnet", "impala", "nature"]
LossName = Literal["huber", "squared", "two-hot", "hl-gauss", "c51", "quantile", "iqn"]
Task = Literal["auto", "classification", "regression"]
Scaling = Literal["auto", "standard", "none"]
ManyActions = Literal["grid", "decoupled"]
Correction = Literal["importance", "ordinary", "retrace", "tree-backup", "v-trace", "none"]
ACTIVATIONS: tuple[str, ...] = get_args(Activation)
INITIALIZERS: tuple[str, ...] = get_args(Initializer)
PADDINGS: tuple[str, ...] = get_args(Padding)
POOLINGS: tuple[str, ...] = get_args(Pooling)
NORMS: tuple[str, ...] = get_args(Norm)
OPTIMIZERS: tuple[str, ...] = get_args(Optimizer)
SCHEDULES: tuple[str, ...] = get_args(RateSchedule)
CORRECTIONS: tuple[str, ...] = get_args(Correction)  # of V and Q of a policy that another one plays
NETWORKS: tuple[str, ...] = get_args(AgentNetwork)
SMALLEST_IMAGE = {"lenet": 12, "resnet": 4, "nature": 36}  # sides from which on something is left after the poolings
TABLES = ("ohm", "sparse", "thermal", "spirals", "xor", "iris", "wine", "breast-cancer", "diabetes")
FORMATS = ("png", "svg", "pdf")  # of figures
MEMORY = ("recall", "parity", "adding")
