"""`slipway predict` for models with typed columns: the rows that it sends, its errors, and classes of any type."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from slipway_cli.cli import main
from support.command import Ended, run
from support.stub_api import Answer, Asked, StubApi, problem, stub_api

ISLAND = {"name": "island", "dtype": "string", "categories": ["Biscoe", "Dream"], "on_unknown": "reject"}
NOTE = {"name": "note", "dtype": "string", "nullable": True, "missing": ""}
BILL = {"name": "bill", "dtype": "float32", "nullable": True, "min": 32.1, "max": 59.6, "unit": "mm"}
RINGS = {"name": "rings", "dtype": "int64"}
ADULT = {"name": "adult", "dtype": "bool"}
SEEN = {"name": "seen", "dtype": "date", "nullable": True}
COLUMNS: list[dict[str, Any]] = [ISLAND, NOTE, BILL, RINGS, ADULT, SEEN]
NAMES = [str(column["name"]) for column in COLUMNS]
HEADER = ",".join(NAMES)
A_DATE = "a date such as 2026-11-21 or 2026-11-21T08:30"


def serving(
    columns: Sequence[dict[str, Any]], classes: Sequence[Any] = ("Adelie", "Gentoo"), label: Any = "Gentoo"
) -> Any:
    """Return an API whose model has these columns and predicts the less probable second class."""

    def answer(asked: Asked) -> Answer:
        if asked.method == "GET":
            tensors = [{"name": column["name"], "dtype": "string", "shape": [1]} for column in columns]
            signature = {"inputs": columns, "tensors": tensors, "classes": classes}
            return Answer({"model_name": "penguins", "model_version": "7", "signature": signature})
        n_rows = len(asked.json["features"])
        body = {"prediction": [1], "label": [label], "probabilities": [[0.75, 0.25]]}
        answer = {"id": "01939c4e", "model": "penguins", "version": "3"}
        return Answer({**answer, **{key: value * n_rows for key, value in body.items()}})

    return answer


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubApi]:
    """An API with a model of all types of columns, at the address in SLIPWAY_URL."""
    with stub_api(serving(COLUMNS)) as stub:
        monkeypatch.setenv("SLIPWAY_URL", stub.url)
        monkeypatch.setenv("SLIPWAY_TOKEN", "the-token")
        yield stub


def predict_csv(folder: Path, content: str | bytes, *options: str) -> Ended:
    path = folder / "rows.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return run(main, "predict", "penguins", "--csv", str(path), *options)


def sent(api: StubApi) -> list[Any]:
    """Return every row that the API received."""
    return [row for asked in api.asked if asked.method == "POST" for row in asked.json["features"]]


ROW = {"island": "Biscoe", "note": None, "bill": 39.5, "rings": 7, "adult": True, "seen": None}


@pytest.mark.parametrize(
    ("content", "changes"),
    [
        pytest.param(f"{HEADER}\nBiscoe,,39.5,7,true,\n", {}, id="empty cells"),
        pytest.param("Biscoe,,39.5,7,true,\n", {}, id="no names"),
        pytest.param("Biscoe,,,7,1,\n", {"bill": None}, id="no names and more empty cells"),
        pytest.param(f"{HEADER}\nBiscoe,,39.5,7.0,TRUE,\n", {}, id="an integer as pandas writes it"),
        pytest.param(f"{HEADER}\nBiscoe,,39.5, 7 , true , \n", {}, id="spaces"),
        pytest.param(HEADER.replace(",", ";") + "\nBiscoe;;39,5;7;true;\n", {}, id="a spreadsheet's semicolons"),
        pytest.param("Biscoe;;39,5;7;true;\n", {}, id="semicolons without names"),
        pytest.param("Biscoe\t\t39.5\t7\ttrue\t\n", {}, id="tabs without names"),
        pytest.param(f"\ufeff{HEADER}\r\nBiscoe,,39.5,7,true,\r\n", {}, id="byte order mark"),
        pytest.param("\ufeffBiscoe,,39.5,7,true,\r\n", {}, id="byte order mark without names"),
        pytest.param(
            f'{HEADER}\nBiscoe,"two\nlines, ""quoted""",39.5,7,true,\n', {"note": 'two\nlines, "quoted"'}, id="quotes"
        ),
        pytest.param(f"{HEADER}\nBiscoe, NaN ,39.5,7,true,\n", {"note": " NaN "}, id="text is unchanged"),
        pytest.param(f"{HEADER}\nBiscoe,1.5,39.5,7,true,\n", {"note": "1.5"}, id="a number in a text column"),
        pytest.param(
            f"{HEADER}\nBiscoe,,39.5,7,true,2026-11-21T08:30\n", {"seen": "2026-11-21T08:30"}, id="a date with a time"
        ),
        pytest.param(f"{HEADER}\nBiscoe,,39.5,9007199254740993,true,\n", {"rings": 2**53 + 1}, id="a large integer"),
        pytest.param(f"{HEADER},target\nBiscoe,,39.5,7,true,,Adelie\n", {}, id="another column"),
    ],
)
def test_cells_become_values_of_their_types(
    api: StubApi, tmp_path: Path, content: str, changes: dict[str, object]
) -> None:
    ended = predict_csv(tmp_path, content)

    assert (ended.exit_code, sent(api)) == (0, [ROW | changes])
    assert [type(value) for value in sent(api)[0].values()] == [type(value) for value in (ROW | changes).values()]


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        ("Torgersen,,1,7,true,", "'island' must be one of 'Biscoe', 'Dream', got 'Torgersen'"),
        ("Dream ,,1,7,true,", "'island' must be one of 'Biscoe', 'Dream', got 'Dream '"),
        (",,1,7,true,", "'island' is empty and must be one of 'Biscoe', 'Dream'"),
        ("Dream,,long,7,true,", "'bill' must be a number, or empty for a missing value, got 'long'"),
        ("Dream,,NaN,7,true,", "'bill' must be finite, or empty for a missing value, got 'NaN'"),
        ("Dream,,NA,7,true,", "'bill' must be a number, or empty for a missing value, got 'NA'"),
        (
            'Dream,,"1,5",7,true,',
            "'bill' has a decimal comma; write a decimal point, or separate columns by semicolons, got '1,5'",
        ),
        ("Dream,,1,,true,", "'rings' is empty and must be an integer"),
        ("Dream,,1,7.5,true,", "'rings' must be an integer, got '7.5'"),
        ("Dream,,1,seven,true,", "'rings' must be an integer, got 'seven'"),
        ("Dream,,1,nan,true,", "'rings' must be finite, got 'nan'"),
        ("Dream,,1,9223372036854775808,true,", "'rings' is too large for a 64-bit integer, got '9223372036854775808'"),
        ("Dream,,1,1e400,true,", "'rings' is too large for a 64-bit integer, got '1e400'"),
        ("Dream,,1,7,yes,", "'adult' must be true or false, got 'yes'"),
        ("Dream,,1,7,,", "'adult' is empty and must be true or false"),
        ("Dream,,1,7,true,21.11.2026", f"'seen' must be {A_DATE}, or empty for a missing value, got '21.11.2026'"),
        ("Dream,,1,7,true,2026-02-30", f"'seen' must be {A_DATE}, or empty for a missing value, got '2026-02-30'"),
    ],
)
def test_invalid_cell_is_reported_alike_in_file_and_row(
    api: StubApi, tmp_path: Path, cells: str, sentence: str
) -> None:
    in_file = predict_csv(tmp_path, f"{HEADER}\nBiscoe,,39.5,7,true,\n{cells}\n")
    in_row = run(main, "predict", "penguins", "--features", cells)

    assert (in_file.exit_code, in_file.error) == (1, f"Error: {tmp_path / 'rows.csv'}, line 3: {sentence}\n")
    assert (in_row.exit_code, in_row.error) == (1, f"Error: --features: {sentence}\n")
    assert sent(api) == []


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            "Island,Note,Bill,Rings,Adult,Seen\nBiscoe,,39.5,7,true,\n",
            "does not name 'island', 'note', 'bill', 'rings', 'adult', 'seen', which penguins needs",
        ),
        ("island,note,bill,rings,adult,date\nBiscoe,,39.5,7,true,\n", "does not name 'seen', which penguins needs"),
        ("Biscoe,,39.5,7,true\n", "line 1: 5 values instead of 6"),
        (f"{HEADER}\nBiscoe,39.5,7,true\n", "line 2: 4 values instead of 6"),
    ],
)
def test_misfit_of_columns_is_reported(api: StubApi, tmp_path: Path, content: str, sentence: str) -> None:
    ended = predict_csv(tmp_path, content)

    assert ended.exit_code == 1
    assert sentence in ended.error
    assert sent(api) == []


