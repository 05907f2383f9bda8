"""Validate: valid rows become float32 in the order of the recipe, and bad rows are reported by line."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway_trainer.errors import DataRefusedError
from slipway_trainer.overrides import override
from slipway_trainer.recipes import Column
from slipway_trainer.recipes.iris import RECIPE as IRIS
from slipway_trainer.step_results import Dataset, Table
from slipway_trainer.steps.extract import extract
from slipway_trainer.steps.validate import validate
from support.bike import BIKE, N_ROWS, bike_dataset, bike_frame
from support.iris import iris_dataset

COLUMNS = (*IRIS.feature_names, IRIS.target.name)
SEPAL_LENGTH, PETAL_WIDTH, SPECIES = 0, 3, 4


def iris_lines() -> list[str]:
    """Return the lines of the recipe's file, the header being the first."""
    text: str = iris_dataset().frame.to_csv(index=False)
    return text.splitlines()


def with_cell(lines: Sequence[str], line: int, column: int, text: str) -> list[str]:
    """Return lines of which one, counted from 1, has another value."""
    cells = lines[line - 1].split(",")
    cells[column] = text
    return [*lines[: line - 1], ",".join(cells), *lines[line:]]


def check(folder: Path, lines: Sequence[str]) -> Table:
    """Write lines to a file, and read and check it as a training does."""
    path = folder / "iris.csv"
    path.write_text("\n".join(lines) + "\n")
    return validate(IRIS, extract(IRIS, data=path, data_dir=folder, workdir=folder))


def findings_of(folder: Path, lines: Sequence[str]) -> tuple[str, ...]:
    with pytest.raises(DataRefusedError) as caught:
        check(folder, lines)
    return caught.value.findings


def test_data_of_recipe_fits_as_float32_in_recipes_order(tmp_path: Path) -> None:
    table = check(tmp_path, iris_lines())

    assert table.features.shape == (150, 4)
    assert table.features.dtype == np.float32
    assert table.features[0].tolist() == np.array([5.1, 3.5, 1.4, 0.2], dtype=np.float32).tolist()
    assert np.bincount(table.target).tolist() == [50, 50, 50]
    assert table.target.dtype == np.int64


def test_columns_are_found_by_name_and_others_are_skipped(tmp_path: Path) -> None:
    frame = iris_dataset().frame
    shuffled = frame[list(COLUMNS[::-1])].assign(remark="fine")

    table = check(tmp_path, shuffled.to_csv(index=False).splitlines())

    assert np.array_equal(table.features, check(tmp_path, iris_lines()).features)


def test_table_has_the_version_of_its_data() -> None:
    assert validate(IRIS, iris_dataset()).data_version == iris_dataset().version


@pytest.mark.parametrize(
    ("column", "text", "finding"),
    [
        (SEPAL_LENGTH, "long", "'sepal length (cm)' must be a number, got 'long' in line 9"),
        (PETAL_WIDTH, "", "'petal width (cm)' is empty or NA in line 9"),
        (SEPAL_LENGTH, "NaN", "'sepal length (cm)' is empty or NA in line 9"),
        (SEPAL_LENGTH, "-0.1", "'sepal length (cm)' must be at least 0 cm, got -0.1 in line 9"),
        (PETAL_WIDTH, "30.1", "'petal width (cm)' must be at most 30 cm, got 30.1 in line 9"),
        (SPECIES, "rose", "'species' must be one of setosa, versicolor, virginica, got 'rose' in line 9"),
        (SPECIES, "Setosa", "'species' must be one of setosa, versicolor, virginica, got 'Setosa' in line 9"),
        (SPECIES, "", "'species' is empty or NA in line 9"),
    ],
)
def test_bad_value_is_rejected_with_its_line(tmp_path: Path, column: int, text: str, finding: str) -> None:
    (found,) = findings_of(tmp_path, with_cell(iris_lines(), 9, column, text))

    assert found.startswith(f"{finding}; ")


@pytest.mark.parametrize("text", ["inf", "-inf"])
def test_infinite_value_is_reported_once(tmp_path: Path, text: str) -> None:
    findings = findings_of(tmp_path, with_cell(iris_lines(), 9, SEPAL_LENGTH, text))

    assert findings == (f"'sepal length (cm)' must be finite, got {text} in line 9; correct the data",)


