"""Metrics: values computed by hand, directions, undefined values, and the table of the documentation."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from slipway_core.graph import Outputs
from slipway_trainer.decision import decide_labels, decision_of
from slipway_trainer.errors import TrainingError
from slipway_trainer.metrics import METRICS, Scored, measure_all, names_of
from slipway_trainer.recipes import Recipe
from slipway_trainer.tasks import task_of
from support.bike import BIKE
from support.fraud import FRAUD

PAGE = (Path(__file__).parents[3] / "docs/adding-a-model.md").read_text(encoding="utf-8")
LOWER = {"log_loss", "brier", "rmse", "mae", "median_absolute_error", "mape", "pinball"}
LABELS = np.arange(2)
TARGET = np.array([0, 0, 0, 1, 1])
OF_SECOND = np.array([0.1, 0.4, 0.6, 0.35, 0.8])
BOTH = np.stack([1 - OF_SECOND, OF_SECOND], axis=1)
# The predicted classes are 0, 0, 1, 0, 1.
BINARY = Scored(TARGET, (OF_SECOND >= 0.5).astype(int), BOTH, LABELS, positive=1)
VALUES = Scored(np.array([1.0, 2, 4, 5]), np.array([2.0, 2, 3, 9]), quantile=0.9)
# Of the second class, one of two rows is found, and one of two predictions is right; of the first, two of three each.
OF_BINARY = {
    "accuracy": 3 / 5,
    "balanced_accuracy": (2 / 3 + 1 / 2) / 2,
    "f1_macro": (2 / 3 + 1 / 2) / 2,
    "precision_macro": (2 / 3 + 1 / 2) / 2,
    "recall_macro": (2 / 3 + 1 / 2) / 2,
    "recall": 1 / 2,
    "precision": 1 / 2,
    "f1": 1 / 2,
    # By falling probability, the rows of the second class are the first and the fourth.
    "average_precision": (1 / 1 + 2 / 4) / 2,
    # Of the six pairs, four put the row of the second class first.
    "roc_auc": 4 / 6,
    "log_loss": -math.log(0.9 * 0.6 * 0.4 * 0.35 * 0.8) / 5,
    "brier": (0.1**2 + 0.4**2 + 0.6**2 + 0.65**2 + 0.2**2) / 5,
}
# The errors are 1, 0, -1 and 4, and the squared distances from the mean add up to 10.
OF_VALUES = {
    "r2": 1 - 18 / 10,
    "rmse": math.sqrt(18 / 4),
    "mae": 6 / 4,
    "median_absolute_error": 1.0,
    "mape": (1 / 1 + 1 / 4 + 4 / 5) / 4,
    "pinball": (0.1 * 1 + 0.9 * 1 + 0.1 * 4) / 4,
}


@pytest.mark.parametrize(
    ("task", "scored", "expected"),
    [("classification", BINARY, OF_BINARY), ("regression", VALUES, OF_VALUES)],
)
def test_metrics_are_those_computed_by_hand(task: str, scored: Scored, expected: Mapping[str, float]) -> None:
    assert measure_all(task, scored) == pytest.approx(expected)
    assert names_of(task) == list(expected)


def test_metrics_of_one_class_follow_the_positive_class() -> None:
    first = measure_all("classification", Scored(TARGET, BINARY.prediction, BOTH, LABELS, positive=0))

    # By falling probability, the rows of the first class are the first, third and fourth.
    changed = {"recall": 2 / 3, "precision": 2 / 3, "f1": 2 / 3, "average_precision": (1 + 2 / 3 + 3 / 4) / 3}
    assert first == pytest.approx({**OF_BINARY, **changed})


def test_brier_of_three_classes_is_the_mean_squared_distance() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])

    value = METRICS["brier"].measure(Scored(np.array([0, 1]), np.array([0, 2]), probabilities, np.arange(3)))

    assert value == pytest.approx((0.3**2 + 0.2**2 + 0.1**2 + 0.1**2 + 0.7**2 + 0.6**2) / 2)


@pytest.mark.parametrize("name", METRICS)
def test_direction_prefers_the_perfect_prediction(name: str) -> None:
    metric = METRICS[name]
    if metric.task == "classification":
        usual, perfect = BINARY, Scored(TARGET, TARGET, np.eye(2)[TARGET], LABELS, positive=1)
    else:
        usual, perfect = VALUES, Scored(VALUES.target, VALUES.target, quantile=0.9)

    assert metric.lower_is_better is (name in LOWER)
    assert metric.signed(metric.measure(perfect)) > metric.signed(metric.measure(usual))
    assert metric.described == (f"{name} (lower is better)" if name in LOWER else name)


@pytest.mark.parametrize(
    ("name", "scored"),
    [
        pytest.param("recall", Scored(TARGET, TARGET, BOTH, LABELS), id="no positive class"),
        pytest.param("recall", Scored(TARGET * 0, TARGET * 0, BOTH, LABELS, 1), id="no row to find"),
        pytest.param("precision", Scored(TARGET * 0, TARGET * 0, BOTH, LABELS, 1), id="no row to predict"),
        pytest.param("average_precision", Scored(TARGET * 0, TARGET * 0, BOTH, LABELS, 1), id="no row to rank"),
        pytest.param("roc_auc", Scored(TARGET * 0, TARGET * 0, BOTH, LABELS), id="one class"),
        pytest.param("mape", Scored(np.array([0.0, 1]), np.array([1.0, 1])), id="division by zero"),
        pytest.param("pinball", Scored(np.array([0.0, 1]), np.array([1.0, 1])), id="no quantile"),
        pytest.param("r2", Scored(np.array([1.0]), np.array([1.0])), id="one row"),
    ],
)
@pytest.mark.filterwarnings("ignore:A single label was found")
def test_undefined_metric_is_nan_and_not_reported(name: str, scored: Scored) -> None:
    assert math.isnan(METRICS[name].measure(scored))
    assert name not in measure_all(METRICS[name].task, scored)


def test_class_that_is_never_predicted_has_precision_zero() -> None:
    never = Scored(TARGET, TARGET * 0, BOTH, LABELS, positive=1)

    assert [METRICS[name].measure(never) for name in ("recall", "precision", "f1")] == [0, 0, 0]


def test_probabilities_are_required_by_their_metrics_only() -> None:
    labels = Scored(TARGET, TARGET, None, LABELS, positive=1)

    for name in names_of("classification"):
        if METRICS[name].needs_probabilities:
            with pytest.raises(ValueError, match="needs probabilities"):
                METRICS[name].measure(labels)
        else:
            assert METRICS[name].measure(labels) == 1


# The threshold of a binary classifier.


def with_threshold(threshold: float | None) -> Recipe:
    return FRAUD.model_copy(update={"threshold": threshold})


@pytest.mark.parametrize(
    ("positive", "threshold", "expected"),
    [
        ("legitimate", 0.5, [0, 0, 1, 0, 1]),
        ("legitimate", 0.35, [0, 1, 1, 1, 1]),
        ("legitimate", 0.81, [0, 0, 0, 0, 0]),
        ("fraud", 0.6, [0, 0, 1, 0, 1]),
        ("fraud", 0.61, [0, 1, 1, 0, 1]),
        ("fraud", 0.05, [0, 0, 0, 0, 0]),
    ],
)
def test_probability_at_or_above_the_threshold_is_positive(
    positive: str, threshold: float, expected: list[int]
) -> None:
    recipe = FRAUD.model_copy(update={"positive_class": positive, "threshold": threshold})
    decision = decision_of(recipe)
    outputs = Outputs(np.zeros(5, dtype=np.int64), BOTH.astype(np.float32))

    assert decision == (FRAUD.classes.index(positive), threshold)
    assert decide_labels(BOTH.astype(np.float32), decision).tolist() == expected
    assert task_of(recipe).score(outputs, TARGET)["accuracy"] == np.mean(np.array(expected) == TARGET)
    matrix: Any = next(iter(task_of(recipe).figures(outputs, TARGET, "payments"))).data
    assert np.sum(matrix["counts"], axis=0).tolist() == np.bincount(expected, minlength=2).tolist()


@pytest.mark.parametrize("probability", [0.1, 0.3, 0.7, 0.9, 1 / 3])
def test_probability_that_float32_rounds_meets_its_threshold(probability: float) -> None:
    scores = np.array([[probability, 1 - probability]], dtype=np.float32)

    assert decide_labels(scores, (0, probability)).tolist() == [0]


def test_without_threshold_the_label_of_the_graph_counts() -> None:
    outputs = Outputs(TARGET, 1 - BOTH.astype(np.float32))

    assert decision_of(with_threshold(None)) is None
    assert task_of(with_threshold(None)).score(outputs, TARGET)["accuracy"] == 1


@pytest.mark.parametrize("threshold", [None, 0.2, 0.9])
@pytest.mark.parametrize("name", names_of("classification"))
def test_estimator_and_its_outputs_have_the_same_score(name: str, threshold: float | None) -> None:
    rows = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    target = (rows[:, 0] + rows[:, 1] > 1).astype(int)
    estimator = LogisticRegression().fit(rows, target)
    task = task_of(FRAUD.model_copy(update={"metric": name, "threshold": threshold}))
    outputs = Outputs(estimator.predict(rows), estimator.predict_proba(rows).astype(np.float32))

    assert task.score_estimator(estimator, rows, target) == pytest.approx(task.score(outputs, target)[name])


def test_class_that_a_fold_lacks_has_probability_zero() -> None:
    rows = np.arange(8, dtype=np.float32).reshape(-1, 1)
    estimator = LogisticRegression().fit(rows, np.array([0, 0, 0, 0, 2, 2, 2, 2]))
    recipe = FRAUD.model_copy(update={"classes": ("a", "b", "c"), "positive_class": "c", "threshold": None})

    assert task_of(recipe).score_estimator(estimator, rows, np.array([0, 0, 0, 1, 2, 2, 2, 2])) == 1


def test_estimator_without_probabilities_is_rejected_by_name() -> None:
    class Labels:
        def predict(self, rows: np.ndarray) -> np.ndarray:
            return np.zeros(len(rows), dtype=int)

    rows = np.zeros((5, 4), dtype=np.float32)
    assert task_of(FRAUD.model_copy(update={"metric": "recall", "threshold": None})).score_estimator(
        Labels(), rows, TARGET
    ) == pytest.approx(1)
    with pytest.raises(TrainingError, match="Labels returns no probabilities"):
        task_of(FRAUD).score_estimator(Labels(), rows, TARGET)


def test_pinball_uses_the_quantile_of_the_recipe() -> None:
    recipe = BIKE.model_copy(update={"quantile": 0.9})
    low = Outputs(np.zeros(2, dtype=np.float32), None)

    assert task_of(recipe).score(low, np.array([10.0, 20.0]))["pinball"] == pytest.approx(0.9 * 15)
    assert "pinball" not in task_of(BIKE).score(low, np.array([10.0, 20.0]))


def test_documentation_lists_every_metric_with_its_direction() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (higher|lower) \|", PAGE, flags=re.MULTILINE))

    assert rows == {name: "lower" if metric.lower_is_better else "higher" for name, metric in METRICS.items()}