@pytest.mark.parametrize(
    ("columns", "content", "rows"),
    [
        pytest.param([NOTE], "note\nlow\n\nhigh\n", [{"note": "low"}, {"note": "high"}], id="one text column"),
        pytest.param([NOTE], "low\nhigh\n", [{"note": "low"}, {"note": "high"}], id="one text column without names"),
        pytest.param([NOTE], '""\nlow\n""\n', [{"note": None}, {"note": "low"}, {"note": None}], id="missing alone"),
        pytest.param([NOTE], "a;b\n", [{"note": "a;b"}], id="text with another separator"),
        pytest.param(
            [{"name": "note", "dtype": "string"}, ISLAND], "x,Dream\n", [{"note": "x", "island": "Dream"}], id="text"
        ),
        pytest.param(
            [{**ISLAND, "on_unknown": "ignore"}], "island\nElsewhere\n", [{"island": "Elsewhere"}], id="unknown value"
        ),
        pytest.param(
            [{"name": "grade", "dtype": "float32", "categories": [0.1, 2.0]}], "0.1\n2\n",
            [{"grade": 0.1}, {"grade": 2}], id="categories of numbers",
        ),
        pytest.param(
            [{"name": "wide", "dtype": "float64"}], "1e300\n", [{"wide": 1e300}], id="beyond a 32-bit float"
        ),
        pytest.param(
            [{"name": "x", "dtype": "float32", "shape": [1], "required": True}], "x\n1\n", [{"x": 1.0}],
            id="fields of an earlier API",
        ),
    ],
)  # fmt: skip
def test_columns_of_other_models_are_read(
    api: StubApi, tmp_path: Path, columns: list[dict[str, Any]], content: str, rows: list[object]
) -> None:
    api.answer = serving(columns)

    ended = predict_csv(tmp_path, content)

    assert (ended.exit_code, sent(api)) == (0, rows)


