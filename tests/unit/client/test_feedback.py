"""Feedback for one and many rows, and reading logged predictions."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from slipway_api.accounts.models import Role
from slipway_client import (
    AsyncClient,
    BatchError,
    BatchLimits,
    Client,
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
    ValidationError,
)
from slipway_core.manifest import label_text
from support.api import RunningApi
from support.bundles import FEATURES, GOLDEN_ROWS
from support.client_transports import URL, AsyncTransport, SyncTransport
from support.typed_models import TABLE_ROWS

FRAME = pd.DataFrame(GOLDEN_ROWS, columns=list(FEATURES), index=["x", "y", "z"])
TRUE = ["setosa", "virginica", "virginica"]


def stored(api: RunningApi, client: Client, prediction_id: str) -> list[tuple[int, Any]]:
    """Return the rows with feedback, and the true label or value of each."""
    feedback = client.prediction(prediction_id)["feedback"]
    return sorted((one["row"], one.get("label", one.get("value"))) for one in feedback)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (TRUE, [(0, "setosa"), (1, "virginica"), (2, "virginica")]),
        (np.array(TRUE), [(0, "setosa"), (1, "virginica"), (2, "virginica")]),
        ([None, "virginica", float("nan")], [(1, "virginica")]),
        (pd.Series(TRUE[::-1], index=["z", "y", "x"]), [(0, "setosa"), (1, "virginica"), (2, "virginica")]),
        (pd.Series(["virginica", "setosa"], index=["z", "other"]), [(2, "virginica")]),
    ],
    ids=["list", "array", "missing ones", "series in another order", "series of some rows"],
)
def test_feedback_for_the_rows_of_a_frame(
    api: RunningApi, client: Client, labels: Any, expected: list[tuple[int, str]]
) -> None:
    found = client.predict(FRAME, "iris")
    api.ship()

    answers = client.feedback(found, labels)

    assert [(answer["row"], answer["label"]) for answer in answers] == expected
    assert stored(api, client, found["prediction_id"].iloc[0]) == expected


def test_feedback_for_selected_rows_of_several_batches(api: RunningApi, transport: SyncTransport) -> None:
    with Client(URL, token=api.token(Role.USER), transport=transport, limits=BatchLimits(rows=2)) as client:
        found = client.predict(FRAME, "iris")
        api.ship()
        (answer,) = client.feedback(found[found["label"] == "virginica"], ["virginica"])

    assert (answer["prediction_id"], answer["row"]) == (found["prediction_id"].iloc[2], 0)
    assert answer["correct"]


def test_feedback_for_a_result_and_for_an_id(api: RunningApi, client: Client) -> None:
    rows = client.predict([list(row) for row in GOLDEN_ROWS])
    one, regression = client.predict(list(GOLDEN_ROWS[0])), client.predict([1.0, 2.0, 3.0, 4.0], "demand")
    api.ship()

    assert [answer["correct"] for answer in client.feedback(rows, TRUE)] == [True, False, True]
    assert client.feedback(one.id, "setosa")[0]["correct"]
    assert client.feedback(regression, values=np.float32(12.5))[0]["error"] == -2.5
    with pytest.raises(ConflictError):
        client.feedback(rows.id, "setosa", row=0)
    with pytest.raises(ConflictError):
        client.feedback(rows, "setosa", row=2)


@pytest.mark.parametrize(
    ("model", "labels"), [("integers", [10, 20, -30, 10]), ("booleans", [True, False, True, False])]
)
def test_labels_may_have_their_own_types(api: RunningApi, client: Client, model: str, labels: list[Any]) -> None:
    result = client.predict([list(row) for row in TABLE_ROWS], model)
    api.ship()

    client.feedback(result, pd.Series(labels, index=[9, 8, 7, 6]))

    assert stored(api, client, result.id) == [*enumerate(map(label_text, labels))]


def test_integers_beside_missing_labels_stay_integers(api: RunningApi, client: Client) -> None:
    result = client.predict([list(row) for row in TABLE_ROWS], "integers")
    api.ship()

    client.feedback(result, pd.Series([10, None, -30, None]))

    assert stored(api, client, result.id) == [(0, "10"), (2, "-30")]


def test_one_row_of_a_frame_gets_feedback(api: RunningApi, client: Client) -> None:
    found = client.predict(FRAME, "iris")
    api.ship()

    (answer,) = client.feedback(found, pd.Series(["virginica"]), row=2)

    assert (answer["row"], answer["label"]) == (2, "virginica")
    with pytest.raises(ValueError, match="row 3 does not exist: pass a row from 0 to 2"):
        client.feedback(found, "virginica", row=3)


def test_rows_whose_feedback_fails_are_named(api: RunningApi, client: Client) -> None:
    result = client.predict([list(row) for row in GOLDEN_ROWS])
    api.ship()
    client.feedback(result, "setosa", row=0)

    with pytest.raises(BatchError) as caught:
        client.feedback(result, ["setosa", "rose", "virginica"])

    assert caught.value.failed_rows == [0, 1]
    assert [type(failure.error) for failure in caught.value.failures] == [ConflictError, ValidationError]
    assert [answer["row"] for answer in caught.value.result] == [2]


def test_error_of_the_credential_stops_the_remaining_feedback(
    api: RunningApi, client: Client, transport: SyncTransport
) -> None:
    result = client.predict([list(row) for row in GOLDEN_ROWS])
    transport.requests.clear()
    with (
        Client(URL, token=api.token(Role.VIEWER), transport=transport) as viewer,
        pytest.raises(BatchError) as caught,
    ):
        viewer.feedback(result, TRUE)

    assert len(transport.requests) == 1
    assert caught.value.failed_rows == [0, 1, 2]
    assert isinstance(caught.value.failures[2].error, PermissionDeniedError)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"target": "an-id"}, ValueError, "pass either labels .* or values"),
        ({"target": "an-id", "labels": 1, "values": 1}, ValueError, "pass either labels .* or values"),
        ({"target": "an-id", "labels": ["a", "b"]}, ValueError, "there are 1 rows, but 2 labels"),
        ({"target": 7, "labels": "a"}, TypeError, "pass the id of a prediction"),
        ({"target": FRAME, "labels": TRUE}, TypeError, "has no column 'prediction_id'"),
        (
            {"target": FRAME.assign(prediction_id="a", prediction_row=0), "labels": pd.Series(TRUE)},
            ValueError,
            "has no entry of the predictions",
        ),
        (
            {"target": FRAME.assign(prediction_id="a", prediction_row=0), "labels": pd.Series(TRUE, index=["x"] * 3)},
            ValueError,
            "has duplicates",
        ),
    ],
    ids=["no truth", "both truths", "too many", "a number", "another frame", "another index", "duplicates"],
)
def test_wrong_arguments_are_rejected_before_any_request(
    client: Client, transport: SyncTransport, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        client.feedback(**arguments)

    assert transport.requests == []


def test_unknown_prediction_is_not_found(client: Client) -> None:
    with pytest.raises(NotFoundError):
        client.feedback("01939c4e-5f0e-7c3a-9d2b-3a1f0c9d7e55", "setosa")


def test_async_feedback_and_pages(api: RunningApi) -> None:
    transport = AsyncTransport(api)
    began = datetime.now(UTC) - timedelta(seconds=1)

    async def run() -> tuple[list[dict[str, Any]], list[str], list[str]]:
        token = api.token(Role.USER)
        async with AsyncClient(URL, token=token, transport=transport, limits=BatchLimits(rows=1)) as client:
            frame = await client.predict(FRAME, "iris")
            await asyncio.to_thread(api.ship)
            answers = await client.feedback(frame, TRUE)
            logged = [one["id"] async for one in client.predictions("iris", since=began, limit=3)]
            return [dict(answer) for answer in answers], logged, frame["prediction_id"].tolist()

    answers, logged, ids = asyncio.run(run())

    assert [answer["label"] for answer in answers] == TRUE
    assert logged == ids[::-1]


def test_pages_of_predictions_are_read_until_the_limit(
    api: RunningApi, client: Client, transport: SyncTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipway_client.calls.MAX_PAGE", 2)
    ids = [client.predict(list(GOLDEN_ROWS[0]), "iris").id for _ in range(5)]
    api.ship()
    transport.requests.clear()

    found = [one["id"] for one in client.predictions("iris", limit=5)]

    assert found == ids[::-1]
    assert len(transport.requests) == 3
    assert [*client.predictions("no-such-model")] == []
    with pytest.raises(ValueError, match="needs a time zone"):
        next(client.predictions(since=datetime(2026, 1, 1)))  # noqa: DTZ001
