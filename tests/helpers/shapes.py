"""Shapes are checked while the tests run: jaxtyping reads `Shaped[Array, "T N"]` in the product, beartype compares.

In the product `Shaped` is `typing.Annotated`, which costs users nothing. Here it becomes jaxtyping's before the modules
below are imported, and each of their functions, inner ones too, checks its arguments and results when it is called:
under jit and vmap once, while it is traced. Axes of one name have one length within a call. Off: RLNUT_SHAPES=0.
"""

from __future__ import annotations

import importlib.util
import os
from typing import Annotated, Any

LEARNER = "agent behaviour bellman explore lambda_targets prioritised_replay readout replay returns rollout"
NETWORKS = "heads layers recurrent_networks residual_networks"
CHECKED = [
    *(f"rlnut.learner.{module}" for module in (*LEARNER.split(), "sequence_replay")),
    # not convolution, whose custom_vjp hands on literals, nor architectures, which check their arguments themselves
    *(f"rlnut.networks.{module}" for module in NETWORKS.split()),
    "rlnut.regression",
    "rlnut.agents.action_values",
    "rlnut.agents.online",
]


def same_lead(seen: Any) -> bool:
    """All arrays of a Transition have the leading axes of its reward, [T, N] or [B]; the flags have no others."""
    lead = tuple(seen.reward.shape)
    flags = [x for x in (seen.discount, seen.end, seen.valid, seen.fresh) if x is not None]
    others = [seen.action, seen.obs, seen.next_obs, seen.mask, seen.next_mask]
    others = [x for x in others if hasattr(x, "shape")]  # no mask, or a window of observations
    return all(tuple(x.shape) == lead for x in flags) and all(tuple(x.shape[: len(lead)]) == lead for x in others)


def check_shapes() -> bool:
    """Check the modules of CHECKED, which must not have been imported yet; False: jaxtyping or beartype is missing."""
    missing = not all(map(importlib.util.find_spec, ("jaxtyping", "beartype")))
    if missing or os.environ.get("RLNUT_SHAPES") == "0":
        return False
    import jaxtyping
    from beartype.vale import Is

    import rlnut.types

    words: Any = rlnut.types
    words.Shaped = jaxtyping.Shaped
    words.Experience = Annotated[rlnut.types.Transition, Is[same_lead]]
    # an int is a float, as type checkers have it (PEP 484)
    checker = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
    jaxtyping.install_import_hook(CHECKED, checker)
    return True