@pytest.mark.parametrize(
    ("column", "cell", "sentence"),
    [
        ({"dtype": "float32", "categories": [1.0, 2.5]}, "3", "must be one of 1, 2.5, got '3'"),
        ({"dtype": "int64", "categories": [float(one) for one in range(20)]}, "20",
         "must be one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, … (20 values), got '20'"),
        ({"dtype": "float64"}, "1e999", "is too large for a 64-bit float, got '1e999'"),
        ({"dtype": "float32"}, "1" * 401, f"must be a number, got '{'1' * 40}…'"),
        ({"dtype": "string"}, '""', "is empty and must be text"),
    ],
)  # fmt: skip
def test_invalid_cell_of_other_models_is_reported(
    api: StubApi, tmp_path: Path, column: dict[str, Any], cell: str, sentence: str
) -> None:
    api.answer = serving([{"name": "x", **column}])

    assert f"line 2: 'x' {sentence}\n" in predict_csv(tmp_path, f"x\n{cell}\n").error
    assert sent(api) == []


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("Biscoe,,39.5,7,true,", {}),
        ("Biscoe, , 39.5, 7, true,", {}),
        ('Biscoe,"a, b",39.5,7,true,2026-11-21', {"note": "a, b", "seen": "2026-11-21"}),
    ],
)
def test_features_are_typed_values_in_order(api: StubApi, text: str, changes: dict[str, object]) -> None:
    ended = run(main, "predict", "penguins", "--features", text)

    assert (ended.exit_code, sent(api)) == (0, [ROW | changes])


@pytest.fixture
def _predict_only(api: StubApi) -> None:
    """The credential is a key that may only predict."""
    answer = api.answer
    denied = problem(403, "this API key permits only: predict; use a key with the action read")
    api.answer = lambda asked: denied if asked.method == "GET" else answer(asked)


