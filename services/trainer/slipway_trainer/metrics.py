"""The metrics that a recipe can use. This table is the only place that defines them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk

BINARY = 2


@dataclass(frozen=True)
class Scored:
    """The true and the predicted values of rows.

    Attributes:
        target: (n_rows,) int64 class indices, or float64 values.
        prediction: (n_rows,) predicted class indices or values, of the same kind.
        probabilities: (n_rows, n_classes) float64, where each row sums to 1; None for regressors, and for classifiers
            if the metric does not need them.
        labels: all class indices; empty for regressors.
        positive: the index of the positive class; None if the recipe names none.
        quantile: the quantile that a regressor predicts; None if the recipe has none.
    """

    target: NDArray[Any]
    prediction: NDArray[Any]
    probabilities: NDArray[np.float64] | None = None
    labels: NDArray[np.int64] | tuple[()] = ()
    positive: int | None = None
    quantile: float | None = None


@dataclass(frozen=True)
class Metric:
    """A metric of one kind of model.

    Attributes:
        name: its name in recipes, results and messages.
        task: the kind of model.
        function: computes it with scikit-learn.
        lower_is_better: its direction.
        needs_probabilities: whether it compares probabilities instead of labels.
        needs_positive_class: whether it concerns one class, the recipe's `positive_class`.
        needs_every_class: whether it is undefined on rows that lack a class.
        needs_quantile: whether it requires the recipe's `quantile`.
        needs_nonzero: whether it divides by the target.
        min_rows: the number of rows below which it is undefined.
    """

    name: str
    task: Literal["classification", "regression"]
    function: Callable[[Scored], float]
    lower_is_better: bool = False
    needs_probabilities: bool = False
    needs_positive_class: bool = False
    needs_every_class: bool = False
    needs_quantile: bool = False
    needs_nonzero: bool = False
    min_rows: int = 1

    def measure(self, scored: Scored) -> float:
        """Return its value; NaN if it is undefined on these rows."""
        target = scored.target
        if (
            len(target) < self.min_rows
            or (self.needs_positive_class and (scored.positive is None or scored.positive not in target))
            or (self.needs_every_class and len(np.unique(target)) < len(scored.labels))
            or (self.needs_quantile and scored.quantile is None)
            or (self.needs_nonzero and not np.all(target))
        ):
            return math.nan
        return float(self.function(scored))

    def signed(self, value: float) -> float:
        """Return a value, negated if lower is better, so that the greatest is the best."""
        return -value if self.lower_is_better else value

    @property
    def described(self) -> str:
        """Its name, with the direction if lower is better."""
        return f"{self.name} (lower is better)" if self.lower_is_better else self.name


def measure_all(task: str, scored: Scored) -> dict[str, float]:
    """Return every metric of a kind of model that is defined on these rows, by name."""
    values = {name: metric.measure(scored) for name, metric in METRICS.items() if metric.task == task}
    return {name: value for name, value in values.items() if not math.isnan(value)}


def names_of(task: str) -> list[str]:
    """Return the names of the metrics of a kind of model."""
    return [name for name, metric in METRICS.items() if metric.task == task]


def _macro(function: Callable[..., float]) -> Callable[[Scored], float]:
    """Return the mean over the classes; a class without predictions or rows counts as 0."""
    return lambda s: function(s.target, s.prediction, labels=s.labels, average="macro", zero_division=0.0)


def _one_class(function: Callable[..., float]) -> Callable[[Scored], float]:
    """Return the score of the positive class against the rest; 0 if it is never predicted."""
    return lambda s: function(s.target == s.positive, s.prediction == s.positive, zero_division=0.0)


def _values(function: Callable[..., float]) -> Callable[[Scored], float]:
    return lambda s: function(s.target, s.prediction)


def _probabilities(scored: Scored) -> NDArray[np.float64]:
    if scored.probabilities is None:
        raise ValueError("the metric needs probabilities")
    return scored.probabilities


def _roc_auc(scored: Scored) -> float:
    """Return the area under the ROC curve; of more than two classes, the mean of each class against the rest."""
    probabilities = _probabilities(scored)
    # Of two classes, scikit-learn requires the probability of the second; the area of the first is the same.
    columns = probabilities[:, 1] if len(scored.labels) == BINARY else probabilities
    return float(sk.roc_auc_score(scored.target, columns, multi_class="ovr", labels=scored.labels))


def _average_precision(scored: Scored) -> float:
    return float(
        sk.average_precision_score(scored.target == scored.positive, _probabilities(scored)[:, scored.positive])
    )


_ALL = (
    Metric("accuracy", "classification", _values(sk.accuracy_score)),
    Metric("balanced_accuracy", "classification", _values(sk.balanced_accuracy_score)),
    Metric("f1_macro", "classification", _macro(sk.f1_score)),
    Metric("precision_macro", "classification", _macro(sk.precision_score)),
    Metric("recall_macro", "classification", _macro(sk.recall_score)),
    Metric("recall", "classification", _one_class(sk.recall_score), needs_positive_class=True),
    Metric("precision", "classification", _one_class(sk.precision_score), needs_positive_class=True),
    Metric("f1", "classification", _one_class(sk.f1_score), needs_positive_class=True),
    Metric(
        "average_precision",
        "classification",
        _average_precision,
        needs_probabilities=True,
        needs_positive_class=True,
    ),
    Metric("roc_auc", "classification", _roc_auc, needs_probabilities=True, needs_every_class=True),
    Metric(
        "log_loss",
        "classification",
        lambda s: sk.log_loss(s.target, _probabilities(s), labels=s.labels),
        lower_is_better=True,
        needs_probabilities=True,
    ),
    Metric(
        "brier",
        "classification",
        lambda s: sk.brier_score_loss(s.target, _probabilities(s), labels=s.labels),
        lower_is_better=True,
        needs_probabilities=True,
    ),
    Metric("r2", "regression", _values(sk.r2_score), min_rows=2),
    Metric("rmse", "regression", _values(sk.root_mean_squared_error), lower_is_better=True),
    Metric("mae", "regression", _values(sk.mean_absolute_error), lower_is_better=True),
    Metric("median_absolute_error", "regression", _values(sk.median_absolute_error), lower_is_better=True),
    Metric(
        "mape",
        "regression",
        _values(sk.mean_absolute_percentage_error),
        lower_is_better=True,
        needs_nonzero=True,
    ),
    Metric(
        "pinball",
        "regression",
        lambda s: sk.mean_pinball_loss(s.target, s.prediction, alpha=s.quantile),
        lower_is_better=True,
        needs_quantile=True,
    ),
)
METRICS = {metric.name: metric for metric in _ALL}
