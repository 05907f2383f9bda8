"""`/ping` and `/invocations`: responses and errors for SageMaker's and MLflow's clients."""

import json
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway_api.accounts.models import Role
from slipway_api.http.content_types import prefers
from slipway_api.main import build
from slipway_api.settings import ApiSettings
from slipway_api.web.routers.scoring import SAGEMAKER_PATHS
from slipway_core.registry.memory import InMemoryRegistry
from support.api import SECRET_KEY, RunningApi, StartApi
from support.bundles import CLASSES, FEATURES, register, regression_files
from support.waiting import wait_for

ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3], [6.0, 2.7, 4.2, 1.3]]
NAMED = [dict(zip(FEATURES, row, strict=True)) for row in ROWS]
COLUMNS = {name: [row[name] for row in NAMED] for name in FEATURES}
CSV = "5.1,3.5,1.4,0.2\n6.7,3.0,5.2,2.3\n6.0,2.7,4.2,1.3\n"
HEADER = ",".join(FEATURES)
LABELS = ["setosa", "virginica", "versicolor"]


def score(api: RunningApi, body: object, **headers: str) -> httpx.Response:
    content = json.dumps(body).encode()
    return api.post(
        "/invocations", role=Role.USER, content=content, headers={"Content-Type": "application/json", **headers}
    )


def score_csv(api: RunningApi, body: str | bytes, content_type: str = "text/csv") -> httpx.Response:
    content = body.encode() if isinstance(body, str) else body
    return api.post("/invocations", role=Role.USER, content=content, headers={"Content-Type": content_type})


def refused(answer: httpx.Response, status: int = 422) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    return problem


@pytest.mark.parametrize(
    "body",
    [
        {"instances": ROWS},
        {"instances": NAMED},
        {"inputs": ROWS},
        {"inputs": {"X": ROWS}},
        {"inputs": COLUMNS},
        {"inputs": {name: [[value] for value in values] for name, values in COLUMNS.items()}},
        {"dataframe_split": {"columns": list(FEATURES), "data": ROWS, "index": [7, 8, 9]}},
        {"dataframe_split": {"columns": list(FEATURES)[::-1], "data": [row[::-1] for row in ROWS]}},
        {"dataframe_records": NAMED},
        {"instances": ROWS, "params": {}},
        {"instances": ROWS, "params": None},
    ],
    ids=[
        *("instances", "named instances", "inputs", "named tensor", "columns", "nested columns"),
        *("split", "split with reversed columns", "records", "no params", "null params"),
    ],
)
def test_every_mlflow_format_is_accepted(api: RunningApi, body: dict[str, Any]) -> None:
    answer = score(api, body)

    assert answer.status_code == 200, answer.text
    assert answer.json() == {"predictions": LABELS}
    assert uuid.UUID(answer.headers["X-Prediction-ID"])


@pytest.mark.parametrize(
    "body",
    [
        CSV,
        CSV.rstrip(),
        CSV.replace("\n", "\r\n"),
        "\ufeff" + CSV,
        "\n" + CSV.replace("\n", "\n\n"),
        CSV.replace(",", ", "),
        '"5.1","3.5",1.4,0.2\n6.7,3.0,5.2,2.3\n6,2.7,4.2,1.3',
        f"{HEADER}\n{CSV}",
        "\ufeff" + f"{HEADER}\r\n{CSV}",
        '"{}"\n{}'.format('","'.join(FEATURES), CSV),
        ",".join(FEATURES[::-1]) + "\n" + "\n".join(",".join(map(str, row[::-1])) for row in ROWS),
    ],
    ids=[
        *("plain", "no final newline", "CRLF", "byte order mark", "empty lines", "spaces", "quoted"),
        *("header", "header with byte order mark", "quoted header", "reversed header"),
    ],
)
def test_csv_is_accepted_with_and_without_a_header(api: RunningApi, body: str) -> None:
    answer = score_csv(api, body)

    assert answer.status_code == 200, answer.text
    assert answer.json() == {"predictions": LABELS}


@pytest.mark.parametrize("content_type", ["text/csv; charset=utf-8", "Text/CSV"])
def test_every_csv_content_type_is_accepted(api: RunningApi, content_type: str) -> None:
    assert score_csv(api, CSV, content_type).status_code == 200


def test_csv_is_returned_if_requested(api: RunningApi) -> None:
    answer = score(api, {"instances": ROWS}, Accept="text/csv")

    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.text == "setosa\nvirginica\nversicolor\n"


@pytest.mark.parametrize("params", [{"output": "prediction"}, {}])
def test_params_choose_the_prediction(api: RunningApi, params: dict[str, str]) -> None:
    assert score(api, {"instances": ROWS, "params": params}).json() == {"predictions": LABELS}


