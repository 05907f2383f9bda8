"""`/predict`: responses to rows in every format."""

import json
import math
import threading
import time
import uuid
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway_api.accounts.models import Role
from slipway_api.serving.inline_rows import INLINE_BYTES
from slipway_api.serving.model_ref import ModelRef
from slipway_core.graph import Graph, Outputs, RunOptions
from slipway_core.registry.memory import InMemoryRegistry
from slipway_core.rows import Rows
from support.api import RunningApi, StartApi
from support.bundles import CLASSES, FEATURES, NAMES, linear_classifier

SETOSA = [5.1, 3.5, 1.4, 0.2]
VIRGINICA = [6.7, 3.0, 5.2, 2.3]
VERSICOLOR = [6.0, 2.7, 4.2, 1.3]
ROWS = [SETOSA, VIRGINICA, VERSICOLOR]
FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text() | st.sampled_from(FEATURES), inner),
    max_leaves=12,
)


def named(row: list[float]) -> dict[str, float]:
    return dict(zip(FEATURES, row, strict=True))


def of_graph(rows: list[list[float]]) -> Outputs:
    """Return the graph's own result."""
    return Graph(linear_classifier(), NAMES).run(np.array(rows, dtype=np.float32))


def test_response_to_one_row_has_all_documented_fields(api: RunningApi) -> None:
    answer = api.post("/predict", role=Role.USER, json={"features": SETOSA})

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    body = answer.json()
    assert list(body) == ["id", "model", "version", "prediction", "label", "probabilities"]
    assert (body["model"], body["version"], body["prediction"], body["label"]) == ("iris", "1", [0], ["setosa"])
    assert math.fsum(body["probabilities"][0]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    "features",
    [
        ROWS,
        [named(row) for row in ROWS],
        [dict(reversed(named(row).items())) for row in ROWS],
        [SETOSA, named(VIRGINICA), VERSICOLOR],
    ],
    ids=["lists", "named", "named in reverse", "mixed"],
)
def test_rows_in_every_format_match_the_graph(api: RunningApi, features: object) -> None:
    body = api.post("/predict", role=Role.USER, json={"features": features}).json()

    expected = of_graph(ROWS)
    assert body["prediction"] == expected.prediction.tolist() == [0, 2, 1]
    assert body["label"] == [CLASSES[0], CLASSES[2], CLASSES[1]]
    assert expected.scores is not None
    np.testing.assert_allclose(body["probabilities"], expected.scores, rtol=1e-5)


def test_one_named_row_is_accepted(api: RunningApi) -> None:
    body = api.post("/predict", role=Role.USER, json={"features": named(VIRGINICA)}).json()

    assert body["label"] == ["virginica"]


def test_integers_are_accepted_as_floats(api: RunningApi) -> None:
    integers = api.post("/predict", role=Role.USER, json={"features": [5, 3, 1, 0]}).json()
    floats = api.post("/predict", role=Role.USER, json={"features": [5.0, 3.0, 1.0, 0.0]}).json()

    assert integers["probabilities"] == floats["probabilities"]


def test_model_is_selected_by_name(api: RunningApi) -> None:
    body = api.post("/models/iris/predict", role=Role.USER, json={"features": SETOSA}).json()

    assert (body["model"], body["label"]) == ("iris", ["setosa"])


def test_regressor_returns_no_labels_or_probabilities(api: RunningApi) -> None:
    body = api.post("/models/demand/predict", role=Role.USER, json={"features": [[1, 2, 3, 4], [0.5, 0, 0, 0]]}).json()

    assert list(body) == ["id", "model", "version", "prediction"]
    assert body["prediction"] == [10.0, 0.5]


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON", "application/x+json"])
def test_every_json_content_type_is_accepted(api: RunningApi, content_type: str) -> None:
    answer = api.post(
        "/predict",
        role=Role.USER,
        content=json.dumps({"features": SETOSA}).encode(),
        headers={"Content-Type": content_type},
    )

    assert answer.status_code == 200


def test_chunked_body_without_a_length_is_read(api: RunningApi) -> None:
    body = json.dumps({"features": SETOSA}).encode()

    answer = api.post(
        "/predict", role=Role.USER, chunks=[body[:7], body[7:]], headers={"Content-Type": "application/json"}
    )

    assert answer.json()["label"] == ["setosa"]


