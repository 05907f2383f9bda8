"""Tables of typed columns in CSV: accepted spellings, and rejected files with the place, the value and a remedy."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from slipway_trainer.errors import DataRefusedError, TrainingError
from slipway_trainer.inference.reading import read_table
from slipway_trainer.recipes import Candidate, Column, Recipe
from slipway_trainer.step_results import Table
from slipway_trainer.steps.extract import extract
from slipway_trainer.steps.train import split_rows, train
from slipway_trainer.steps.validate import validate

RECIPE = Recipe(
    name="shapes",
    title="Shapes",
    task="classification",
    data_file="shapes.csv",
    columns=(
        Column(name="color", dtype="string", categories=("red", "green")),
        Column(name="note", dtype="string", nullable=True, missing="(none)"),
        Column(name="plain", dtype="string"),
        Column(name="weight", nullable=True),
        Column(name="size"),
        Column(name="count", dtype="int64"),
        Column(name="member", dtype="bool"),
        Column(name="day", dtype="date"),
    ),
    target=Column(name="kind"),
    classes=("round one", "größer"),
    candidates=(Candidate(name="none", build=lambda _parameters, _seed: None),),
    metric="accuracy",
    floors={},
    split="stratified",
    # The values are arbitrary.
    min_skill=0,
    leakage_score=1,
)
NAMES = [*RECIPE.feature_names, RECIPE.target.name]
N_ROWS = 60
HEADER = ",".join(NAMES)


def row(index: int, **cells: str) -> str:
    """Return a valid row of the file, with some other cells."""
    usual = {
        "color": ("red", "green")[index % 2],
        "note": f"note {index}",
        "plain": f"word {index}",
        "weight": f"{index}.5",
        "size": f"{index}.25",
        "count": str(index),
        "member": ("true", "false")[index // 2 % 2],
        "day": f"2026-11-{index % 28 + 1:02}",
        "kind": RECIPE.class_names[index % 3 % 2],
    }
    return ",".join({**usual, **cells}.values())


def file_with(header: str = HEADER, **cells: str) -> str:
    """Return a file with some other cells in line 3."""
    rows = [row(index, **(cells if index == 1 else {})) for index in range(N_ROWS)]
    return "\n".join([header, *rows, ""])


def file_of(header: str = HEADER, **cells: Sequence[str]) -> str:
    """Return a file with the same cells in turn in every row."""
    rows = [row(index, **{name: texts[index % len(texts)] for name, texts in cells.items()}) for index in range(N_ROWS)]
    return "\n".join([header, *rows, ""])


def read(folder: Path, content: str, recipe: Recipe = RECIPE) -> Table:
    given = folder / "given.csv"
    given.write_text(content, encoding="utf-8")
    return validate(recipe, extract(recipe, data=given, data_dir=folder / "nothing", workdir=folder))


def findings_of(folder: Path, content: str, recipe: Recipe = RECIPE) -> list[str]:
    with pytest.raises(DataRefusedError) as caught:
        read(folder, content, recipe)
    return [finding.replace(str(folder / "given.csv"), "FILE") for finding in caught.value.findings]


FILES: dict[str, tuple[str, str]] = {
    "semicolons": (file_with().replace(",", ";"), "FILE are separated by semicolons; write commas between"),
    "tabs": (file_with().replace(",", "\t"), "FILE are separated by tabs; write commas between"),
    "bars": (file_with().replace(",", "|"), "FILE are separated by bars; write commas between"),
    "a decimal comma": (file_with(size="1,5"), "line 3 of FILE has 10 values, but the first line has 9 names; check"),
    "a short row": (
        file_with().replace(row(1), "red,a,b"),
        "line 3 of FILE has 3 values, but the first line has 9 names; add the missing values or commas",
    ),
    "short rows": (
        file_with().replace(row(1), "red,a,b").replace(row(2), '"red\n",a').replace(row(3), "red"),
        "line 3 of FILE, the first of 3 such rows, has 3 values, but the first line has 9 names; add",
    ),
    "a long row": (file_with(kind="größer,"), "line 3 of FILE has 10 values, but the first line has 9 names; check"),
    "a long row after line breaks": (
        file_with(note='"a\nb"').replace(row(3), row(3) + ",x"),
        "line 6 of FILE has 10 values",
    ),
    "a name twice": (file_with(header=HEADER.replace("note", "size")), "FILE has the column 'size' twice; remove or"),
    "spaces in the header": (
        file_with(header=HEADER.replace(",size", ", size")),
        "the names of columns differ from those of the recipe; rename ' size' to 'size'",
    ),
    "a missing column": (file_with(header=HEADER.replace("size", "x")), "the column 'size' is missing; the file has "),
    "no rows": (f"{HEADER}\n", "the data has 0 rows, fewer than min_rows 50; add rows"),
    "one row": (f"{HEADER}\n{row(0)}\n", "the data has 1 row, fewer than min_rows 50; add rows"),
    "a column without a number": (
        file_of(weight=["", "NA"]),
        "'weight' is missing in every row, so a model cannot learn from it; correct the data, or remove the column",
    ),
    "a column without a text": (
        file_of(note=["", "null"]),
        "'note' is missing in every row, so a model cannot learn from it; correct the data, or remove the column",
    ),
    "a constant text": (file_of(plain=["x"]), "'plain' is 'x' in every row, so it has no information; correct"),
}


@pytest.mark.parametrize("case", FILES)
def test_unsuitable_file_is_rejected_with_a_remedy(tmp_path: Path, case: str) -> None:
    content, finding = FILES[case]

    (found,) = findings_of(tmp_path, content)

    assert finding in found


NUMBER = "must be a number with a decimal point and without separators of thousands, got"
OR_MISSING = ", or, if it is a missing value, add it to `missing_values` in the recipe"
A_DATE = "must be a date such as 2026-11-21 or 2026-11-21T08:30, got"
CELLS: list[tuple[str, str, str]] = [
    ("size", '"1,5"', f"{NUMBER} '1,5' in line 3; correct the data, or choose another `dtype`"),
    ("size", '"1,234.5"', f"{NUMBER} '1,234.5' in line 3"),
    ("size", "1 234.5", f"{NUMBER} '1 234.5' in line 3"),
    ("size", "1'234", f'{NUMBER} "1\'234" in line 3'),
    ("size", "1_234", f"{NUMBER} '1_234' in line 3"),
    ("size", "\u0661", f"{NUMBER} '\u0661' in line 3"),
    ("size", "long", "must be a number, got 'long' in line 3; correct the data, or choose another `dtype`"),
    ("size", "1e400", "must be within the range of a 32-bit float, got '1e400' in line 3; correct the data"),
    ("size", "-inf", "must be within the range of a 32-bit float, got '-inf' in line 3"),
    ("size", "nan", f"must be a number, got 'nan' in line 3; correct the data, or choose another `dtype`{OR_MISSING}"),
    ("weight", "None", "must be a number, got 'None' in line 3; correct the data, or choose another `dtype`, or, if"),
    ("size", "", "is empty in line 3; fill it in, remove the row, or allow missing values with the column's `nullable"),
    ("plain", "", "is empty in line 3; fill it in, remove the row, or allow missing values with the column's `nullabl"),
    ("plain", "NA", "is missing, got 'NA' in line 3; fill it in, remove the row, or allow missing values with the col"),
    ("count", "NaN", "is missing, got 'NaN' in line 3; fill it in, remove the row, or allow missing values with the c"),
    ("member", "null", "is missing, got 'null' in line 3; fill it in, remove the row, or allow missing values with"),
    ("day", "null", "is missing, got 'null' in line 3"),
    ("count", "3.5", "must be an integer, got '3.5' in line 3; correct the data, or set `dtype=\"float32\"`"),
    ("count", "16777217", "must be between -16777216 and 16777216, the integers that float32 holds exactly, got '1677"),
    ("count", '"1,000"', f"{NUMBER} '1,000' in line 3"),
    ("member", "yes", "must be true or false, or 1 or 0, got 'yes' in line 3; correct the data, or choose another"),
    ("member", "2", "must be true or false, or 1 or 0, got '2' in line 3"),
    ("color", "blue", "must be one of 'green', 'red', got 'blue' in line 3; correct the data, or change the recipe"),
    ("color", " red", "must be one of 'green', 'red', got ' red' in line 3"),
    ("color", "None", "must be one of 'green', 'red', got 'None' in line 3; correct the data, or change the recipe, "),
    ("day", "21.11.2026", f"{A_DATE} '21.11.2026' in line 3; convert the dates to ISO 8601"),
    ("day", "11/21/2026", f"{A_DATE} '11/21/2026' in line 3"),
    ("day", "20261121", f"{A_DATE} '20261121' in line 3"),
    ("day", "2026-11-31", f"{A_DATE} '2026-11-31' in line 3"),
    ("kind", "größer ", "must be one of round one, größer, got 'größer ' in line 3; correct the data, or change `clas"),
    ("kind", "", "is empty or NA in line 3; fill it in, or remove the row"),
]


@pytest.mark.parametrize(("name", "cell", "finding"), CELLS)
def test_invalid_cell_is_rejected_with_a_remedy(tmp_path: Path, name: str, cell: str, finding: str) -> None:
    (found,) = findings_of(tmp_path, file_with(**{name: cell}))

    assert found.startswith(f"{name!r} {finding}")


@pytest.mark.parametrize(
    ("name", "cells", "expected"),
    [
        ("count", ("3.0", "4", " 5", "1e3"), (3, 4, 5, 1000)),
        ("member", ("True", "false", "1", "0.0"), (1, 0, 1, 0)),
        ("weight", ("", "NA", "NaN", "null"), (np.nan,) * 4),
        ("weight", ("1e3", "-0.5", ".5", "+2"), (1000, -0.5, 0.5, 2)),
        ("note", ("", "NA", "nan", '"a\nb, c"'), ("(none)", "(none)", "nan", "a\nb, c")),
        ("plain", (" x", "'y'", "é", "  "), (" x", "'y'", "é", "  ")),
    ],
)
def test_spellings_of_valid_cells(tmp_path: Path, name: str, cells: Sequence[str], expected: tuple[Any, ...]) -> None:
    lines = file_with().splitlines()
    for index, cell in enumerate(cells):
        lines[index + 1] = row(index, **{name: cell})

    table = read(tmp_path, "\n".join([*lines, ""]))

    np.testing.assert_equal(table.features.frame[name].to_list()[:4], list(expected))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("\ufeff" + file_with(), id="byte order mark"),
        pytest.param("\ufeff" + file_with(header=HEADER.replace("color", '"color"')), id="and a quoted name"),
        pytest.param(file_with().replace("\n", "\r\n"), id="CRLF"),
        pytest.param(file_with().replace("\n", "\n\n"), id="blank lines"),
        pytest.param(file_with() + "," * 8 + "\n", id="a row of commas"),
        pytest.param(file_with(header=HEADER + ",a,a").replace("größer\n", "größer,1,2\n").replace(
            "round one\n", "round one,1,2\n"), id="unused columns of the same name"),
    ],
)  # fmt: skip
def test_other_forms_of_a_file_are_accepted(tmp_path: Path, content: str) -> None:
    assert len(read(tmp_path, content).target) == N_ROWS


def test_lines_are_right_after_line_breaks_in_quotes(tmp_path: Path) -> None:
    lines = file_with().splitlines()
    lines[1] = row(0, note='"one\ntwo\r\nthree"')
    lines[2] += "\n"  # a blank line
    lines[4] = row(3, note='"a\n"', size="long", color="blue", kind="flat")

    findings = findings_of(tmp_path, "\n".join([*lines, ""]))

    assert [finding.partition(";")[0] for finding in findings] == [
        "'color' must be one of 'green', 'red', got 'blue' in line 8",
        "'size' must be a number, got 'long' in line 8",
        "'kind' must be one of round one, größer, got 'flat' in line 8",
    ]


def test_lines_are_right_for_an_inferred_recipe() -> None:
    table = read_table(b'a,b\n"x\ny",1\n\n"z\n",2\n3,4\n', "FILE", "b")

    assert (table.index + 2).to_list() == [2, 5, 7]


@pytest.mark.parametrize(
    ("classes", "labels"),
    [
        ((False, True), ("True", "False")),
        ((False, True), ("1", "0")),
        ((False, True), ("1.0", " 0.0")),
        ((0, 1), ("1", "0")),
        ((0, 1), ("1.0", "0.00")),
        (("nein, danke", "größer als 1 m"), ("größer als 1 m", '"nein, danke"')),
    ],
)
def test_labels_are_read_in_their_spellings(tmp_path: Path, classes: tuple[Any, ...], labels: Sequence[str]) -> None:
    recipe = RECIPE.model_copy(update={"classes": classes})

    table = read(tmp_path, file_of(kind=[*labels, labels[0]]), recipe)

    assert table.target[:3].tolist() == [1, 0, 1]


MATRIX = RECIPE.model_copy(update={"columns": (Column(name="size", minimum=0), Column(name="count", minimum=0))})


@pytest.mark.parametrize(("on_unknown", "is_accepted"), [("reject", False), ("warn", False), ("ignore", True)])
@pytest.mark.parametrize("recipe", [RECIPE, MATRIX], ids=["table", "matrix"])
def test_unknown_category_is_accepted_if_ignored(
    tmp_path: Path, recipe: Recipe, on_unknown: str, is_accepted: bool
) -> None:
    known = {"categories": tuple(float(code) for code in range(N_ROWS)), "on_unknown": on_unknown}
    columns = [column.model_copy(update=known) if column.name == "count" else column for column in recipe.columns]
    changed = recipe.model_copy(update={"columns": tuple(columns)})
    content = file_with(count="77")

    if is_accepted:
        assert len(read(tmp_path, content, changed).target) == N_ROWS
    else:
        (found,) = findings_of(tmp_path, content, changed)
        assert found.startswith("'count' must be one of 0")
        assert "got '77' in line 3" in found.replace("got 77", "got '77'")


def with_numbers(*others: tuple[str, Any, Sequence[str]]) -> Any:
    """Return an estimator of the column `size` and of other encoded columns."""
    return make_pipeline(ColumnTransformer([("size", "passthrough", ["size"]), *others]), LogisticRegression())


@pytest.mark.parametrize(
    ("estimator", "advice"),
    [
        (with_numbers(("word", OneHotEncoder(), ["plain"])), "set handle_unknown="),
        (with_numbers(("gaps", "passthrough", ["weight"])), "fill missing values in the pipeline, such as with Simp"),
        (with_numbers(("text", "passthrough", ["color"])), "encode columns of text in the pipeline, such as with OneH"),
    ],
    ids=["many values", "gaps", "text"],
)
def test_unprepared_column_is_reported_with_a_remedy(tmp_path: Path, estimator: Any, advice: str) -> None:
    table = read(tmp_path, file_of(weight=["", "1", "2"]))
    candidate = Candidate(name="tried", build=lambda _parameters, _seed: clone(estimator))

    with pytest.raises(TrainingError, match=r"^tried cannot be fitted: ") as caught:
        train(RECIPE, candidate, split_rows(RECIPE, table), lambda _done, _total: None)

    assert advice in str(caught.value)


def test_split_key_that_occurs_twice_is_rejected(tmp_path: Path) -> None:
    lines = file_with(header=f"{HEADER},customer,customer").splitlines()
    content = "\n".join([lines[0], *(f"{line},1,2" for line in lines[1:]), ""])

    (found,) = findings_of(tmp_path, content, RECIPE.model_copy(update={"split_key": "customer"}))

    assert found == "the header of FILE has the column 'customer' twice; remove or rename one"
