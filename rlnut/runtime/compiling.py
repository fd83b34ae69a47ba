"""How XLA compiles the programs of a training loop: one place for its options.

On a CPU XLA runs the operations of a program on several threads as soon as they do not wait for one another. The
operations of a small network take about a microsecond each, less than handing them to a thread: one update of an MLP
64-64 with 128 rows filled two cores and took longer than on one. The scheduler that saves memory lets operations reuse
each other's buffers, which puts them in order. A large matrix product or convolution still uses all cores for itself,
so no threshold of size is needed. The operations, and with them all numbers, stay the same.

Measured with jax 0.10.2 on 2 cores, one update and its experience, MLPs with a batch of 128, wall and CPU time in µs:
64-64: 103 and 155 -> 92 and 92; 120-84: 204 and 252 -> 185 and 185; 256-256 uses both cores as before,
and no difference was resolved.
`xla_cpu_multi_thread_eigen` has no effect in this version.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax

Options = dict[str, str | int | bool]

IN_ORDER: Options = {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}
QUICKLY: Options = {"xla_backend_optimization_level": 1, "xla_cpu_use_fusion_emitters": False}
UNOPTIMISED: Options = {"xla_backend_optimization_level": 0, "xla_cpu_parallel_codegen_split_count": 1}


def program(fn: Callable[..., Any], **arguments: Any) -> Any:
    """`jax.jit(fn, **arguments)` for programs of many small operations."""
    return jax.jit(fn, compiler_options=compiler_options(), **arguments)


def program_once(fn: Callable[..., Any], **arguments: Any) -> Any:
    """`jax.jit(fn, **arguments)` for a program that runs once: slower code of the same numbers, compiled in less time.

    The first weights of an MLP 64-64 and of an LSTM: 1.4 and 2.1 s -> .5 and 1.3 s (jax 0.10.2). Not at level 0, where
    a product and a sum are rounded apart, so normal numbers come out differently.
    """
    return jax.jit(fn, compiler_options=_usable()[1], **arguments)


def program_rarely(fn: Callable[..., Any], **arguments: Any) -> Any:
    """`jax.jit(fn, **arguments)` for a program that runs a few times, and whose numbers nothing else must equal.

    The probe of a DQN's health (`learner.health`): .88 s -> .20 s of CPU time to compile it, and 1.1 ms -> 2.2 ms a
    call. Its code is made in one part: in many, as is usual, it took .33 s.
    """
    return jax.jit(fn, compiler_options=_usable()[2], **arguments)


def compiler_options() -> Options | None:
    """The options of a program of many small operations; None where XLA needs none, or does not know them."""
    return _usable()[0]


@cache
def _usable() -> tuple[Options | None, Options | None, Options | None]:
    """IN_ORDER, QUICKLY, and QUICKLY with UNOPTIMISED; None in the place of one that is of no use here."""
    if jax.default_backend() != "cpu":
        return None, None, None
    rarely = QUICKLY | UNOPTIMISED
    if _known(IN_ORDER | rarely):
        return IN_ORDER, QUICKLY, rarely
    return tuple(options if _known(options) else None for options in (IN_ORDER, QUICKLY, rarely))  # type: ignore[return-value]


def _known(options: Options) -> bool:
    try:
        jax.jit(lambda: 0, compiler_options=options).lower().compile()
    except jax.errors.JaxRuntimeError:  # another version of XLA
        return False
    return True
