"""Coefficients of a trace and the kinds of trace, each against a table worked out by hand."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from rlnut.errors import UsageError
from rlnut.learner.returns import ACTION_CUTS, STATE_CUTS, correction
from rlnut.learner.traces import COEFFICIENTS, Cut, Passed, TraceKind, trace_parts

PASSED = Passed(rho=np.array([3.0, 0.5]), pi=np.array([0.25, 0.75]), greedy=np.array([0.0, 1.0]))
BY_HAND: dict[Cut, list[float]] = {
    "none": [1, 1],
    "importance": [3, 0.5],
    "retrace": [1, 0.5],
    "tree-backup": [0.25, 0.75],
    "v-trace": [1, 0.5],
    "watkins": [0, 1],
    "peng": [1, 1],
}


@pytest.mark.parametrize("cut", COEFFICIENTS)
def test_coefficients_by_hand(cut: Cut) -> None:
    np.testing.assert_array_equal(np.zeros(2) + COEFFICIENTS[cut](PASSED), BY_HAND[cut])
    on_device = COEFFICIENTS[cut](Passed(*map(jnp.asarray, PASSED)))
    np.testing.assert_array_equal(np.zeros(2) + on_device, BY_HAND[cut])


@pytest.mark.parametrize("cut", COEFFICIENTS)
def test_a_correction_of_states_has_a_gain_and_one_of_actions_looks_ahead(cut: Cut) -> None:
    if cut in STATE_CUTS:
        found = correction(cut, PASSED, 0.5)
        np.testing.assert_array_equal(np.zeros(2) + found.gain, BY_HAND[cut])
        np.testing.assert_array_equal(np.zeros(2) + found.trace, np.multiply(0.5, BY_HAND[cut]))
        assert not found.ahead and found.summed == (cut == "v-trace")
    else:
        with pytest.raises(UsageError, match=f"correction of state values '{cut}'"):
            correction(cut, PASSED)
    if cut in ACTION_CUTS:
        found = correction(cut, PASSED, 0.5, actions=True)
        assert found.ahead and found.gain == 1.0
        np.testing.assert_array_equal(np.zeros(2) + found.trace, np.multiply(0.5, BY_HAND[cut]))
    else:
        with pytest.raises(UsageError, match=f"correction of action values '{cut}'"):
            correction(cut, PASSED, actions=True)


@pytest.mark.parametrize(
    ("kind", "rest", "own"),
    [
        ("accumulating", [5, 7, 9], [2, 0, 0]),
        ("replacing", [0, 7, 9], [2, 0, 0]),
        ("clearing", [0, 0, 9], [2, 0, 0]),
        ("dutch", [5, 7, 9], [-1, 0, 0]),  # α restᵀx = 0.15 · (5 · 2) = 1.5
    ],
)
def test_kinds_of_trace_by_hand(kind: TraceKind, rest: list[float], own: list[float]) -> None:
    """Feature 0 is the row's own, 1 that of the state's other action, 2 of another state."""
    old, x = np.array([5.0, 7, 9]), np.array([2.0, 0, 0])
    shared = np.array([True, True, False])
    found = trace_parts(kind, old, x, 0.15 * (old @ x), x != 0, shared)
    np.testing.assert_allclose(found, [rest, own])


def test_a_state_value_has_no_other_actions_to_clear() -> None:
    old, x = np.array([5.0, 7, 9]), np.array([2.0, 0, 0])
    cleared, replaced = (trace_parts(kind, old, x, np.zeros(()), x != 0) for kind in ("clearing", "replacing"))
    np.testing.assert_array_equal(cleared, replaced)
