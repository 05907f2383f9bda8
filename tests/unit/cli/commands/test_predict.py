"""`slipway predict`: its requests for a row or a CSV file, and its output as a table or JSON."""

import csv
import io
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway_cli.cli import main
from slipway_cli.commands.predict import ROWS_A_REQUEST
from support.command import Ended, run
from support.stub_api import Answer, Asked, StubApi, problem, stub_api

NAMES = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")
IRIS = ("setosa", "versicolor", "virginica")
FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)


def serving(names: Sequence[str], classes: Sequence[str] | None = IRIS) -> Callable[[Asked], Answer]:
    """Return an API whose model has these features and predicts the first class for every row."""

    def answer(asked: Asked) -> Answer:
        if asked.method == "GET":
            inputs = [{"name": name, "dtype": "float32"} for name in names]
            signature = {"inputs": inputs, "classes": classes}
            return Answer({"model_name": "iris", "model_version": "7", "signature": signature})
        return classify(asked)

    return answer


def predicting(names: Sequence[str], body: dict[str, object]) -> Callable[[Asked], Answer]:
    """Return an API whose model has these features and always returns this prediction."""
    describe = serving(names)
    answer = Answer({"id": "01939c4e", "model": "iris", **body})
    return lambda asked: describe(asked) if asked.method == "GET" else answer


def classify(asked: Asked) -> Answer:
    """Predict setosa for every row."""
    n_rows = len(asked.json["features"])
    return Answer(
        {
            "id": "01939c4e",
            "model": "iris",
            "version": "7",
            "prediction": [0] * n_rows,
            "label": ["setosa"] * n_rows,
            "probabilities": [[0.98, 0.02, 0.0]] * n_rows,
        }
    )


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubApi]:
    """An API that predicts setosa for every row, at the address in SLIPWAY_URL."""
    with stub_api(serving("ab")) as stub:
        monkeypatch.setenv("SLIPWAY_URL", stub.url)
        monkeypatch.setenv("SLIPWAY_TOKEN", "the-token")
        yield stub


def predict_csv(folder: Path, content: str | bytes, *options: str) -> Ended:
    path = folder / "rows.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return run(main, "predict", "iris", "--csv", str(path), *options)


def predictions(api: StubApi) -> list[Asked]:
    """Return every request for predictions."""
    return [asked for asked in api.asked if asked.method == "POST"]


def sent(api: StubApi) -> list[object]:
    """Return every row that the API received."""
    return [row for asked in predictions(api) for row in asked.json["features"]]


@pytest.mark.parametrize("text", ["5.1,3.5,1.4,0.2", "5.1, 3.5 ,1.4,0.2", "5.1,35e-1,+1.4,.2"])
def test_one_row_is_sent_and_its_prediction_shown(api: StubApi, text: str) -> None:
    api.answer = serving(NAMES)

    ended = run(main, "predict", "iris", "--features", text)

    assert sent(api) == [dict(zip(NAMES, (5.1, 3.5, 1.4, 0.2), strict=True))]
    assert ended.exit_code == 0
    for part in ("iris, version 7", "setosa", "0.980"):
        assert part in ended.output


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("5.1,long", "'b' must be a number, got 'long'"),
        ("", "expected 2 features (a, b), separated by commas; got 1"),
        ("5.1,", "'b' is empty and must be a number"),
        ("5.1;3.5", "expected 2 features (a, b), separated by commas; got 1"),
        ("nan,inf", "'a' must be finite, got 'nan'; 'b' must be finite, got 'inf'"),
    ],
)
def test_invalid_row_is_reported(api: StubApi, text: str, sentence: str) -> None:
    ended = run(main, "predict", "iris", "--features", text)

    assert (ended.exit_code, ended.error) == (1, f"Error: --features: {sentence}\n")
    assert predictions(api) == []


def test_row_with_an_open_quote_is_reported(api: StubApi) -> None:
    ended = run(main, "predict", "iris", "--features", '1,"2')

    assert ended.error == "Error: --features is not a line of CSV: unexpected end of data; check its quotes\n"


@pytest.mark.parametrize(
    "options",
    [(), ("--features", "1,2", "--csv", "rows.csv"), ("--features", "1,2", "--json-row", "{}")],
)
def test_row_and_file_are_mutually_exclusive(api: StubApi, options: tuple[str, ...]) -> None:
    ended = run(main, "predict", "iris", *options)

    assert ended.exit_code == 2
    assert "pass one of --features, --json-row and --csv" in ended.error
    assert api.asked == []


