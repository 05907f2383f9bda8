"""`/predictions`: reading predictions and sending feedback."""

import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from slipway_api.accounts.models import Role
from slipway_api.prediction_log.queries import EPOCH, Position
from slipway_api.prediction_log.repository import SqlPredictionStore
from slipway_api.web.routers import predictions as router
from slipway_core.database import connect
from slipway_core.registry.memory import InMemoryRegistry
from support.api import RunningApi, StartApi
from support.bundles import FEATURES, bundle_files, register, regression_files
from support.waiting import wait_for

SETOSA = [5.1, 3.5, 1.4, 0.2]
VIRGINICA = [6.7, 3.0, 5.2, 2.3]
OLD_ID = "01939c4e-5f0e-7c3a-9d2b-3a1f0c9d7e55"


@pytest.fixture
def api(start_api: StartApi) -> RunningApi:
    registry = InMemoryRegistry()
    register(registry, bundle_files(), promote=True)
    register(registry, regression_files(), "demand", promote=True)
    api = start_api(registry)
    wait_for(lambda: "demand" in api.services.models.served)
    return api


def predict(api: RunningApi, rows: Any = SETOSA, *, role: Role = Role.USER, model: str = "iris") -> dict[str, Any]:
    """Send a prediction, and ship its record."""
    answer = api.post(f"/models/{model}/predict", role=role, json={"features": rows})
    assert answer.status_code == 200, answer.text
    api.ship()
    body: dict[str, Any] = answer.json()
    return body


def place(answer: httpx.Response) -> list[Any]:
    """Return the only location in the list of errors."""
    assert answer.status_code == 422, answer.text
    [error] = answer.json()["errors"]
    loc: list[Any] = error["loc"]
    return loc


def test_prediction_is_returned_with_its_lineage(api: RunningApi) -> None:
    before = datetime.now(UTC)
    answered = api.post(
        "/predict", role=Role.USER, json={"features": [SETOSA, VIRGINICA]}, headers={"X-Request-ID": "mine-1"}
    ).json()
    api.ship()

    read = api.get(f"/predictions/{answered['id']}", role=Role.USER).json()

    info = api.get("/model-info", role=Role.USER).json()
    assert read["id"] == answered["id"]
    assert read["user_id"] == str(api.accounts[Role.USER].id)
    for name in ("model", "version", "prediction", "label"):
        assert read[name] == answered[name]
    assert read["probabilities"] == [pytest.approx(row, rel=1e-6) for row in answered["probabilities"]]
    assert read["inputs"] == [SETOSA, VIRGINICA]
    assert read["features"] == list(FEATURES)
    assert (read["run_id"], read["data_version"], read["git_commit"], read["task"]) == (
        info["run_id"],
        info["data_version"],
        info["git_commit"],
        info["task"],
    )
    assert read["manifest_sha256"].startswith("sha256:")
    assert read["request_id"] == "mine-1"
    assert 0 < read["latency_seconds"] < 30
    assert before - timedelta(milliseconds=1) <= datetime.fromisoformat(read["at"]) <= datetime.now(UTC)
    assert read["at"].endswith("Z")
    assert read["feedback"] == []


def test_regressor_prediction_has_no_labels_or_probabilities(api: RunningApi) -> None:
    answered = predict(api, [1, 2, 3, 4], model="demand")

    read = api.get(f"/predictions/{answered['id']}", role=Role.USER).json()

    assert read["prediction"] == [10.0]
    assert not {"label", "probabilities"} & read.keys()


def test_returned_inputs_can_be_predicted_at_float32_limits(api: RunningApi) -> None:
    identity = predict(api, [3.4028234663852886e38, -3.4028234663852886e38, 1, 1], model="demand")["id"]
    shown = api.get(f"/predictions/{identity}", role=Role.USER).json()["inputs"]

    again = predict(api, shown, model="demand")["id"]

    assert api.get(f"/predictions/{again}", role=Role.USER).json()["inputs"] == shown


def test_redacted_values_are_null(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, redacted_features=(FEATURES[1],))
    answered = predict(api)

    read = api.get(f"/predictions/{answered['id']}", role=Role.USER).json()

    assert read["inputs"] == [[5.1, None, 1.4, 0.2]]


def test_predictions_without_a_log_have_ids_and_are_not_stored(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, prediction_log=False)
    answered = predict(api)

    assert uuid.UUID(answered["id"]).version == 7
    assert api.get("/predictions", role=Role.USER).json() == {"predictions": [], "next_cursor": None}


