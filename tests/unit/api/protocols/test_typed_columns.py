"""Models of typed columns: equal answers through every protocol, and the place of every invalid value."""

from typing import Any

import pytest

from slipway_api.accounts.models import Role
from slipway_core.manifest import label_text
from support.api import RunningApi
from support.typed_models import KINDS, TABLE_COLUMNS, TABLE_NAMES, TABLE_ROWS
from support.typed_requests import (
    ENCODINGS,
    INFER,
    NATIVE,
    V1,
    Sent,
    binary_part,
    columns_of,
    csv_text,
    framed,
    in_binary,
    in_csv,
    in_json,
    named,
    predicted,
    tensors,
)

ROW = list(TABLE_ROWS[0])


@pytest.fixture
def api(typed_api: RunningApi) -> RunningApi:
    return typed_api


def with_value(name: str, value: object) -> list[Any]:
    """Return a valid row with another value."""
    return [value if column == name else old for column, old in zip(TABLE_NAMES, ROW, strict=True)]


# Equal answers


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("model", KINDS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_protocol_predicts_alike(api: RunningApi, encoding: str, model: str, compressed: bool) -> None:
    expected = predicted(ENCODINGS["native lists"](TABLE_ROWS).to(api, model))
    sent = ENCODINGS[encoding](TABLE_ROWS)

    found = predicted((sent.in_gzip() if compressed else sent).to(api, model), KINDS[model].classes)

    assert found.prediction == expected.prediction
    if found.probabilities is not None:
        assert found.probabilities == expected.probabilities
        assert found.labels is not None
        assert list(map(label_text, found.labels)) == list(map(label_text, expected.labels or ()))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_one_row_is_predicted_as_among_others(api: RunningApi, encoding: str) -> None:
    expected = predicted(ENCODINGS["native lists"](TABLE_ROWS).to(api, "values")).prediction

    alone = [predicted(ENCODINGS[encoding]([row]).to(api, "values")).prediction[0] for row in TABLE_ROWS]

    assert alone == expected


@pytest.mark.parametrize("features", [list(TABLE_ROWS[1]), named(TABLE_ROWS)[1]], ids=["list", "object"])
def test_a_single_row_needs_no_list(api: RunningApi, features: object) -> None:
    expected = predicted(ENCODINGS["native lists"](TABLE_ROWS[1:2]).to(api, "texts"))

    assert predicted(in_json(NATIVE, {"features": features}).to(api, "texts")) == expected


@pytest.mark.parametrize("model", [name for name, kind in KINDS.items() if kind.classes])
def test_labels_have_the_type_of_the_classes(api: RunningApi, model: str) -> None:
    classes = KINDS[model].classes or ()

    found = predicted(ENCODINGS["native lists"](TABLE_ROWS).to(api, model))

    assert found.labels == [classes[int(index)] for index in found.prediction]
    assert {type(label) for label in found.labels} == {type(classes[0])}
    assert len(set(found.labels)) == len(classes)


def test_metadata_describes_the_columns_and_inputs(api: RunningApi) -> None:
    described = api.get("/v2/models/texts", role=Role.VIEWER).json()["inputs"]
    signature = api.get("/models/booleans", role=Role.VIEWER).json()["signature"]

    assert [one["name"] for one in described] == list(TABLE_NAMES)
    assert [one["datatype"] for one in described][:6] == ["BYTES", "BYTES", "FP32", "FP64", "FP32", "INT64"]
    assert {tuple(one["shape"]) for one in described} == {(-1,)}
    assert [one["name"] for one in signature["inputs"]] == list(TABLE_NAMES)
    assert signature["tensors"][9] == {
        "name": "day_year",
        "dtype": "float32",
        "shape": [1],
        "column": "day",
        "part": "year",
    }
    assert signature["classes"] == [False, True]
    assert signature["decision"] == {"positive_class": 1, "threshold": 0.4}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("count", " 3 ", 3),
        ("count", "3.0", 3.0),
        ("count", " 9007199254740993", 2**53 + 1),
        ("count", "+007", 7),
        ("member", "TRUE", True),
        ("member", " False", False),
        ("member", "1", True),
        ("consent", "0", False),
        ("consent", "", None),
        ("city", "", None),
        ("weight", "", None),
        ("visits", "", None),
        ("seen", "", None),
        ("weight", "1e1", 10.0),
        ("city", "NaN", "NaN"),
        ("city", " red", " red"),
        ("city", "1", "1"),
        ("city", "x\r\ny", "x\r\ny"),
    ],
)
def test_cell_of_a_csv_becomes_a_value_of_its_column(api: RunningApi, name: str, text: str, value: object) -> None:
    api.ship()
    answer = in_csv(csv_text([with_value(name, text)], TABLE_NAMES)).to(api, "texts")
    predicted(answer)
    api.ship()

    stored = api.get(f"/predictions/{answer.headers['X-Prediction-ID']}", role=Role.USER).json()["inputs"][0]

    assert stored == with_value(name, value)
    assert type(stored[TABLE_NAMES.index(name)]) is type(value)