@pytest.mark.parametrize("value", ["0", "30"])
def test_a_value_on_a_limit_is_allowed(tmp_path: Path, value: str) -> None:
    table = check(tmp_path, with_cell(iris_lines(), 9, SEPAL_LENGTH, value))

    assert table.features[7, 0] == float(value)


def test_column_without_limits_takes_any_float32_number() -> None:
    free = IRIS.model_copy(update={"columns": (Column(name=COLUMNS[0]), *IRIS.columns[1:])})
    frame = iris_dataset().frame.copy()
    frame.iloc[7, SEPAL_LENGTH] = -1e30

    table = validate(free, Dataset(frame, "version", "source"))

    assert table.features[7, 0] == np.float32(-1e30)


@pytest.mark.parametrize(
    ("limits", "value"), [({}, 1e39), ({}, -1e39), ({"minimum": 0.0}, 1e39), ({"maximum": 30.0}, -1e39)]
)
def test_number_beyond_float32_is_rejected_without_limits(limits: dict[str, float], value: float) -> None:
    free = IRIS.model_copy(update={"columns": (Column(name=COLUMNS[0], **limits), *IRIS.columns[1:])})
    frame = iris_dataset().frame.copy()
    frame.iloc[7, SEPAL_LENGTH] = value

    with pytest.raises(DataRefusedError, match=r"'sepal length \(cm\)' .* in line 9"):
        validate(free, Dataset(frame, "version", "source"))


@pytest.mark.parametrize("missing", [(COLUMNS[0],), (COLUMNS[SPECIES],), (COLUMNS[1], COLUMNS[SPECIES])])
def test_each_missing_column_is_named(missing: tuple[str, ...]) -> None:
    frame = iris_dataset().frame.drop(columns=list(missing))

    with pytest.raises(DataRefusedError) as caught:
        validate(IRIS, Dataset(frame, "version", "source"))

    there = ", ".join(frame.columns)
    names = ", ".join(map(repr, missing))
    one = len(missing) == 1
    (finding,) = caught.value.findings
    subject = f"the column {names} is" if one else f"the columns {names} are"
    assert finding.startswith(f"{subject} missing; the file has {there}; ")
    assert finding.endswith(
        "; add it, or remove it from the recipe" if one else "; add them, or remove them from the recipe"
    )


def test_file_with_only_a_header_is_rejected(tmp_path: Path) -> None:
    assert findings_of(tmp_path, iris_lines()[:1]) == ("the data has 0 rows, fewer than min_rows 50; add rows",)


def test_too_few_rows_of_a_class_are_refused_with_its_name(tmp_path: Path) -> None:
    assert findings_of(tmp_path, iris_lines()[:110]) == (
        (
            "the class 'virginica' has 9 rows, fewer than the 10 that 5 folds require; add rows, use fewer folds with "
            "--set folds=4, or remove the class from the recipe's `classes` and its rows"
        ),
    )


def test_twice_as_many_rows_of_a_class_as_folds_are_enough(tmp_path: Path) -> None:
    assert len(check(tmp_path, iris_lines()[:111]).target) == 110


def test_all_findings_are_reported_at_once(tmp_path: Path) -> None:
    lines = with_cell(iris_lines(), 2, SEPAL_LENGTH, "long")
    lines = with_cell(lines, 3, SEPAL_LENGTH, "")
    lines = with_cell(lines, 4, PETAL_WIDTH, "99")
    lines = with_cell(lines, 151, SPECIES, "rose")

    findings = findings_of(tmp_path, lines)

    assert {finding.partition("; ")[0] for finding in findings} == {
        "'sepal length (cm)' must be a number, got 'long' in line 2",
        "'sepal length (cm)' is empty or NA in line 3",
        "'petal width (cm)' must be at most 30 cm, got 99 in line 4",
        "'species' must be one of setosa, versicolor, virginica, got 'rose' in line 151",
    }


def test_error_states_that_nothing_is_registered(tmp_path: Path) -> None:
    with pytest.raises(DataRefusedError) as caught:
        check(tmp_path, with_cell(iris_lines(), 2, SEPAL_LENGTH, "-1"))

    assert str(caught.value) == (
        "the data was rejected, and no version was registered: 'sepal length (cm)' must be at least 0 cm, "
        "got -1 in line 2; correct the data, or change the column's `minimum` in the recipe"
    )


