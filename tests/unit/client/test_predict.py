"""Predictions of rows and DataFrames by a real API."""

from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from slipway_api.accounts.models import Role
from slipway_client import Client, NotFoundError, PredictionWarning, ValidationError
from slipway_core.manifest import Label, label_text
from support.api import RunningApi
from support.bundles import CLASSES, FEATURES, GOLDEN_ROWS
from support.client_transports import URL, SyncTransport
from support.typed_models import TABLE_ROWS

IRIS = pd.DataFrame(GOLDEN_ROWS, columns=list(FEATURES), index=["x", "y", "z"])
# The rows of TABLE_ROWS in the dtypes of a caller.
TABLE = pd.DataFrame(
    {
        "color": pd.Categorical(["red", "green", "blue", "red"]),
        "city": pd.array([row[1] for row in TABLE_ROWS], dtype="string"),
        "weight": [12.5, np.nan, 90.5, 0.1],
        "price": [19.99, 0.0, 1e6, 123456.789],
        "size": np.array([0.1, 2.0, 37.5, 2.0], dtype=np.float32),
        "count": np.array([3, 0, 1000, 42], dtype=np.int16),
        "visits": pd.array([7, None, 2**24, 1], dtype="Int64"),
        "member": [True, False, True, False],
        "consent": pd.array([False, None, True, True], dtype="boolean"),
        "day": pd.to_datetime(["2026-11-21", "2024-02-29", "1999-12-31", "2026-11-22"]),
        "seen": pd.to_datetime(["2026-11-21T08:30", None, "2000-01-01T00:00", "2026-11-21T23:05"]),
    }
)


def raw(api: RunningApi, model: str, rows: Any) -> dict[str, Any]:
    answer: dict[str, Any] = (
        api.post(f"/models/{model}/predict", role=Role.USER, json={"features": rows}).raise_for_status().json()
    )
    return answer


def test_frame_gets_a_frame_with_its_index(api: RunningApi, client: Client) -> None:
    expected = raw(api, "iris", [list(row) for row in GOLDEN_ROWS])

    found = client.predict(IRIS, "iris")

    probabilities = [f"probability_{name}" for name in CLASSES]
    assert list(found.columns) == ["prediction", "label", *probabilities, "prediction_id", "prediction_row"]
    assert found.index.tolist() == ["x", "y", "z"]
    assert found["prediction"].tolist() == expected["prediction"]
    assert found["label"].tolist() == expected["label"]
    assert found[probabilities].to_numpy().tolist() == expected["probabilities"]
    assert found["prediction_row"].tolist() == [0, 1, 2]
    assert len(set(found["prediction_id"])) == 1
    assert (found.attrs["model"], found.attrs["versions"], found.attrs["warnings"]) == ("iris", ["1"], [])


def test_columns_of_a_frame_may_have_any_order(client: Client) -> None:
    backwards = IRIS[IRIS.columns[::-1]]

    assert client.predict(backwards, "iris")["label"].tolist() == client.predict(IRIS, "iris")["label"].tolist()


@pytest.mark.parametrize(
    ("model", "classes"),
    [("texts", ["cheap", "fair", "dear"]), ("integers", [10, 20, -30]), ("booleans", [False, True])],
)
def test_frame_of_any_dtypes_gets_labels_in_their_own_type(
    api: RunningApi, client: Client, model: str, classes: list[Label]
) -> None:
    expected = raw(api, model, [list(row) for row in TABLE_ROWS])

    found = client.predict(TABLE, model)

    labels = [classes[int(index)] for index in found["prediction"]]
    assert (found["label"].tolist(), expected["label"]) == (labels, list(map(label_text, labels)))
    names = [f"probability_{label_text(one)}" for one in classes]
    assert found[names].to_numpy().tolist() == expected["probabilities"]


def test_regressor_has_values_only(api: RunningApi, client: Client) -> None:
    found = client.predict(TABLE, "values")

    assert list(found.columns) == ["prediction", "prediction_id", "prediction_row"]
    assert found["prediction"].tolist() == raw(api, "values", [list(row) for row in TABLE_ROWS])["prediction"]


@pytest.mark.parametrize(
    "data",
    [
        dict(zip(FEATURES, GOLDEN_ROWS[0], strict=True)),
        GOLDEN_ROWS[0],
        [list(GOLDEN_ROWS[0])],
        np.array(GOLDEN_ROWS[:1], dtype=np.float32),
        IRIS.iloc[0],
    ],
    ids=["object", "row", "rows", "array", "series"],
)
def test_rows_get_a_typed_result(client: Client, data: Any) -> None:
    result = client.predict(data)

    assert (result.model, result.version, result.label, len(result)) == ("iris", "1", ["setosa"], 1)
    assert result.prediction == [0]
    assert result.probabilities is not None
    assert sum(result.probabilities[0]) == pytest.approx(1)
    assert result.ids == [result.id]
    assert result.batches[0].response["id"] == result.id