@pytest.mark.parametrize(
    ("name", "datatype", "values", "expected"),
    [
        ("count", "INT8", [5], 5),
        ("count", "UINT64", [5], 5),
        ("count", "FP32", [5.0], 5),
        ("count", "FP16", [2049], 2048),
        ("price", "FP16", [0.1], 0.0999755859375),
        ("price", "FP32", [0.1], 0.10000000149011612),
        ("price", "FP64", [0.1], 0.1),
        ("price", "INT64", [2**53 + 1], 2**53 + 1),
        ("weight", "FP64", [12.5], 12.5),
        ("visits", "FP32", [None], None),
        ("member", "INT8", [1], True),
        ("member", "FP32", [0.0], False),
        ("consent", "UINT8", [0], False),
        ("consent", "FP64", [None], None),
        ("city", "BYTES", [""], None),
        ("seen", "BYTES", [""], None),
    ],
)
def test_tensor_becomes_values_of_its_column(
    api: RunningApi, name: str, datatype: str, values: list[Any], expected: object
) -> None:
    inputs = [{**one, "datatype": datatype, "data": values} if one["name"] == name else one for one in tensors([ROW])]

    answer = in_json(INFER, {"inputs": inputs}).to(api, "values")

    predicted(answer)
    api.ship()
    identity = answer.json()["parameters"]["prediction_id"]
    stored = api.get(f"/predictions/{identity}", role=Role.USER).json()["inputs"][0]
    assert stored == with_value(name, expected)


# Invalid values


BAD_VALUES: list[tuple[str, Any, str]] = [
    ("color", 1, "must be text, not a number (1)"),
    ("color", None, "is null, but the model needs a value here"),
    ("color", "pink", "must be one of 'blue', 'green', 'red', not 'pink'"),
    ("city", 5, "must be text, not a number (5)"),
    ("city", "a\0b", "must be text without NUL and unpaired surrogates"),
    ("city", "\ud800", "must be text without NUL and unpaired surrogates"),
    ("city", {"a": 1}, "must be text, not an object"),
    ("weight", "heavy", "must be a number, not a string ('heavy')"),
    ("weight", "5,1", "must be a number, not a string ('5,1')"),
    ("weight", True, "must be a number, not a boolean"),
    ("weight", float("inf"), "must be a finite number, not NaN or infinity; for a missing value"),
    ("weight", 1e39, "is too large for a 32-bit float"),
    ("price", None, "is null, but the model needs a value here"),
    ("price", float("nan"), "must be a finite number, not NaN or infinity"),
    ("price", 10**400, "is too large for a 64-bit float"),
    ("size", 0.3, "must be one of 0.1, 2, 37.5, not 0.3"),
    ("count", 1.5, "must be an integer, not a number (1.5)"),
    ("count", "7", "must be an integer, not a string ('7')"),
    ("count", 2**63, "is too large for a 64-bit integer (9223372036854775808)"),
    ("count", None, "is null, but the model needs a value here"),
    ("visits", 2**24 + 1, "must be between -16777216 and 16777216, not 16777217"),
    ("member", 1, "must be true or false, not a number (1)"),
    ("member", "yes", "must be true or false, not a string ('yes')"),
    ("day", "2026-02-30", "must be a date that exists, not '2026-02-30'"),
    ("day", "30.11.2026", "must be a date such as 2026-11-21 or 2026-11-21T08:30, not '30.11.2026'"),
    ("day", 20261130, "must be a date such as 2026-11-21 or 2026-11-21T08:30, not a number (20261130)"),
]
PLACES = {
    "native lists": lambda row, name: ["features", row, name],
    "native objects": lambda row, name: ["features", row, name],
    "instances": lambda row, name: ["instances", row, name],
    "instances, objects": lambda row, name: ["instances", row, name],
    "inputs, rows": lambda row, name: ["inputs", row, name],
    "inputs, columns": lambda row, name: ["inputs", name, row],
    "dataframe_split": lambda row, name: ["dataframe_split", "data", row, name],
    "dataframe_records": lambda row, name: ["dataframe_records", row, name],
}