def test_blank_line_does_not_shift_line_numbers(tmp_path: Path) -> None:
    lines = with_cell(iris_lines(), 9, SEPAL_LENGTH, "-1")

    findings = findings_of(tmp_path, [*lines[:4], "", *lines[4:]])

    (finding,) = findings
    assert "must be at least 0 cm, got -1 in line 10; " in finding


@pytest.mark.parametrize("bad", [False, True])
def test_validation_does_not_change_the_frame(bad: bool) -> None:
    frame = iris_dataset().frame.copy()
    if bad:
        frame.iloc[3, SEPAL_LENGTH] = -1
    before = frame.copy(deep=True)

    try:
        validate(IRIS, Dataset(frame, "version", "source"))
    except DataRefusedError:
        assert bad

    assert frame.equals(before)
    assert frame.dtypes.equals(before.dtypes)


@settings(max_examples=15)
@given(
    row=st.integers(min_value=0, max_value=149),
    column=st.integers(min_value=0, max_value=3),
    value=st.floats(max_value=-1e-6) | st.floats(min_value=30.0001) | st.just(float("nan")),
)
def test_value_outside_the_limits_is_rejected_with_its_line(row: int, column: int, value: float) -> None:
    frame = iris_dataset().frame.copy()
    frame.iloc[row, column] = value

    with pytest.raises(DataRefusedError) as caught:
        validate(IRIS, Dataset(frame, "version", "source"))

    assert all(repr(COLUMNS[column]) in finding for finding in caught.value.findings)
    assert all(f" in line {row + 2}; " in finding for finding in caught.value.findings)


@settings(max_examples=15)
@given(
    row=st.integers(min_value=0, max_value=149),
    column=st.integers(min_value=0, max_value=3),
    value=st.floats(min_value=0, max_value=30),
)
def test_value_inside_the_limits_becomes_float32(row: int, column: int, value: float) -> None:
    frame = iris_dataset().frame.copy()
    frame.iloc[row, column] = value

    table = validate(IRIS, Dataset(frame, "version", "source"))

    assert table.features[row, column] == np.float32(value)


def test_target_of_a_regression_is_unchanged() -> None:
    table = validate(BIKE, bike_dataset())

    assert table.features.shape == (N_ROWS, 12)
    assert table.features.dtype == np.float32
    assert table.target.dtype == np.float64
    assert np.array_equal(table.target, bike_frame()["cnt"].to_numpy())


def test_time_split_sorts_the_rows() -> None:
    by_time = override(BIKE, ["split=time"])
    frame = bike_frame()
    shuffled = frame.sample(frac=1, random_state=1)

    table = validate(by_time, Dataset(shuffled, "version", "source"))

    assert np.array_equal(table.target, frame["cnt"].to_numpy())


def test_random_split_keeps_the_order_of_the_file() -> None:
    shuffled = bike_frame().sample(frac=1, random_state=1)

    table = validate(BIKE, Dataset(shuffled, "version", "source"))

    assert np.array_equal(table.target, shuffled["cnt"].to_numpy())


def test_split_by_time_needs_its_time_column() -> None:
    by_time = override(BIKE, ["split=time"])

    with pytest.raises(DataRefusedError) as caught:
        validate(by_time, Dataset(bike_frame().drop(columns="dteday"), "version", "source"))

    assert caught.value.findings == (
        "the column 'dteday' is missing, but the split 'time' requires it; add it, or use --set split=random",
    )


@pytest.mark.parametrize("label", ["None", "NA", "null", "nan"])
def test_class_may_have_the_name_of_a_missing_value(tmp_path: Path, label: str) -> None:
    path = tmp_path / "iris.csv"
    path.write_text("\n".join(iris_lines()).replace("setosa", label) + "\n\n")
    recipe = IRIS.model_copy(update={"classes": (label, *IRIS.classes[1:])})

    table = validate(recipe, extract(recipe, data=path, data_dir=tmp_path, workdir=tmp_path))

    assert np.bincount(table.target).tolist() == [50, 50, 50]
    (finding,) = findings_of(tmp_path, path.read_text().splitlines())
    assert finding.startswith(f"'species' must be one of setosa, versicolor, virginica, got '{label}' in lines 2, 3, ")
