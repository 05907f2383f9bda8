"""Record the metrics of one model version cheaply, for one row or many."""

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from prometheus_client import Counter, Histogram, Summary

from slipway_api.serving.metrics import ServingMetrics
from slipway_api.serving.served_model import ServedModel
from slipway_core.graph import Outputs

# Each class and each feature has its own series per version; those beyond these limits share one.
MAX_CLASSES = 100
MAX_FEATURES = 100
OTHER = "(other)"


class VersionMetrics:
    """The metrics of a version's predictions. Thread-safe.

    The constructor creates every series at 0, because Prometheus only sees an increase of an existing series.

    Attributes:
        rows: predicted rows.
        seconds: duration of the graph per request, including requests without a finite result.
    """

    __slots__ = ("_by_class", "_confidence", "_outside", "_value", "rows", "seconds")

    def __init__(self, metrics: ServingMetrics, model: ServedModel) -> None:
        labels = (model.name, model.version)
        self.rows: Counter = metrics.predicted_rows.labels(*labels)
        self.seconds = FastHistogram(metrics.inference_seconds.labels(*labels))
        features = model.signature.names
        columns = [*features[:MAX_FEATURES], *([OTHER] if len(features) > MAX_FEATURES else [])]
        self._outside: list[Counter] = [metrics.out_of_range.labels(*labels, name) for name in columns]
        metrics.unusable_answers.labels(*labels)
        metrics.stuck_runs.labels(*labels)
        metrics.feedback_rows.labels(*labels)
        classes = model.labels
        names = [*classes[:MAX_CLASSES], *([OTHER] if len(classes) > MAX_CLASSES else [])]
        self._by_class: list[Counter] = [metrics.predictions.labels(*labels, name) for name in names]
        self._confidence = FastHistogram(metrics.prediction_confidence.labels(*labels)) if classes else None
        self._value = None if classes else _Total(metrics.prediction_value.labels(*labels))

    def count_out_of_range(self, counts: Sequence[int]) -> None:
        """Count values outside the range of the training rows.

        Args:
            counts: the number of such values per feature, in the signature's order.
        """
        for column, count in enumerate(counts):
            if count:
                self._outside[min(column, MAX_FEATURES)].inc(count)

    def count_row(self, prediction: float, scores: Sequence[float]) -> None:
        """Count the prediction of one row, without the overhead of numpy.

        Args:
            prediction: a class index, or a regressor's value.
            scores: a classifier's (n_classes,) probabilities; unused for a regressor.
        """
        if self._confidence is not None:
            index = int(prediction)
            self._by_class[min(index, MAX_CLASSES)].inc()
            self._confidence.observe(scores[index])
        elif self._value is not None:
            self._value.add(1, prediction)

    def count_rows(self, outputs: Outputs) -> None:
        """Count the predictions of any number of rows, with one addition per class and bucket."""
        prediction, scores = outputs.prediction, outputs.scores
        if self._confidence is not None and scores is not None:
            n_rows, n_classes = scores.shape
            classes = prediction.astype(np.int64, copy=False)
            shown = classes if n_classes <= MAX_CLASSES else np.minimum(classes, MAX_CLASSES)
            for index, count in enumerate(np.bincount(shown).tolist()):
                if count:
                    self._by_class[index].inc(count)
            self._confidence.observe_all(scores.take(np.arange(0, n_rows * n_classes, n_classes) + classes))
        elif self._value is not None:
            self._value.add(len(prediction), float(prediction.sum(dtype=np.float64)))


class FastHistogram:
    """Add values to a histogram in half the time of the library's `observe`, one or many at once.

    `observe` takes one value and iterates over the bounds, and the library has no call for many values. This class
    therefore adds to the child's private counters, which are the same if workers share metrics through files. A test
    compares the result with the library's.
    """

    __slots__ = ("_bounds", "_buckets", "_sum")

    def __init__(self, child: Histogram) -> None:
        self._bounds: list[float] = child._upper_bounds  # noqa: SLF001
        self._buckets = child._buckets  # noqa: SLF001
        self._sum = child._sum  # noqa: SLF001

    def observe(self, value: float) -> None:
        """Add one value."""
        self._sum.inc(value)
        self._buckets[bisect_left(self._bounds, value)].inc(1)

    def observe_all(self, values: NDArray[np.float32]) -> None:
        """Add (n,) values: sort them to count the values within each bound."""
        before = 0
        within = np.sort(values).astype(np.float64).searchsorted(self._bounds, side="right").tolist()
        for bucket, count in zip(self._buckets, within, strict=True):
            if count > before:
                bucket.inc(count - before)
                before = count
        self._sum.inc(float(values.sum(dtype=np.float64)))


class _Total:
    """Add the total of many values to a summary, because the library's `observe` takes only one."""

    __slots__ = ("_count", "_sum")

    def __init__(self, child: Summary) -> None:
        self._count = child._count  # noqa: SLF001
        self._sum = child._sum  # noqa: SLF001

    def add(self, count: int, total: float) -> None:
        self._count.inc(count)
        self._sum.inc(total)