def test_json_output_is_the_response_of_the_api(api: StubApi) -> None:
    ended = run(main, "predict", "iris", "--features", "5.1,3.5", "--json")

    assert json.loads(ended.output) == classify(predictions(api)[0]).body


@pytest.mark.parametrize(
    ("options", "path", "name"),
    [
        (("--candidate", "random-forest"), "/models/iris/candidates/random-forest", "candidate random-forest of iris"),
        (("--stage", "Staging"), "/models/iris/staging", "Staging of iris"),
        (("--stage", "production"), "/models/iris", "iris"),
    ],
)
def test_candidate_or_stage_predicts(
    api: StubApi, tmp_path: Path, options: tuple[str, str], path: str, name: str
) -> None:
    row = run(main, "predict", "iris", *options, "--features", "1,2")
    json_row = run(main, "predict", "iris", *options, "--json-row", '{"a": 1, "b": 2}')
    written = predict_csv(tmp_path, "1,2\n", *options, "--output", str(tmp_path / "answers.csv"))

    assert [asked.path for asked in api.asked] == [path, f"{path}/predict", f"{path}/predict", path, f"{path}/predict"]
    assert f"{name}, version 7" in " ".join(row.output.split())
    assert f"{name}, version 7" in " ".join(json_row.output.split())
    assert written.output.startswith(f"Wrote 1 row with predictions of {name}, version 7, to ")


def test_unknown_candidate_names_the_command_that_lists_them(api: StubApi) -> None:
    api.answer = lambda _asked: problem(
        404, "iris has no candidate named forest; GET /models/iris/candidates lists them"
    )

    ended = run(main, "predict", "iris", "--candidate", "forest", "--features", "1,2")

    assert (ended.exit_code, ended.error) == (
        1,
        "Error: iris has no candidate named forest; `slipway models list` lists them\n",
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--candidate", "forest", "--stage", "staging"), "pass either --candidate or --stage, not both"),
        (("--candidate", ""), "must be the name of a candidate"),
        (("--stage", "archived"), "'archived' is not one of 'production', 'staging'"),
    ],
)
def test_unclear_version_is_wrong_usage(api: StubApi, options: tuple[str, ...], words: str) -> None:
    ended = run(main, "predict", "iris", *options, "--features", "1,2")

    assert ended.exit_code == 2
    assert words in " ".join(ended.error.replace("│", " ").split())
    assert api.asked == []


@pytest.mark.parametrize("n_rows", [1, ROWS_A_REQUEST + 1])
def test_json_output_of_a_file_is_a_list_of_responses(api: StubApi, tmp_path: Path, n_rows: int) -> None:
    ended = predict_csv(tmp_path, "1,2\n" * n_rows, "--json")

    assert json.loads(ended.output) == [classify(asked).body for asked in predictions(api)]


def test_file_without_names_has_the_order_of_the_model(api: StubApi, tmp_path: Path) -> None:
    api.answer = serving(NAMES)

    ended = predict_csv(tmp_path, "5.1,3.5,1.4,0.2\n6.7,3.0,5.2,2.3\n")

    assert ended.exit_code == 0
    assert sent(api) == [dict(zip(NAMES, row, strict=True)) for row in ([5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3])]


def test_file_with_names_may_have_any_column_order(api: StubApi, tmp_path: Path) -> None:
    api.answer = serving(NAMES)
    content = "petal width (cm),sepal length (cm),petal length (cm), sepal width (cm)\n0.2,5.1,1.4,3.5\n"

    ended = predict_csv(tmp_path, content)

    assert ended.exit_code == 0
    assert sent(api) == [dict(zip(NAMES, (5.1, 3.5, 1.4, 0.2), strict=True))]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\xef\xbb\xbfa,b\n1,2.5\n", id="byte order mark"),
        pytest.param(b"a,b\r\n1,2.5\r\n", id="lines as Windows ends them"),
        pytest.param(b"\na,b\n\n1,2.5\n \n", id="blank lines"),
        pytest.param(b'"a","b"\n"1","2.5"', id="quotes, and no end of the last line"),
        pytest.param(b"a;b\n1;2.5\n", id="semicolons"),
        pytest.param(b"a;b\n1;2,5\n", id="semicolons and decimal commas"),
        pytest.param(b"1,0;2,5\n", id="decimal commas alone, without names"),
        pytest.param(b"1;2,5\n", id="semicolons and decimal commas without names"),
        pytest.param(b"a\tb\n1\t2.5\n", id="tabs"),
        pytest.param("a\tb\n1\t2,5\n".encode("utf-16"), id="Unicode text of a spreadsheet"),
        pytest.param(b"a,day,b\n1,2026-11-28,2.5\n", id="a date"),
        pytest.param(b"b,target,a,\n2.5,yes,1,\n", id="other order, target and a column without a name"),
        pytest.param(b'a,note,b\n1,"two\nlines, and ""quotes""",2.5\n', id="a line break in quotes"),
        pytest.param(b"a,x,x,b\n1,,,2.5\n", id="other columns empty and named twice"),
        pytest.param(b"a , b\n 1 , 2.5 \n", id="spaces"),
    ],
)
def test_file_formats_of_other_programs_are_read(api: StubApi, tmp_path: Path, content: bytes) -> None:
    ended = predict_csv(tmp_path, content)

    assert (ended.exit_code, sent(api)) == (0, [{"a": 1.0, "b": 2.5}])


