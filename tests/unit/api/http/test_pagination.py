"""Cursors of paginated lists."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from slipway_api.errors import InvalidInputError
from slipway_api.http.pagination import cursor_of, read_cursor
from slipway_api.prediction_log.queries import Position


@given(key=st.binary(max_size=40))
def test_cursor_decodes_to_its_key(key: bytes) -> None:
    assert read_cursor(cursor_of(key), bytes) == key


@given(cursor=st.text(max_size=40))
def test_any_text_is_a_cursor_or_rejected(cursor: str) -> None:
    with contextlib.suppress(InvalidInputError):
        read_cursor(cursor, Position.of_key)