@pytest.mark.parametrize("encoding", PLACES)
@pytest.mark.parametrize(("name", "value", "message"), BAD_VALUES)
def test_invalid_value_in_json_is_reported_at_its_place(
    api: RunningApi, encoding: str, name: str, value: object, message: str
) -> None:
    sent = ENCODINGS[encoding]([ROW, with_value(name, value)])
    path = NATIVE if sent.path == NATIVE else "/invocations"

    answer = sent._replace(path=path).to(api, "texts")

    assert answer.status_code == 422, answer.text
    [error] = answer.json()["errors"]
    assert error["loc"] == PLACES[encoding](1, name)
    assert error["msg"].startswith(f"'{name}' {message}")


BAD_CELLS: list[tuple[str, str, str]] = [
    ("color", "pink", "must be one of 'blue', 'green', 'red', not 'pink'"),
    ("color", "", "is empty, but the model needs a value here"),
    ("color", " red", "must be one of 'blue', 'green', 'red', not ' red'"),
    ("city", "a\0b", "must be text without NUL"),
    ("weight", "1 234.5", "must be a number, not a string ('1 234.5'); write a decimal point, and no separators"),
    ("weight", "null", "must be a number, not a string ('null'); for a missing value, send null, or leave the cell"),
    ("weight", "5,1", "must be a number, not a string ('5,1')"),
    (
        "weight",
        "NaN",
        "must be a finite number, not NaN or infinity; for a missing value, send null, or leave the cell",
    ),
    ("weight", "1e400", "must be a finite number"),
    ("weight", "1_000", "must be a number, not a string ('1_000')"),
    ("weight", "  ", "is empty; it must be a number; for a missing value"),
    ("price", "", "is empty; it must be a number"),
    ("price", "NA", "must be a number, not a string ('NA')"),
    ("size", "0.3", "must be one of 0.1, 2, 37.5, not 0.3"),
    ("count", "", "is empty; it must be an integer"),
    ("count", "None", "must be an integer, not a string ('None')"),
    ("count", "1.5", "must be an integer, not a number (1.5)"),
    ("count", "9223372036854775808", "is too large for a 64-bit integer (9223372036854775808)"),
    ("count", "1e400", "must be an integer, not a number (inf)"),
    ("count", "nan", "must be an integer, not a number (nan)"),
    ("visits", "16777217", "must be between -16777216 and 16777216, not 16777217"),
    ("member", "yes", "must be true or false, not a string ('yes')"),
    ("member", "", "is empty; it must be true or false"),
    ("consent", "2", "must be true or false, not a string ('2')"),
    ("day", "", "is empty; it must be a date such as 2026-11-21 or 2026-11-21T08:30"),
    ("day", "11/30/2026", "must be a date such as 2026-11-21 or 2026-11-21T08:30, not '11/30/2026'"),
    ("day", "20261130", "must be a date such as 2026-11-21 or 2026-11-21T08:30, not '20261130'"),
    ("seen", "NaT", "must be a date such as 2026-11-21 or 2026-11-21T08:30, not 'NaT'; for a missing value, send null"),
    ("day", "2026-02-30", "must be a date that exists, not '2026-02-30'"),
]


