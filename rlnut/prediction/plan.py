"""How much memory a prediction needs, counted before anything is allocated."""

from __future__ import annotations

from rlnut.control.plan import free_memory, mib
from rlnut.errors import UsageError
from rlnut.prediction.methods import Method, Prediction
from rlnut.truth.markov import MDP
from rlnut.truth.transition_matrices import is_sparse

TABLE_ROW = 160  # bytes of a step on tables: the stream, its rows and what they are made from
HOST_ROW = 700  # bytes of a step of an environment that is stepped in Python, besides its observations
DENSE = 8  # copies of the weights that a recursion and its records hold
LEAST_STEPS = 1  # of an episode


def require_memory(what: str, size: int, advice: str) -> None:
    """UsageError if `size` bytes are more than are free."""
    if size > (free := free_memory()):
        raise UsageError(f"{what} needs {mib(size)} MiB and {mib(free)} MiB are free; {advice}")


def row_count(config: Prediction) -> int:
    """Steps of all runs; for episodes the least that they can take."""
    return config.runs * (config.steps if config.episodes is None else config.episodes * LEAST_STEPS)


def check_experience(config: Prediction, row: int) -> None:
    """Refuse more steps than memory holds, each of `row` bytes."""
    if config.data is not None or config.expected:
        return
    rows = row_count(config)
    length = "--steps" if config.episodes is None else "--episodes"
    require_memory(f"experience of {rows:,} steps", rows * row, f"give fewer {length} or --runs")


def rows_that_fit(row: int) -> int:
    """How many steps of `row` bytes there is memory for."""
    return free_memory() // row


def check_weights(method: Method, config: Prediction, d: int, records: int) -> None:
    """Refuse more weights, or matrices of least squares, than memory holds."""
    runs = 1 if config.data is not None or config.expected else config.runs
    if config.expected:
        require_memory(f"a path of {config.steps:,} updates", 8 * (config.steps + 1) * d, "give fewer --steps")
    square = 8 * d * d * {"lstd": 3 * records, "rlstd": 2, "fitted": 6, "scan": 0}[method.solver]
    size = runs * (square + DENSE * 8 * d)
    require_memory(f"{method.solver} over {runs:,} × {d:,} weights", size, "give fewer --runs or features")


def check_network_size(d: int) -> None:
    """Refuse a network of more weights than memory holds."""
    require_memory(f"a network of {d:,} weights", DENSE * 4 * d, "give fewer or narrower layers")


def check_states(mdp: MDP, d: int, pairs: bool) -> None:
    """Refuse tables over states (or pairs) and their features [S, d] that memory does not hold."""
    states, actions = mdp.states, mdp.actions
    rows = states * actions if pairs else states
    width = d * actions if pairs and d > 1 else d
    what = "pairs" if pairs else "states"
    size = 12 * mdp.P.nnz * (actions if pairs else 1) if is_sparse(mdp.P) else 8 * rows * rows
    require_memory(f"the truth over {rows:,} {what}", 4 * size, "take a smaller problem")
    require_memory(f"{rows:,} × {width:,} features", 8 * 3 * rows * width, "give fewer features")


def check_rollouts(config: Prediction) -> None:
    """Refuse more returns of the Monte-Carlo truth than memory holds."""
    returns = config.states * config.rollouts
    require_memory(f"a truth of {returns:,} returns", 16 * returns, "give fewer --states or --rollouts")
