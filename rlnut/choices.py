"""The names that options may take, without the functions behind them: so help and settings load no JAX.

The tables of functions (`networks.layers.ACTIVATIONS`, `regression.optimizers.DIRECTIONS`, …) have exactly these keys;
a test says so.
"""

ACTIVATIONS = ("relu", "tanh", "sigmoid", "elu", "identity")
INITIALIZERS = ("he", "glorot", "orthogonal")
PADDINGS = ("same", "valid")
POOLINGS = ("max", "average")
NORMS = ("none", "group", "weight")
OPTIMIZERS = (
    "adam", "nadam", "radam", "amsgrad", "adabelief", "lion", "rmsprop", "adagrad", "momentum", "nesterov", "sgd",
)  # fmt: skip
SCHEDULES = ("cosine", "one-cycle", "linear", "constant")
NETWORKS = ("auto", "mlp", "cnn", "lenet", "resnet", "impala")  # of agents
SMALLEST_IMAGE = {"lenet": 12, "resnet": 4}  # sides from which on something is left after the poolings
TABLES = ("ohm", "sparse", "thermal", "spirals", "xor", "iris", "wine", "breast-cancer", "diabetes")
FORMATS = ("png", "svg", "pdf")  # of figures
MEMORY = ("recall", "parity", "adding")
