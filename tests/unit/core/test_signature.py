"""Features: accepted input and its matrix, and the problems of rejected input."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway_core.columns import InputColumn
from slipway_core.errors import FeaturesError, Problem
from slipway_core.feature_values import FLOAT32_LIMIT, FLOAT32_MAX, MAX_PROBLEMS
from slipway_core.rows import FloatMatrix
from slipway_core.signature import Signature

NAMES = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")
SIGNATURE = Signature([InputColumn(name=name, dtype="float32", min=0.1, max=7.9) for name in NAMES])
ROW = [5.1, 3.5, 1.4, 0.2]
OTHER = [6.7, 3.0, 5.2, 2.3]


def named(row: list[Any]) -> dict[str, Any]:
    return dict(zip(NAMES, row, strict=True))


def problems_of(features: object) -> tuple[Problem, ...]:
    with pytest.raises(FeaturesError) as caught:
        SIGNATURE.rows(features)
    return caught.value.problems


# Accepted input


@pytest.mark.parametrize(
    ("features", "rows"),
    [
        (ROW, [ROW]),
        (named(ROW), [ROW]),
        ([ROW], [ROW]),
        ([named(ROW)], [ROW]),
        ([ROW, OTHER], [ROW, OTHER]),
        ([named(ROW), named(OTHER)], [ROW, OTHER]),
        ([ROW, named(OTHER)], [ROW, OTHER]),
    ],
    ids=["row", "named row", "one row", "one named row", "rows", "named rows", "rows of both kinds"],
)
def test_a_row_or_a_list_of_rows_becomes_a_matrix(features: object, rows: list[list[float]]) -> None:
    matrix = SIGNATURE.rows(features)

    assert matrix.dtype == np.float32
    assert np.array_equal(matrix, np.array(rows, dtype=np.float32))


def test_the_order_of_names_is_free() -> None:
    features = dict(reversed(named(ROW).items()))

    assert np.array_equal(SIGNATURE.rows(features), SIGNATURE.rows(ROW))


def test_integers_are_taken_as_floats() -> None:
    assert SIGNATURE.rows([5, 3, 10**30, -1]).tolist() == [[5.0, 3.0, np.float32(1e30), -1.0]]


@pytest.mark.parametrize("value", [FLOAT32_MAX, -FLOAT32_MAX, 5e-324, -0.0, int(FLOAT32_MAX), 2**64])
def test_every_number_that_float32_holds_is_accepted(value: float) -> None:
    assert np.isfinite(SIGNATURE.rows([value, 1.0, 1.0, 1.0])).all()


# float32's maximum as JSON writers give it; the last number that is rounded to it; an integer that numpy rounds so.
ROUNDED_TO_THE_MAXIMUM = [3.4028235e38, FLOAT32_LIMIT, 2**128 - 2**103 - 2**75, 2**128 - 2**103 - 2**74 - 1]
EVERY_WAY = pytest.mark.parametrize(
    "rows",
    [lambda row: row, lambda row: [row, row], lambda row: [row, named(row)]],
    ids=["row", "rows", "rows of both kinds"],
)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("value", ROUNDED_TO_THE_MAXIMUM)
@EVERY_WAY
def test_number_rounded_to_the_float32_maximum_is_accepted(
    rows: Callable[[list[float]], object], value: float, sign: int
) -> None:
    matrix = SIGNATURE.rows(rows([sign * value, 1.0, 1.0, 1.0]))

    assert set(matrix[:, 0].tolist()) == {sign * FLOAT32_MAX}


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("value", [math.nextafter(FLOAT32_LIMIT, math.inf), 2**128 - 2**103 - 1, 2**128])
@EVERY_WAY
def test_number_rounded_to_infinity_is_rejected(rows: Callable[[list[float]], object], value: float, sign: int) -> None:
    problem, *_ = problems_of(rows([sign * value, 1.0, 1.0, 1.0]))

    assert problem.msg == "'sepal length (cm)' is too large for a 32-bit float"


# Rejected values


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (True, "must be a number, not a boolean"),
        ("5.1", "must be a number, not a string ('5.1')"),
        (None, "must be a number, not null"),
        ({}, "must be a number, not an object"),
        (math.nan, "must be a finite number, not NaN or infinity"),
        (math.inf, "must be a finite number, not NaN or infinity"),
        (-math.inf, "must be a finite number, not NaN or infinity"),
        (1e39, "is too large for a 32-bit float"),
        (-1e39, "is too large for a 32-bit float"),
        (10**400, "is too large for a 32-bit float"),
    ],
)
def test_non_finite_value_is_rejected_with_its_position(value: object, words: str) -> None:
    features = [ROW, [5.1, value, 1.4, 0.2]]

    expected = Problem(("features", 1, "sepal width (cm)"), f"'sepal width (cm)' {words}")
    assert problems_of(features) == (expected,)


def test_list_in_place_of_a_value_is_rejected() -> None:
    expected = Problem(("features", 0, "petal width (cm)"), "'petal width (cm)' must be a number, not a list")

    assert problems_of([[5.1, 3.5, 1.4, [0.2]]]) == (expected,)


@pytest.mark.parametrize("features", [[5.1, True, 1.4, 0.2], named([5.1, True, 1.4, 0.2])], ids=["list", "object"])
def test_location_in_a_single_row_has_no_index(features: object) -> None:
    (problem,) = problems_of(features)

    assert problem.loc == ("features", "sepal width (cm)")


def test_missing_and_extra_names_are_each_named() -> None:
    features = {**named(ROW), "petal colour": 1.0, "scent": 2.0}
    del features["sepal length (cm)"], features["petal width (cm)"]

    assert problems_of([ROW, features]) == (
        Problem(("features", 1, "sepal length (cm)"), "the feature 'sepal length (cm)' is missing"),
        Problem(("features", 1, "petal width (cm)"), "the feature 'petal width (cm)' is missing"),
        Problem(("features", 1, "petal colour"), "the model has no feature 'petal colour'"),
        Problem(("features", 1, "scent"), "the model has no feature 'scent'"),
    )


@pytest.mark.parametrize("length", [0, 3, 5])
def test_row_of_wrong_length_is_rejected_with_feature_names(length: int) -> None:
    expected = Problem(("features", 0), f"expected 4 features ({', '.join(NAMES)}), got {length}")

    assert problems_of([[1.0] * length]) == (expected,)


def test_single_row_of_wrong_length_is_reported_without_index() -> None:
    (problem,) = problems_of([1.0, 2.0])

    assert problem.loc == ("features",)


@pytest.mark.parametrize(
    ("row", "kind"), [(5.1, "a number"), ("row", "a string"), (None, "null"), (False, "a boolean")]
)
def test_invalid_row_among_rows_is_rejected_with_its_position(row: object, kind: str) -> None:
    expected = Problem(("features", 1), f"a row must be a list or an object, not {kind}")

    assert problems_of([ROW, row]) == (expected,)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        *(
            (features, f"features must be a row or a list of rows, not {kind}")
            for features, kind in (
                *((5.1, "a number"), (5, "a number"), ("x", "a string"), (None, "null"), (True, "a boolean")),
            )
        ),
        ([], "features is empty: send at least one row"),
    ],
)
def test_input_without_rows_is_rejected(features: object, message: str) -> None:
    assert problems_of(features) == (Problem(("features",), message),)


def test_every_problem_is_reported_at_once() -> None:
    places = [problem.loc for problem in problems_of([["a", 1.0, 1.0, "b"], ROW, [1.0], 7])]

    assert places == [
        ("features", 0, "sepal length (cm)"),
        ("features", 0, "petal width (cm)"),
        ("features", 2),
        ("features", 3),
    ]


@pytest.mark.parametrize(
    "features",
    [[["a"] * 4] * 1_000, {f"f{number}": 1.0 for number in range(1_000)}, [[None] * 3] * 21],
    ids=["many rows", "many names", "one too many"],
)
def test_number_of_reported_problems_is_limited(features: object) -> None:
    assert len(problems_of(features)) == MAX_PROBLEMS


def test_rows_after_the_last_reported_problem_are_not_checked() -> None:
    class Untouchable(list[float]):
        def __len__(self) -> int:
            raise AssertionError("it was looked at")

    assert len(problems_of([["a"] * 4] * 5 + [Untouchable()])) == MAX_PROBLEMS


def test_error_text_has_every_problem() -> None:
    with pytest.raises(FeaturesError) as caught:
        SIGNATURE.rows([["a", 1.0, 1.0, True]])

    assert str(caught.value) == (
        "'sepal length (cm)' must be a number, not a string ('a'); 'petal width (cm)' must be a number, not a boolean"
    )


# Values outside the trained range


@pytest.mark.parametrize(("rows", "count"), [([ROW], 0), ([[8.0, 3.5, 1.4, 0.0]], 2), ([ROW, [8.0] * 4], 4)])
def test_values_outside_the_trained_range_are_counted(rows: list[list[float]], count: int) -> None:
    assert SIGNATURE.count_out_of_range(SIGNATURE.rows(rows)) == count


def test_limits_of_the_trained_range_are_inside() -> None:
    # 0.1 and 7.9 are other numbers as float32 than as float64.
    assert SIGNATURE.count_out_of_range(SIGNATURE.rows([0.1, 7.9, 0.1, 7.9])) == 0


def test_a_feature_without_a_range_is_never_outside() -> None:
    signature = Signature([InputColumn(name="x", dtype="float32")])

    assert signature.count_out_of_range(signature.rows([[FLOAT32_MAX], [-FLOAT32_MAX]])) == 0


# Arbitrary input

numbers = st.one_of(
    st.integers(),
    st.integers(-(10**320), 10**320),
    st.floats(),
    st.sampled_from([0.1, 7.9, FLOAT32_MAX, 3.4028235e38, 1e39]),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=5))
names = st.sampled_from(NAMES) | st.text(max_size=5)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=6) | st.dictionaries(names, inner, max_size=6), max_leaves=30
)
# Rows with some wrong values, which arbitrary JSON values seldom are.
values = st.one_of(numbers, numbers, numbers, scalars)
rows = st.lists(values, min_size=4, max_size=4) | st.fixed_dictionaries(dict.fromkeys(NAMES, values))
nearly_right = rows | st.lists(rows, min_size=1, max_size=30)


def matrix_or_problems(features: object) -> tuple[FloatMatrix | None, tuple[Problem, ...]]:
    try:
        return SIGNATURE.rows(features), ()
    except FeaturesError as error:
        return None, error.problems


@given(st.one_of(json_values, nearly_right))
def test_any_json_value_gives_a_finite_matrix_or_problems(features: object) -> None:
    matrix, problems = matrix_or_problems(features)

    if matrix is None:
        assert 1 <= len(problems) <= MAX_PROBLEMS
        assert all(problem.loc[0] == "features" and problem.msg for problem in problems)
    else:
        assert matrix.dtype == np.float32
        assert matrix.shape == (max(1, matrix.shape[0]), len(NAMES))
        assert np.isfinite(matrix).all()


@given(
    st.lists(
        st.lists(st.floats(-FLOAT32_MAX, FLOAT32_MAX) | st.integers(-(10**38), 10**38), min_size=4, max_size=4),
        min_size=1,
        max_size=5,
    ),
    st.permutations(NAMES),
)
def test_named_rows_in_any_order_equal_positional_ones(positional: list[list[float]], order: list[str]) -> None:
    by_name = [{name: row[NAMES.index(name)] for name in order} for row in positional]

    assert np.array_equal(SIGNATURE.rows(by_name), SIGNATURE.rows(positional))


# Categories


def coded(*codes: float) -> Signature:
    """Return a signature of a free feature and one with categories."""
    return Signature(
        [InputColumn(name="free", dtype="float32"), InputColumn(name="code", dtype="float32", categories=codes)]
    )


@pytest.mark.parametrize("features", [[0.37, 2], [[0.37, 2], [5, 0]], [{"free": 1, "code": 1.0}], [9, -0.0]])
def test_values_of_the_categories_become_a_matrix(features: object) -> None:
    assert coded(0, 1, 2).rows(features).dtype == np.float32


@pytest.mark.parametrize(
    ("value", "shown"),
    [(3, "3"), (0.37, "0.37"), (-1, "-1"), (1e30, "1e+30"), (2.0000002, "2.0000002"), (2**70, "1.1805916e+21")],
)
@pytest.mark.parametrize("n_rows", [1, 3])
def test_a_value_outside_the_categories_is_an_error(value: float, shown: str, n_rows: int) -> None:
    with pytest.raises(FeaturesError) as caught:
        coded(0, 1, 2).rows([[1, 1]] * (n_rows - 1) + [[1, value]])

    (problem,) = caught.value.problems
    assert problem.loc == ("features", n_rows - 1, "code")
    assert problem.msg == f"'code' must be one of 0, 1, 2, not {shown}"


def test_categories_are_compared_as_float32() -> None:
    assert coded(0.1, 0.7).rows([1, 0.1])[0, 1] == np.float32(0.1)
    assert coded(0.1, 0.7).rows([1, float(np.float32(0.7))])[0, 1] == np.float32(0.7)


@pytest.mark.parametrize("rows", [[9], [[9], [0.5]], [{"code": 9}]])
def test_ignored_categories_take_any_number(rows: list[Any]) -> None:
    signature = Signature([InputColumn(name="code", dtype="float32", categories=(0.0, 1.0), on_unknown="ignore")])

    assert signature.rows(rows)[0, 0] == 9
    assert signature.category_problems(np.array([[9]], dtype=np.float32)) == []


def test_other_problems_are_reported_with_wrong_categories() -> None:
    with pytest.raises(FeaturesError) as caught:
        coded(0, 1, 2).rows([["x", 1], [1, 5]])

    assert [problem.loc for problem in caught.value.problems] == [("features", 0, "free"), ("features", 1, "code")]


def test_many_categories_are_listed_in_part() -> None:
    with pytest.raises(FeaturesError, match=r"one of 0, 1, .* 10, … 999 \(1000 values\), not 0\.5$"):
        coded(*range(1_000)).rows([0, 0.5])
