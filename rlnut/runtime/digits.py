"""Integers in text from the user."""

from __future__ import annotations

MOST = 4000  # digits: Python's int() refuses text of more than 4300


def only_digits(text: str) -> bool:
    """Is the text a number 0, 1, 2, … that int() reads: ASCII digits, one at least? No to "²", "-1" and ""."""
    return text.isascii() and text.isdecimal() and len(text) <= MOST
