"""`slipway predict`: from a row or a CSV file to what the API is asked, and from its answer to a table or JSON."""

import csv
import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway_cli.cli import main
from slipway_cli.commands.predict import ROWS_A_REQUEST
from support.command import Ended, run
from support.stub_api import Answer, Asked, StubApi, problem, stub_api

NAMES = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def classify(asked: Asked) -> Answer:
    """Answer setosa for every row."""
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
    """An API that finds setosa everywhere, and that the environment names."""
    with stub_api(classify) as stub:
        monkeypatch.setenv("SLIPWAY_URL", stub.url)
        monkeypatch.setenv("SLIPWAY_TOKEN", "the-token")
        yield stub


def predict_csv(folder: Path, content: str | bytes, *options: str) -> Ended:
    path = folder / "rows.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return run(main, "predict", "iris", "--csv", str(path), *options)


def sent(api: StubApi) -> list[object]:
    """Return every row that the API was asked for."""
    return [row for asked in api.asked for row in asked.json["features"]]


def test_one_row_is_sent_and_its_answer_shown(api: StubApi) -> None:
    ended = run(main, "predict", "iris", "--features", "5.1,3.5,1.4,0.2")

    assert sent(api) == [[5.1, 3.5, 1.4, 0.2]]
    assert ended.exit_code == 0
    assert "iris, version 7" in ended.output
    assert "setosa" in ended.output
    assert "0.980" in ended.output


@pytest.mark.parametrize("text", ["5.1, 3.5 ,1.4,0.2", "5.1,35e-1,+1.4,.2"])
def test_a_row_may_be_written_as_numbers_are(api: StubApi, text: str) -> None:
    run(main, "predict", "iris", "--features", text)

    assert sent(api) == [[5.1, 3.5, 1.4, 0.2]]


@pytest.mark.parametrize("text", ["5.1,long", "", "5.1,", "5.1;3.5", "nan,1", "1,inf"])
def test_a_row_of_something_else_is_wrong_usage(api: StubApi, text: str) -> None:
    ended = run(main, "predict", "iris", "--features", text)

    assert ended.exit_code == 2
    assert "is not a row of numbers" in ended.error
    assert "--features" in ended.error
    assert api.asked == []


@pytest.mark.parametrize("options", [(), ("--features", "1,2", "--csv", "rows.csv")])
def test_exactly_one_of_a_row_and_a_file_is_given(api: StubApi, options: tuple[str, ...]) -> None:
    ended = run(main, "predict", "iris", *options)

    assert ended.exit_code == 2
    assert "give either --features or --csv" in ended.error
    assert api.asked == []


def test_json_is_the_answer_of_the_api(api: StubApi) -> None:
    ended = run(main, "predict", "iris", "--features", "5.1,3.5,1.4,0.2", "--json")

    assert json.loads(ended.output) == classify(api.asked[0]).body


@pytest.mark.parametrize("n_rows", [1, ROWS_A_REQUEST + 1])
def test_json_of_a_file_is_a_list_of_answers_whatever_its_length(api: StubApi, tmp_path: Path, n_rows: int) -> None:
    ended = predict_csv(tmp_path, "1,2\n" * n_rows, "--json")

    assert json.loads(ended.output) == [classify(asked).body for asked in api.asked]


def test_a_file_without_names_is_sent_as_lists(api: StubApi, tmp_path: Path) -> None:
    ended = predict_csv(tmp_path, "5.1,3.5,1.4,0.2\n6.7,3.0,5.2,2.3\n")

    assert ended.exit_code == 0
    assert sent(api) == [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]


