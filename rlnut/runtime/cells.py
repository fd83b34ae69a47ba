"""What is written into the cells of a map: short numbers of one form, in the colour that can be read there."""

from __future__ import annotations

import numpy as np


def cell_words(values: np.ndarray, digits: int = 2) -> np.ndarray:
    """Numbers as short texts, all with as many decimals as show `digits` digits of the largest; "" where none is."""
    largest = float(np.abs(values[np.isfinite(values)]).max(initial=0))
    power = int(np.floor(np.log10(largest))) if largest > 0 else 0
    form = f".{digits - 1}e" if largest > 0 and not -5 < power < 6 else f".{max(0, digits - 1 - power)}f"
    if form.endswith("f"):
        values = np.round(values, int(form[1:-1])) + 0.0  # no minus before a zero
    return np.array([[format(x, form) if np.isfinite(x) else "" for x in row] for row in values])


def text_colour(background: tuple[float, ...]) -> str:
    """Black or white, whichever has the higher contrast on a colour (relative luminance of WCAG 2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in background[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "black" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "white"
