"""How XLA compiles the programs of a training loop: one place for what it must be told.

On a CPU XLA runs the operations of a program on several threads as soon as they do not wait for one another. The
operations of a small network take about a microsecond each, less than handing them to a thread: one update of an MLP
64-64 with 128 rows filled two cores and took longer than on one. The scheduler that saves memory lets operations reuse
each other's buffers, which puts them in order. A large matrix product or convolution still uses all cores for itself,
so no threshold of size is needed. The operations, and with them all numbers, stay the same.

Measured with jax 0.10.2 on 2 cores, one update and its experience, MLPs with a batch of 128, wall and CPU time in µs:
64-64: 103 and 155 -> 92 and 92; 120-84: 204 and 252 -> 185 and 185; 256-256: the same, on both cores, as before.
`xla_cpu_multi_thread_eigen` has no effect in this version.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax

IN_ORDER = {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}


def program(fn: Callable[..., Any], **arguments: Any) -> Any:
    """`jax.jit(fn, **arguments)` for programs of many small operations."""
    return jax.jit(fn, compiler_options=compiler_options(), **arguments)


@cache
def compiler_options() -> dict[str, str] | None:
    """The options of such a program; None where XLA needs none, or does not know them."""
    if jax.default_backend() != "cpu":
        return None
    try:
        jax.jit(lambda: 0, compiler_options=IN_ORDER).lower().compile()
    except jax.errors.JaxRuntimeError:  # another version of XLA
        return None
    return dict(IN_ORDER)
