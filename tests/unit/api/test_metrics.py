"""The metrics that alerts need: before the first request, and for versions that are loaded and unloaded."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from slipway_api.accounts.metrics import LOGIN_OUTCOMES
from slipway_api.metrics import Metrics
from slipway_api.serving.metrics import ServingMetrics
from slipway_api.serving.served_metrics import ServedMetrics
from slipway_core.bundle import MANIFEST_FILE
from support.bundles import bundle_files, register
from support.metrics import api_registry
from support.serving import Serving


def scores_of(serving: Serving, version: str) -> dict[str, float]:
    """Return the test scores that the metrics report for a version of iris."""
    return {
        sample.labels["metric"]: sample.value
        for family in serving.serving_metrics.training_metric.collect()
        for sample in family.samples
        if sample.labels["version"] == version
    }


def model_with(scores: dict[str, float]) -> Any:
    """Return version 1 of iris with scores on its test rows."""
    return SimpleNamespace(name="iris", version="1", manifest=SimpleNamespace(metrics=scores))


@pytest.mark.parametrize("outcome", LOGIN_OUTCOMES)
def test_logins_are_counted_from_zero(outcome: str) -> None:
    assert api_registry().get_sample_value("slipway_logins_total", {"outcome": outcome}) == 0


def test_service_is_not_ready_before_its_models_are_served(tmp_path: Path) -> None:
    serving = Serving(tmp_path / "cache")

    assert serving.sample("slipway_ready") == 0


def test_service_is_ready_once_its_models_are_served(serving: Serving) -> None:
    assert serving.sample("slipway_ready") == 1


def test_service_is_not_ready_while_a_model_is_missing(tmp_path: Path) -> None:
    serving = Serving(tmp_path / "cache", models=("iris", "rose"))
    register(serving.registry, bundle_files(), promote=True)

    serving.sync()

    assert serving.sample("slipway_ready") == 0


def test_unloaded_model_is_missing(serving: Serving) -> None:
    register(serving.registry, bundle_files("rose"), "rose")
    serving.sync()
    serving.registry.delete_model("iris")

    serving.sync()

    assert serving.sample("slipway_ready") == 0


def test_served_version_reports_its_test_scores(serving: Serving) -> None:
    manifest = json.loads(bundle_files()[MANIFEST_FILE])

    assert scores_of(serving, "1") == manifest["metrics"] != {}


def test_version_no_longer_served_reports_no_scores(serving: Serving) -> None:
    register(serving.registry, bundle_files(metrics={"accuracy": 0.5, "f1_macro": 0.25}), promote=True)

    serving.sync()

    assert scores_of(serving, "1") == {}
    assert scores_of(serving, "2") == {"accuracy": 0.5, "f1_macro": 0.25}


def test_recreated_version_reports_its_own_scores() -> None:
    metrics = ServingMetrics(Metrics())
    served = ServedMetrics(metrics)
    before, after = model_with({"accuracy": 0.9, "log_loss": 0.2}), model_with({"accuracy": 0.8})
    served.update(lambda: [before], lambda: True)

    served.update(lambda: [after], lambda: True)

    [family] = metrics.training_metric.collect()
    assert [(sample.labels["metric"], sample.value) for sample in family.samples] == [("accuracy", 0.8)]
