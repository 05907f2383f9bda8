"""Dates: their parts, and texts that are not dates."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway_core.dates import DATE_PARTS, date_parts


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("2026-11-21", (2026, 11, 21, 5, 0)),
        ("2026-11-23 08:30", (2026, 11, 23, 0, 8)),
        ("2026-11-22T23:59:59", (2026, 11, 22, 6, 23)),
        ("2026-11-21T08:30:01.5", (2026, 11, 21, 5, 8)),
        ("2026-11-21 08:30:01.123456789", (2026, 11, 21, 5, 8)),
        ("2026-11-21T08:30Z", (2026, 11, 21, 5, 8)),
        ("2026-11-21T08:30:00+23:59", (2026, 11, 21, 5, 8)),
        ("2026-11-21T08:30:00-0500", (2026, 11, 21, 5, 8)),
        ("2024-02-29", (2024, 2, 29, 3, 0)),
        ("0001-01-01", (1, 1, 1, 0, 0)),
        ("9999-12-31T23:59", (9999, 12, 31, 4, 23)),
    ],
)
def test_date_is_split_into_its_parts(text: str, parts: tuple[int, ...]) -> None:
    assert tuple(date_parts(text)[name] for name in DATE_PARTS) == parts


@pytest.mark.parametrize(
    "text",
    [
        *("", "2026", "2026-11", "20261121", "21.11.2026", "2026/11/21", "2026-1-1", "26-11-21", " 2026-11-21"),
        *("2026-11-21\n", "2026-11-21T", "2026-11-21T08", "2026-11-21T8:30", "2026-11-21Z", "2026-11-21T08:30+1"),
        *("2026-11-21T08:30:00.", "2026-11-21T08:30:00.1234567890", "٢٠٢٦-11-21", "2026-11-21T08:30:60"),
        *("2026-11-21T08:30+24:00", "2026-11-21T08:30+01:60", "2026-W47-6", "now", "1.5", "\x00", "\ud800"),
    ],
)
def test_other_text_is_not_a_date(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be a date such as 2026-11-21 or 2026-11-21T08:30, not '"):
        date_parts(text)


@pytest.mark.parametrize(
    "text",
    ["2026-02-30", "2025-02-29", "2026-13-01", "2026-00-10", "0000-01-01", "2026-11-21T24:00", "2026-11-21T08:60"],
)
def test_date_that_does_not_exist_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=f"must be a date that exists, not '{text}'"):
        date_parts(text)


@given(at=st.datetimes())
def test_printed_times_are_read(at: object) -> None:
    parts = date_parts(str(at))

    assert parts["year"] == getattr(at, "year")  # noqa: B009
