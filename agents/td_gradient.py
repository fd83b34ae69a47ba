"""Gradient-TD methods: the directions of stable off-policy learning with second weights h (S&B 11.7, Maei 2011).

    h estimates E[x xᵀ]⁻¹ E[u δ e];   GTD2 moves along E[(x − Dx')eᵀ] h,   TDC along E[u δ e] − E[D(1 − λ)x' eᵀ] h

Both descend the projected Bellman error; TDRC is TDC with one step size and a penalty on h.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rlnut.types import Array

# (α, β, λ, u, δ, e, x, D x', h) -> (change of w, new h)
Direction = Callable[..., tuple[Array, Array]]


def _second(beta: Any, u: Any, delta: Any, e: Any, x: Any, h: Any) -> Any:
    """h + βu(δ e − (hᵀx) x), with ρ on both terms as in S&B 11.27."""
    return h + beta * u * (delta * e - (h @ x) * x)


def gtd2(alpha: Any, beta: Any, lam: Any, u: Any, delta: Any, e: Any, x: Any, dx: Any, h: Any) -> tuple[Any, Any]:
    """w += αu(x − Dx')(eᵀh) (Sutton et al. 2009; S&B 11.28)."""
    return alpha * u * (e @ h) * (x - dx), _second(beta, u, delta, e, x, h)


def tdc(alpha: Any, beta: Any, lam: Any, u: Any, delta: Any, e: Any, x: Any, dx: Any, h: Any) -> tuple[Any, Any]:
    """w += αu(δe − (1 − λ)(eᵀh) Dx') (Sutton et al. 2009; GTD(λ) of S&B 12.11)."""
    return alpha * u * (delta * e - (1 - lam) * (e @ h) * dx), _second(beta, u, delta, e, x, h)


def tdrc(alpha: Any, beta: Any, lam: Any, u: Any, delta: Any, e: Any, x: Any, dx: Any, h: Any) -> tuple[Any, Any]:
    """TDC whose h has step size α and loses αh at each step (Ghiassian et al. 2020, their β = 1); no β of ours."""
    change, _ = tdc(alpha, beta, lam, u, delta, e, x, dx, h)
    return change, _second(alpha, u, delta, e, x, h) - alpha * h


GRADIENT_CORRECTIONS: dict[str, Direction] = {"gtd2": gtd2, "tdc": tdc, "tdrc": tdrc}
