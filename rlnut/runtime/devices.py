"""Several devices in one program: environments and minibatches are split over them, weights are on each of them.

    with mesh(4):                       # in a compiled program that is traced inside:
        rows = split(rows, 128)         # arrays [128, ...] are cut into four parts, one for each device
        memory = on_each(memory)         # each device has all of it

The mesh is JAX's own (`jax.set_mesh`); outside of one `split` and `on_each` change nothing, so a learner is written
once for one device and for many. XLA adds what has to be exchanged: of data-parallel learning a sum over devices for
each gradient, so numbers differ from those of one device by the rounding of float32 sums, and by nothing else.

Several processes, perhaps on several machines, run the same program after `join_processes`; each must be given the same
arguments. What depends on a process's own clock or keyboard is decided by the first one: `agreed`.
"""

from __future__ import annotations

import contextlib
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from rlnut.errors import UsageError, counted
from rlnut.types import Tree

AXIS = "devices"
TIMEOUT = 120  # seconds in which all processes must have started
T = TypeVar("T")


def device_count(count: int) -> int:
    """So many devices, 0: all; UsageError if this machine (with all processes that were joined) has fewer."""
    if count == 0:
        return jax.device_count()
    if count > (there := jax.device_count()):
        kind = jax.devices()[0].platform
        raise UsageError(f"devices {count}: JAX has {counted(there, f'{kind} device')} here")
    if jax.process_count() > 1 and count != there:
        raise UsageError(f"devices {count}: with several processes all {there} devices take part (--devices all)")
    return count


def check_split(count: int, what: str, size: int) -> None:
    """UsageError if `size` cannot be split evenly over the devices."""
    if size % count:
        raise UsageError(f"{what} {size:,} is not a multiple of the {count} devices")


def made_mesh(count: int) -> Mesh:
    """The first `count` devices in a row."""
    return Mesh(np.array(jax.devices()[: device_count(count)]), (AXIS,), axis_types=(AxisType.Auto,))


def mesh(count: int) -> contextlib.AbstractContextManager[Any]:
    """A context in which programs are compiled for `count` devices; 1: as always."""
    return contextlib.nullcontext() if count == 1 else jax.set_mesh(made_mesh(count))


def _placed(leaf: Any, parts: PartitionSpec) -> Any:
    return jax.lax.with_sharding_constraint(leaf, parts)


def _in_mesh() -> bool:
    return AXIS in jax.sharding.get_abstract_mesh().axis_names


def split(tree: T, size: int) -> T:
    """Inside a mesh the arrays [size, ...] of a pytree are cut into one part for each device; others stay whole."""
    if not _in_mesh():
        return tree
    return jax.tree.map(lambda a: _placed(a, PartitionSpec(AXIS)) if a.shape[:1] == (size,) else a, tree)


def split_steps(tree: T, size: int) -> T:
    """The same of arrays [T, size, ...]."""
    if not _in_mesh():
        return tree
    return jax.tree.map(lambda a: _placed(a, PartitionSpec(None, AXIS)) if a.shape[1:2] == (size,) else a, tree)


def on_each(tree: T) -> T:
    """Inside a mesh every device has all of the arrays of a pytree."""
    return jax.tree.map(lambda a: _placed(a, PartitionSpec()), tree) if _in_mesh() else tree


def whole_outputs(count: int) -> dict[str, Any]:
    """Arguments of `jax.jit` for a program whose outputs each of `count` devices has whole; of one device: none."""
    return {} if count == 1 else {"out_shardings": NamedSharding(made_mesh(count), PartitionSpec())}


def on_all(tree: Tree, count: int) -> Tree:
    """The arrays of a pytree (random keys too), the same in all processes, on each of `count` devices."""
    if count == 1:
        return tree
    leaves, structure = jax.tree.flatten(tree)
    keys = [jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in leaves]
    kinds = [jax.random.key_impl(leaf) if key else None for leaf, key in zip(leaves, keys, strict=True)]
    data = [np.asarray(jax.random.key_data(leaf) if key else leaf) for leaf, key in zip(leaves, keys, strict=True)]

    def whole(data: list[Any]) -> Tree:
        wrapped = [
            a if kind is None else jax.random.wrap_key_data(a, impl=kind) for a, kind in zip(data, kinds, strict=True)
        ]
        return jax.tree.unflatten(structure, wrapped)

    return jax.jit(whole, **whole_outputs(count))(data)


def join_processes(coordinator: str, processes: int, process: int) -> None:
    """Be one of several processes that run the same program; HOST:PORT is where process 0 can be reached.

    It has to be called before anything is computed. UsageError if the others cannot be reached.
    """
    if not 0 <= process < processes:
        raise UsageError(f"process {process}: {processes} processes are numbered from 0 to {processes - 1}")
    try:
        jax.distributed.initialize(coordinator, processes, process, initialization_timeout=TIMEOUT)
    except (RuntimeError, ValueError) as error:
        text = " ".join(str(error).split())
        raise UsageError(f"the {processes} processes at {coordinator} could not join: {text}") from None


def agreed(value: int) -> int:
    """The value of process 0, in every process; all have to ask for it at the same place."""
    if jax.process_count() == 1:
        return value
    from jax.experimental.multihost_utils import broadcast_one_to_all

    return int(broadcast_one_to_all(np.int32(value)))