def test_regressor_has_no_labels(client: Client) -> None:
    result = client.predict([1.0, 2.0, 3.0, 4.0], "demand")

    assert (result.prediction, result.label, result.probabilities) == ([10.0], None, None)


def test_pinned_version_predicts(client: Client) -> None:
    assert client.predict(IRIS, "iris", "1").attrs["versions"] == ["1"]
    with pytest.raises(NotFoundError):
        client.predict(IRIS, "iris", "9")
    with pytest.raises(ValueError, match="pass the model of the version"):
        client.predict(IRIS, version="1")


def test_values_outside_the_trained_range_are_warnings(client: Client) -> None:
    rows = [*map(list, GOLDEN_ROWS), [500.0, 3.5, 1.4, 0.2]]
    expected = PredictionWarning(3, FEATURES[0], "500 is outside the trained range 0 to 8")

    assert client.predict(rows).warnings == [expected]
    assert client.predict(pd.DataFrame(rows, columns=list(FEATURES))).attrs["warnings"] == [vars(expected)]


def test_invalid_values_are_reported_with_row_and_column(client: Client) -> None:
    frame = TABLE.copy()
    frame["color"] = ["red", "pink", "blue", "red"]
    frame.loc[2, "price"] = np.nan

    with pytest.raises(ValidationError) as caught:
        client.predict(frame, "texts")

    assert [(error.row, error.column) for error in caught.value.errors] == [(1, "color"), (2, "price")]
    assert str(caught.value).startswith("row 1: 'color' must be one of 'blue', 'green', 'red', not 'pink'; row 2: ")
    assert (caught.value.status, caught.value.title) == (422, "Unprocessable Entity")
    assert caught.value.request_id


def test_values_without_a_form_in_json_are_reported_before_any_request(
    client: Client, transport: SyncTransport
) -> None:
    frame = TABLE.assign(weight=[1.0, float("inf"), 2.0, 3.0], price=pd.to_timedelta([1, 2, None, 4], unit="h"))

    with pytest.raises(ValidationError) as caught:
        client.predict(frame, "texts")

    places = [(error.row, error.column) for error in caught.value.errors]
    assert places == [(0, "price"), (1, "weight"), (1, "price"), (3, "price")]
    assert transport.requests == []


def test_missing_and_unknown_columns_are_reported(client: Client) -> None:
    with pytest.raises(ValidationError, match="row 0: the feature 'size' is missing; row 0: the model has no feature"):
        client.predict(TABLE.head(1).rename(columns={"size": "sice"}), "texts")


def test_frame_without_rows_gets_a_frame_without_rows(client: Client) -> None:
    found = client.predict(IRIS.head(0), "iris")

    assert list(found.columns) == list(client.predict(IRIS, "iris").columns)
    assert len(found) == 0
    assert list(client.predict(TABLE.head(0), "values").columns) == ["prediction", "prediction_id", "prediction_row"]


def test_list_without_rows_is_rejected(client: Client) -> None:
    with pytest.raises(ValueError, match="no rows"):
        client.predict([])


def test_names_of_classes_are_read_once(client: Client, transport: SyncTransport) -> None:
    for _ in range(3):
        client.predict(IRIS, "iris")

    assert [request.method for request in transport.requests] == ["POST", "GET", "POST", "POST"]


def test_model_with_special_characters_is_quoted(client: Client, transport: SyncTransport) -> None:
    with pytest.raises(NotFoundError):
        client.predict([1.0], "a/../b?c")

    assert transport.requests[0].url.raw_path == b"/models/a%2F%2E%2E%2Fb%3Fc/predict"


def test_predictions_survive_a_failed_description_of_the_model(api: RunningApi) -> None:
    """A key that may only predict cannot read the names of the classes."""

    class NoReads(SyncTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "GET":
                self.requests.append(request)
                return httpx.Response(403, json={"detail": "this key may not read"})
            return super().handle_request(request)

    transport = NoReads(api)
    with Client(URL, token=api.token(Role.USER), transport=transport) as client:
        for _ in range(2):
            found = client.predict(IRIS, "iris")

    assert list(found.columns)[2:5] == ["probability_0", "probability_1", "probability_2"]
    assert found["label"].tolist() == ["setosa", "versicolor", "virginica"]
    assert len(transport.requests) == 3
