"""Tables: accepted values of each type and the graph's inputs, and the problems of rejected ones."""

import math
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway_core.columns import GraphInput, InputColumn
from slipway_core.errors import FeaturesError, Problem
from slipway_core.feature_values import FLOAT32_LIMIT, FLOAT32_MAX, MAX_PROBLEMS, MAX_WARNINGS, RangeWarning
from slipway_core.rows import CELL_BYTES, repeated
from slipway_core.table_signature import TableSignature
from support.typed_models import TABLE_COLUMNS, TABLE_NAMES, TABLE_ROWS, TABLE_SIGNATURE

ROW = list(TABLE_ROWS[0])
NULLABLE = [column.name for column in TABLE_COLUMNS if column.nullable]


def with_value(name: str, value: object) -> list[Any]:
    """Return a valid row with another value."""
    return [value if column == name else old for column, old in zip(TABLE_NAMES, ROW, strict=True)]


def problems_of(features: object, signature: TableSignature = TABLE_SIGNATURE) -> tuple[Problem, ...]:
    with pytest.raises(FeaturesError) as caught:
        signature.rows(features)
    return caught.value.problems


def one_column(dtype: str, tensor: str = "", **fields: Any) -> TableSignature:
    """Return the signature of one column `x`."""
    column = InputColumn.model_validate({"name": "x", "dtype": dtype, **fields})
    return TableSignature(
        [column], [GraphInput.model_validate({"name": "t", "dtype": tensor or dtype, "shape": (1,), "column": "x"})]
    )


ACCEPTED: list[tuple[str, Any, list[Any]]] = [
    ("color", "blue", ["blue"]),
    ("city", None, ["(missing)"]),
    ("city", "a city without a category", ["a city without a category"]),
    ("city", "", [""]),
    ("weight", 5, [5.0]),
    ("weight", FLOAT32_LIMIT, [FLOAT32_MAX]),
    ("weight", None, [math.nan]),
    ("price", 0.1, [0.1]),
    ("price", 1e308, [1e308]),
    ("price", 2**60, [float(2**60)]),
    ("size", 0.1, [float(np.float32(0.1))]),
    ("size", 2, [2.0]),
    ("count", 2**63 - 1, [2**63 - 1]),
    ("count", -(2**63), [-(2**63)]),
    ("count", 3.0, [3]),
    ("visits", 2**24, [float(2**24)]),
    ("visits", None, [math.nan]),
    ("member", False, [False]),
    ("consent", True, [1.0]),
    ("consent", None, [math.nan]),
    ("day", "2026-11-21", [2026.0, 11.0, 5.0]),
    ("seen", "2026-11-21T17:59", [17.0]),
    ("seen", None, [math.nan]),
]


@pytest.mark.parametrize("n_rows", [1, 3])
@pytest.mark.parametrize(("name", "value", "expected"), ACCEPTED)
def test_valid_value_enters_the_graph_with_its_type(name: str, value: object, expected: list[Any], n_rows: int) -> None:
    table = TABLE_SIGNATURE.rows([with_value(name, value)] * n_rows)

    tensors = [found for key, found in table.feed.items() if key.partition("_")[0] == name]
    assert [found.shape for found in tensors] == [(n_rows, 1)] * len(expected)
    np.testing.assert_equal([found[-1, 0] for found in tensors], expected)
    assert table.columns[TABLE_NAMES.index(name)] == (value,) * n_rows


