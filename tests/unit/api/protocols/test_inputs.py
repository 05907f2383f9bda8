"""Invalid inputs: the error names every location."""

import codecs

import pytest

from slipway_api.accounts.models import Role
from slipway_api.http.request_body import SMALL_BODY_BYTES
from slipway_api.protocols.native import MAX_LENIENT_BYTES, SPARE_CONTAINERS
from slipway_core.feature_values import MAX_PROBLEMS
from slipway_core.registry.memory import InMemoryRegistry
from support.api import RunningApi, StartApi
from support.refusals import INPUTS, JSON, Apis, Case

FEEDBACK = "/predictions/01939c4e-5f0e-7c3a-9d2b-3a1f0c9d7e55/feedback"


@pytest.mark.parametrize("case", INPUTS, ids=lambda case: case.name)
def test_invalid_input_error_names_each_location(case: Case, apis: Apis) -> None:
    errors = case.ask(apis).json()["errors"]

    assert [error["loc"] for error in errors] == [loc for loc, _ in case.places]
    for error, (_, words) in zip(errors, case.places, strict=True):
        assert words in error["msg"]


def test_body_with_many_wrong_names_gets_a_short_error(api: RunningApi) -> None:
    body = {f"field {number}": 1 for number in range(5_000)}

    answer = api.post("/predict", role=Role.USER, json=body)

    assert answer.status_code == 422
    assert len(answer.content) < 10_000


@pytest.mark.parametrize(
    "body",
    [
        {"n" * 50_000: 1},
        {"features": {f"field {number}": 1 for number in range(5_000)}},
        {"features": [dict.fromkeys(["n" * 50_000], 1)]},
    ],
    ids=["long field", "many features", "long feature"],
)
def test_long_client_text_is_truncated_in_errors(api: RunningApi, body: object) -> None:
    answer = api.post("/predict", role=Role.USER, json=body)

    assert answer.status_code == 422
    assert len(answer.content) < 10_000


def test_nan_in_a_large_body_error_names_line_and_column(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry)
    content = b'{"features": [5.1, 3.5, NaN, 0.2]' + b" " * MAX_LENIENT_BYTES + b"}"

    answer = api.post("/predict", role=Role.USER, content=content, headers={"Content-Type": "application/json"})

    assert answer.status_code == 422
    assert answer.json()["detail"] == "the body is not JSON: line 1, column 25"


SMALL_AND_LARGE = pytest.mark.parametrize("padding", [0, MAX_LENIENT_BYTES], ids=["small", "large"])


@SMALL_AND_LARGE
def test_unparseable_number_error_says_too_large_and_where(
    start_api: StartApi, registry: InMemoryRegistry, padding: int
) -> None:
    content = b'{"features": [1' + b"0" * 5_000 + b", 3.5, 1.4, 0.2]" + b" " * padding + b"}"

    answer = start_api(registry).post("/predict", role=Role.USER, content=content, headers=JSON)

    assert answer.status_code == 422
    assert answer.json()["detail"] == "a number in the body is too large: line 1, column 15"