def test_skipped_columns_are_named_on_standard_error(api: StubApi, tmp_path: Path) -> None:
    ended = predict_csv(tmp_path, "a,day,b,target\n1,2026-11-28,2,yes\n", "--json")

    assert ended.error == "Note: skipped columns that iris does not use: day, target\n"
    assert json.loads(ended.output)


def test_numeric_names_are_names(api: StubApi, tmp_path: Path) -> None:
    api.answer = serving(("0", "1"))

    predict_csv(tmp_path, "1,0,day\n5,6,Monday\n")

    assert sent(api) == [{"0": 6.0, "1": 5.0}]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("a,b\n1,2\n3,long\n", "{path}, line 3: 'b' must be a number, got 'long'"),
        ("1,2\n3,\n", "{path}, line 2: 'b' is empty and must be a number"),
        ("1,\n3,4\n", "{path}, line 1: 'b' is empty and must be a number"),
        ("1,5_1\n3,4\n", "{path}, line 1: 'b' must be a number, got '5_1'"),
        ("1,2\n\n3,nan\n", "{path}, line 3: 'b' must be finite, got 'nan'"),
        ("1,2\n3,-inf\n", "{path}, line 2: 'b' must be finite, got '-inf'"),
        ("1,2\n3,1e39\n", "{path}, line 2: 'b' is too large for a 32-bit float, got '1e39'"),
        ("1,2\n3,1e999\n", "{path}, line 2: 'b' is too large for a 32-bit float, got '1e999'"),
        ("a,b\n1,2\n3\n", "{path}, line 3: 1 value instead of 2"),
        ("a,b\n1,2,3\n", "{path}, line 2: 3 values instead of 2"),
        (
            'a,b\n1,"2,5"\n',
            (
                "{path}, line 2: 'b' has a decimal comma; write a decimal point, or separate columns by semicolons, "
                "got '2,5'"
            ),
        ),
        ('a,b,c\n1,2,"x\ny"\n3,long,z\n', "{path}, line 4: 'b' must be a number, got 'long'"),
        ("a,b\n" + "1,\n" * 20, "{path}, lines 2, 3, 4, 5, 6 and 15 more: 'b' is empty and must be a number"),
        (
            "a,b\n1,x\n,2\n3,y\n",
            (
                "{path} has 2 kinds of problems:\n"
                "  lines 2, 4: 'b' must be a number, got 'x'\n"
                "  line 3: 'a' is empty and must be a number"
            ),
        ),
        ("a,b\n", "{path} contains no rows: write one row per line"),
        ("", "{path} contains no rows: write one row per line"),
        ("a,B\n1,2\n", "the first line of {path} does not name 'b', which iris needs; rename 'B' to 'b'"),
        ("a,b,a\n1,2,3\n", "the first line of {path} names 'a' more than once: remove a column"),
        (
            "a|b\n1|2\n",
            (
                "the first line of {path} does not name 'a', 'b', which iris needs; separate columns by commas, "
                "semicolons or tabs"
            ),
        ),
        (b"a,b\n\xff,2\n", "{path} cannot be read as CSV: it is not UTF-8 text; save it as CSV in UTF-8"),
        (
            'a,b\n1,2\n3,"4\n5,6\n',
            "{path} cannot be read as CSV after line 2: unexpected end of data; check the quotes there",
        ),
    ],
)
def test_invalid_file_is_reported_with_its_lines(
    api: StubApi, tmp_path: Path, content: str | bytes, sentence: str
) -> None:
    ended = predict_csv(tmp_path, content)

    assert ended.exit_code == 1
    assert ended.error == f"Error: {sentence.format(path=tmp_path / 'rows.csv')}\n"
    assert predictions(api) == []