@pytest.mark.parametrize("header", [(), TABLE_NAMES], ids=["no header", "header"])
@pytest.mark.parametrize(("name", "text", "message"), BAD_CELLS)
def test_invalid_cell_of_a_csv_is_reported(
    api: RunningApi, header: tuple[str, ...], name: str, text: str, message: str
) -> None:
    sent = in_csv(csv_text([ROW, with_value(name, text)], header))._replace(path="/invocations")

    answer = sent.to(api, "texts")

    assert answer.status_code == 422, answer.text
    [error] = answer.json()["errors"]
    assert error["loc"] == ["rows", 1, name]
    assert error["msg"].startswith(f"'{name}' {message}")


def test_row_of_a_csv_may_have_a_feature_name_as_its_value(typed_api: RunningApi) -> None:
    row = with_value("city", "color")

    found = predicted(in_csv(csv_text([row, ROW])).to(typed_api, "values"))

    assert found == predicted(in_csv(csv_text([row, ROW], TABLE_NAMES)).to(typed_api, "values"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (csv_text([ROW], ["colour", *TABLE_NAMES[1:]]), "the CSV's header must name the features"),
        (csv_text([ROW]).replace(",", ";"), "the CSV's first line has 1 field; expected 11"),
        (csv_text([ROW], TABLE_NAMES).replace(",", "\t"), "separate them with commas instead of tabs"),
        (
            csv_text([ROW]).replace(",", ";").replace(".", ","),
            "; separate them with commas instead of semicolons and write numbers with a decimal point",
        ),
        (csv_text([ROW], [name.title() for name in TABLE_NAMES]), "'Weight'"),
        (csv_text([ROW], [TABLE_NAMES[0], *(f" {name}" for name in TABLE_NAMES[1:])]), "it lacks 'city', 'weight', "),
        (
            csv_text([ROW], [f"Feature {name}" for name in TABLE_NAMES]),
            (
                "it lacks 'color', 'city', 'weight', 'price', 'size' and 6 more, and has 'Feature color', "
                "'Feature city', 'Feature weight', 'Feature price', 'Feature size' and 6 more, which the model does "
            ),
        ),
        (csv_text([[*ROW, 1]]), "the CSV's first line has 12 fields; expected 11"),
        (csv_text([ROW[:-1]]), "the CSV's first line has 10 fields; expected 11"),
        (csv_text([ROW], TABLE_NAMES[:-1]), "the CSV's header must name the features"),
        (csv_text([], TABLE_NAMES), "the CSV has a header and no rows"),
        (csv_text([ROW[:-1]], TABLE_NAMES), "this row has 10 fields; expected 11"),
        ('red,"Bern', "line 1 is not CSV: check for an unclosed quote"),
        ("\n\n", "the CSV is empty"),
        (csv_text([ROW], [*TABLE_NAMES[:-1], "day"]), "the CSV's header names a feature twice"),
    ],
)
def test_other_csv_is_rejected(api: RunningApi, text: str, message: str) -> None:
    answer = in_csv(text).to(api, "texts")

    assert answer.status_code == 422
    assert message in answer.json()["error"]


