"""Gradient-TD methods: the directions of stable off-policy learning with second weights h (S&B 11.7, Maei 2011).

    h estimates E[x xᵀ]⁻¹ E[u δ e];   GTD2 moves along E[(x − Dx')eᵀ] h,   TDC along E[u δ e] − E[D(1 − λ)x' eᵀ] h

Both descend the projected Bellman error; TDRC is TDC with one step size and a penalty on h.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from rlnut.types import Array, Tree


class Moment(NamedTuple):
    """What a direction is made of, at one row."""

    alpha: Array  # α []
    beta: Array  # β []
    lam: Array  # λ []
    u: Array | float  # gain []
    delta: Array  # δ []
    e: Array  # trace [d]
    x: Array  # ∇v(s) [d]
    dx: Array  # D ∇v(s') [d]
    h: Tree  # second weights [d], or what a `WeightUpdate` remembers


Direction = Callable[[Moment], tuple[Array, Tree]]  # -> (change of w, new h)


def _second(m: Moment, beta: Array) -> Array:
    """h + βu(δ e − (hᵀx) x), with ρ on both terms as in S&B 11.27."""
    return m.h + beta * m.u * (m.delta * m.e - (m.h @ m.x) * m.x)


def gtd2(m: Moment) -> tuple[Array, Array]:
    """w += αu(x − Dx')(eᵀh) (Sutton et al. 2009; S&B 11.28)."""
    return m.alpha * m.u * (m.e @ m.h) * (m.x - m.dx), _second(m, m.beta)


def proximal_gtd2(m: Moment) -> tuple[Array, Array]:
    """GTD2 with an implicit step: w' = w + αuy(eᵀh'), h' = h + βu((r − yᵀw')e − (xᵀh')x), y = x − Dx'; α, β may be [d].

    It is the resolvent of a monotone map (of the saddle point that GTD2 looks for), so no α makes it diverge
    (Rockafellar 1976; Liu et al. 2015 for GTD2 as a saddle point, Tamar et al. 2014 for implicit TD).
    """
    y, u = m.x - m.dx, m.u
    yy, xx = u * ((m.alpha * y) @ y), u * ((m.beta * m.x) @ m.x)
    xe, ee = u * ((m.beta * m.x) @ m.e), u * ((m.beta * m.e) @ m.e)
    eh, xh = m.e @ m.h, m.x @ m.h
    start, slope = eh - xe * xh / (1 + xx), ee - xe * xe / (1 + xx)  # eᵀh' = start + slope δ'
    delta = (m.delta - yy * start) / (1 + yy * slope)
    change = m.alpha * u * (start + slope * delta) * y
    return change, m.h + m.beta * u * (delta * m.e - (xh + xe * delta) / (1 + xx) * m.x)


def tdc(m: Moment) -> tuple[Array, Array]:
    """w += αu(δe − (1 − λ)(eᵀh) Dx') (Sutton et al. 2009; GTD(λ) of S&B 12.11)."""
    return m.alpha * m.u * (m.delta * m.e - (1 - m.lam) * (m.e @ m.h) * m.dx), _second(m, m.beta)


def tdrc(m: Moment) -> tuple[Array, Array]:
    """TDC whose h has step size α and loses αh at each step (Ghiassian et al. 2020, their β = 1); no β of ours."""
    return tdc(m)[0], _second(m, m.alpha) - m.alpha * m.h


GRADIENT_CORRECTIONS: Mapping[str, Direction] = {"gtd2": gtd2, "tdc": tdc, "tdrc": tdrc}