def test_dash_reads_standard_input(api: StubApi) -> None:
    ended = run(main, "predict", "iris", "--csv", "-", given="a;b\n1;2\n")

    assert (ended.exit_code, sent(api)) == (0, [{"a": 1.0, "b": 2.0}])


def test_error_in_standard_input_is_reported(api: StubApi) -> None:
    ended = run(main, "predict", "iris", "--csv", "-", given="a,b\n1,x\n")

    assert ended.error == "Error: standard input, line 2: 'b' must be a number, got 'x'\n"


@pytest.mark.parametrize(
    ("content", "written"),
    [
        (
            "day,b,a\n2026-11-28,2,1\n",
            (
                "day,b,a,prediction,label,probability_setosa,probability_versicolor,probability_virginica\n"
                "2026-11-28,2,1,0,setosa,0.98,0.02,0.0\n"
            ),
        ),
        (
            "1;2,5\n",
            (
                "a;b;prediction;label;probability_setosa;probability_versicolor;probability_virginica\n"
                "1;2,5;0;setosa;0,98;0,02;0,0\n"
            ),
        ),
    ],
)
def test_output_has_the_input_and_the_predictions(api: StubApi, tmp_path: Path, content: str, written: str) -> None:
    output = tmp_path / "answers.csv"

    ended = predict_csv(tmp_path, content, "--output", str(output))

    assert output.read_text() == written
    assert ended.output == f"Wrote 1 row with predictions of iris, version 7, to {output}.\n"
    assert predict_csv(tmp_path, content, "--output", "-").output == written