def test_maximum_rows_match_single_row_requests(api: RunningApi) -> None:
    rows = [[5 + index / 1_000, 3.5, index / 200, index / 500] for index in range(1_000)]

    at_once = api.post("/predict", role=Role.USER, json={"features": rows}).json()

    assert at_once["prediction"] == of_graph(rows).prediction.tolist()
    for index in (0, 500, 999):
        alone = api.post("/predict", role=Role.USER, json={"features": rows[index]}).json()
        assert alone["prediction"] == [at_once["prediction"][index]]
        assert alone["probabilities"][0] == pytest.approx(at_once["probabilities"][index], rel=1e-5)


class WatchedGraph(Graph):
    """Wrap a graph, and record the thread of each run."""

    thread: int | None = None

    def run(self, rows: Rows, *options: RunOptions) -> Outputs:
        self.thread = threading.get_ident()
        return super().run(rows, *options)


@pytest.mark.parametrize("inline", [True, False])
def test_many_rows_do_not_block_the_event_loop(start_api: StartApi, registry: InMemoryRegistry, inline: bool) -> None:
    api = start_api(registry)
    graph = WatchedGraph(linear_classifier(), NAMES)
    slot = api.app.state.models._slot(ModelRef("iris"))
    slot.served = replace(api.app.state.models.get("iris"), graph=graph)
    rows = 1 if inline else INLINE_BYTES // 16

    answer = api.post("/predict", role=Role.USER, json={"features": [SETOSA] * rows})

    assert answer.json()["prediction"] == [0] * rows
    assert (graph.thread == api.portal.call(threading.get_ident)) is inline


def test_ids_are_uuid7_with_the_current_time(api: RunningApi) -> None:
    before = time.time_ns() // 1_000_000
    answers = [api.post("/predict", role=Role.USER, json={"features": SETOSA}).json() for _ in range(20)]
    after = time.time_ns() // 1_000_000

    ids = [uuid.UUID(answer["id"]) for answer in answers]
    assert {(one.version, one.variant) for one in ids} == {(7, uuid.RFC_4122)}
    told = [one.int >> 80 for one in ids]
    assert ids == sorted(ids)
    assert before <= told[0] <= told[-1] <= after
    assert len(set(ids)) == len(ids)


def test_predictions_are_counted(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry)
    beyond = [9.0, -1.0, 1.4, 0.2]

    answer = api.post("/predict", role=Role.USER, json={"features": [SETOSA, beyond, VIRGINICA]})

    assert answer.status_code == 200
    iris = {"model": "iris", "version": "1"}
    assert api.sample("slipway_prediction_rows_total", **iris) == 3
    outside = {
        name: api.sample("slipway_prediction_out_of_range_values_total", **iris, feature=name) for name in FEATURES
    }
    assert list(outside.values()) == [1, 1, 0, 0]
    assert api.sample("slipway_inference_duration_seconds_count", **iris) == 1


def test_values_at_the_limits_of_the_trained_range_are_inside(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry)

    api.post("/predict", role=Role.USER, json={"features": [0.0, 8.0, 0, 8]})

    for name in FEATURES:
        assert api.sample("slipway_prediction_out_of_range_values_total", model="iris", version="1", feature=name) == 0


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(rows=st.lists(st.lists(FLOAT32.filter(lambda value: abs(value) < 1e30), min_size=4, max_size=4), min_size=1))
def test_any_rows_of_numbers_match_the_graph(api: RunningApi, rows: list[list[float]]) -> None:
    body = api.post("/predict", role=Role.USER, json={"features": rows}).json()

    assert body["prediction"] == of_graph(rows).prediction.tolist()


@pytest.mark.parametrize("path", ["/predict", "/models/demand/predict"])
def test_response_never_contains_null_for_a_number(api: RunningApi, path: str) -> None:
    answer = api.post(path, role=Role.USER, json={"features": [3e38, 3e38, 3e38, 3e38]})

    assert answer.status_code in {200, 422}
    assert "null" not in answer.text


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=JSON_VALUES | st.fixed_dictionaries({"features": JSON_VALUES}))
def test_any_json_is_answered_or_rejected_by_name(api: RunningApi, body: object) -> None:
    answer = api.post(
        "/predict",
        role=Role.USER,
        content=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )

    assert answer.status_code in {200, 422}
    assert answer.status_code == 200 or answer.json()["errors"]


@settings(deadline=None, max_examples=50)
@given(content=st.binary(max_size=200))
def test_any_bytes_are_rejected_by_name(api: RunningApi, content: bytes) -> None:
    answer = api.post("/predict", role=Role.USER, content=content, headers={"Content-Type": "application/json"})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"][0] in {"body", "features"}