def test_params_choose_the_probabilities(api: RunningApi) -> None:
    body = {"instances": ROWS, "params": {"output": "probabilities"}}
    native = api.post("/predict", role=Role.USER, json={"features": ROWS}).json()["probabilities"]

    in_json, in_csv = score(api, body), score(api, body, Accept="text/csv")

    assert in_json.json() == {"predictions": [dict(zip(CLASSES, row, strict=True)) for row in native]}
    assert [list(map(float, line.split(","))) for line in in_csv.text.splitlines()] == native


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("text/csv", True),
        ("TEXT/CSV; charset=utf-8", True),
        ("text/*", True),
        ("text/csv, application/json", True),
        ("application/json, text/csv", False),
        ("application/json;q=0.5, text/csv", True),
        ("text/csv;q=0.1, */*", False),
        ("text/csv;q=0", False),
        ("text/csv;q=x", False),
        ("image/png", False),
        (";;,,q=", False),
    ],
)
def test_response_is_csv_only_if_preferred(accept: str, expected: bool) -> None:
    assert prefers(accept.encode(), "text/csv") is expected


def test_regressor_returns_its_values(start_api: StartApi) -> None:
    registry = InMemoryRegistry()
    register(registry, regression_files(), "demand", promote=True)
    api = start_api(registry, default_model="demand")
    body = {"instances": [[1, 2, 3, 4], [0.1, 0, 0, 0]]}

    in_json, in_csv = score(api, body), score(api, body, Accept="text/csv")

    assert in_json.json() == {"predictions": [10.0, 0.1]}
    assert in_csv.text == "10.0\n0.1\n"


def test_regressor_has_no_probabilities(start_api: StartApi) -> None:
    registry = InMemoryRegistry()
    register(registry, regression_files(), "demand", promote=True)
    api = start_api(registry, default_model="demand")

    answer = score(api, {"instances": [[1, 2, 3, 4]], "params": {"output": "probabilities"}})

    assert refused(answer, 422)["errors"] == [
        {
            "loc": ["params", "output"],
            "msg": "`output` cannot be `probabilities`: the model predicts numbers, not classes",
        }
    ]


def test_request_counts_as_a_prediction(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry)

    score(api, {"instances": ROWS})

    assert api.sample("slipway_prediction_rows_total", model="iris", version="1") == 3
    counted = {"method": "POST", "route": "/invocations", "status": "200"}
    assert api.sample("slipway_http_requests_total", **counted) == 1


# Errors

FIRST, LAST = FEATURES[0], FEATURES[-1]
NAN = float("nan")