BAD_TENSORS: list[tuple[str, dict[str, Any], str]] = [
    ("color", {"datatype": "FP32"}, "must have one of the datatypes BYTES"),
    ("color", {"data": [1]}, "'color' must be text, not a number (1)"),
    ("color", {"data": ["pink"]}, "'color' must be one of 'blue', 'green', 'red', not 'pink'"),
    ("color", {"data": [None]}, "'color' is null, but the model needs a value here"),
    ("color", {"data": [""]}, "'color' must be one of 'blue', 'green', 'red', not ''"),
    ("city", {"data": [float("nan")]}, "'city' must be text, not a number (nan)"),
    ("visits", {"data": [""]}, "at [0] must be a valid INT64"),
    ("weight", {"data": [""]}, "'weight' is empty; it must be a number"),
    ("consent", {"data": [float("nan")]}, "'consent' must be true or false, not a number (nan)"),
    ("city", {"data": ["\ud800"]}, "'city' must be text without NUL and unpaired surrogates"),
    ("city", {"data": [["a", "b"]]}, "'city' must be text, not a list"),
    ("city", {"data": ["a", "b"]}, "has 2 values, but its shape [1] needs 1"),
    ("city", {"shape": [1, 2]}, "must be of shape [n] or [n, 1]"),
    ("day", {"datatype": "INT64", "data": [20261121]}, "must have one of the datatypes BYTES"),
    ("day", {"data": ["2026-02-30"]}, "'day' must be a date that exists, not '2026-02-30'"),
    ("weight", {"datatype": "BYTES", "data": ["5"]}, "must have one of the datatypes FP16, FP32"),
    ("weight", {"datatype": "BOOL", "data": [True]}, "must have one of the datatypes FP16, FP32"),
    ("weight", {"data": ["5"]}, "'weight' must be a number, not a string ('5')"),
    ("weight", {"data": [True]}, "'weight' must be a number, not a boolean"),
    ("weight", {"data": [1e39]}, "'weight' is too large for a 32-bit float"),
    ("weight", {"datatype": "FP16", "data": [70000.0]}, "at [0] is too large for FP16"),
    ("weight", {"datatype": "FP16", "data": [70000]}, "at [0] is too large for FP16"),
    ("price", {"datatype": "FP32", "data": [1e39]}, "at [0] is too large for FP32"),
    ("price", {"datatype": "FP32", "data": [10**400]}, "'price' is too large for a 64-bit float"),
    ("price", {"data": [float("nan")]}, "'price' must be a finite number, not NaN or infinity"),
    ("price", {"data": [None]}, "'price' is null, but the model needs a value here"),
    ("count", {"data": [1.5]}, "at [0] must be a valid INT64"),
    ("count", {"data": [True]}, "at [0] must be a valid INT64"),
    ("count", {"data": [2**63]}, "at [0] must be a valid INT64"),
    ("count", {"datatype": "UINT64", "data": [2**63]}, "'count' is too large for a 64-bit integer"),
    ("count", {"datatype": "INT8", "data": [200]}, "at [0] must be a valid INT8"),
    ("count", {"datatype": "FP64", "data": [1.5]}, "'count' must be an integer, not a number (1.5)"),
    ("visits", {"data": [2**24 + 1]}, "'visits' must be between -16777216 and 16777216, not 16777217"),
    ("member", {"data": [1]}, "'member' must be true or false, not a number (1)"),
    ("member", {"datatype": "INT8", "data": [2]}, "at [0] must be 0 or 1 as INT8"),
    ("member", {"datatype": "FP32", "data": [0.5]}, "at [0] must be 0 or 1 as FP32"),
    ("member", {"datatype": "FP64", "data": [[]]}, "at [0] must be 0 or 1 as FP64"),
    ("member", {"datatype": "FP64", "data": [{}]}, "at [0] must be 0 or 1 as FP64"),
    ("member", {"datatype": "FP64", "data": [True]}, "at [0] must be 0 or 1 as FP64"),
    ("member", {"datatype": "FP16", "data": ["1"]}, "at [0] must be 0 or 1 as FP16"),
    ("member", {"datatype": "FP64", "data": [10**400]}, "at [0] must be 0 or 1 as FP64"),
    ("member", {"datatype": "BYTES", "data": ["true"]}, "must have one of the datatypes BOOL, FP16"),
    ("member", {"datatype": "INT8", "data": [None]}, "'member' is null, but the model needs a value here"),
    ("consent", {"datatype": "FP32", "data": [3.0]}, "at [0] must be 0 or 1 as FP32"),
    ("member", {"name": "odd"}, "the input 'odd' is unknown to this model"),
    ("member", {"name": "day"}, "is duplicated; send it once"),
]


@pytest.mark.parametrize(("name", "changes", "message"), BAD_TENSORS)
def test_invalid_tensor_is_reported(api: RunningApi, name: str, changes: dict[str, Any], message: str) -> None:
    inputs = [{**one, **changes} if one["name"] == name else one for one in tensors([ROW])]

    answer = in_json(INFER, {"inputs": inputs}).to(api, "texts")

    assert answer.status_code == 422, answer.text
    error = answer.json()["error"]
    assert message in error
    # The place of a value is its tensor and its row.
    assert not message.startswith("'") or error.startswith(f"inputs/{TABLE_NAMES.index(name)}/data/0: ")