@SMALL_AND_LARGE
@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("utf-16", "it is not UTF-8, as byte 0 is hexadecimal FF"),
        ("utf-16-le", "it is not UTF-8, but looks like UTF-16"),
        ("utf-16-be", "it is not UTF-8, but looks like UTF-16"),
        ("utf-32-le", "it is not UTF-8, but looks like UTF-32"),
    ],
)
def test_json_not_in_utf_8_is_rejected_at_any_size(
    start_api: StartApi, registry: InMemoryRegistry, encoding: str, words: str, padding: int
) -> None:
    content = ('{"features": [5.1, 3.5, 1.4, 0.2]' + " " * (padding // 2) + "}").encode(encoding)

    answer = start_api(registry).post("/predict", role=Role.USER, content=content, headers=JSON)

    assert answer.status_code == 422
    assert answer.json()["detail"] == f"the body is not JSON: {words}"


@SMALL_AND_LARGE
def test_byte_order_mark_is_skipped_at_any_size(start_api: StartApi, registry: InMemoryRegistry, padding: int) -> None:
    content = codecs.BOM_UTF8 + b'{"features": [5.1, 3.5, 1.4, 0.2]' + b" " * padding + b"}"

    answer = start_api(registry).post("/predict", role=Role.USER, content=content, headers=JSON)

    assert answer.status_code == 200


def test_byte_order_mark_alone_is_an_empty_body(api: RunningApi) -> None:
    answer = api.post("/predict", role=Role.USER, content=codecs.BOM_UTF8, headers=JSON)

    assert answer.json()["detail"] == "the body is empty; send JSON"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_account_request_not_in_utf_8_is_rejected(api: RunningApi, encoding: str) -> None:
    content = '{"username": "newcomer", "password": "correct horse battery"}'.encode(encoding)

    answer = api.post("/users", role=Role.ADMIN, content=content, headers=JSON)

    assert answer.status_code == 422
    assert "the body is not JSON: it is not UTF-8" in answer.json()["detail"]


def test_rows_are_counted_whatever_the_first_row_is(apis: Apis) -> None:
    row = [5.1, 3.5, 1.4, 0.2]
    rows = [1, *[row] * apis.ready.settings.max_rows]

    answer = apis.ready.post("/predict", role=Role.USER, json={"features": rows})

    assert answer.status_code == 413


CONTAINERS = ["[]", "{}", "[ ]", "[[]]", '{"a":{}}', '[{"[":1}]', "\n[\t1]"]


@pytest.mark.parametrize("one", CONTAINERS)
@pytest.mark.parametrize(
    ("path", "begin", "end"),
    [
        ("/predict", '{"features": [', "]}"),
        ("/v2/models/iris/infer", '{"inputs": [{"name": "X", "shape": [1, 4], "datatype": "FP32", "data": [', "]}]}"),
        ("/invocations", '{"dataframe_records": [', "]}"),
    ],
)
def test_body_with_too_many_containers_is_not_parsed(
    api: RunningApi, path: str, begin: str, end: str, one: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipway_api.protocols.native.orjson.loads", lambda _: pytest.fail("it is parsed"))
    body = begin + ",".join([one] * (2 * api.settings.max_rows + SPARE_CONTAINERS)) + end

    answer = api.post(path, role=Role.USER, content=body.encode(), headers={"Content-Type": "application/json"})

    assert answer.status_code == 413
    assert "arrays and objects" in answer.text


def test_brackets_in_names_of_features_are_no_containers(api: RunningApi) -> None:
    names = ["length [cm]", "{x}", "[[", '\\"[']
    records = [dict.fromkeys(names, 1.0) | {"petal [mm]": 1.0}] * api.settings.max_rows

    answer = api.post("/invocations", role=Role.USER, json={"dataframe_records": records})

    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/users"),
        ("PUT", "/users/me/password"),
        ("PATCH", "/users/uma"),
        ("POST", FEEDBACK),
        ("POST", "/token"),
    ],
)
def test_only_predictions_accept_large_bodies(api: RunningApi, method: str, path: str) -> None:
    content = b'{"' + b"n" * SMALL_BODY_BYTES + b'": 1}'
    headers = {"Content-Type": "application/x-www-form-urlencoded" if path == "/token" else "application/json"}

    for request in ({"content": content}, {"chunks": [content]}):
        answer = api.request(method, path, role=Role.ADMIN, headers=headers, **request)
        assert answer.status_code == 413


def test_small_body_with_many_wrong_fields_gets_a_short_error(api: RunningApi) -> None:
    body = {f"{number:05}{'n' * 200}": 1 for number in range(200)}

    answer = api.post("/users", role=Role.ADMIN, json=body)

    assert answer.status_code == 422
    assert len(answer.json()["errors"]) == MAX_PROBLEMS
    assert len(answer.content) < 10_000


@pytest.mark.parametrize("content", [b"no json", b"{}"])
def test_feedback_checks_permission_before_the_body(api: RunningApi, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}

    assert api.post(FEEDBACK, content=content, headers=headers).status_code == 401
    assert api.post(FEEDBACK, role=Role.VIEWER, content=content, headers=headers).status_code == 403