@pytest.mark.parametrize(
    ("body", "loc", "message"),
    [
        ([ROWS], ["body"], "must be an object"),
        ({}, ["body"], "send exactly one of `instances`, `inputs`, `dataframe_split`, `dataframe_records`"),
        ({"instances": ROWS, "inputs": ROWS}, ["body"], "send exactly one of"),
        ({"instance": ROWS}, ["instance"], "unknown field 'instance'"),
        ({"instances": ROWS, "signature_name": "x"}, ["signature_name"], "unknown field 'signature_name'"),
        ({"instances": ROWS, "params": {"a": 1}}, ["params", "a"], "unknown parameter 'a'; the only one is `output`"),
        ({"instances": ROWS, "params": {"output": "x"}}, ["params", "output"], "or `probabilities`, not 'x'"),
        ({"instances": ROWS, "params": {"output": None}}, ["params", "output"], "not null"),
        ({"instances": ROWS, "params": []}, ["params"], "must be an object, not a list"),
        ({"instances": ROWS, "params": ""}, ["params"], "must be an object, not a string"),
        ({"instances": ROWS, "params": 0}, ["params"], "must be an object, not a number"),
        ({"instances": []}, ["instances"], "at least one"),
        ({"instances": {}}, ["instances"], "must be a list"),
        ({"instances": None}, ["instances"], "must be a list"),
        ({"instances": ROWS[0]}, ["instances"], "write one row as [[…]]"),
        ({"inputs": {"X": ROWS[0]}}, ["inputs", "X"], "write one row as [[…]]"),
        ({"instances": [ROWS[0], 3]}, ["instances", 1], "must be a list or an object"),
        ({"instances": [[1, 2, 3]]}, ["instances", 0], "got 3"),
        ({"instances": [[1, 2, "3", 4]]}, ["instances", 0, FEATURES[2]], "not a string"),
        ({"instances": [ROWS[0], [1, NAN, 3, 4]]}, ["instances", 1, FEATURES[1]], "finite"),
        ({"instances": [{FIRST: 1}]}, ["instances", 0, LAST], "missing"),
        ({"inputs": "x"}, ["inputs"], "must be a list"),
        ({"inputs": {}}, ["inputs", LAST], "is missing"),
        ({"inputs": {"X": 3}}, ["inputs", "X"], "must be a list"),
        ({"inputs": {"X": [[1, 2, 3, None]]}}, ["inputs", "X", 0, LAST], "not null"),
        ({"inputs": {**COLUMNS, LAST: 3}}, ["inputs", LAST], "must be a list"),
        ({"inputs": {**COLUMNS, LAST: [1]}}, ["inputs", LAST], "as many values as the first"),
        ({"inputs": {**COLUMNS, LAST: [1, 2, True]}}, ["inputs", LAST, 2], "not a boolean"),
        ({"dataframe_split": ROWS}, ["dataframe_split"], "an object with the lists"),
        ({"dataframe_split": {"data": ROWS}}, ["dataframe_split"], "an object with the lists"),
        ({"dataframe_split": {"columns": list(FEATURES)}}, ["dataframe_split", "data"], "must be a list"),
        (
            {"dataframe_split": {"columns": [0, 1, 2, 3], "data": ROWS}},
            ["dataframe_split", "columns"],
            "each feature's name",
        ),
        ({"dataframe_split": {"columns": [FIRST] * 4, "data": ROWS}}, ["dataframe_split", "columns"], "exactly once"),
        (
            {"dataframe_split": {"columns": list(FEATURES), "data": [ROWS[0], [1]]}},
            ["dataframe_split", "data", 1],
            "list of 4 values",
        ),
        (
            {"dataframe_split": {"columns": list(FEATURES), "data": [[1, 2, 3, "4"]]}},
            ["dataframe_split", "data", 0, LAST],
            "not a string",
        ),
        (
            {"dataframe_split": {"columns": ["a", *FEATURES[1:]], "data": ROWS}},
            ["dataframe_split", "columns", "a"],
            "no feature 'a'",
        ),
        ({"dataframe_records": NAMED[0]}, ["dataframe_records"], "must be a list"),
        ({"dataframe_records": [NAMED[0], ROWS[0]]}, ["dataframe_records", 1], "an object by feature name"),
        ({"dataframe_records": [{**NAMED[0], LAST: [1]}]}, ["dataframe_records", 0, LAST], "not a list"),
        ({"x" * 1_000: 1}, ["x" * 100], "unknown field"),
        ({"inputs": {"x" * 1_000: 1}}, ["inputs", "x" * 100], "the model has no feature"),
        ({"\ud800": 1}, ["\ud800"], "unknown field"),
    ],
)
def test_json_error_names_its_location(api: RunningApi, body: object, loc: list[str | int], message: str) -> None:
    problem = refused(score(api, body))

    assert [message in error["msg"] for error in problem["errors"] if error["loc"] == loc] == [True], problem


