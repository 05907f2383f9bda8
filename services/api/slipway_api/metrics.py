"""The API's Prometheus metrics. Each app has its own registry, so that two apps in one process do not mix.

Several workers share metrics through files (the library's multiprocess mode): counters are summed, and gauges report
the worst worker.
"""

import os
from collections.abc import Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    Summary,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

# Fine near 1, where a loss of confidence shows first.
CONFIDENCE_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
INFERENCE_BUCKETS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0)
LOGIN_OUTCOMES = ("ok", "refused", "throttled")


class Metrics:
    """All metrics of the service, and the page that Prometheus scrapes."""

    def __init__(self) -> None:
        # A creation time for each counter would double the size of the page.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._is_shared = "PROMETHEUS_MULTIPROC_DIR" in os.environ
        if not self._is_shared:  # these describe a single process
            ProcessCollector(registry=self.registry)
            PlatformCollector(registry=self.registry)
            GCCollector(registry=self.registry)
        self._scored: dict[tuple[str, str], tuple[str, ...]] = {}
        self._add_requests()
        self._add_predictions()
        self._add_accounts()
        self._add_served_models()
        self._add_model_loads()
        self._add_registry()
        self._add_prediction_log()
        self._add_feedback()

    def _add_requests(self) -> None:
        self.requests = Counter(
            "slipway_http_requests_total",
            "Answered requests by method, route template and status.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "slipway_http_request_duration_seconds",
            "Time from the head of the request to the end of the response.",
            ["method", "route"],
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )

    def _add_predictions(self) -> None:
        self.predicted_rows = Counter(
            "slipway_prediction_rows_total",
            "Predicted rows, without those of rejected requests.",
            ["model", "version"],
            registry=self.registry,
        )
        self.predictions = Counter(
            "slipway_predictions_total",
            "Predicted rows of classifiers by predicted class.",
            ["model", "version", "class"],
            registry=self.registry,
        )
        self.prediction_confidence = Histogram(
            "slipway_prediction_confidence",
            "Probability of the predicted class per row, for classifiers.",
            ["model", "version"],
            buckets=CONFIDENCE_BUCKETS,
            registry=self.registry,
        )
        self.prediction_value = Summary(
            "slipway_prediction_value",
            "Predicted value per row in the unit of the target, for regressors.",
            ["model", "version"],
            registry=self.registry,
        )
        self.inference_seconds = Histogram(
            "slipway_inference_duration_seconds",
            "Duration of the graph per request, including requests without a finite result.",
            ["model", "version"],
            buckets=INFERENCE_BUCKETS,
            registry=self.registry,
        )
        self.out_of_range = Counter(
            "slipway_prediction_out_of_range_values_total",
            "Feature values of predicted rows outside the range of the training rows, by feature.",
            ["model", "version", "feature"],
            registry=self.registry,
        )
        self.unusable_answers = Counter(
            "slipway_model_unusable_answers_total",
            "Predictions for which the model failed or returned output that its manifest rules out.",
            ["model", "version"],
            registry=self.registry,
        )
        self.stuck_runs = Gauge(
            "slipway_model_stuck_runs",
            "Runs of a version that are still busy after they were terminated at the deadline of their request.",
            ["model", "version"],
            multiprocess_mode="livesum",
            registry=self.registry,
        )

    def _add_accounts(self) -> None:
        self.logins = Counter(
            "slipway_logins_total", "Logins by outcome: ok, refused or throttled.", ["outcome"], registry=self.registry
        )
        for outcome in LOGIN_OUTCOMES:  # start at 0, so that alerts see the first increase
            self.logins.labels(outcome)
        self.accounts_up = Gauge(
            "slipway_accounts_up",
            "1 if the accounts were last read from the database successfully.",
            multiprocess_mode="livemin",
            registry=self.registry,
        )

    def _add_served_models(self) -> None:
        self.ready = Gauge(
            "slipway_ready",
            "1 while every required model is served, like /health/ready.",
            multiprocess_mode="livemin",
            registry=self.registry,
        )
        self.model_info = Gauge(
            "slipway_model_info",
            "1 for each served version.",
            ["model", "version"],
            multiprocess_mode="livemax",
            registry=self.registry,
        )
        self.training_metric = Gauge(
            "slipway_model_training_metric",
            "Score of a served version on its test rows, by metric, from its manifest.",
            ["model", "version", "metric"],
            multiprocess_mode="livemax",
            registry=self.registry,
        )

    def _add_model_loads(self) -> None:
        self.model_loads = Counter(
            "slipway_model_loads_total",
            "Successful loads of a version.",
            ["model"],
            registry=self.registry,
        )
        self.model_load_failures = Counter(
            "slipway_model_load_failures_total",
            "Failed loads of a version. The API continues to serve the previous one.",
            ["model"],
            registry=self.registry,
        )
        self.model_load_failing = Gauge(
            "slipway_model_load_failing",
            "1 while the version that should be served cannot be loaded. Label of a pinned version: `iris@7`.",
            ["model"],
            multiprocess_mode="livemax",
            registry=self.registry,
        )
        self.model_alias_missing = Gauge(
            "slipway_model_alias_missing",
            "1 while a served model has no Production alias.",
            ["model"],
            multiprocess_mode="livemax",
            registry=self.registry,
        )
        self.model_not_cached = Gauge(
            "slipway_model_not_cached",
            "1 while the served version could not be written to the bundle cache. A restart then needs the registry.",
            ["model"],
            multiprocess_mode="livemax",
            registry=self.registry,
        )

    def _add_registry(self) -> None:
        self.registry_up = Gauge(
            "slipway_registry_up",
            "1 if the last request to the model registry succeeded.",
            multiprocess_mode="livemin",
            registry=self.registry,
        )
        self.registry_failures = Counter(
            "slipway_registry_failures_total",
            "Failed requests to the model registry.",
            registry=self.registry,
        )

    def _add_prediction_log(self) -> None:
        self.prediction_log_dropped = Counter(
            "slipway_prediction_log_dropped_records_total",
            "Predictions that were not stored, because the journal is full or not writable.",
            registry=self.registry,
        )
        self.journal_bytes = Gauge(
            "slipway_journal_bytes",
            "Size of the journal.",
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )
        self.journal_oldest_seconds = Gauge(
            "slipway_journal_oldest_record_seconds",
            "Age of the oldest journal file. No prediction in the journal is older. 0 if the journal is empty.",
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )
        self.journal_rejected = Gauge(
            "slipway_journal_rejected_files",
            "Files in the folder `rejected`: the database rejected a record, or a journal file was damaged.",
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )

    def _add_feedback(self) -> None:
        self.feedback_rows = Counter(
            "slipway_feedback_rows_total",
            "Rows with accepted feedback.",
            ["model", "version"],
            registry=self.registry,
        )
        self.live_feedback_rows = Gauge(
            "slipway_live_feedback_rows",
            "Rows with feedback within SLIPWAY_LIVE_WINDOW_SECONDS.",
            ["model", "version"],
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )
        self.live_accuracy = Gauge(
            "slipway_live_accuracy_ratio",
            "Share of correctly predicted rows among the rows with feedback in the window.",
            ["model", "version"],
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )
        self.live_mean_absolute_error = Gauge(
            "slipway_live_mean_absolute_error",
            "Mean absolute error over the rows with feedback in the window, in the unit of the target.",
            ["model", "version"],
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )
        self.live_root_mean_squared_error = Gauge(
            "slipway_live_root_mean_squared_error",
            "Root mean squared error over the rows with feedback in the window, in the unit of the target.",
            ["model", "version"],
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )

    def begin_version(self, model: str, version: str, scores: Mapping[str, float]) -> None:
        """Start the series of a served version.

        Args:
            model: the model's name.
            version: the version's number.
            scores: the scores on the test rows at training time, by metric.
        """
        self.model_info.labels(model, version).set(1)
        self.unusable_answers.labels(model, version)  # start at 0, so that the first increase is visible
        for metric in set(self._scored.get((model, version), ())) - scores.keys():
            self.forget(self.training_metric, model, version, metric)
        for metric, score in scores.items():
            self.training_metric.labels(model, version, metric).set(score)
        self._scored[model, version] = tuple(scores)

    def end_version(self, model: str, version: str) -> None:
        """End the series of a version that was replaced or unloaded."""
        self.forget(self.model_info, model, version)
        for metric in self._scored.pop((model, version), ()):
            self.forget(self.training_metric, model, version, metric)

    def render(self) -> bytes:
        """Return the page in Prometheus' text format."""
        if not self._is_shared:
            return generate_latest(self.registry)
        combined = CollectorRegistry()
        MultiProcessCollector(combined)  # type: ignore[no-untyped-call]
        return generate_latest(combined)

    def forget(self, gauge: Gauge, *labels: str) -> None:
        """End a gauge's series. If workers share metrics, it can only be set to 0."""
        if self._is_shared:
            gauge.labels(*labels).set(0)
        else:
            gauge.remove(*labels)
