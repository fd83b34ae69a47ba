"""Scaling of inputs and targets to mean 0 and deviation 1, and back."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Scale(NamedTuple):
    """z = (x − mean)/deviation, column by column; one number for all pixels of an image."""

    mean: np.ndarray
    deviation: np.ndarray

    def forth(self, x: np.ndarray, dtype: type = np.float32) -> np.ndarray:
        return ((x - self.mean) / self.deviation).astype(dtype)

    def back(self, z: np.ndarray) -> np.ndarray:
        return z * self.deviation + self.mean


def scale_of(x: np.ndarray, standard: bool, sequences: bool = False, weight: np.ndarray | None = None) -> Scale:
    """The scaling of rows x, to mean 0 and deviation 1 (a constant column: only to 0), or none.

    `sequences` [n, T, ...]: one scale for all steps, each number of a step its own; NaN (padding) does not count.
    A row of `weight` 2 counts as two rows, but not of sequences.
    """
    axes = (0, 1) if sequences else 0 if x.ndim <= 2 else None
    if not standard:
        shape = x.shape[2:] if sequences else np.shape(x[0] if x.ndim <= 2 else 0)
        return Scale(np.zeros(shape), np.ones(shape))
    by = (np.nanmean, np.nanstd, np.nanmin, np.nanmax) if sequences else (np.mean, np.std, np.min, np.max)
    mean, deviation = (of(x, axes, dtype=float) for of in by[:2])
    if weight is not None and not sequences:
        mean = np.average(x.astype(float), 0, weight).mean(axis=None if axes is None else ())
        deviation = np.sqrt(np.average((x - mean) ** 2, 0, weight).mean(axis=None if axes is None else ()))
        x = x[weight > 0]
    low, high = (of(x, axes) for of in by[2:])
    constant = low == high  # its deviation is rounding noise, not a scale
    return Scale(np.where(constant, low, mean), np.where(constant | (deviation == 0), 1.0, deviation))


def scaled(x: np.ndarray, scale: Scale | None) -> np.ndarray:
    """x in float32 through the scale; without one x as it is."""
    return x if scale is None else scale.forth(x)