@pytest.mark.parametrize(
    ("body", "loc", "message"),
    [
        (b"", ["body"], "the CSV is empty"),
        (b"\n\n", ["body"], "the CSV is empty"),
        (b"\xff\xfe1", ["body"], "not UTF-8"),
        (HEADER.encode(), ["body"], "a header and no rows"),
        (b'"5.1,3.5\n', ["body"], "line 1 is not CSV"),
        (b'1,2,3,4\n1,"2"x,3,4\n', ["body"], "line 2 is not CSV"),
        (b"1," * 90_000, ["body"], "first line has 90001 fields"),
        (b"a" * 140_000, ["body"], "line 1 has a field of over 131072 characters; check for an unclosed quote"),
        (
            b'1,2,3,4\n1,"' + b"2,3,4\n" * 25_000,
            ["body"],
            "has a field of over 131072 characters; check for an unclosed quote",
        ),
        (b"1,2,3\n", ["body"], "the CSV's first line has 3 fields; expected 4 (sepal length (cm), "),
        (b"1,2,3,4\n1,2,3,4,5\n", ["rows", 1], "this row has 5 fields; expected 4"),
        (b"1,2,3,4\n1,x,3,4\n", ["rows", 1, FEATURES[1]], "not a string"),
        (b"1,2,3,4\n1,,3,4\n", ["rows", 1, FEATURES[1]], "'sepal width (cm)' is empty; it must be a number"),
        (b"1,2,3,4\n1, ,3,4\n", ["rows", 1, FEATURES[1]], "is empty"),
        (b"5.1,3.5,1.4,\n", ["rows", 0, LAST], "is empty"),
        (b",,,\n1,2,3,4\n", ["rows", 0, LAST], "is empty"),
        *((f"5.1,3.5,1.4,{bad}\n".encode(), ["rows", 0, LAST], "not a string") for bad in ("abc", "5_1", "0x5")),
        (b"1,2,3,4\n1,1_0,3,4\n", ["rows", 1, FEATURES[1]], "not a string"),
        ("1,2,3,4\n1,٣,3,4\n".encode(), ["rows", 1, FEATURES[1]], "not a string"),
        (b"1,2,3," + b"4" * 401, ["rows", 0, LAST], "not a string"),
        (b"1,nan,3,4\n", ["rows", 0, FEATURES[1]], "finite"),
        (b"1,2,3,-inf\n", ["rows", 0, LAST], "finite"),
        (b"1,2,3,1e400\n", ["rows", 0, LAST], "finite"),
        (b"1,2,3,1e39\n", ["rows", 0, LAST], "too large"),
        (b"a,b,c,d\n1,2,3,4\n1,2,3,4\n", ["body"], "the CSV's header must name the features (sepal length (cm), "),
        (f"{FIRST},{FEATURES[1]},{FEATURES[2]},x\n".encode(), ["body"], "header must name the features"),
        (f"{HEADER}\n1,2,3\n".encode(), ["rows", 0], "this row has 3 fields; expected 4"),
        (f"{HEADER},{FIRST}\n1,2,3,4,5\n".encode(), ["body"], "names a feature twice"),
        (b"1;2;3;4\n", ["body"], "separate them with commas instead of semicolons"),
        (f"{HEADER},x\n1,2,3,4\n".encode(), ["rows", 0], "this row has 4 fields; expected 5"),
        (f"{FIRST},{FIRST},{FIRST},{FIRST}\n1,2,3,4\n".encode(), ["body"], "names a feature twice"),
        (f"{HEADER}\n1,2,3,x\n".encode(), ["rows", 0, LAST], "not a string"),
    ],
    ids=lambda value: repr(value)[:30] if isinstance(value, bytes) else "",
)
def test_csv_error_names_its_location(api: RunningApi, body: bytes, loc: list[str | int], message: str) -> None:
    problem = refused(score_csv(api, body))

    assert [message in error["msg"] for error in problem["errors"] if error["loc"] == loc] == [True], problem


def test_row_outside_a_list_is_one_error(api: RunningApi) -> None:
    assert len(refused(score(api, {"instances": ROWS[0]}))["errors"]) == 1


@pytest.mark.parametrize("body", ["5.1,3.5,1.4,abc\n6.7,3.0,5.2,2.3\n", "a,b,c,d\n1,2,3,4\n1,2,3,4\n"])
def test_error_in_the_first_line_is_reported_once(api: RunningApi, body: str) -> None:
    assert len(refused(score_csv(api, body))["errors"]) == 1


def test_too_many_rows_are_rejected_in_every_format(api: RunningApi) -> None:
    rows = [ROWS[0]] * 1_001
    bodies: list[dict[str, Any]] = [
        {"instances": rows},
        {"inputs": rows},
        {"inputs": dict.fromkeys(FEATURES, [1] * 1_001)},
        {"dataframe_split": {"columns": list(FEATURES), "data": rows}},
        {"dataframe_records": [{}] * 1_001},
    ]

    for body in bodies:
        assert "1000" in refused(score(api, body), 413)["detail"]
    assert "1000" in refused(score_csv(api, "1,2,3,4\n" * 1_001), 413)["detail"]
    assert score_csv(api, f"{HEADER}\n" + "1,2,3,4\n" * 1_000).status_code == 200


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/vnd.apache.parquet", "image/png"])
def test_other_content_types_are_rejected(api: RunningApi, content_type: str) -> None:
    detail = refused(score_csv(api, CSV, content_type), 415)["detail"]

    assert "send the header `Content-Type: application/json`, or `text/csv`" in detail


# Access


def test_scoring_requires_a_token(api: RunningApi) -> None:
    assert refused(api.get("/ping"), 401)
    assert refused(api.post("/invocations", json={"instances": ROWS}), 401)
    assert refused(api.post("/invocations", role=Role.VIEWER, json={"instances": ROWS}), 403)
    assert api.get("/ping", role=Role.VIEWER).json() == {}


def test_ping_fails_until_ready(start_api: StartApi) -> None:
    api = start_api(InMemoryRegistry(), ready=False)

    answer = api.get("/ping", role=Role.VIEWER)

    assert "iris" in refused(answer, 503)["detail"]
    assert answer.headers["Retry-After"]