def test_a_file_with_names_is_sent_by_name_whatever_their_order(api: StubApi, tmp_path: Path) -> None:
    content = "petal width (cm),sepal length (cm),petal length (cm), sepal width (cm)\n0.2,5.1,1.4,3.5\n"

    ended = predict_csv(tmp_path, content)

    assert ended.exit_code == 0
    assert sent(api) == [dict(zip(NAMES, (5.1, 3.5, 1.4, 0.2), strict=True))]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\xef\xbb\xbfa,b\n1,2\n", id="byte order mark"),
        pytest.param(b"a,b\r\n1,2\r\n", id="lines as Windows ends them"),
        pytest.param(b"\na,b\n\n1,2\n\n", id="blank lines"),
        pytest.param(b'"a","b"\n"1","2"', id="quotes, and no end of the last line"),
    ],
)
def test_files_as_other_programs_write_them_are_read(api: StubApi, tmp_path: Path, content: bytes) -> None:
    assert predict_csv(tmp_path, content).exit_code == 0
    assert sent(api) == [{"a": 1.0, "b": 2.0}]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("a,b\n1,2\n3,long\n", "line 3 of {path} holds 'long', which is not a number"),
        ("1,2\n3,\n", "line 2 of {path} has an empty cell, and each must be a number"),
        ("1,\n3,4\n", "line 1 of {path} has an empty cell, and each must be a number"),
        ("1,long\n3,4\n", "line 1 of {path} holds 'long', which is not a number"),
        ("1,5_1\n3,4\n", "line 1 of {path} holds '5_1', which is not a number"),
        ("1,nan\n3,4\n", "line 1 of {path} holds 'nan', which is not a number"),
        ("1,2\n\n3,nan\n", "line 3 of {path} holds 'nan', which is not a number"),
        ("1,2\n3,-inf\n", "line 2 of {path} holds '-inf', which is not a number"),
        ("a,b\n1,2\n3\n", "line 3 of {path} has 1 values, the first line 2"),
        ("a,b\n1,2,3\n", "line 2 of {path} has 3 values, the first line 2"),
        ("a,b\n", "{path} holds no rows"),
        ("", "{path} holds no rows"),
        (b"a,b\n\xff,2\n", "{path} cannot be read as CSV"),
    ],
)
def test_a_bad_file_is_told_with_its_line(api: StubApi, tmp_path: Path, content: str | bytes, sentence: str) -> None:
    ended = predict_csv(tmp_path, content)

    assert ended.exit_code == 1
    assert ended.error == f"Error: {sentence.format(path=tmp_path / 'rows.csv')}\n"
    assert api.asked == []


def test_a_file_that_is_missing_is_told(api: StubApi, tmp_path: Path) -> None:
    ended = run(main, "predict", "iris", "--csv", str(tmp_path / "missing.csv"))

    assert ended.exit_code == 1
    assert ended.error == f"Error: there is no file {tmp_path / 'missing.csv'}\n"


@pytest.mark.parametrize(
    ("n_rows", "requests"), [(ROWS_A_REQUEST, [1000]), (ROWS_A_REQUEST + 1, [1000, 1]), (2_500, [1000, 1000, 500])]
)
def test_many_rows_are_sent_in_several_requests(api: StubApi, tmp_path: Path, n_rows: int, requests: list[int]) -> None:
    rows = [[float(index), 1.0] for index in range(n_rows)]

    ended = predict_csv(tmp_path, "".join(f"{a},{b}\n" for a, b in rows), "--json")

    assert [len(asked.json["features"]) for asked in api.asked] == requests
    assert sent(api) == rows
    assert ended.output.count('"setosa"') == n_rows


def test_the_rows_of_several_requests_are_numbered_through(api: StubApi, tmp_path: Path) -> None:
    ended = predict_csv(tmp_path, "1,2\n" * (ROWS_A_REQUEST + 1))

    assert ended.output.splitlines()[-2].split("│")[1].strip() == str(ROWS_A_REQUEST + 1)


def test_an_answer_without_labels_is_shown_as_numbers(api: StubApi) -> None:
    api.answer = lambda _asked: Answer({"version": "2", "prediction": [12.5]})

    ended = run(main, "predict", "demand", "--features", "1,2")

    row = next(line for line in ended.output.splitlines() if "12.5" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == ["1", "12.5", "–"]


def test_a_label_in_brackets_is_shown_as_it_is(api: StubApi) -> None:
    api.answer = lambda _asked: Answer(
        {"version": "1", "prediction": [0], "label": ["[low]"], "probabilities": [[0.75, 0.25]]}
    )

    ended = run(main, "predict", "risk", "--features", "1,2")

    assert "[low]" in ended.output


def test_a_model_that_is_not_served_is_told_in_the_words_of_the_api(api: StubApi) -> None:
    api.answer = lambda _asked: problem(404, "no model named tulip is served")

    ended = run(main, "predict", "tulip", "--features", "1,2")

    assert (ended.exit_code, ended.output, ended.error) == (1, "", "Error: no model named tulip is served\n")


def test_an_answer_that_is_no_prediction_is_told_in_one_sentence(api: StubApi) -> None:
    api.answer = lambda _asked: Answer({"hello": "from something else"})

    ended = run(main, "predict", "iris", "--features", "1,2")

    assert ended.exit_code == 1
    assert ended.error.startswith("Error: ")


@settings(max_examples=15, deadline=None)
@given(rows=st.lists(st.lists(FINITE, min_size=3, max_size=3), min_size=1, max_size=5), named=st.booleans())
def test_every_finite_number_arrives_as_it_was_written(rows: list[list[float]], named: bool) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([["a", "b", "c"], *rows] if named else rows)

    with stub_api(classify) as api, tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIPWAY_URL", api.url)
        patch.setenv("SLIPWAY_TOKEN", "the-token")
        ended = predict_csv(Path(folder), text.getvalue())

    assert ended.exit_code == 0
    assert sent(api) == [dict(zip("abc", row, strict=True)) if named else row for row in rows]
