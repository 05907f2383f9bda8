"""Schema: what Pandera finds, told as sentences with the lines of the file."""

import numpy as np
import pandas as pd
import pytest

from slipway_trainer.recipes import Column, Recipe
from slipway_trainer.schema import check_schema, lines
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


@pytest.mark.parametrize(
    ("recipe", "frame"), [(IRIS, iris_dataset().frame), (BIKE, bike_frame())], ids=["iris", "bike"]
)
def test_honest_rows_fit(recipe: Recipe, frame: pd.DataFrame) -> None:
    assert findings_of(frame, recipe) == []


def test_numbers_are_returned_as_float64() -> None:
    frame, _ = check_schema(BIKE, bike_frame())

    assert {str(dtype) for dtype in frame[[*BIKE.feature_names, "cnt"]].dtypes} == {"float64"}


@pytest.mark.parametrize(
    ("column", "value", "finding"),
    [
        ("hr", 24, "'hr' is none of 0 to 23 in line 9"),
        ("hr", 7.5, "'hr' is none of 0 to 23 in line 9"),
        ("season", 0, "'season' is none of 1, 2, 3, 4 in line 9"),
        ("mnth", 13, "'mnth' is none of 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 in line 9"),
        ("temp", 1.6, "'temp' is above 1.5 × 41 °C in line 9"),
        ("hum", -0.01, "'hum' is below 0 × 100 % in line 9"),
        ("windspeed", "calm", "'windspeed' holds what is not a number in line 9"),
        ("windspeed", None, "'windspeed' is empty in line 9"),
        ("windspeed", np.inf, "'windspeed' is infinite in line 9"),
        ("holiday", True, "'holiday' holds what is not a number in line 9"),
    ],
)
def test_a_bad_value_is_told_with_its_column_and_line(column: str, value: object, finding: str) -> None:
    assert findings_of(with_value(column, value)) == [finding]


@pytest.mark.parametrize(
    ("value", "finding"),
    [
        (-1, "'cnt' is below 0 rentals an hour in line 9"),
        ("many", "'cnt' holds what is not a number in line 9"),
        (None, "'cnt' is empty in line 9"),
    ],
)
def test_a_regressions_target_is_checked_too(value: object, finding: str) -> None:
    frame = with_value("cnt", value).drop(columns=["casual", "registered"])

    assert findings_of(frame) == [finding]


def test_a_column_of_true_and_false_is_no_column_of_numbers() -> None:
    frame = bike_frame().astype({"holiday": bool})

    (finding,) = findings_of(frame)

    assert finding.startswith("'holiday' holds what is not a number in lines 2, 3, 4, 5, 6 and 739 more")


def test_a_rule_of_the_recipe_is_told_once_with_the_lines_that_break_it() -> None:
    assert findings_of(with_value("registered", 10_000)) == [
        "'cnt' is not the sum of 'casual' and 'registered' in line 9"
    ]


@pytest.mark.parametrize("optional", [["casual"], ["registered"], ["casual", "registered", "instant", "dteday"]])
def test_columns_that_nothing_is_learned_from_may_be_missing(optional: list[str]) -> None:
    assert findings_of(bike_frame().drop(columns=optional)) == []


@pytest.mark.parametrize(
    ("recipe", "frame"), [(IRIS, iris_dataset().frame), (BIKE, bike_frame())], ids=["iris", "bike"]
)
def test_every_missing_column_is_named_with_those_there_are(recipe: Recipe, frame: pd.DataFrame) -> None:
    for name in (*recipe.feature_names, recipe.target.name):
        (finding,) = findings_of(frame.drop(columns=name), recipe)
        assert finding.startswith(f"the column {name!r} is missing; the file has ")


@pytest.mark.parametrize("value", [1e39, -1e39])
def test_without_limits_a_number_must_fit_float32(value: float) -> None:
    free = BIKE.model_copy(update={"columns": (*BIKE.columns[:-1], Column(name="windspeed"))})

    (finding,) = findings_of(with_value("windspeed", value), free)

    assert finding.endswith("in line 9")


@pytest.mark.parametrize(
    ("rows", "told"),
    [([0], "line 2"), ([0, 3], "lines 2, 5"), (list(range(7)), "lines 2, 3, 4, 5, 6 and 2 more")],
)
def test_five_lines_are_named_and_the_others_counted(rows: list[int], told: str) -> None:
    mask = pd.Series(range(9)).isin(rows)

    assert lines(mask) == told
