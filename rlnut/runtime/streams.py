"""Standard output and error wherever the program runs: closed, missing, full, or without Greek letters."""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
import unicodedata

SYMBOLS = {
    "−": "-", "–": "-", "—": "-", "×": "x", "·": "*", "∗": "*", "∘": "o", "⊗": "(x)", "⊙": "(.)", "±": "+/-",
    "∝": "~", "≈": "~", "≠": "!=", "≤": "<=", "≥": ">=", "→": "->", "←": "<-", "↑": "^", "↓": "v", "…": "...",
    "‖": "||", "√": "sqrt", "∞": "inf", "∂": "d", "∇": "grad ", "ℓ": "l", "′": "'", "″": "''", "‘": "'", "’": "'",
    "“": '"', "”": '"', "∈": "in", "⌈": "ceil(", "⌉": ")", "⌊": "floor(", "⌋": ")", "ŷ": "y", "ŵ": "w", "ẋ": "x",
    "á": "a", "à": "a", "ÿ": "y", "µ": "u", "⁄": "/", "⋅": "*", "•": "*", "◇": "<>", "⋮": ":",
    "↖": "^<-", "↗": "^->", "↘": "v->", "↙": "v<-", "↔": "<->", "\xa0": " ", "\u2009": " ", "\u202f": " ",
}  # fmt: skip


def readable(symbol: str) -> str:
    """ASCII for one character: π as pi, ² as ^2, ± as +/-; what has no such name as its code, \\xe9."""
    name = unicodedata.name(symbol, "")
    if symbol in SYMBOLS:
        return SYMBOLS[symbol]
    if name.startswith("GREEK") and " LETTER " in name and " WITH " not in name:
        letter = name.rpartition(" ")[2].replace("LAMDA", "LAMBDA")
        return letter.capitalize() if "CAPITAL" in name else letter.lower()
    kind, *parts = unicodedata.decomposition(symbol).split() or [""]
    if kind in ("<super>", "<sub>", "<fraction>"):
        plain = "".join(chr(int(part, 16)) for part in parts).replace("−", "-").replace("⁄", "/")
        if plain.isascii():
            return {"<super>": "^", "<sub>": "_", "<fraction>": ""}[kind] + plain
    if unicodedata.combining(symbol) and name.startswith("COMBINING"):
        return ""
    return symbol.encode("ascii", "backslashreplace").decode()


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(readable, error.object[error.start : error.end])), error.end


codecs.register_error("rlnut.readable", _replace)


def _sink(name: str) -> None:
    """Put a stream that leads nowhere in the place of sys.stdout or sys.stderr."""
    setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  lives as long as the process


def make_usable() -> None:
    """Make sys.stdout and sys.stderr fit to be written to: a missing or closed one leads nowhere, symbols that an
    encoding lacks become readable ASCII.

    The first three file numbers are filled, too: a file that got number 1 or 2 would take in what libraries print.
    """
    if None in (sys.__stdin__, sys.__stdout__, sys.__stderr__):
        while (number := os.open(os.devnull, os.O_RDWR)) < 3:
            pass
        os.close(number)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or getattr(stream, "closed", False):
            _sink(name)
        elif hasattr(stream, "reconfigure"):
            with contextlib.suppress(ValueError, OSError):
                stream.reconfigure(errors="rlnut.readable")


def flush(name: str) -> OSError | None:
    """Hand over what is buffered; a stream that takes nothing more is replaced, and the reason returned."""
    stream = getattr(sys, name)
    try:
        stream.flush()
        return None
    except (OSError, ValueError) as error:
        with contextlib.suppress(OSError, ValueError):  # else Python tries again, and complains, when it ends
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
        return error if isinstance(error, OSError) else OSError(str(error))


def say(line: str) -> None:
    """One line for people, on standard error; where nobody can read it, nothing."""
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:
            print(line, file=sys.stderr, flush=True)


def on_terminal() -> bool:
    """Is standard error a terminal, where a line can be drawn again?"""
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except ValueError:  # closed
        return False