def test_ping_names_the_reason_for_each_missing_pinned_version(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, models=("iris", "iris@9"), ready=False)

    def detail() -> str:
        text: str = api.get("/ping", role=Role.VIEWER).json().get("detail", "")
        return text

    wait_for(lambda: "has no such version; remove iris@9 from SLIPWAY_MODELS" in detail(), what="the reason")
    assert "alias" not in detail()


def test_sagemaker_mode_exempts_only_these_two_from_tokens(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, tokenless=SAGEMAKER_PATHS)

    assert api.get("/ping").json() == {}
    assert api.post("/invocations", json={"instances": ROWS}).json() == {"predictions": LABELS}
    assert refused(api.post("/predict", json={"features": ROWS}), 401)
    assert refused(api.get("/models"), 401)
    assert api.post("/v2/models/iris/infer", json={}).status_code == 401


def test_every_route_requires_a_token_by_default(registry: InMemoryRegistry, tmp_path: Path) -> None:
    settings = ApiSettings(secret_key=SECRET_KEY, mlflow_tracking_uri="http://registry.invalid", cache_dir=tmp_path)

    gateway = build(settings, registry)

    assert gateway.app.state.tokenless == frozenset()
    gateway.app.state.accounts.passwords.close()
    gateway.app.state.pool.close()


# Property tests

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NEAR_ROWS = st.lists(
    st.lists(st.floats() | ANYTHING, min_size=3, max_size=5)
    | st.dictionaries(st.sampled_from(FEATURES), st.floats() | ANYTHING, max_size=4)
    | ANYTHING,
    max_size=3,
)
NEAR_COLUMNS = st.dictionaries(st.sampled_from([*FEATURES, "X"]), st.lists(ANYTHING, max_size=3) | NEAR_ROWS)
NEAR_SPLIT = st.fixed_dictionaries(
    {}, optional={"columns": st.permutations(FEATURES) | ANYTHING, "data": NEAR_ROWS, "index": ANYTHING}
)
NEAR_BODIES = st.dictionaries(
    st.sampled_from(["instances", "inputs", "dataframe_split", "dataframe_records", "params"]),
    NEAR_ROWS | NEAR_COLUMNS | NEAR_SPLIT | ANYTHING,
    min_size=1,
    max_size=2,
)
FIELDS = st.sampled_from(["1", "2.5", "-1e3", "nan", "", " 3", '"4"', '"', "x", *FEATURES])
NEAR_CSV = st.lists(st.lists(FIELDS, min_size=3, max_size=5).map(",".join), max_size=4).map("\n".join)
FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
MANY = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def assert_answered_or_refused(answer: httpx.Response) -> None:
    if answer.status_code == 200:
        assert list(answer.json()) == ["predictions"]
    else:
        assert answer.status_code in {413, 415, 422}, answer.text
        assert refused(answer, answer.status_code)["detail"]


@MANY
@given(content=st.binary(max_size=200), content_type=st.sampled_from(["text/csv", "application/json", "x"]))
def test_any_bytes_are_answered_or_rejected(api: RunningApi, content: bytes, content_type: str) -> None:
    assert_answered_or_refused(score_csv(api, content, content_type))


@MANY
@given(body=NEAR_BODIES | ANYTHING)
def test_any_json_is_answered_or_rejected(api: RunningApi, body: object) -> None:
    assert_answered_or_refused(score(api, body))


@MANY
@given(body=NEAR_CSV | st.text(max_size=50))
def test_any_csv_is_answered_or_rejected(api: RunningApi, body: str) -> None:
    assert_answered_or_refused(score_csv(api, body.encode("utf-8", "surrogatepass")))


@MANY
@given(rows=st.lists(st.lists(FLOAT32, min_size=4, max_size=4), min_size=1, max_size=4))
def test_any_finite_rows_match_the_native_protocol(api: RunningApi, rows: list[list[float]]) -> None:
    native = api.post("/predict", role=Role.USER, json={"features": rows})
    columns = {name: list(values) for name, values in zip(FEATURES, zip(*rows, strict=True), strict=True)}
    body = "\n".join(",".join(map(repr, row)) for row in rows)

    answers = [
        score(api, {"instances": rows}),
        score(api, {"inputs": columns}),
        score(api, {"dataframe_split": {"columns": list(FEATURES), "data": rows}}),
        score_csv(api, body),
        score_csv(api, f"{HEADER}\n{body}"),
    ]

    assert {answer.status_code for answer in answers} == {native.status_code}
    if native.status_code == 200:
        labels = [CLASSES[index] for index in native.json()["prediction"]]
        assert all(answer.json()["predictions"] == labels for answer in answers)