def test_restart_ships_records_left_in_the_journal(start_api: StartApi, registry: InMemoryRegistry) -> None:
    first = start_api(registry)
    answered = first.post("/predict", role=Role.USER, json={"features": SETOSA}).json()
    first.services.prediction_log.close()

    second = start_api(registry)
    second.ship()

    assert second.get(f"/predictions/{answered['id']}", role=Role.USER).status_code == 200


@pytest.mark.parametrize("call", [("GET", "", None), ("POST", "/feedback", {"label": "setosa"})])
def test_predictions_of_other_users_return_404(api: RunningApi, call: tuple[str, str, Any]) -> None:
    method, path, body = call
    theirs = predict(api, role=Role.ADMIN)["id"]

    answer = api.request(method, f"/predictions/{theirs}{path}", role=Role.USER, json=body)

    assert answer.status_code == 404
    assert answer.headers["Retry-After"] == "1"  # the same as for an unknown id


def test_admin_reads_predictions_of_all_users(api: RunningApi) -> None:
    mine, theirs = predict(api, role=Role.ADMIN)["id"], predict(api)["id"]

    assert api.get(f"/predictions/{theirs}", role=Role.ADMIN).status_code == 200
    listed = api.get("/predictions", role=Role.ADMIN).json()["predictions"]
    assert [one["id"] for one in listed] == [theirs, mine]
    own = api.get("/predictions", role=Role.USER).json()["predictions"]
    assert [one["id"] for one in own] == [theirs]


CALLS = pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/predictions"), ("GET", f"/predictions/{OLD_ID}"), ("POST", f"/predictions/{OLD_ID}/feedback")],
)


@CALLS
def test_viewer_cannot_read_predictions(api: RunningApi, method: str, path: str) -> None:
    body = {"label": "setosa"} if method == "POST" else None

    assert api.request(method, path, role=Role.VIEWER, json=body).status_code == 403


@CALLS
def test_reading_predictions_requires_a_token(api: RunningApi, method: str, path: str) -> None:
    body = {"label": "setosa"} if method == "POST" else None

    assert api.request(method, path, json=body).status_code == 401


@CALLS
def test_unreachable_database_returns_503(api: RunningApi, tmp_path: Path, method: str, path: str) -> None:
    api.services.predictions._store = SqlPredictionStore(connect(f"sqlite:///{tmp_path / 'no-folder' / 'slipway.db'}"))

    answer = api.request(method, path, role=Role.USER, json={"label": "setosa"} if method == "POST" else None)

    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("identity", ["7", "x" * 36, OLD_ID.replace("-", ""), "{" + OLD_ID + "}", "%00", OLD_ID + "0"])
def test_malformed_id_returns_404(api: RunningApi, identity: str) -> None:
    answer = api.get(f"/predictions/{identity}", role=Role.USER)

    assert answer.status_code == 404
    assert "is not a valid UUID" in answer.json()["detail"]
    assert "Retry-After" not in answer.headers


@pytest.mark.parametrize("identity", [OLD_ID, "0b6d1d5e-9d0f-4f6e-8a53-1d3f5f0a9f2c", str(uuid.UUID(int=2**128 - 1))])
def test_missing_old_id_returns_404_at_once(api: RunningApi, identity: str) -> None:
    began = time.monotonic()

    answer = api.get(f"/predictions/{identity}", role=Role.ADMIN)

    assert answer.status_code == 404
    assert "Retry-After" not in answer.headers
    assert time.monotonic() - began < 0.9


def test_missing_recent_id_waits_then_asks_to_retry(api: RunningApi) -> None:
    began = time.monotonic()

    answer = api.get(f"/predictions/{uuid7()}", role=Role.USER)

    assert answer.status_code == 404
    assert answer.headers["Retry-After"] == "1"
    assert 0.7 < time.monotonic() - began < 5


@pytest.mark.parametrize("call", [("GET", "", None, 200), ("POST", "/feedback", {"label": "setosa"}, 201)])
def test_prediction_that_arrives_while_waiting_is_returned(api: RunningApi, call: tuple[str, str, Any, int]) -> None:
    method, path, body, status = call
    made = api.post("/predict", role=Role.USER, json={"features": SETOSA}).json()["id"]

    answer = api.send(method, f"/predictions/{made}{path}", role=Role.USER, json=body)
    api.ship()

    assert answer.result(timeout=10).status_code == status