BAD_BINARY: list[tuple[str, str, bytes, str]] = [
    ("color", "BYTES", b"", "must have 1 texts as its binary data, each preceded by its length in 4 bytes"),
    ("color", "BYTES", framed(["red"])[:-1], "must have 1 texts as its binary data"),
    ("color", "BYTES", framed(["red"])[:3], "must have 1 texts as its binary data"),
    ("color", "BYTES", framed(["red", "red"]), "must have 1 texts as its binary data"),
    ("color", "BYTES", framed(["red"]) + b"\0", "must have 1 texts as its binary data"),
    ("color", "BYTES", b"\xff\xff\xff\xffred", "must have 1 texts as its binary data"),
    ("color", "BYTES", b"\x02\0\0\0\xff\xfe", "must be UTF-8"),
    ("color", "BYTES", framed(["pink"]), "'color' must be one of 'blue', 'green', 'red', not 'pink'"),
    ("color", "BYTES", framed([""]), "'color' must be one of 'blue', 'green', 'red', not ''"),
    ("city", "BYTES", framed(["\0"]), "'city' must be text without NUL"),
    ("city", "BYTES", b"\x03\0\0\0\xed\xa0\x80", "must be UTF-8"),
    ("day", "BYTES", framed(["2026-13-01"]), "'day' must be a date that exists, not '2026-13-01'"),
    ("member", "BOOL", b"\x02", "must be a byte of 0 or 1"),
    ("member", "BOOL", b"", "has 0 binary bytes, but BOOL of shape [1, 1] needs 1"),
    ("member", "INT8", b"\xff", "must be 0 or 1 as INT8"),
    ("weight", "FP32", b"\0\0\x80\x7f", "'weight' must be a finite number, not NaN or infinity"),
    ("price", "FP64", b"\0\0\0\0\0\0\xf8\x7f", "'price' must be a finite number, not NaN or infinity"),
    ("count", "INT64", b"\0" * 7, "has 7 binary bytes, but INT64 of shape [1, 1] needs 8"),
    ("count", "UINT64", b"\xff" * 8, "'count' is too large for a 64-bit integer"),
]


@pytest.mark.parametrize(("name", "datatype", "tail", "message"), BAD_BINARY)
def test_invalid_binary_tensor_is_reported(
    api: RunningApi, name: str, datatype: str, tail: bytes, message: str
) -> None:
    parts = []
    for column, values in zip(TABLE_COLUMNS, columns_of([ROW]), strict=True):
        head, content = binary_part(column, values)
        if column.name == name:
            head, content = {**head, "datatype": datatype, "parameters": {"binary_data_size": len(tail)}}, tail
        parts.append((head, content))

    answer = in_binary(parts).to(api, "texts")

    assert answer.status_code == 422, answer.text
    assert message in answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        (NATIVE, b'{"features": [["red"], [1]]}', "expected 11 features (color, city, "),
        (NATIVE, b'{"features": {"\\ud800": 1}}', "the feature 'color' is missing"),
        (NATIVE, b'{"features": "red"}', "features must be a row or a list of rows, not a string"),
        (V1, b'{"instances": ["red"]}', "the rows must each be a list or an object"),
        (V1, b'{"inputs": {"color": ["red"], "\\ud800": 1}}', "the feature 'city' is missing"),
        (INFER, b'{"inputs": [{"name": "\\ud800", "shape": [1], "datatype": "BYTES", "data": ["x"]}]}', "is unknown"),
    ],
)
def test_other_bodies_are_rejected(api: RunningApi, path: str, content: bytes, message: str) -> None:
    answer = Sent(path, content).to(api, "texts")

    assert answer.status_code == 422, answer.text
    assert message in answer.text


def test_binary_outputs_have_the_class_names(api: RunningApi) -> None:
    body = {"inputs": tensors(TABLE_ROWS), "outputs": [{"name": "label_name", "parameters": {"binary_data": True}}]}

    answer = in_json(INFER, body).to(api, "booleans")

    size = int(answer.headers["Inference-Header-Content-Length"])
    indices = predicted(ENCODINGS["native lists"](TABLE_ROWS).to(api, "booleans")).prediction
    assert answer.content[size:] == framed([("false", "true")[int(index)] for index in indices])