@pytest.mark.usefixtures("_predict_only")
@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("Biscoe,,39.5,7,true,", ["Biscoe", None, 39.5, 7, True, None]),
        ('"a, b", -7 ,+1.5e2,TRUE, ,2026-11-21', ["a, b", -7, 150.0, True, None, "2026-11-21"]),
        ("nan,inf,1_0,9007199254740993,٣,1.0", ["nan", "inf", "1_0", 2**53 + 1, "٣", 1.0]),
    ],
)
def test_key_without_read_sends_values_by_their_form(api: StubApi, text: str, row: list[object]) -> None:
    ended = run(main, "predict", "penguins", "--features", text)

    assert (ended.exit_code, sent(api)) == (0, [row])
    assert list(map(type, sent(api)[0])) == list(map(type, row))
    assert "Gentoo" in ended.output


@pytest.mark.usefixtures("_predict_only")
def test_value_that_needs_its_type_names_the_action_read(api: StubApi) -> None:
    denied = api.answer
    api.answer = lambda asked: denied(asked) if asked.method == "GET" else problem(422, "'note' must be text, not 7")

    ended = run(main, "predict", "penguins", "--features", "7")

    assert ended.exit_code == 1
    assert ended.error == (
        "Error: 'note' must be text, not 7; without the action read, the key cannot read the types of the features: "
        "use --json-row, or a key with the actions predict and read\n"
    )


@pytest.mark.usefixtures("_predict_only")
def test_file_needs_a_key_with_read(api: StubApi, tmp_path: Path) -> None:
    ended = predict_csv(tmp_path, f"{HEADER}\nBiscoe,,39.5,7,true,\n")

    assert ended.exit_code == 1
    assert ended.error == (
        "Error: --csv needs the features of penguins: this API key permits only: predict; use a key with the action "
        "read\n"
    )
    assert sent(api) == []


def test_json_row_is_sent_as_it_is(api: StubApi) -> None:
    row = {"island": "Biscoe", "rings": 7, "seen": None}

    ended = run(main, "predict", "penguins", "--json-row", json.dumps(row))

    assert (ended.exit_code, sent(api)) == (0, [row])
    assert len(api.asked) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{'island': 1}", "is not JSON"),
        ("[1, 2]", "is not a JSON object"),
        ('{"bill": NaN}', "write null for a missing value"),
        ('{"bill": 1e999}', "is not JSON"),
        ('{"island": "\\ud800"}', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_invalid_json_row_is_wrong_usage(api: StubApi, text: str, words: str) -> None:
    ended = run(main, "predict", "penguins", "--json-row", text)

    assert ended.exit_code == 2
    assert words in " ".join(ended.error.replace("│", " ").split())
    assert api.asked == []


@pytest.mark.parametrize(
    ("classes", "label", "names"),
    [
        (["Adelie", "Gentoo"], "Gentoo", ["Adelie", "Gentoo"]),
        ([3, -7], "-7", ["3", "-7"]),
        ([False, True], "true", ["false", "true"]),
        # Of an earlier API.
        ([3, -7], -7, ["3", "-7"]),
        ([False, True], True, ["false", "true"]),
    ],
)
def test_classes_of_every_type_are_written(
    api: StubApi, tmp_path: Path, classes: list[Any], label: object, names: list[str]
) -> None:
    api.answer = serving([NOTE], classes, label)

    written = predict_csv(tmp_path, "note\nlow\n", "--output", "-").output
    shown = predict_csv(tmp_path, "note\nlow\n").output

    first, second = names
    assert written == f"note,prediction,label,probability_{first},probability_{second}\nlow,1,{second},0.75,0.25\n"
    row = next(line for line in shown.splitlines() if "0.250" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == ["1", second, "0.250"]


def test_decimal_commas_are_written_for_numbers_only(api: StubApi, tmp_path: Path) -> None:
    api.answer = serving([NOTE, BILL])

    with_text = predict_csv(tmp_path, "note;bill\na,b;1\n", "--output", "-").output
    with_number = predict_csv(tmp_path, "note;bill\na,b;1,5\n", "--output", "-").output

    assert with_text.endswith("\na,b;1;1;Gentoo;0.75;0.25\n")
    assert with_number.endswith("\na,b;1,5;1;Gentoo;0,75;0,25\n")


def test_signature_of_a_later_api_asks_for_an_update(api: StubApi) -> None:
    api.answer = serving([{"name": "picture", "dtype": "image"}])

    ended = run(main, "predict", "penguins", "--features", "1")

    assert ended.error == (
        "Error: the API describes penguins in a form that this version of `slipway` cannot read: install the version "
        "of the API\n"
    )
