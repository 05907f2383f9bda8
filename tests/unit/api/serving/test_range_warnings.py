"""Values outside the trained range: each protocol reports them in its own way."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from uuid_utils.compat import uuid7

from slipway_api.accounts.models import Role
from slipway_api.protocols import native
from slipway_api.protocols.messages import PredictionResult
from slipway_api.serving.predictor import Predictor
from slipway_api.serving.version_metrics import MAX_FEATURES, OTHER, VersionMetrics
from slipway_core.columns import InputColumn
from slipway_core.feature_values import MAX_WARNINGS
from slipway_core.registry.memory import InMemoryRegistry
from slipway_core.signature import Signature
from support.api import RunningApi, StartApi
from support.bundles import FEATURES
from support.serving import Serving

INSIDE = [5.1, 3.5, 1.4, 0.2]
OUTSIDE = [500.0, 3.5, -1.4, 0.2]
WARNINGS = [
    {"row": 1, "feature": FEATURES[0], "message": "500 is outside the trained range 0 to 8"},
    {"row": 1, "feature": FEATURES[2], "message": "-1.4 is outside the trained range 0 to 8"},
]


def tensor(rows: list[list[float]]) -> dict[str, Any]:
    data = [value for row in rows for value in row]
    return {"inputs": [{"name": "X", "shape": [len(rows), 4], "datatype": "FP32", "data": data}]}


def test_native_response_names_row_feature_and_range(api: RunningApi) -> None:
    body = api.post("/predict", role=Role.USER, json={"features": [INSIDE, OUTSIDE]}).json()

    assert list(body)[-1] == "warnings"
    assert body["warnings"] == WARNINGS


def test_warnings_of_many_rows_are_truncated_and_counted(api: RunningApi) -> None:
    body = api.post("/predict", role=Role.USER, json={"features": [OUTSIDE] * 900}).json()

    assert len(body["warnings"]) == MAX_WARNINGS
    assert body["warnings_omitted"] == 2 * 900 - MAX_WARNINGS


def test_open_inference_response_has_warnings_in_parameters(api: RunningApi) -> None:
    path = "/v2/models/iris/infer"

    few = api.post(path, role=Role.USER, json=tensor([INSIDE, OUTSIDE])).json()["parameters"]
    many = api.post(path, role=Role.USER, json=tensor([OUTSIDE] * 30)).json()["parameters"]
    none = api.post(path, role=Role.USER, json=tensor([INSIDE])).json()["parameters"]

    # The protocol's parameters are strings, numbers and booleans.
    assert few["warnings"] == "; ".join(f"row {one['row']}, {one['feature']}: {one['message']}" for one in WARNINGS)
    assert many["warnings"].endswith("; and 40 more")
    assert list(none) == ["prediction_id"]


@pytest.mark.parametrize("accept", ["application/json", "text/csv"])
def test_scoring_response_counts_warnings_in_a_header(api: RunningApi, accept: str) -> None:
    def ask(rows: list[list[float]]) -> Any:
        return api.post("/invocations", role=Role.USER, json={"instances": rows}, headers={"Accept": accept})

    outside, inside = ask([INSIDE, OUTSIDE]), ask([INSIDE, INSIDE])

    assert outside.headers["X-Prediction-Warnings"] == "2"
    assert "X-Prediction-Warnings" not in inside.headers
    assert "warning" not in outside.text


@pytest.mark.parametrize("rows", [[INSIDE], [INSIDE] * 3, [[0.0, 8.0, 0.0, 8.0]]])
def test_response_without_warnings_is_unchanged(serving: Serving, rows: list[list[float]]) -> None:
    iris = serving.store.get("iris")
    matrix = iris.signature.rows(rows)
    outputs, outside = Predictor(serving.serving_metrics).run(iris, matrix)

    body = native.write(PredictionResult(uuid7(), iris, outputs, outside)).body

    assert list(orjson.loads(body)) == ["id", "model", "version", "prediction", "label", "probabilities"]


def test_setting_disables_warnings_but_not_the_metric(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, range_warnings=False)

    native_answer = api.post("/predict", role=Role.USER, json={"features": OUTSIDE}).json()
    tensors = api.post("/v2/models/iris/infer", role=Role.USER, json=tensor([OUTSIDE])).json()
    scored = api.post("/invocations", role=Role.USER, json={"instances": [OUTSIDE]})

    assert "warnings" not in native_answer
    assert list(tensors["parameters"]) == ["prediction_id"]
    assert "X-Prediction-Warnings" not in scored.headers
    series = {"model": "iris", "version": "1", "feature": FEATURES[0]}
    assert api.sample("slipway_prediction_out_of_range_values_total", **series) == 3


@pytest.mark.parametrize(
    ("low", "high", "value", "message"),
    [
        (4.3, 7.9, 500.0, "500 is outside the trained range 4.3 to 7.9"),
        (4.3, 7.9, -3e38, "-3e+38 is outside the trained range 4.3 to 7.9"),
        (1.0, 4.0, 9.0, "9 is outside the trained range 1 to 4"),
        (None, 7.9, 8.0, "8 is above the trained maximum 7.9"),
        (4.3, None, 4.2, "4.2 is below the trained minimum 4.3"),
        (0.0, 0.0, 1e-3, "0.001 is outside the trained range 0 to 0"),
    ],
)
@pytest.mark.parametrize("n_rows", [1, 2])
def test_message_names_the_value_and_its_limits(
    low: float | None, high: float | None, value: float, message: str, n_rows: int
) -> None:
    free, limited = (InputColumn(name="a", dtype="float32"), InputColumn(name="b", dtype="float32", min=low, max=high))
    signature = Signature([free, limited])
    matrix = signature.rows([[1e30, value]] * n_rows)

    outside = signature.out_of_range(matrix)

    assert signature.count_out_of_range(matrix) == n_rows
    assert outside.counts == [0, n_rows]
    found = [(one.row, one.feature, one.message) for one in outside.warnings]
    assert found == [(row, "b", message) for row in range(n_rows)]


def test_features_beyond_the_hundredth_share_a_series(serving: Serving) -> None:
    columns = [InputColumn(name=f"f{number}", dtype="float32", min=0, max=1) for number in range(MAX_FEATURES + 50)]
    wide = replace(serving.store.get("iris"), name="wide", signature=Signature(columns))
    metrics = VersionMetrics(serving.serving_metrics, wide)

    metrics.count_out_of_range([1] * len(columns))

    samples = {
        sample.labels["feature"]: sample.value
        for family in serving.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "slipway_prediction_out_of_range_values_total" and sample.labels["model"] == "wide"
    }
    assert len(samples) == MAX_FEATURES + 1
    assert (samples["f0"], samples["f99"], samples[OTHER]) == (1, 1, 50)
