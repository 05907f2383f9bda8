"""The metrics that the API defines."""

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from slipway_api.accounts.metrics import AccountMetrics
from slipway_api.metrics import Metrics
from slipway_api.prediction_log.metrics import PredictionLogMetrics
from slipway_api.serving.metrics import ServingMetrics
from slipway_api.web.request_metrics import RequestMetrics


def api_registry() -> CollectorRegistry:
    """Return a registry with all metrics of an API."""
    metrics = Metrics()
    for define in (AccountMetrics, ServingMetrics, PredictionLogMetrics):
        define(metrics)
    RequestMetrics(metrics, (), logs_all=False)
    return metrics.registry


def api_families() -> list[Metric]:
    """Return the metrics of an API without those of the process."""
    return [family for family in api_registry().collect() if family.name.startswith("slipway_")]
