"""Counts in messages."""

import pytest

from slipway_core.plurals import count_of


@pytest.mark.parametrize(("number", "text"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows")])
def test_noun_agrees_with_its_count(number: int, text: str) -> None:
    assert count_of(number, "row") == text
