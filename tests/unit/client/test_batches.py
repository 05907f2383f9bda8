"""Large data in several requests: limits, order, concurrency, and the rows that fail."""

import asyncio
import json
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from slipway_api.accounts.models import Role
from slipway_client import (
    AsyncClient,
    AuthenticationError,
    BatchError,
    BatchLimits,
    Client,
    PayloadTooLargeError,
    PermissionDeniedError,
    Retry,
    UnexpectedResponseError,
    ValidationError,
)
from slipway_client.splitting import body_of, split
from support.api import RunningApi
from support.bundles import FEATURES
from support.client_transports import URL, AsyncTransport, SyncTransport

# More rows than the API takes at once; see conftest.py.
ROWS = np.random.default_rng(7).uniform(0.1, 7.9, size=(450, 4)).round(2)
FRAME = pd.DataFrame(ROWS, columns=list(FEATURES), index=range(1_000, 1_450))


def started(transport: SyncTransport, token: str, **options: Any) -> Client:
    return Client(URL, token=token, transport=transport, retry=Retry(backoff_seconds=0.001), **options)


def sizes(transport: SyncTransport | AsyncTransport) -> list[int]:
    """Return the number of rows of each prediction request."""
    bodies = [request.read() for request in transport.requests if request.method == "POST"]
    return [len(json.loads(body)["features"]) for body in bodies]


@pytest.fixture(scope="module")
def expected(api: RunningApi) -> list[float]:
    """The predictions of all rows, one request each hundred rows."""
    token = api.token(Role.USER)
    return [
        value
        for start in range(0, len(ROWS), 100)
        for value in api.post("/predict", token=token, json={"features": ROWS[start : start + 100].tolist()}).json()[
            "prediction"
        ]
    ]


@pytest.mark.parametrize(
    ("limits", "requests"),
    [
        # After the first 413, all parts are small enough.
        (BatchLimits(), [450, 225, 113, 57, 56, 56, 56, 57, 57, 57, 54]),
        (BatchLimits(rows=100), [90] * 5),
        (BatchLimits(rows=450), [450, 225, 113, 57, 56, 56, 56, 57, 57, 57, 54]),
    ],
    ids=["defaults", "known limit", "limit above that of the API"],
)
def test_frame_is_split_into_requests_that_fit(
    api: RunningApi, transport: SyncTransport, expected: list[float], limits: BatchLimits, requests: list[int]
) -> None:
    with started(transport, api.token(Role.USER), limits=limits) as client:
        found = client.predict(FRAME)

    assert sizes(transport) == requests
    assert found["prediction"].tolist() == expected
    assert found.index.tolist() == FRAME.index.tolist()


def test_async_batches_are_concurrent_and_in_order(api: RunningApi, expected: list[float]) -> None:
    transport = AsyncTransport(api)

    async def predict() -> pd.DataFrame:
        limits = BatchLimits(rows=20)
        async with AsyncClient(
            URL, token=api.token(Role.USER), transport=transport, limits=limits, concurrency=3
        ) as client:
            return await client.predict(FRAME)

    found = asyncio.run(predict())

    assert found["prediction"].tolist() == expected
    assert found.index.tolist() == FRAME.index.tolist()
    assert transport.most_at_a_time == 3
    assert len(sizes(transport)) == 23


def test_ids_and_rows_of_each_batch_are_available(api: RunningApi, transport: SyncTransport) -> None:
    with started(transport, api.token(Role.USER), limits=BatchLimits(rows=100)) as client:
        result = client.predict(ROWS)
        frame = client.predict(FRAME)

    assert [(batch.rows.start, len(batch.rows)) for batch in result.batches] == [(n, 90) for n in range(0, 450, 90)]
    assert len(set(result.ids)) == 5
    assert result.row_ids[91] == (result.ids[1], 1)
    assert frame["prediction_id"].nunique() == 5
    assert frame["prediction_row"].tolist() == [*range(90)] * 5
    with pytest.raises(ValueError, match="the result has 5 predictions: use `ids`"):
        _ = result.id


def test_wide_rows_are_split_by_bytes() -> None:
    rows = [b"x" * 400] * 10

    spans = list(split(rows, range(10), BatchLimits(rows=100, body_bytes=1_700)))

    assert spans == [range(4), range(4, 8), range(8, 10)]
    assert max(len(body_of(rows, span)) for span in spans) <= 1_700


def test_row_that_exceeds_the_limit_alone_is_sent_alone() -> None:
    rows = [b"x", b"x" * 400, b"x"]

    assert list(split(rows, range(3), BatchLimits(body_bytes=100))) == [range(1), range(1, 2), range(2, 3)]