def pages(api: RunningApi, query: str) -> Iterator[list[str]]:
    """Yield the ids of each page until the last."""
    cursor = ""
    while True:
        page = api.get(f"/predictions?{query}{cursor}", role=Role.USER).json()
        yield [one["id"] for one in page["predictions"]]
        if page["next_cursor"] is None:
            return
        cursor = f"&cursor={page['next_cursor']}"


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 1000])
def test_pages_return_each_prediction_once_newest_first(api: RunningApi, limit: int) -> None:
    made = [api.post("/predict", role=Role.USER, json={"features": SETOSA}).json()["id"] for _ in range(7)]
    api.ship()

    read = list(pages(api, f"limit={limit}"))

    assert [one for page in read for one in page] == made[::-1]
    assert max(len(page) for page in read) == min(limit, 7)
    assert read[-1] != []


def test_new_predictions_do_not_shift_pages(api: RunningApi) -> None:
    made = [predict(api)["id"] for _ in range(4)]
    reading = pages(api, "limit=2")

    first = next(reading)
    predict(api)

    assert [*first, *[one for page in reading for one in page]] == made[::-1]


def test_page_with_many_rows_ends_early(api: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router, "PAGE_ROWS", 5)
    made = [predict(api, [SETOSA] * rows)["id"] for rows in (1, 9, 2, 2, 2)]

    assert list(pages(api, "limit=100")) == [[made[4], made[3]], [made[2]], [made[1]], [made[0]]]


def test_predictions_are_filtered_by_model(api: RunningApi) -> None:
    iris, demand = predict(api)["id"], predict(api, model="demand")["id"]

    assert list(pages(api, "model=iris")) == [[iris]]
    assert list(pages(api, "model=demand")) == [[demand]]
    assert list(pages(api, "model=rose")) == [[]]
    assert list(pages(api, "model=%00")) == [[]]


def test_since_is_inclusive(api: RunningApi) -> None:
    made = [predict(api)["id"] for _ in range(3)]
    at = {one: api.get(f"/predictions/{one}", role=Role.USER).json()["at"] for one in made}
    there = datetime.fromisoformat(at[made[1]]).astimezone().isoformat().replace("+", "%2B")

    assert list(pages(api, f"since={at[made[1]]}")) == [[made[2], made[1]]]
    assert list(pages(api, f"since={there}")) == [[made[2], made[1]]]
    assert list(pages(api, "since=2999-01-01T00:00:00Z")) == [[]]


@pytest.mark.parametrize(
    "since",
    [
        "2026-11-20T12:00:00",
        "2026-11-20",
        "1795178096",
        "yesterday",
        "",
        "2026-11-20T12:00:00+01:00",
        "2026-13-20T12:00:00Z",
        "0001-01-01T00:00:00%2B23:00",
        "2026-11-20T12:00:00%2B99:00",
        "%00",
        "٢٠٢٦-11-20T12:00:00Z",
    ],
)
def test_invalid_time_is_rejected(api: RunningApi, since: str) -> None:
    assert place(api.get(f"/predictions?since={since}", role=Role.USER)) == ["query", "since"]


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "many", "1.5", "", "9" * 5_000])
def test_invalid_limit_is_rejected(api: RunningApi, limit: str) -> None:
    assert place(api.get(f"/predictions?limit={limit}", role=Role.USER)) == ["query", "limit"]


@pytest.mark.parametrize(
    "cursor", ["", "x", "AAAA", "A" * 31, "!" * 32, "%00", "ä" * 16, "f" * 32, "_" * 32, "A" * 9_999]
)
def test_invalid_cursor_is_rejected(api: RunningApi, cursor: str) -> None:
    assert place(api.get(f"/predictions?cursor={cursor}", role=Role.USER)) == ["query", "cursor"]


@given(microseconds=st.integers(0, 10**16), identity=st.uuids())
def test_key_of_a_position_decodes_to_it(microseconds: int, identity: uuid.UUID) -> None:
    position = Position(EPOCH + timedelta(microseconds=microseconds), identity)

    assert Position.of_key(position.key()) == position


def feed(api: RunningApi, identity: str, body: Any, role: Role = Role.USER) -> httpx.Response:
    return api.post(f"/predictions/{identity}/feedback", role=role, json=body)


