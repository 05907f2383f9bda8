"""Values of Python, NumPy and pandas as the JSON that the API expects."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from slipway_client import ValidationError
from slipway_client.frames import frame_rows
from slipway_client.values import encode_rows, json_value, rows_of


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *[(value, None) for value in (None, float("nan"), np.nan, np.float32("nan"), pd.NA, pd.NaT)],
        (np.datetime64("NaT"), None),
        (Decimal("NaN"), None),
        ("", ""),
        ("Zürich", "Zürich"),
        (np.str_("text"), "text"),
        (True, True),
        (np.bool_(False), False),
        (3, 3),
        (np.int8(-3), -3),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (2.5, 2.5),
        (np.float16(2.5), 2.5),
        (Decimal("19.5"), 19.5),
        (date(2026, 11, 21), "2026-11-21"),
        (
            datetime(2026, 11, 21, 8, 30, 1, 999),  # noqa: DTZ001  # as pandas has it
            "2026-11-21T08:30:01",
        ),
        (datetime(2026, 11, 21, 8, 30, tzinfo=UTC), "2026-11-21T08:30:00+00:00"),
        (pd.Timestamp("2026-11-21T08:30:00.123456789"), "2026-11-21T08:30:00"),
        (np.datetime64("2026-11-21"), "2026-11-21T00:00:00"),
        (np.datetime64("2026-11-21T08:30:00.123456789"), "2026-11-21T08:30:00"),
    ],
    ids=repr,
)
def test_value_becomes_json(value: object, expected: object) -> None:
    assert (type(written := json.loads(json.dumps(json_value(value)))), written) == (type(expected), expected)


@pytest.mark.parametrize(
    ("row", "column", "message"),
    [
        ({"a": float("inf")}, "a", "'a' must be a finite number, got inf"),
        ({"a": np.float32("-inf")}, "a", "'a' must be a finite number, got -inf"),
        ({"a": Ellipsis}, "a", "not an object of the type ellipsis"),
        ({"a": timedelta(1)}, "a", "not an object of the type timedelta"),
        ({"a": pd.Interval(0, 1)}, "a", "not an object of the type Interval"),
        ({"a": b"bytes"}, "a", "not an object of the type bytes"),
        ({"a": np.complex128(1)}, "a", "not an object of the type complex128"),
        ({"a": "\ud800"}, "a", "'a' cannot be written as JSON"),
        ({"a": [Ellipsis]}, "a", "'a' cannot be written as JSON"),
        ({7: 1.0}, None, "names of features must be text, got 7"),
        ([1.0, float("inf")], None, "1 must be a finite number, got inf"),
    ],
    ids=repr,
)
def test_unsupported_value_is_reported_with_its_row_and_column(row: Any, column: str | None, message: str) -> None:
    good = {"a": 1.0}

    with pytest.raises(ValidationError) as caught:
        encode_rows([good, row, good])

    (error,) = caught.value.errors
    assert (error.row, error.column) == (1, column)
    assert message in error.message
    assert str(caught.value).startswith("row 1: ")
    assert caught.value.status is None


def test_errors_of_values_are_limited() -> None:
    with pytest.raises(ValidationError) as caught:
        encode_rows([{"a": float("inf"), "b": float("inf")}] * 1_000)

    assert len(caught.value.errors) == 20


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"a": 1}, [{"a": 1}]),
        ([1.0, None], [[1.0, None]]),
        (("x", 2), [("x", 2)]),
        (pd.Series({"a": 1, "b": None}, dtype=object), [{"a": 1, "b": None}]),
        ([[1.0], [2.0]], [[1.0], [2.0]]),
        ([{"a": 1}, {"a": 2}], [{"a": 1}, {"a": 2}]),
        (np.array([1.0, 2.0]), [[1.0, 2.0]]),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        ([np.array([1.0, 2.0])], [[1.0, 2.0]]),
        ([np.float32(1.0), np.int8(2)], [[1.0, 2]]),
        ([], []),
    ],
    ids=repr,
)
def test_rows_have_several_forms(data: object, expected: object) -> None:
    assert rows_of(data) == expected


@pytest.mark.parametrize("data", ["text", b"bytes", 7, None, [{"a": 1}, 7], [[1.0], "text"], {1, 2}], ids=repr)
def test_other_data_is_rejected(data: object) -> None:
    with pytest.raises(TypeError, match="pass a DataFrame, a row"):
        rows_of(data)


@pytest.mark.parametrize(
    ("columns", "message"),
    [([], "has no columns"), (["a", 1], "names of columns must be text, got 1"), (["a", "a"], "two columns named 'a'")],
)
def test_columns_of_a_frame_need_distinct_names(columns: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(frame_rows(pd.DataFrame([range(len(columns))], columns=columns)))
