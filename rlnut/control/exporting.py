"""A greedy policy as a program for others: ONNX, or what `jax.export` writes. Encoding and normalisation are inside."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rlnut.control.forward import input_name, values_of_parts
from rlnut.errors import UsageError
from rlnut.runtime.files import as_path, atomic_write

if TYPE_CHECKING:
    from rlnut.control.policy import Policy

Format = Literal["onnx", "jax"]
ENDINGS: dict[str, Format] = {".onnx": "onnx", ".jax": "jax"}


def export(policy: Policy, path: str | Path, format: Format | None = None) -> Path:
    """`Policy.export`."""
    place = as_path(path, "the file of an export")
    chosen = ENDINGS.get(place.suffix) if format is None else format
    if chosen not in ENDINGS.values():
        given = f"the ending {place.suffix!r}" if format is None else repr(format)
        raise UsageError(f"format must be one of onnx, jax, got {given}")
    if not place.parent.is_dir():
        raise UsageError(f"{place.parent} is not a folder")
    atomic_write(place, onnx_bytes(policy) if chosen == "onnx" else jax_bytes(policy))
    return place


def onnx_bytes(policy: Policy) -> bytes:
    """The content of an .onnx file; its output is named q."""
    from rlnut.portable.onnx_graph import onnx_model

    program, weights, name, acts = policy.portable()
    return onnx_model(program, weights, {"environment": name, "actions": acts.saw, "first_action": str(acts.start)})


def jax_bytes(policy: Policy) -> bytes:
    """What `jax.export.deserialize` reads, for CPU, CUDA and TPU; `call` takes the array, or a dict of the parts."""
    import jax
    from jax import export as jax_export

    from rlnut.envs.observations import stored_parts

    agent, spec, params = policy.agent, policy.spec, jax.device_get(policy.params)
    parts = stored_parts(spec.observation_space)
    (batch,) = jax_export.symbolic_shape("batch")
    shapes = {input_name(path): jax.ShapeDtypeStruct((batch, *shape), dtype) for path, dtype, shape in parts}
    single = next(iter(shapes)) if len(shapes) == 1 else None

    def row(given: dict[str, Any]) -> Any:  # one by one: a symbolic number of rows has no `len`
        return values_of_parts(agent, spec, params, {name: x[None] for name, x in given.items()})[0]

    # an observation with images is kept as bytes, which XLA cannot make of a symbolic number of rows
    rows = partial(jax.lax.map, row) if spec.observed.images else jax.vmap(row)

    def q(given: Any) -> Any:
        return rows(given if single is None else {single: given})

    exported = jax_export.export(jax.jit(q), platforms=("cpu", "cuda", "tpu"))
    return bytes(exported(shapes if single is None else shapes[single]).serialize())