REJECTED: list[tuple[str, Any, str]] = [
    ("color", 1, "must be text, not a number (1)"),
    ("color", True, "must be text, not a boolean (true)"),
    ("color", None, "is null, but the model needs a value here"),
    ("color", "Red", "must be one of 'blue', 'green', 'red', not 'Red'"),
    ("color", "", "must be one of 'blue', 'green', 'red', not ''"),
    ("color", "\ud800", "must be one of 'blue', 'green', 'red', not '\\ud800'"),
    ("color", [], "must be text, not a list"),
    ("color", {"red": 1}, "must be text, not an object"),
    ("city", "a\x00b", "must be text without NUL and unpaired surrogates"),
    ("city", "\udfff", "must be text without NUL and unpaired surrogates"),
    ("weight", "5,1", "must be a number, not a string ('5,1')"),
    ("weight", "", "is empty; it must be a number; for a missing value, send null, or leave the cell of a CSV empty"),
    ("weight", False, "must be a number, not a boolean"),
    ("weight", 1e39, "is too large for a 32-bit float"),
    ("weight", 10**400, "is too large for a 32-bit float"),
    (
        "weight",
        math.nan,
        "must be a finite number, not NaN or infinity; for a missing value, send null, or leave the cell of a CSV empt",
    ),
    ("price", None, "is null, but the model needs a value here"),
    ("price", math.inf, "must be a finite number, not NaN or infinity"),
    ("price", -(10**400), "is too large for a 64-bit float"),
    ("size", 0.2, "must be one of 0.1, 2, 37.5, not 0.2"),
    ("size", "2", "must be a number, not a string ('2')"),
    ("count", 2**63, "is too large for a 64-bit integer (9223372036854775808)"),
    ("count", 1e300, "is too large for a 64-bit integer (1"),
    ("count", 10**400, f"is too large for a 64-bit integer (1{'0' * 98}…)"),
    ("count", 3.5, "must be an integer, not a number (3.5)"),
    ("count", math.nan, "must be an integer, not a number (nan)"),
    ("count", "3", "must be an integer, not a string ('3')"),
    ("count", None, "is null, but the model needs a value here"),
    ("visits", 2**24 + 1, "must be between -16777216 and 16777216, not 16777217: the graph takes it as float32"),
    ("member", 1, "must be true or false, not a number (1)"),
    ("member", "true", "must be true or false, not a string ('true')"),
    ("consent", 0.0, "must be true or false, not a number (0.0)"),
    ("day", "2026-02-30", "must be a date that exists, not '2026-02-30'"),
    ("day", "21.11.2026", "must be a date such as 2026-11-21 or 2026-11-21T08:30, not '21.11.2026'"),
    ("day", 20261121, "must be a date such as 2026-11-21 or 2026-11-21T08:30, not a number (20261121)"),
    ("day", None, "is null, but the model needs a value here"),
    ("seen", "", "must be a date such as 2026-11-21 or 2026-11-21T08:30, not ''"),
]


@pytest.mark.parametrize("n_rows", [1, 3])
@pytest.mark.parametrize(("name", "value", "message"), REJECTED)
def test_invalid_value_is_reported_at_its_place(name: str, value: object, message: str, n_rows: int) -> None:
    rows = [ROW] * (n_rows - 1) + [with_value(name, value)]

    [problem] = problems_of(rows)

    assert problem.loc == ("features", n_rows - 1, name)
    assert problem.msg.startswith(f"'{name}' {message}")


@pytest.mark.parametrize(
    ("features", "place", "message"),
    [
        (ROW[:-1], ("features",), "expected 11 features (color, city, "),
        ([ROW, ROW[1:]], ("features", 1), "expected 11 features (color, city, "),
        ([ROW, "x"], ("features", 1), "a row must be a list or an object, not a string"),
        ({}, ("features", "color"), "the feature 'color' is missing"),
        ({**dict(zip(TABLE_NAMES, ROW, strict=True)), "odd": 1}, ("features", "odd"), "the model has no feature 'odd'"),
        ("x", ("features",), "features must be a row or a list of rows, not a string"),
        ([], ("features",), "features is empty: send at least one row"),
        (dict(zip(TABLE_NAMES, with_value("color", 1), strict=True)), ("features", "color"), "'color' must be text"),
    ],
)
def test_rows_of_another_form_are_reported(features: object, place: tuple[str | int, ...], message: str) -> None:
    first = problems_of(features)[0]

    assert first.loc == place
    assert first.msg.startswith(message)


