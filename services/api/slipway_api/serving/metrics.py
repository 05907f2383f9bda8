"""The metrics of models: their predictions, versions and loads, and the registry."""

from slipway_api.metrics import Metrics

VERSION = ("model", "version")
# Fine near 1, where a loss of confidence shows first.
CONFIDENCE_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
INFERENCE_BUCKETS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0)


class ServingMetrics:
    """The metrics of served models."""

    def __init__(self, metrics: Metrics) -> None:
        self.remove = metrics.remove
        self._add_predictions(metrics)
        self._add_versions(metrics)
        self._add_loads(metrics)

    def _add_predictions(self, metrics: Metrics) -> None:
        self.predicted_rows = metrics.counter(
            "slipway_prediction_rows_total", "Predicted rows, without those of rejected requests.", *VERSION
        )
        self.predictions = metrics.counter(
            "slipway_predictions_total", "Predicted rows of classifiers by predicted class.", *VERSION, "class"
        )
        self.prediction_confidence = metrics.histogram(
            "slipway_prediction_confidence",
            "Probability of the predicted class per row, for classifiers.",
            *VERSION,
            buckets=CONFIDENCE_BUCKETS,
        )
        self.prediction_value = metrics.summary(
            "slipway_prediction_value",
            "Predicted value per row in the unit of the target, for regressors.",
            *VERSION,
        )
        self.inference_seconds = metrics.histogram(
            "slipway_inference_duration_seconds",
            "Duration of the graph per request, including requests without a finite result.",
            *VERSION,
            buckets=INFERENCE_BUCKETS,
        )
        self.out_of_range = metrics.counter(
            "slipway_prediction_out_of_range_values_total",
            "Feature values of predicted rows outside the range of the training rows, by feature.",
            *VERSION,
            "feature",
        )
        self.unusable_answers = metrics.counter(
            "slipway_model_unusable_answers_total",
            "Predictions for which the model failed or returned output that its manifest rules out.",
            *VERSION,
        )
        self.stuck_runs = metrics.gauge(
            "slipway_model_stuck_runs",
            "Runs of a version that are still busy after they were terminated at the deadline of their request.",
            *VERSION,
            mode="livesum",
        )
        self.feedback_rows = metrics.counter("slipway_feedback_rows_total", "Rows with accepted feedback.", *VERSION)

    def _add_versions(self, metrics: Metrics) -> None:
        self.ready = metrics.gauge(
            "slipway_ready", "1 while every required model is served, like /health/ready.", mode="livemin"
        )
        self.model_info = metrics.gauge("slipway_model_info", "1 for each served version.", *VERSION, mode="livemax")
        self.training_metric = metrics.gauge(
            "slipway_model_training_metric",
            "Score of a served version on its test rows, by metric, from its manifest.",
            *VERSION,
            "metric",
            mode="livemax",
        )

    def _add_loads(self, metrics: Metrics) -> None:
        self.model_loads = metrics.counter("slipway_model_loads_total", "Successful loads of a version.", "model")
        self.model_load_failures = metrics.counter(
            "slipway_model_load_failures_total",
            "Failed loads of a version. The API continues to serve the previous one.",
            "model",
        )
        self.model_load_failing = metrics.gauge(
            "slipway_model_load_failing",
            "1 while the version that should be served cannot be loaded. Labels of others than Production: `iris@7`, "
            "`iris@Staging`.",
            "model",
            mode="livemax",
        )
        self.model_untrusted = metrics.gauge(
            "slipway_model_untrusted",
            "1 while a version or promotion in the registry is refused, because no trusted key signed it.",
            "model",
            mode="livemax",
        )
        self.model_alias_missing = metrics.gauge(
            "slipway_model_alias_missing",
            "1 while a served model has no Production alias.",
            "model",
            mode="livemax",
        )
        self.model_not_cached = metrics.gauge(
            "slipway_model_not_cached",
            "1 while the served version could not be written to the bundle cache. A restart then needs the registry.",
            "model",
            mode="livemax",
        )
        self.registry_up = metrics.gauge(
            "slipway_registry_up", "1 if the last request to the model registry succeeded.", mode="livemin"
        )
        self.registry_failures = metrics.counter(
            "slipway_registry_failures_total", "Failed requests to the model registry."
        )