@pytest.mark.parametrize(
    ("label", "written"),
    [
        ("=cmd|' /c calc'!A1", "'=cmd|' /c calc'!A1"),
        ("-1+cmd|' /c calc'!A1", "'-1+cmd|' /c calc'!A1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("-1", "-1"),
        ("+2.5", "+2.5"),
    ],
)
def test_output_has_no_formulas_from_class_names(api: StubApi, tmp_path: Path, label: str, written: str) -> None:
    api.answer = predicting("ab", {"version": "7", "prediction": [0], "label": [label], "probabilities": [[1, 0, 0]]})
    output = tmp_path / "answers.csv"

    predict_csv(tmp_path, "1,2\n", "--output", str(output))

    [_, row] = csv.reader(output.read_text().splitlines())
    assert row[3] == written


def test_output_of_a_regressor_holds_the_prediction(api: StubApi, tmp_path: Path) -> None:
    describe = serving("ab", None)
    prediction = Answer({"id": "01939c4e", "model": "demand", "version": "2", "prediction": [12.5]})
    api.answer = lambda asked: describe(asked) if asked.method == "GET" else prediction

    ended = predict_csv(tmp_path, "a,b\n1,2\n", "-o", "-")

    assert ended.output == "a,b,prediction\n1,2,12.5\n"


@pytest.mark.parametrize(
    ("output", "why"),
    [
        ("there.csv", "there.csv exists: name another file with --output, or replace it with --force"),
        ("rows.csv", "rows.csv exists: name another file"),
        ("missing/answers.csv", "missing does not exist: create it, or name another with --output"),
        ("", "is a folder: name a file in it with --output"),
    ],
)
def test_unwritable_output_is_rejected_before_any_request(api: StubApi, tmp_path: Path, output: str, why: str) -> None:
    (tmp_path / "there.csv").write_text("kept")

    ended = predict_csv(tmp_path, "a,b\n1,2\n", "--output", str(tmp_path / output))

    assert ended.exit_code == 1
    assert why in ended.error
    assert api.asked == []
    assert (tmp_path / "there.csv").read_text() == "kept"


def test_force_replaces_the_output(api: StubApi, tmp_path: Path) -> None:
    ended = predict_csv(tmp_path, "a,b\n1,2\n", "--force", "--output", str(tmp_path / "rows.csv"))

    assert ended.exit_code == 0
    assert (tmp_path / "rows.csv").read_text().startswith("a,b,prediction,")


def test_input_with_an_output_column_is_rejected(api: StubApi, tmp_path: Path) -> None:
    ended = predict_csv(tmp_path, "a,b,label\n1,2,x\n", "--output", str(tmp_path / "answers.csv"))

    assert "the input already has a column 'label'" in ended.error
    assert predictions(api) == []


@pytest.mark.parametrize("options", [("--features", "1,2"), ("--csv", "rows.csv", "--json")])
def test_output_without_a_csv_file_is_wrong_usage(api: StubApi, options: tuple[str, ...]) -> None:
    assert run(main, "predict", "iris", *options, "--output", "answers.csv").exit_code == 2
    assert api.asked == []


def test_failed_request_writes_nothing_and_reports_its_rows(api: StubApi, tmp_path: Path) -> None:
    describe = serving("ab")

    def answer(asked: Asked) -> Answer:
        return problem(503, "the model is loading") if len(predictions(api)) == 2 else describe(asked)

    api.answer = answer
    output = tmp_path / "answers.csv"

    ended = predict_csv(tmp_path, "1,2\n" * (ROWS_A_REQUEST + 5), "--output", str(output))

    assert ended.error == "Error: rows 1001 to 1005: the model is loading; no predictions were written\n"
    assert not output.exists()


def test_version_change_between_requests_is_noted(api: StubApi, tmp_path: Path) -> None:
    describe = serving("ab")

    def answer(asked: Asked) -> Answer:
        given = describe(asked)
        return Answer({**given.body, "version": str(len(predictions(api)))})

    api.answer = answer

    ended = predict_csv(tmp_path, "1,2\n" * (ROWS_A_REQUEST + 1), "--output", str(tmp_path / "answers.csv"))

    assert "the predictions come from versions 1 and 2" in ended.error


def test_missing_file_is_reported(api: StubApi, tmp_path: Path) -> None:
    ended = run(main, "predict", "iris", "--csv", str(tmp_path / "missing.csv"))

    assert ended.exit_code == 1
    assert ended.error == f"Error: {tmp_path / 'missing.csv'} does not exist: check the path of --csv\n"


@pytest.mark.parametrize(
    ("n_rows", "requests"), [(ROWS_A_REQUEST, [1000]), (ROWS_A_REQUEST + 1, [1000, 1]), (2_500, [1000, 1000, 500])]
)
def test_many_rows_are_sent_in_several_requests(api: StubApi, tmp_path: Path, n_rows: int, requests: list[int]) -> None:
    rows = [[float(index), 1.0] for index in range(n_rows)]

    ended = predict_csv(tmp_path, "".join(f"{a},{b}\n" for a, b in rows), "--json")

    assert [len(asked.json["features"]) for asked in predictions(api)] == requests
    assert sent(api) == [{"a": a, "b": b} for a, b in rows]
    assert ended.output.count('"setosa"') == n_rows


def test_rows_of_several_requests_are_numbered_consecutively(api: StubApi, tmp_path: Path) -> None:
    ended = predict_csv(tmp_path, "1,2\n" * (ROWS_A_REQUEST + 1))

    assert ended.output.splitlines()[-2].split("│")[1].strip() == str(ROWS_A_REQUEST + 1)


def test_prediction_without_labels_is_shown_as_a_number(api: StubApi) -> None:
    api.answer = predicting("ab", {"version": "2", "prediction": [12.5]})

    ended = run(main, "predict", "demand", "--features", "1,2")

    row = next(line for line in ended.output.splitlines() if "12.5" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == ["1", "12.5", "–"]


def test_label_in_brackets_is_shown_unchanged(api: StubApi) -> None:
    api.answer = predicting(
        "ab", {"version": "1", "prediction": [0], "label": ["[low]"], "probabilities": [[0.75, 0.25]]}
    )

    ended = run(main, "predict", "risk", "--features", "1,2")

    assert "[low]" in ended.output


def test_error_of_the_api_is_printed_unchanged(api: StubApi) -> None:
    api.answer = lambda _asked: problem(404, "no model named tulip is served")

    ended = run(main, "predict", "tulip", "--features", "1,2")

    assert (ended.exit_code, ended.output, ended.error) == (1, "", "Error: no model named tulip is served\n")


def test_invalid_prediction_response_is_reported_in_one_sentence(api: StubApi) -> None:
    api.answer = lambda _asked: Answer({"hello": "from something else"})

    ended = run(main, "predict", "iris", "--features", "1,2")

    assert ended.exit_code == 1
    assert ended.error.startswith("Error: ")


@settings(max_examples=15, deadline=None)
@given(rows=st.lists(st.lists(FINITE, min_size=3, max_size=3), min_size=1, max_size=5), named=st.booleans())
def test_every_finite_number_is_sent_unchanged(rows: list[list[float]], named: bool) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([["a", "b", "c"], *rows] if named else rows)

    with (
        stub_api(serving("abc")) as api,
        tempfile.TemporaryDirectory() as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("SLIPWAY_URL", api.url)
        patch.setenv("SLIPWAY_TOKEN", "the-token")
        ended = predict_csv(Path(folder), text.getvalue())

    assert ended.exit_code == 0
    assert sent(api) == [dict(zip("abc", row, strict=True)) for row in rows]