def test_problems_are_in_the_order_of_rows_and_limited() -> None:
    bad = [1 if column.dtype == "string" else "x" for column in TABLE_COLUMNS]

    found = problems_of([ROW] + [bad] * 3_000)

    assert [problem.loc[1:] for problem in found] == [
        (1 + place // len(bad), TABLE_NAMES[place % len(bad)]) for place in range(MAX_PROBLEMS)
    ]


def test_many_unknown_values_of_many_categories_are_rejected_fast() -> None:
    names = tuple(f"category {index}" for index in range(10_000))
    signature = one_column("string", categories=names)

    began = time.perf_counter()
    found = problems_of([["odd"]] * 10_000, signature)

    assert len(found) == MAX_PROBLEMS
    assert "(10000 values), not 'odd'" in found[0].msg
    assert time.perf_counter() - began < 0.5


@pytest.mark.parametrize(
    ("signature", "value", "known"),
    [
        (one_column("float32", categories=(0.1, 16777216)), 0.1, True),
        (one_column("float32", categories=(0.1, 16777216)), 16777217, True),
        (one_column("float64", categories=(0.1,)), 0.1, True),
        (one_column("float64", categories=(0.1,)), 0.1 + 1e-10, False),
        (one_column("float64", "float32", categories=(0.1,)), 0.1 + 1e-10, True),
        (one_column("int64", categories=(1, 2**53)), 2**53, True),
        (one_column("int64", categories=(1, 2**53)), 2**53 + 1, False),
        (one_column("int64", categories=(1, 2**53)), 1.0, True),
    ],
)
def test_categories_are_compared_as_the_graph_has_them(signature: TableSignature, value: float, known: bool) -> None:
    if known:
        assert len(signature.rows([[value]])) == 1
    else:
        assert problems_of([[value]], signature)[0].msg.startswith("'x' must be one of ")


def test_column_with_a_wide_and_a_narrow_input_is_limited_by_the_narrow_one() -> None:
    columns = [InputColumn(name="x", dtype="int64"), InputColumn(name="y", dtype="float64")]
    inputs = [
        GraphInput.model_validate({"name": f"{name}{dtype}", "dtype": dtype, "shape": (1,), "column": name})
        for name, dtype in (("x", "int64"), ("x", "float32"), ("y", "float64"), ("y", "float32"))
    ]

    found = problems_of([[2**24 + 1, 1e39]], TableSignature(columns, inputs))

    assert [problem.loc for problem in found] == [("features", 0, "x"), ("features", 0, "y")]


# Ranges


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("weight", 0.1, None),
        ("weight", 90.5, None),
        ("weight", None, None),
        ("weight", 0.1 - 1e-10, None),  # equal as float32
        ("weight", 90.51, "90.51 is outside the trained range 0.1 to 90.5"),
        ("price", 1e6, None),
        ("price", 1e6 + 0.001, "1000000.001 is outside the trained range 0 to 1000000"),
        ("count", 1001, "1001 is outside the trained range 0 to 1000"),
        ("count", 2**62 + 1, "4611686018427387905 is outside the trained range 0 to 1000"),
        ("visits", 0, "0 is below the trained minimum 1"),
        ("visits", None, None),
    ],
)
@pytest.mark.parametrize("n_rows", [1, 3])
def test_values_outside_the_trained_range_are_described(
    name: str, value: object, message: str | None, n_rows: int
) -> None:
    table = TABLE_SIGNATURE.rows([ROW] * (n_rows - 1) + [with_value(name, value)])

    found = TABLE_SIGNATURE.out_of_range(table)

    assert TABLE_SIGNATURE.count_out_of_range(table) == (message is not None)
    assert [(one.row, one.feature, one.message) for one in found.warnings] == (
        [] if message is None else [(n_rows - 1, name, message)]
    )
    assert found.counts == [int(message is not None and column == name) for column in TABLE_NAMES]


