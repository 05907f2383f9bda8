"""The metrics of the prediction log."""

from slipway_api.metrics import Metrics

VERSION = ("model", "version")


class PredictionLogMetrics:
    """The metrics of the journal and of the live accuracy."""

    def __init__(self, metrics: Metrics) -> None:
        self.dropped_records = metrics.counter(
            "slipway_prediction_log_dropped_records_total",
            "Predictions that were not stored, because the journal is full or not writable.",
        )
        self.journal_bytes = metrics.gauge("slipway_journal_bytes", "Size of the journal.", mode="mostrecent")
        self.journal_oldest_seconds = metrics.gauge(
            "slipway_journal_oldest_record_seconds",
            "Age of the oldest journal file. No prediction in the journal is older. 0 if the journal is empty.",
            mode="mostrecent",
        )
        self.journal_rejected = metrics.gauge(
            "slipway_journal_rejected_files",
            "Files in the folder `rejected`: the database rejected a record, or a journal file was damaged.",
            mode="mostrecent",
        )
        self.live_feedback_rows = metrics.gauge(
            "slipway_live_feedback_rows",
            "Rows with feedback within SLIPWAY_LIVE_WINDOW_SECONDS.",
            *VERSION,
            mode="mostrecent",
        )
        self.live_accuracy = metrics.gauge(
            "slipway_live_accuracy_ratio",
            "Share of correctly predicted rows among the rows with feedback in the window.",
            *VERSION,
            mode="mostrecent",
        )
        self.live_mean_absolute_error = metrics.gauge(
            "slipway_live_mean_absolute_error",
            "Mean absolute error over the rows with feedback in the window, in the unit of the target.",
            *VERSION,
            mode="mostrecent",
        )
        self.live_root_mean_squared_error = metrics.gauge(
            "slipway_live_root_mean_squared_error",
            "Root mean squared error over the rows with feedback in the window, in the unit of the target.",
            *VERSION,
            mode="mostrecent",
        )
        self.remove = metrics.remove