@pytest.mark.parametrize("limits", [{"rows": 0}, {"body_bytes": -1}])
def test_limits_must_be_positive(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        BatchLimits(**limits)


def test_rows_of_failed_batches_are_those_of_the_frame(
    api: RunningApi, transport: SyncTransport, expected: list[float]
) -> None:
    frame = FRAME.copy()
    frame.iloc[95, 2] = np.nan
    frame.iloc[400, 0] = np.nan

    with (
        started(transport, api.token(Role.USER), limits=BatchLimits(rows=90)) as client,
        pytest.raises(BatchError) as caught,
    ):
        client.predict(frame)

    error = caught.value
    assert [failure.rows for failure in error.failures] == [range(90, 180), range(360, 450)]
    places = [[(e.row, e.column) for e in failure.error.errors] for failure in error.failures]  # type: ignore[attr-defined]
    assert places == [[(95, FEATURES[2])], [(400, FEATURES[0])]]
    assert error.failed_rows == [*range(90, 180), *range(360, 450)]
    assert error.result.index.tolist() == [*range(1_000, 1_090), *range(1_180, 1_360)]
    assert error.result["prediction"].tolist() == expected[:90] + expected[180:360]
    assert str(error).startswith("rows 90 to 179 failed: row 95: ")
    assert str(error).endswith("; 1 more parts failed")


def test_one_invalid_request_raises_its_own_error(client: Client) -> None:
    with pytest.raises(ValidationError, match="row 1: "):
        client.predict([[1.0] * 4, [1.0] * 3])


def test_single_row_over_the_limit_is_an_error(client: Client, transport: SyncTransport) -> None:
    with pytest.raises(PayloadTooLargeError):
        client.predict([{FEATURES[0]: "x" * 30_000}])

    assert len(transport.requests) == 1


class FailingTransport(SyncTransport):
    """Answers the requests from one on with a response."""

    def __init__(self, api: RunningApi, first: int, failure: httpx.Response) -> None:
        super().__init__(api)
        self._first = first
        self._failure = failure

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if len(self.requests) < self._first:
            return super().handle_request(request)
        self.requests.append(request)
        return self._failure


def test_error_of_the_credential_stops_the_remaining_batches(api: RunningApi) -> None:
    transport = FailingTransport(api, 2, httpx.Response(401, json={"detail": "the token has expired"}))

    with (
        started(transport, api.token(Role.USER), limits=BatchLimits(rows=90)) as client,
        pytest.raises(BatchError) as caught,
    ):
        client.predict(ROWS)

    assert len(transport.requests) == 3
    assert caught.value.failed_rows == [*range(180, 450)]
    assert {type(failure.error) for failure in caught.value.failures} == {AuthenticationError}
    assert isinstance(caught.value.__cause__, AuthenticationError)
    assert len(caught.value.result) == 180


def test_error_of_the_credential_at_the_first_batch_is_raised(api: RunningApi, transport: SyncTransport) -> None:
    with (
        started(transport, api.token(Role.VIEWER), limits=BatchLimits(rows=90)) as client,
        pytest.raises(PermissionDeniedError),
    ):
        client.predict(FRAME)

    assert len(transport.requests) == 1


def test_response_with_another_number_of_rows_is_an_error(api: RunningApi) -> None:
    answer = {"id": "1", "model": "iris", "version": "1", "prediction": [0]}
    transport = FailingTransport(api, 0, httpx.Response(200, json=answer))

    with started(transport, "token") as client, pytest.raises(UnexpectedResponseError):
        client.predict([[1.0], [2.0]])


def test_versions_of_one_call_may_differ(api: RunningApi) -> None:
    """Another version becomes Production between two batches. Its classes are unknown here."""
    second = {
        "id": "2",
        "model": "iris",
        "version": "2",
        "prediction": [1],
        "label": ["b"],
        "probabilities": [[0.2, 0.8]],
    }
    transport = FailingTransport(api, 1, httpx.Response(200, json=second))
    with started(transport, api.token(Role.USER), limits=BatchLimits(rows=1)) as client:
        rows = client.predict(ROWS[:2])
        transport.requests.clear()
        frame = client.predict(FRAME.head(2))

    assert rows.versions == ["1", "2"]
    with pytest.raises(ValueError, match="the result has 2 versions: use `versions`"):
        _ = rows.version
    assert frame.attrs["versions"] == ["1", "2"]
    assert frame["label"].iloc[1] == "b"
    assert frame[["probability_0", "probability_1"]].iloc[1].tolist() == [0.2, 0.8]
