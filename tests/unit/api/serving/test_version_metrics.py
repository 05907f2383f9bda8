"""Metrics of a version's predictions: classes, confidence, values; for one row and for many."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import generate_latest

from slipway_api.errors import InvalidInputError
from slipway_api.metrics import Metrics
from slipway_api.serving.metrics import CONFIDENCE_BUCKETS
from slipway_api.serving.predictor import Predictor
from slipway_api.serving.served_model import ServedModel
from slipway_api.serving.version_metrics import MAX_CLASSES, FastHistogram, VersionMetrics
from slipway_core.graph import Outputs
from support.bundles import CLASSES, FEATURES, GOLDEN_ROWS, register, regression_files
from support.serving import Serving

VALUES = (0.0, 0.05, 0.1, 0.1000001, 0.5, 0.9, 0.95, 0.951, 0.99, 1.0, 1.0)


@pytest.fixture
def iris(serving: Serving) -> ServedModel:
    return serving.store.get("iris")


@pytest.fixture
def demand(serving: Serving) -> ServedModel:
    register(serving.registry, regression_files(), "demand", promote=True)
    serving.sync()
    return serving.store.get("demand")


def rows(count: int) -> NDArray[np.float32]:
    """Return rows of iris: a setosa, a versicolor, a virginica, and so on."""
    return np.resize(np.array(GOLDEN_ROWS, dtype=np.float32), (count, 4))


def many_classes(model: ServedModel, count: int) -> ServedModel:
    """Return a model whose manifest has other classes."""
    classes = tuple(f"class {index}" for index in range(count))
    return replace(model, manifest=model.manifest.model_copy(update={"classes": classes}), manifest_sha256="another")


def by_class(metrics: Metrics) -> dict[str, float]:
    """Return the number of rows of each counted class."""
    return {
        sample.labels["class"]: sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "slipway_predictions_total" and sample.value
    }


def test_served_version_has_every_series(serving: Serving) -> None:
    version = {"model": "iris", "version": "1"}

    assert [serving.sample("slipway_predictions_total", **version, **{"class": name}) for name in CLASSES] == [0, 0, 0]
    for name in (
        "slipway_prediction_confidence_count",
        "slipway_prediction_rows_total",
        "slipway_inference_duration_seconds_count",
        "slipway_model_unusable_answers_total",
        "slipway_feedback_rows_total",
    ):
        assert serving.sample(name, **version) == 0, name
    for feature in FEATURES:
        assert serving.sample("slipway_prediction_out_of_range_values_total", **version, feature=feature) == 0
    assert serving.sample("slipway_model_stuck_runs", **version) == 0
    assert serving.sample("slipway_model_load_failures_total", model="iris") == 0


def test_classifier_has_no_values_and_regressor_no_classes(serving: Serving, demand: ServedModel) -> None:
    assert serving.sample("slipway_prediction_value_count", model="demand", version=demand.version) == 0
    assert serving.sample("slipway_prediction_confidence_count", model="demand", version=demand.version) is None
    assert serving.sample("slipway_prediction_value_count", model="iris", version="1") is None


@pytest.mark.parametrize("count", [1, 7])
def test_rows_are_counted_by_predicted_class(serving: Serving, iris: ServedModel, count: int) -> None:
    Predictor(serving.serving_metrics).run(iris, rows(count))

    expected = {name: sum(1 for row in range(count) if row % 3 == index) for index, name in enumerate(CLASSES)}
    assert by_class(serving.metrics) == {name: rows for name, rows in expected.items() if rows}


@pytest.mark.parametrize("count", [1, 7])
def test_confidence_is_the_probability_of_the_predicted_class(serving: Serving, iris: ServedModel, count: int) -> None:
    outputs, _ = Predictor(serving.serving_metrics).run(iris, rows(count))

    assert outputs.scores is not None
    total = serving.sample("slipway_prediction_confidence_sum", model="iris", version="1")
    assert total == pytest.approx(outputs.scores.max(axis=1).sum())
    assert serving.sample("slipway_prediction_confidence_count", model="iris", version="1") == count


@pytest.mark.parametrize("count", [1, 7])
def test_regressor_values_are_summed(serving: Serving, demand: ServedModel, count: int) -> None:
    outputs, _ = Predictor(serving.serving_metrics).run(demand, rows(count))

    total = serving.sample("slipway_prediction_value_sum", model="demand", version="1")
    assert total == pytest.approx(outputs.prediction.sum())
    assert serving.sample("slipway_prediction_value_count", model="demand", version="1") == count


@pytest.mark.parametrize("count", [1, 7])
def test_rows_without_a_finite_result_count_only_in_graph_time(
    serving: Serving, demand: ServedModel, count: int
) -> None:
    endless = np.full((count, 4), 3e38, dtype=np.float32)

    with pytest.raises(InvalidInputError):
        Predictor(serving.serving_metrics).run(demand, endless)

    version = {"model": "demand", "version": "1"}
    assert serving.sample("slipway_prediction_rows_total", **version) == 0
    for feature in FEATURES:
        assert serving.sample("slipway_prediction_out_of_range_values_total", **version, feature=feature) == 0
    assert serving.sample("slipway_prediction_value_count", **version) == 0
    assert serving.sample("slipway_inference_duration_seconds_count", **version) == 1


@pytest.mark.parametrize("many", [False, True])
def test_classes_beyond_the_hundredth_share_a_series(serving: Serving, iris: ServedModel, many: bool) -> None:
    counted = VersionMetrics(serving.serving_metrics, many_classes(iris, 150))
    predicted = [0, MAX_CLASSES - 1, MAX_CLASSES, 149]
    scores = np.eye(150, dtype=np.float32)[predicted]

    if many:
        counted.count_rows(Outputs(np.array(predicted), scores))
    else:
        for index, row in zip(predicted, scores.tolist(), strict=True):
            counted.count_row(index, row)

    assert by_class(serving.metrics) == {"class 0": 1, "class 99": 1, "(other)": 2}
    assert serving.sample("slipway_prediction_confidence_sum", model="iris", version="1") == 4


def test_hundred_classes_have_separate_series(serving: Serving, iris: ServedModel) -> None:
    VersionMetrics(serving.serving_metrics, many_classes(iris, MAX_CLASSES))

    assert serving.sample("slipway_predictions_total", model="iris", version="1", **{"class": "class 99"}) == 0
    assert serving.sample("slipway_predictions_total", model="iris", version="1", **{"class": "(other)"}) is None


def test_recreated_version_has_its_own_classes(serving: Serving, iris: ServedModel) -> None:
    predictor = Predictor(serving.serving_metrics)
    predictor.run(iris, rows(1))

    predictor.run(many_classes(iris, 3), rows(1))

    assert by_class(serving.metrics) == {"setosa": 1, "class 0": 1}


def test_empty_batch_counts_nothing(serving: Serving, iris: ServedModel) -> None:
    counted = VersionMetrics(serving.serving_metrics, iris)

    counted.count_rows(Outputs(np.zeros(0, dtype=np.int64), np.zeros((0, 3), dtype=np.float32)))

    assert by_class(serving.metrics) == {}
    assert serving.sample("slipway_prediction_confidence_count", model="iris", version="1") == 0


@pytest.mark.parametrize("at_once", [False, True])
def test_fast_histogram_matches_the_library(at_once: bool) -> None:
    values = np.array(VALUES, dtype=np.float32)
    pages = []
    for is_fast in (False, True):
        registry = CollectorRegistry()
        child = Histogram("told", "h", ["a"], buckets=CONFIDENCE_BUCKETS, registry=registry).labels("b")
        if is_fast and at_once:
            FastHistogram(child).observe_all(values)
        else:
            for value in values.tolist():
                (FastHistogram(child) if is_fast else child).observe(value)
        pages.append(generate_latest(registry))

    assert pages[0] == pages[1]
