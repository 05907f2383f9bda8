"""Schema: the findings of Pandera as sentences with line numbers of the file."""

import numpy as np
import pandas as pd
import pytest
from pandera.pandas import Check

from slipway_trainer.recipes import Column, Recipe
from slipway_trainer.schema import check_schema, lines, missing_columns, values_in_lines
from support.bike import BIKE, bike_frame
from support.iris import IRIS, iris_dataset

EVERY_RECIPE = pytest.mark.parametrize(
    ("recipe", "frame"), [(IRIS, iris_dataset().frame), (BIKE, bike_frame())], ids=["iris", "bike-demand"]
)


def with_value(column: str, value: object, row: int = 7) -> pd.DataFrame:
    """Return bike rentals of which one row, counted from 0, has another value."""
    frame = bike_frame().astype({column: object})
    frame.loc[row, column] = value
    return frame


def findings_of(frame: pd.DataFrame, recipe: Recipe = BIKE) -> list[str]:
    return check_schema(recipe, frame)[1]


@EVERY_RECIPE
def test_honest_rows_fit(recipe: Recipe, frame: pd.DataFrame) -> None:
    assert findings_of(frame, recipe) == []


def test_numbers_are_returned_as_float64() -> None:
    frame, _ = check_schema(BIKE, bike_frame())

    assert {str(dtype) for dtype in frame[[*BIKE.feature_names, "cnt"]].dtypes} == {"float64"}


@pytest.mark.parametrize(
    ("column", "value", "finding"),
    [
        ("hr", 24, "'hr' must be one of 0 to 23, got 24 in line 9"),
        ("hr", 7.5, "'hr' must be one of 0 to 23, got 7.5 in line 9"),
        ("season", 0, "'season' must be one of 1, 2, 3, 4, got 0 in line 9"),
        ("mnth", 13, "'mnth' must be one of 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, got 13 in line 9"),
        ("temp", 1.6, "'temp' must be at most 1.5 × 41 °C, got 1.6 in line 9"),
        ("hum", -0.01, "'hum' must be at least 0 × 100 %, got -0.01 in line 9"),
        ("windspeed", "calm", "'windspeed' must be a number, got 'calm' in line 9"),
        ("windspeed", None, "'windspeed' is empty or NA in line 9"),
        ("windspeed", np.inf, "'windspeed' must be finite, got inf in line 9"),
        ("holiday", True, "'holiday' must be a number, got True in line 9"),
    ],
)
def test_bad_value_is_reported_with_column_and_line(column: str, value: object, finding: str) -> None:
    (found,) = findings_of(with_value(column, value))

    assert found.startswith(f"{finding}; ")


@pytest.mark.parametrize(
    ("value", "finding"),
    [
        (-1, "'cnt' must be at least 0 rentals per hour, got -1 in line 9"),
        ("many", "'cnt' must be a number, got 'many' in line 9"),
        (None, "'cnt' is empty or NA in line 9"),
    ],
)
def test_a_regressions_target_is_checked_too(value: object, finding: str) -> None:
    frame = with_value("cnt", value).drop(columns=["casual", "registered"])

    (found,) = findings_of(frame)

    assert found.startswith(f"{finding}; ")


@pytest.mark.parametrize(("column", "is_feature"), [("windspeed", True), ("cnt", False)])
def test_missing_values_may_be_allowed_for_features_only(column: str, is_feature: bool) -> None:
    (found,) = findings_of(with_value(column, None).drop(columns=["casual", "registered"]))

    assert ("`nullable=True`" in found) == is_feature


def test_boolean_column_is_rejected_as_numeric() -> None:
    frame = bike_frame().astype({"holiday": bool})

    (finding,) = findings_of(frame)

    assert finding.startswith("'holiday' must be a number, got False in lines 2, 3, 4, 5, 6 and 667 more, True in ")


def test_violated_rule_is_reported_once_with_its_lines() -> None:
    assert findings_of(with_value("registered", 10_000)) == [
        (
            "'cnt' is not the sum of 'casual' and 'registered' in line 9; correct the data, or change `checks` in the "
            "recipe"
        )
    ]


