"""Inference: the type of each column of a CSV file, or the reason to leave it out or to reject the file."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

import pandas as pd
import pytest

from slipway_trainer.errors import DataRefusedError
from slipway_trainer.inference.columns import infer_column
from slipway_trainer.inference.drafts import ColumnDraft, IgnoredDraft
from slipway_trainer.inference.reading import infer_recipe, model_name
from slipway_trainer.inference.target import infer_target

DAYS = [str(date(2026, 11, 1) + timedelta(days=number)) for number in range(20)]
UNSORTED = [37, 5, 81, 12, 66, 3, 98, 44, 20, 71, 59, 8, 90, 27, 15, 52, 77, 33, 61, 49]


def repeated(*values: str, rows: int = 20) -> list[str]:
    """Return the values in turn."""
    return [values[number % len(values)] for number in range(rows)]


def fields(values: Sequence[object]) -> pd.Series:
    return pd.Series([str(value) for value in values], dtype="str")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (UNSORTED, {"dtype": "int64"}),
        (repeated("0", "1"), {"dtype": "int64"}),
        (repeated("1", "2", ""), {"dtype": "int64", "nullable": True}),
        (repeated("40000000", "3", "7"), {"dtype": "float32"}),
        (repeated("1.5", "-2", "3e4", ".5", " 7"), {"dtype": "float32"}),
        (repeated("1.5", "?", "2.5", "n/a"), {"dtype": "float32", "nullable": True}),
        (repeated("True", "False"), {"dtype": "bool"}),
        (repeated("true", "false", "NULL"), {"dtype": "bool", "nullable": True}),
        (repeated("yes", "no"), {"dtype": "string", "categories": ("no", "yes")}),
        (repeated("b", "a", "None"), {"dtype": "string", "nullable": True, "categories": ("a", "b")}),
        (repeated("01067", "80331"), {"dtype": "string", "categories": ("01067", "80331")}),
        (repeated("0", "1", "2", "3+"), {"dtype": "string", "categories": ("0", "1", "2", "3+")}),
        (repeated("é", "x\ny"), {"dtype": "string", "categories": ("x\ny", "é")}),
        (DAYS, {"dtype": "date", "parts": ("day", "weekday")}),
        ([*DAYS[:9], ""], {"dtype": "date", "nullable": True, "parts": ("day", "weekday")}),
        (repeated("2026-11-21T08:00", "2026-11-21T09:30Z"), {"dtype": "date", "parts": ("hour",)}),
        (repeated("2025-11-21", "2026-02-21"), {"dtype": "date", "parts": ("year", "month", "weekday")}),
    ],
)
def test_type_of_a_column_is_inferred(values: list[object], expected: dict[str, Any]) -> None:
    draft = infer_column("some name", fields(values))

    assert isinstance(draft, ColumnDraft)
    found = {name: getattr(draft, name) for name in ("dtype", "nullable", "categories", "parts")}
    assert found == {"nullable": False, "categories": (), "parts": (), **expected}


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("key", [f"k{number}" for number in UNSORTED], "identifies rows: each row has another value"),
        ("id", UNSORTED, "identifies rows: each row has another value"),
        ("customer_id", repeated("7", "3"), "identifies something; .* set split_key='customer_id'"),
        ("customerID", repeated("a", "b"), "identifies something; .* set split_key='customerID'"),
        ("number", range(20), "numbers the rows"),
        ("number", range(20, 0, -1), "numbers the rows"),
        ("country", repeated("DE"), "is 'DE' in every row$"),
        ("country", repeated("DE", ""), "is 'DE' in every row that has a value$"),
        ("nothing", repeated("", "NA"), "has no values"),
        ("comment", [*(f"text {number}" for number in range(19)), "text 1"], "is free text: 19 different texts in 20"),
        ("when", ["11/21/2026", "11/22/2026", *repeated("12/1/2026", rows=18)], "seems to hold dates, such as '11/21"),
        ("at", [f"2026-11-21T08:{number:02}" for number in range(20)], "dates that differ only in their minutes"),
        ("essay", repeated("a" * 300, "b"), "is free text"),
    ],
)
def test_column_without_use_is_left_out(name: str, values: Sequence[object], reason: str) -> None:
    draft = infer_column(name, fields(values))

    assert isinstance(draft, IgnoredDraft)
    assert pd.Series([draft.reason]).str.contains(reason).all()


@pytest.mark.parametrize("name", ["paid", "valid", "covid", "COVID", "identity"])
def test_name_that_only_contains_id_is_a_feature(name: str) -> None:
    assert isinstance(infer_column(name, fields(UNSORTED)), ColumnDraft)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (["1,5", *repeated("2,25", "3")], r"decimal comma: '1,5' in line 2; .*decimal=\",\""),
        (repeated("1", "1.234,5"), r"decimal comma: '1\.234,5' in line 3; .*thousands=\"\.\", decimal=\",\""),
        (repeated("7", "1,234", "12,345.6"), r"thousands separators: '1,234' in line 3; .*thousands=\",\""),
        (repeated("$5", "7.50 €"), r"currency sign: '\$5' in line 2; remove the sign"),
        (repeated("5%", "7.5 %"), r"percent sign: '5%' in line 2; remove the sign"),
        ([*range(5, 40), "unknown"], r", and text in 1 of 36 fields: 'unknown' in line 37; correct them"),
    ],
)
def test_number_that_only_people_read_is_rejected(values: list[object], sentence: str) -> None:
    with pytest.raises(DataRefusedError, match=f"'amount' has numbers.*{sentence}"):
        infer_column("amount", fields(values))


@pytest.mark.parametrize(
    ("values", "counts"),
    [
        (repeated("no", "no", "yes", rows=60), {"no": 40, "yes": 20}),
        (repeated("True", "False", rows=60), {False: 30, True: 30}),
        (repeated("1", "0", "2", rows=60), {0: 20, 1: 20, 2: 20}),
        (repeated("1.0", "0.0", rows=60), {0: 30, 1: 30}),
        (repeated("01", "1", rows=60), {"01": 30, "1": 30}),
        (UNSORTED, {}),
        (repeated("0.5", "0.75", "1"), {}),
    ],
)
def test_classes_of_the_target_are_typed(values: list[object], counts: dict[object, int]) -> None:
    draft = infer_target("target", fields(values))

    assert draft.counts == counts
    assert list(map(type, draft.counts)) == list(map(type, counts))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (["", "1", "NA", "2"], "the target 'target' is missing in lines 2, 4; fill it in, or remove these rows"),
        (repeated("yes"), "the target 'target' is 'yes' in every row; add rows with another value"),
        (DAYS, "the target 'target' is a date; choose a column"),
        ([f"text {number}" for number in range(51)], "has 51 different texts .'text 0', .*, more than the 50"),
        ([*repeated("a", rows=30), *repeated("b", rows=9)], "the class 'b' .* has 9 rows, fewer than the 10 .*merge"),
        (repeated("1,5", "2,5"), "'target' has numbers with a decimal comma: '1,5' in line 2"),
    ],
)
def test_target_that_cannot_be_learned_is_rejected(values: list[object], sentence: str) -> None:
    with pytest.raises(DataRefusedError, match=sentence):
        infer_target("target", fields(values))


def csv(rows: int = 40, **columns: Sequence[object]) -> bytes:
    """Return a CSV file with a feature `x`, the target `y` with two classes, and other columns."""
    table = pd.DataFrame(
        {"x": [UNSORTED[row % 20] for row in range(rows)], "y": repeated("a", "b", rows=rows), **columns}
    )
    text: str = table.to_csv(index=False)
    return text.encode()


def test_copy_of_the_target_is_left_out() -> None:
    draft = infer_recipe(csv(outcome=repeated("left", "stayed", rows=40)), "data.csv", "y", "data")

    assert draft.ignored == (IgnoredDraft("outcome", "is a copy of the target 'y'"),)
    assert [column.name for column in draft.columns] == ["x"]


def test_only_the_extra_markers_of_features_are_listed() -> None:
    content = csv(a=repeated("1", "?", "2", rows=40), b=repeated("v", "", " ", "w", rows=40), c=["n/a"] * 40)

    assert infer_recipe(content, "data.csv", "y", "data").extra_missing == (" ", "?")


def test_part_of_a_date_with_the_name_of_a_column_is_omitted() -> None:
    content = csv(on=repeated(*DAYS, rows=40), on_day=repeated("1", "2", "3", rows=40))

    [on] = [column for column in infer_recipe(content, "data.csv", "y", "data").columns if column.name == "on"]

    assert on.parts == ("weekday",)


def rejected_files() -> Iterator[tuple[bytes, str]]:
    yield b"x;y\n1,5;2\n", "separated by semicolons: line 1 is 'x;y'; convert it with pandas.read_csv.FILE, sep=\";\""
    yield b"x\ty\n1\t2\n", r'separated by tabs: .*sep="\\t"'
    yield b"x,why\n1,2\n", "has no column 'y'; its columns are x, why"
    yield b"x,Y\n1,2\n", "has no column 'y'; did you mean 'Y'. its columns are x, Y"
    yield b"x,y\n", "has no rows below its header"
    yield b"x,x,y\n1,2,3\n", "has the column 'x' twice"
    yield b"", "is empty"
    yield csv(z=["1,5", "2,5"] * 20).replace(b"\na", b"\n"), "'z' has numbers with a decimal comma"
    yield b"x,y\n" + b"1,a\n1,b\n" * 20, "has no column to predict 'y' from: 'x' is '1' in every row"


@pytest.mark.parametrize(("content", "sentence"), list(rejected_files()))
def test_unsuitable_file_is_rejected(content: bytes, sentence: str) -> None:
    with pytest.raises(DataRefusedError, match=sentence):
        infer_recipe(content, "data.csv", "y", "data")


def test_every_problem_is_reported_at_once() -> None:
    content = csv(z=["1,5", "2,5"] * 20, w=["$1", "$2"] * 20, y=["only"] * 40)

    with pytest.raises(DataRefusedError) as raised:
        infer_recipe(content, "data.csv", "y", "data")

    assert len(raised.value.findings) == 3


@pytest.mark.parametrize(
    ("file", "name"),
    [("churn.csv", "churn"), ("My Data (2).csv", "my-data-2"), ("_x.csv", "x"), ("數據.csv", "model")],
)
def test_model_is_named_after_the_file(file: str, name: str) -> None:
    assert model_name(file) == name