def test_ignored_categories_are_described_like_values_outside_a_range() -> None:
    signature = one_column("string", nullable=True, missing="", categories=("a", "b"), on_unknown="ignore")
    table = signature.rows([{"x": value} for value in ("a", "c", None, "x" * 1_000)])

    found = signature.out_of_range(table)

    assert signature.count_out_of_range(table) == 2 == found.counts[0]
    assert found.warnings[0] == RangeWarning(1, "x", "'c' is not one of the 2 trained categories")
    assert len(found.warnings[1].message) < 150
    assert signature.count_out_of_range(signature.rows([{"x": "c"}])) == 1


def test_warnings_are_limited_and_in_order() -> None:
    row = with_value("count", -1)
    row[TABLE_NAMES.index("price")] = -1.0

    found = TABLE_SIGNATURE.out_of_range(TABLE_SIGNATURE.rows([row] * 100))

    assert [(one.row, one.feature) for one in found.warnings] == [
        (place // 2, ("price", "count")[place % 2]) for place in range(MAX_WARNINGS)
    ]
    assert found.omitted == 200 - MAX_WARNINGS


# Properties

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**24 + 1, 2**53 + 1, 2**63, 10**400]),
    st.floats(allow_nan=True),
    st.text(max_size=5),
    st.sampled_from(["red", "2026-11-21", "2026-02-30", "\ud800"]),
    st.dates().map(str),
    st.datetimes().map(lambda at: at.isoformat()),
    st.lists(st.integers(), max_size=1),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=1),
)
CELLS = [st.sampled_from([row[index] for row in TABLE_ROWS]) | VALUES for index in range(len(TABLE_NAMES))]


ONE_COLUMN = st.integers(0, len(CELLS) - 1).flatmap(
    lambda index: st.lists(CELLS[index], min_size=1, max_size=5).map(
        lambda values: [[*ROW[:index], value, *ROW[index + 1 :]] for value in values]
    )
)


@given(rows=st.lists(st.tuples(*CELLS).map(list), min_size=1, max_size=4) | ONE_COLUMN)
@settings(max_examples=500)
def test_rows_at_once_equal_rows_one_by_one(rows: list[list[Any]]) -> None:
    alone, problems = [], []
    for index, row in enumerate(rows):
        try:
            alone.append(TABLE_SIGNATURE.rows([row]))
        except FeaturesError as error:
            problems += [Problem(("features", index, *one.loc[2:]), one.msg) for one in error.problems]
    if problems:
        assert list(problems_of(rows)) == problems[:MAX_PROBLEMS]
        return
    table = TABLE_SIGNATURE.rows([dict(zip(TABLE_NAMES, row, strict=True)) for row in rows])
    for name, values in table.feed.items():
        assert values.dtype == alone[0].feed[name].dtype
        np.testing.assert_array_equal(values, np.concatenate([one.feed[name] for one in alone]))
    counts = [TABLE_SIGNATURE.count_out_of_range(one) for one in alone]
    assert TABLE_SIGNATURE.count_out_of_range(table) == sum(counts) == sum(TABLE_SIGNATURE.out_of_range(table).counts)


def test_size_in_memory_includes_the_texts() -> None:
    table = TABLE_SIGNATURE.rows([with_value("city", "x" * 1_000_000), ROW])

    texts = sum(len(value) for row in (ROW, ROW) for value in row if isinstance(value, str)) - len("Bern")
    assert table.nbytes == CELL_BYTES * 22 + texts + 1_000_000


def test_rows_are_repeated_in_order() -> None:
    table = repeated(TABLE_SIGNATURE.rows([list(row) for row in TABLE_ROWS]), 6)

    assert len(table) == 6
    expected = TABLE_SIGNATURE.rows([list(TABLE_ROWS[index % 4]) for index in range(6)])
    assert isinstance(table, type(expected))
    assert [list(column) for column in table.columns] == [list(column) for column in expected.columns]
    for name, values in table.feed.items():
        np.testing.assert_array_equal(values, expected.feed[name])
