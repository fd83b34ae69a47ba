"""Which text is a whole number: what passes, int() reads."""

import pytest

from rlnut.runtime.digits import only_digits


@pytest.mark.parametrize("text", ["0", "7", "007", "9" * 4000])
def test_whole_numbers(text: str):
    assert only_digits(text) and int(text) >= 0


@pytest.mark.parametrize("text", ["", "²", "1²", "٣", "７", "Ⅷ", "½", "-1", "+1", "1.0", "1_0", " 1", "9" * 4301])
def test_what_is_no_whole_number(text: str):
    assert not only_digits(text)
