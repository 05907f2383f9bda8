"""Wrong inputs: every place that is wrong is named."""

import pytest

from slipway_api.account import Role
from slipway_api.body import SMALL_BODY_BYTES
from slipway_api.protocols.native import MAX_LENIENT_BYTES
from slipway_core.registry.memory import InMemoryRegistry
from slipway_core.signature import MAX_PROBLEMS
from support.api import RunningApi, StartApi
from support.refusals import INPUTS, Apis, Case

FEEDBACK = "/predictions/01939c4e-5f0e-7c3a-9d2b-3a1f0c9d7e55/feedback"


@pytest.mark.parametrize("case", INPUTS, ids=lambda case: case.name)
def test_a_wrong_input_is_answered_with_each_place(case: Case, apis: Apis) -> None:
    errors = case.ask(apis).json()["errors"]

    assert [error["loc"] for error in errors] == [loc for loc, _ in case.places]
    for error, (_, words) in zip(errors, case.places, strict=True):
        assert words in error["msg"]


def test_a_body_with_very_many_wrong_names_gets_a_short_answer(api: RunningApi) -> None:
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
    ids=["a long field", "many features", "a long feature"],
)
def test_what_a_client_made_up_is_not_repeated_at_any_length(api: RunningApi, body: object) -> None:
    answer = api.post("/predict", role=Role.USER, json=body)

    assert answer.status_code == 422
    assert len(answer.content) < 10_000


def test_nan_in_a_large_body_is_refused_by_line_and_column(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry)
    content = b'{"features": [5.1, 3.5, NaN, 0.2]' + b" " * MAX_LENIENT_BYTES + b"}"

    answer = api.post("/predict", role=Role.USER, content=content, headers={"Content-Type": "application/json"})

    assert answer.status_code == 422
    assert answer.json()["detail"] == "the body is not JSON: line 1, column 25"


def test_rows_are_counted_whatever_the_first_of_them_is(apis: Apis) -> None:
    row = [5.1, 3.5, 1.4, 0.2]
    rows = [1, *[row] * apis.ready.services.settings.max_rows]

    answer = apis.ready.post("/predict", role=Role.USER, json={"features": rows})

    assert answer.status_code == 413


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
def test_all_but_predictions_take_small_bodies_only(api: RunningApi, method: str, path: str) -> None:
    content = b'{"' + b"n" * SMALL_BODY_BYTES + b'": 1}'
    headers = {"Content-Type": "application/x-www-form-urlencoded" if path == "/token" else "application/json"}

    for request in ({"content": content}, {"chunks": [content]}):
        answer = api.request(method, path, role=Role.ADMIN, headers=headers, **request)
        assert answer.status_code == 413


def test_a_small_body_with_many_wrong_fields_gets_a_short_answer(api: RunningApi) -> None:
    body = {f"{number:05}{'n' * 200}": 1 for number in range(200)}

    answer = api.post("/users", role=Role.ADMIN, json=body)

    assert answer.status_code == 422
    assert len(answer.json()["errors"]) == MAX_PROBLEMS
    assert len(answer.content) < 10_000


@pytest.mark.parametrize("content", [b"no json", b"{}"])
def test_who_may_not_give_feedback_is_not_told_what_is_wrong_with_it(api: RunningApi, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}

    assert api.post(FEEDBACK, content=content, headers=headers).status_code == 401
    assert api.post(FEEDBACK, role=Role.VIEWER, content=content, headers=headers).status_code == 403