@pytest.mark.parametrize(("label", "correct"), [("setosa", True), ("virginica", False)])
def test_label_is_compared_with_the_prediction(api: RunningApi, label: str, correct: bool) -> None:
    identity = predict(api)["id"]

    answer = feed(api, identity, {"row": 0, "label": label})

    assert answer.status_code == 201
    body = answer.json()
    assert (body["prediction_id"], body["row"], body["label"], body["correct"]) == (identity, 0, label, correct)
    [told] = api.get(f"/predictions/{identity}", role=Role.USER).json()["feedback"]
    assert told == {"row": 0, "label": label, "correct": correct, "at": body["at"]}


@pytest.mark.parametrize(("value", "error"), [(12.5, -2.5), (10, 0.0), (3.4028235e38, 10 - 3.4028235e38)])
def test_value_is_compared_with_the_prediction(api: RunningApi, value: float, error: float) -> None:
    identity = predict(api, [1, 2, 3, 4], model="demand")["id"]

    body = feed(api, identity, {"value": value}).json()

    assert (body["row"], body["value"], body["error"]) == (0, value, error)


def test_second_feedback_for_a_row_is_rejected(api: RunningApi) -> None:
    identity = predict(api, [SETOSA, VIRGINICA])["id"]

    answers = [feed(api, identity, {"row": row, "label": "setosa"}).status_code for row in (0, 1, 0, 1)]

    assert answers == [201, 201, 409, 409]


def test_admin_sends_feedback_for_any_user(api: RunningApi) -> None:
    identity = predict(api)["id"]

    assert feed(api, identity, {"label": "setosa"}, Role.ADMIN).status_code == 201
    assert feed(api, identity, {"label": "setosa"}).status_code == 409


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"row": 0}, ["label"]),
        ({"row": 0, "label": "rose"}, ["label"]),
        ({"row": 0, "label": ""}, ["label"]),
        ({"row": 0, "label": "Setosa"}, ["label"]),
        ({"row": 0, "label": 0}, ["label"]),
        ({"row": 0, "value": 1.5}, ["value"]),
        ({"row": 0, "label": "setosa", "value": 1.5}, ["value"]),
        ({"label": "setosa"}, ["row"]),
        ({"row": 2, "label": "setosa"}, ["row"]),
        ({"row": -1, "label": "setosa"}, ["row"]),
        ({"row": 10**30, "label": "setosa"}, ["row"]),
        ({"row": True, "label": "setosa"}, ["row"]),
        ({"row": "0", "label": "setosa"}, ["row"]),
        ({"row": 0.0, "label": "setosa"}, ["row"]),
        ({"row": 0, "label": "setosa", "note": "x"}, ["note"]),
        ([], ["body"]),
    ],
    ids=str,
)
def test_feedback_that_does_not_fit_a_classifier_is_rejected(api: RunningApi, body: Any, where: list[Any]) -> None:
    identity = predict(api, [SETOSA, VIRGINICA])["id"]

    found = place(feed(api, identity, body))

    assert found == where


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ('{"label": "setosa"}', "label"),
        ('{"row": 0}', "value"),
        ('{"value": null}', "value"),
        ('{"value": true}', "value"),
        ('{"value": "1"}', "value"),
        ('{"value": NaN}', "value"),
        ('{"value": 1e400}', "value"),
        ('{"value": 1e39}', "value"),
        ('{"value": 1' + "0" * 400 + "}", "value"),
    ],
)
def test_feedback_that_does_not_fit_a_regressor_is_rejected(api: RunningApi, content: str, where: str) -> None:
    identity = predict(api, [1, 2, 3, 4], model="demand")["id"]

    answer = api.post(
        f"/predictions/{identity}/feedback",
        role=Role.USER,
        content=content.encode(),
        headers={"Content-Type": "application/json"},
    )

    assert place(answer) == [where]


