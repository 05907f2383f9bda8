"""Identifiers: UUID version 7, as RFC 9562 lays it out, in the order of time."""

import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway_core.ids import read_id, uuid7

# What 48 bits of milliseconds hold: until the year 10889.
MILLISECONDS = st.integers(min_value=0, max_value=2**48 - 1)


def uuid7_at(milliseconds: int) -> uuid.UUID:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: milliseconds * 1_000_000 + 999_999)
        return uuid7()


@given(MILLISECONDS)
def test_identifier_is_a_uuid7_with_its_time(milliseconds: int) -> None:
    found = uuid7_at(milliseconds)

    assert (found.version, found.variant) == (7, uuid.RFC_4122)
    assert found.int >> 80 == milliseconds


@given(st.tuples(MILLISECONDS, MILLISECONDS).filter(lambda pair: pair[0] != pair[1]))
def test_identifiers_sort_by_time_as_numbers_and_as_text(times: tuple[int, int]) -> None:
    earlier, later = uuid7_at(min(times)), uuid7_at(max(times))

    assert earlier < later
    assert str(earlier) < str(later)


def test_identifier_contains_the_present_time() -> None:
    before = time.time_ns() // 1_000_000

    found = uuid7().int >> 80

    assert before <= found <= time.time_ns() // 1_000_000


def test_identifiers_of_the_same_millisecond_differ() -> None:
    assert len({uuid7_at(1_795_176_000_000) for _ in range(1_000)}) == 1_000


@given(st.uuids())
def test_an_id_is_read_with_its_hyphens_or_without(identity: uuid.UUID) -> None:
    assert read_id(str(identity)) == read_id(identity.hex) == identity


@pytest.mark.parametrize("text", ["", "uma", "0" * 31, "g" * 32])
def test_other_text_is_rejected_as_id(text: str) -> None:
    assert read_id(text) is None
