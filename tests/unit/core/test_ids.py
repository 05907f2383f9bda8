"""Identifiers as text."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway_core.ids import read_id


@given(st.uuids())
def test_an_id_is_read_with_its_hyphens_or_without(identity: uuid.UUID) -> None:
    assert read_id(str(identity)) == read_id(identity.hex) == identity


@pytest.mark.parametrize("text", ["", "uma", "0" * 31, "g" * 32])
def test_other_text_is_rejected_as_id(text: str) -> None:
    assert read_id(text) is None