@pytest.mark.parametrize("optional", [["casual"], ["registered"], ["casual", "registered", "instant", "dteday"]])
def test_columns_that_nothing_is_learned_from_may_be_missing(optional: list[str]) -> None:
    assert findings_of(bike_frame().drop(columns=optional)) == []


@pytest.mark.parametrize("value", [1e39, -1e39])
def test_without_limits_a_number_must_fit_float32(value: float) -> None:
    free = BIKE.model_copy(update={"columns": (*BIKE.columns[:-1], Column(name="windspeed"))})

    (finding,) = findings_of(with_value("windspeed", value), free)

    assert f"got {value:g} in line 9; correct the data" in finding


@pytest.mark.parametrize(
    ("rows", "told"), [([0], "line 2"), ([0, 3], "lines 2, 5"), (list(range(7)), "lines 2, 3, 4, 5, 6 and 2 more")]
)
def test_five_lines_are_named_and_the_others_counted(rows: list[int], told: str) -> None:
    mask = pd.Series(range(9)).isin(rows)

    assert lines(mask) == told


HEADER = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)", "species"]
OTHER_NAMES = "the names of columns differ from those of the recipe; rename"


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ("Sepal Length (cm)", f"{OTHER_NAMES} 'Sepal Length (cm)' to 'sepal length (cm)'"),
        (" sepal length (cm) ", f"{OTHER_NAMES} ' sepal length (cm) ' to 'sepal length (cm)'"),
        ("sepal_length_cm", f"{OTHER_NAMES} 'sepal_length_cm' to 'sepal length (cm)'"),
        ("sepal lenght (cm)", f"{OTHER_NAMES} 'sepal lenght (cm)' to 'sepal length (cm)'"),
        (
            "height",
            (
                "the column 'sepal length (cm)' is missing; the file has height, sepal width (cm), petal length (cm), "
                "petal width (cm), species; add it, or remove it from the recipe"
            ),
        ),
    ],
)
def test_a_missing_column_comes_with_the_one_that_was_meant(found: str, sentence: str) -> None:
    assert missing_columns(HEADER, [found, *HEADER[1:]]) == [sentence]


def test_a_file_without_a_header_is_named_as_such() -> None:
    (finding,) = missing_columns(HEADER, ["5.1", "3.5", "1.4", "1.4.1", "setosa"])

    assert finding.startswith("the file has no header: its first line is ")


def test_names_that_are_all_wrong_are_not_taken_for_values() -> None:
    (finding,) = missing_columns(HEADER, ["a", "b", "c", "d", "e"])

    assert finding.startswith("the columns 'sepal length (cm)', ")
    assert finding.endswith(
        "'species' are missing; the file has a, b, c, d, e; add them, or remove them from the recipe"
    )


def test_a_header_in_another_case_is_one_sentence() -> None:
    (finding,) = missing_columns(HEADER, [name.upper() for name in HEADER])

    assert finding.count("' to '") == len(HEADER)


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ([(7, 24.0)], "24 in line 9"),
        ([(7, "x"), (0, 0.1)], "0.1 in line 2, 'x' in line 9"),
        ([(row, "n/a") for row in range(7)], "'n/a' in lines 2, 3, 4, 5, 6 and 2 more"),
        (
            [(row, float(row)) for row in range(5)],
            "0 in line 2, 1 in line 3, 2 in line 4 and other values in 2 more lines",
        ),
        ([(0, "y" * 90)], f"'{'y' * 39}…' in line 2"),
        ([(0, "a\nb")], r"'a\nb' in line 2"),
    ],
)
def test_values_are_listed_with_their_lines(cells: list[tuple[int, object]], told: str) -> None:
    assert values_in_lines(cells) == told


def test_a_rule_that_fails_by_itself_is_one_sentence() -> None:
    def broken(frame: pd.DataFrame) -> pd.Series:
        return frame["no such column"] > 0

    recipe = BIKE.model_copy(update={"checks": (Check(broken, error="'cnt' is odd"),)})

    (finding,) = findings_of(bike_frame(), recipe)

    assert finding.startswith("'cnt' is odd (")
    assert "no such column" in finding
