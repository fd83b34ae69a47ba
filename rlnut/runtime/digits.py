"""Numbers in text: integers from the user, and what people read."""

from __future__ import annotations

MOST = 4000  # digits: Python's int() refuses text of more than 4300


def only_digits(text: str) -> bool:
    """Is the text a number 0, 1, 2, … that int() reads: ASCII digits, one at least? No to "²", "-1" and ""."""
    return text.isascii() and text.isdecimal() and len(text) <= MOST


def readable_number(value: float) -> str:
    """Four digits, and whole numbers of up to seven without an exponent: -10,000, not -1e+04."""
    return f"{value:,.0f}" if 999.95 < abs(value) < 1e7 else f"{value:.4g}"
