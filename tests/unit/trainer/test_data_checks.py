"""Data checks: suspicious data that fits its schema is rejected, and honest data passes."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from slipway_trainer.data_checks import find_data_problems
from slipway_trainer.overrides import override
from slipway_trainer.recipes import Recipe
from slipway_trainer.schema import check_schema
from support.bike import BIKE, bike_frame
from support.iris import IRIS, iris_dataset

IRIS_FRAME = iris_dataset().frame
BIKE_FRAME = bike_frame()
CODES = {name: float(code) for code, name in enumerate(IRIS.classes)}
# The column that a leak replaces: a weak feature.
HIDING = {IRIS.name: "sepal width (cm)", BIKE.name: "windspeed"}
EVERY_RECIPE = pytest.mark.parametrize("recipe", [IRIS, BIKE], ids=["iris", "bike-demand"])
SEEDS = range(20)


def frame_of(recipe: Recipe) -> pd.DataFrame:
    """Return honest rows after the schema check, without the columns that add up to the target."""
    frame, _ = check_schema(recipe, IRIS_FRAME if recipe is IRIS else BIKE_FRAME)
    return frame.drop(columns=["casual", "registered"], errors="ignore")


def target_of(recipe: Recipe) -> np.ndarray:
    """Return the target as numbers."""
    values = frame_of(recipe)[recipe.target.name]
    numbers: np.ndarray = (values.map(CODES) if recipe is IRIS else values).to_numpy(dtype=np.float64)
    return numbers


# No false alarms.


@EVERY_RECIPE
def test_honest_data_passes(recipe: Recipe) -> None:
    assert find_data_problems(recipe, frame_of(recipe)) == []


@pytest.mark.slow
def test_random_samples_of_iris_pass() -> None:
    sizes = np.linspace(60, 150, len(SEEDS)).astype(int)
    found = {
        (seed, size): find_data_problems(IRIS, IRIS_FRAME.sample(size, random_state=seed))
        for seed, size in zip(SEEDS, sizes.tolist(), strict=True)
    }

    assert {key: findings for key, findings in found.items() if findings} == {}


@pytest.mark.parametrize("seed", range(5))
def test_bike_rentals_of_any_seed_pass(seed: int) -> None:
    assert find_data_problems(BIKE, bike_frame(seed)) == []


@EVERY_RECIPE
@pytest.mark.parametrize("name", ["Unnamed: 0", "id"])
def test_column_of_row_numbers_is_not_a_copy_of_the_target(recipe: Recipe, name: str) -> None:
    frame = frame_of(recipe)

    assert find_data_problems(recipe, frame.assign(**{name: range(len(frame))})) == []


def test_row_numbers_are_not_a_copy_of_a_unique_target() -> None:
    frame = frame_of(BIKE)
    frame["cnt"] += np.random.default_rng(1).uniform(0, 0.5, len(frame))

    assert find_data_problems(BIKE, frame.assign(id=range(len(frame)))) == []


@pytest.mark.parametrize("optional", [["instant"], ["dteday"], ["instant", "dteday"]])
def test_bike_rentals_without_unused_columns_pass(optional: list[str]) -> None:
    assert find_data_problems(BIKE, frame_of(BIKE).drop(columns=optional)) == []


def test_bike_rentals_of_one_year_pass() -> None:
    frame = frame_of(BIKE)

    assert set(frame["yr"]) == {0}
    assert find_data_problems(BIKE, frame) == []


def test_ignored_parts_of_the_target_are_not_a_leak() -> None:
    frame, _ = check_schema(BIKE, BIKE_FRAME)

    assert {"casual", "registered"} <= set(frame.columns)
    assert find_data_problems(BIKE, frame) == []


# Too few rows, constant columns and duplicate rows.


@EVERY_RECIPE
@pytest.mark.parametrize("rows", [0, 10])
def test_too_few_rows_are_rejected(recipe: Recipe, rows: int) -> None:
    findings = find_data_problems(recipe, frame_of(recipe).head(rows))

    lower = f", or lower the limit with --set min_rows={rows}" if rows else ""
    assert findings == [f"the data has {rows} rows, fewer than min_rows {recipe.min_rows}; add rows{lower}"]


@pytest.mark.parametrize(
    ("recipe", "name"),
    [(recipe, column.name) for recipe in (IRIS, BIKE) for column in recipe.columns if not column.may_be_constant],
)
def test_constant_feature_is_rejected(recipe: Recipe, name: str) -> None:
    findings = find_data_problems(recipe, frame_of(recipe).assign(**{name: 1.0}))

    told = f"{name!r} is 1 in every row, so it has no information; "
    assert any(finding.startswith(told) and "may_be_constant=True" in finding for finding in findings)


def test_constant_target_is_rejected() -> None:
    assert find_data_problems(BIKE, frame_of(BIKE).assign(cnt=5.0))[0] == (
        "the target 'cnt' is 5 in every row, so a model cannot learn; correct the data, or choose another `target` "
        "in the recipe"
    )
    assert find_data_problems(IRIS, frame_of(IRIS).assign(species="setosa"))[0] == (
        "the class 'versicolor' has 0 rows, fewer than the 10 that 5 folds require; add rows, or remove the class from "
        "the recipe's `classes` and its rows"
    )


def test_rare_class_is_rejected() -> None:
    many = pd.concat([IRIS_FRAME.head(100)] * 10)
    noise = np.random.default_rng(1).normal(0, 0.01, size=(len(many), 4))
    many[IRIS.feature_names] += noise
    frame = pd.concat([many, IRIS_FRAME.tail(12)], ignore_index=True)

    (finding,) = find_data_problems(IRIS, frame)
    assert finding == (
        "the class 'virginica' has 12 of 1012 rows (1.19%), less than min_class_share 0.02; add rows, or "
        "lower the limit with --set min_class_share=0.0118"
    )
    assert find_data_problems(override(IRIS, [finding.rpartition("--set ")[2]]), frame) == []


@EVERY_RECIPE
def test_duplicate_rows_are_rejected_with_their_lines(recipe: Recipe) -> None:
    frame = frame_of(recipe)
    twice = pd.concat([frame, frame.head(len(frame) // 5)], ignore_index=True)

    (finding,) = find_data_problems(recipe, twice)

    assert "rows (16." in finding or "rows (17." in finding
    assert (
        f"repeat an earlier row, more than max_duplicate_share {recipe.max_duplicate_share:g} allows: line " in finding
    )
    assert f"{len(frame) + 2}, {len(frame) + 3}" in finding
    assert find_data_problems(override(recipe, [finding.rpartition("--set ")[2]]), twice) == []


# Leaks of the target.

LEAKS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "exact": lambda y: y,
    "negative": lambda y: -y,
    "another unit": lambda y: 3 * y + 7,
    "logarithm": np.log1p,
    "exponential": lambda y: np.exp(y / y.max()),
    "cube": lambda y: y**3,
    "with a little noise": lambda y: y + np.random.default_rng(1).normal(0, 0.02 * y.std(), len(y)),
    "with some noise": lambda y: y + np.random.default_rng(1).normal(0, 0.1 * y.std(), len(y)),
}


@EVERY_RECIPE
@pytest.mark.parametrize("leak", LEAKS)
def test_feature_that_contains_the_target_is_rejected(recipe: Recipe, leak: str) -> None:
    hidden = HIDING[recipe.name]

    findings = find_data_problems(recipe, frame_of(recipe).assign(**{hidden: LEAKS[leak](target_of(recipe))}))

    assert findings[0].startswith(f"{hidden!r} alone predicts the target {recipe.target.name!r} (")


def test_feature_with_most_of_the_target_is_rejected() -> None:
    findings = find_data_problems(BIKE, frame_of(BIKE).assign(windspeed=BIKE_FRAME["registered"]))

    assert findings[0].startswith("'windspeed' alone predicts the target 'cnt' (r2 0.9")


def test_features_that_add_up_to_the_target_are_rejected() -> None:
    random = np.random.default_rng(1)
    part = random.normal(0, 3 * BIKE_FRAME["cnt"].std(), len(BIKE_FRAME))

    (finding,) = find_data_problems(BIKE, frame_of(BIKE).assign(windspeed=part, hum=BIKE_FRAME["cnt"] - part))

    assert finding.startswith("the features together add up to the target 'cnt' (r2 1.00000 of a linear model")


@EVERY_RECIPE
@pytest.mark.parametrize("written", ["as it is", "as text", "as numbers", "negative"])
def test_unused_column_that_copies_the_target_is_rejected(recipe: Recipe, written: str) -> None:
    frame, numbers = frame_of(recipe), target_of(recipe)
    copies = {
        "as it is": frame[recipe.target.name],
        "as text": frame[recipe.target.name].astype(str).str.upper(),
        "as numbers": numbers * 2.5,
        "negative": -numbers,
    }

    (finding,) = find_data_problems(recipe, frame.assign(answer=copies[written]))

    assert finding.startswith(f"the column 'answer' is a copy of the target {recipe.target.name!r}")


def test_copy_of_a_unique_target_is_rejected() -> None:
    frame = frame_of(BIKE)
    frame["cnt"] += np.random.default_rng(1).uniform(0, 0.5, len(frame))

    (finding,) = find_data_problems(BIKE, frame.assign(answer=-frame["cnt"]))

    assert finding.startswith("the column 'answer' is a copy")


# Features without any relation to the target.


@pytest.mark.slow
@EVERY_RECIPE
def test_shuffled_targets_are_rejected_for_any_seed(recipe: Recipe) -> None:
    frame = frame_of(recipe)

    for seed in SEEDS:
        shuffled = frame[recipe.target.name].sample(frac=1, random_state=seed).to_numpy()
        (finding,) = find_data_problems(recipe, frame.assign(**{recipe.target.name: shuffled}))
        assert finding.startswith(f"the features hardly predict the target {recipe.target.name!r}"), seed