@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize(
    ("digits", "message"), [(400, "'value' is too large"), (5_000, "a number in the body is too large")]
)
def test_infinite_value_is_rejected_as_too_large(api: RunningApi, digits: int, message: str, sign: str) -> None:
    identity = predict(api, [1, 2, 3, 4], model="demand")["id"]
    content = b'{"value": ' + sign.encode() + b"1" * digits + b"}"

    answer = api.post(
        f"/predictions/{identity}/feedback",
        role=Role.USER,
        content=content,
        headers={"Content-Type": "application/json"},
    )

    assert answer.status_code == 422
    assert answer.json()["detail"] == message


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"{", "application/json", HTTPStatus.UNPROCESSABLE_ENTITY),
        (b'{"label": "setosa"}', "text/plain", HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
        (b"", "application/json", HTTPStatus.UNPROCESSABLE_ENTITY),
    ],
)
def test_body_that_is_not_json_is_rejected(
    api: RunningApi, content: bytes, content_type: str, status: HTTPStatus
) -> None:
    answer = api.post(
        f"/predictions/{OLD_ID}/feedback", role=Role.USER, content=content, headers={"Content-Type": content_type}
    )

    assert answer.status_code == status


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    body=st.dictionaries(
        st.sampled_from(["row", "label", "value"]),
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    )
)
def test_any_feedback_is_accepted_or_rejected(answered: Callable[[], tuple[RunningApi, str]], body: Any) -> None:
    api, identity = answered()

    assert feed(api, identity, body).status_code in {201, 409, 422}


@pytest.fixture
def answered(api: RunningApi) -> Callable[[], tuple[RunningApi, str]]:
    identity = predict(api)["id"]
    return lambda: (api, identity)


def test_feedback_updates_live_metrics_at_once(api: RunningApi) -> None:
    identity = predict(api, [SETOSA, SETOSA, VIRGINICA, VIRGINICA])["id"]
    for row, label in enumerate(["setosa", "virginica", "virginica", "virginica"]):
        feed(api, identity, {"row": row, "label": label})
    other = predict(api, [[1, 2, 3, 4], [0, 0, 0, 0]], model="demand")["id"]
    feed(api, other, {"row": 0, "value": 13})
    feed(api, other, {"row": 1, "value": -4})

    iris, demand = {"model": "iris", "version": "1"}, {"model": "demand", "version": "1"}
    wait_for(lambda: api.sample("slipway_live_feedback_rows", **demand) == 2, what="the figures")
    assert api.sample("slipway_feedback_rows_total", **iris) == 4
    assert api.sample("slipway_live_feedback_rows", **iris) == 4
    assert api.sample("slipway_live_accuracy_ratio", **iris) == 0.75
    assert api.sample("slipway_live_mean_absolute_error", **iris) is None
    assert api.sample("slipway_live_mean_absolute_error", **demand) == 3.5
    assert api.sample("slipway_live_root_mean_squared_error", **demand) == pytest.approx(12.5**0.5)
    assert api.sample("slipway_live_accuracy_ratio", **demand) is None


def test_live_metrics_expire_with_the_last_feedback(api: RunningApi) -> None:
    feed(api, predict(api)["id"], {"label": "setosa"})
    wait_for(lambda: api.sample("slipway_live_feedback_rows", model="iris", version="1"), what="the figures")
    live = api.services.live_metrics
    live._clock = lambda: time.time() + 8 * 86_400

    api.portal.call(live.refresh)

    assert api.sample("slipway_live_feedback_rows", model="iris", version="1") is None
    assert api.sample("slipway_live_accuracy_ratio", model="iris", version="1") is None


def test_metrics_report_the_journal(api: RunningApi) -> None:
    live = api.services.live_metrics
    live.read_journal()
    empty = api.sample("slipway_journal_bytes"), api.sample("slipway_journal_oldest_record_seconds")
    api.post("/predict", role=Role.USER, json={"features": SETOSA})
    api.services.prediction_log.flush()
    now = time.time()
    live._clock = lambda: now + 100

    live.read_journal()

    assert empty == (0, 0)
    held = sum(path.stat().st_size for path in api.services.settings.journal_dir.iterdir())
    assert api.sample("slipway_journal_bytes") == held > 0
    assert api.sample("slipway_journal_oldest_record_seconds") == pytest.approx(100, abs=5)
    assert api.sample("slipway_journal_rejected_files") == 0


def test_concurrent_feedback_is_counted_to_the_last(api: RunningApi) -> None:
    rows = 20
    identity = predict(api, [SETOSA] * rows)["id"]

    sent = [
        api.send("POST", f"/predictions/{identity}/feedback", role=Role.USER, json={"row": row, "label": "setosa"})
        for row in range(rows)
    ]

    assert {one.result(timeout=30).status_code for one in sent} == {201}
    iris = {"model": "iris", "version": "1"}
    wait_for(lambda: api.sample("slipway_live_feedback_rows", **iris) == rows, seconds=5, what="the last")
