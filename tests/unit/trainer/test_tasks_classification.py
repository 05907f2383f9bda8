"""Classification: scores as computed by hand, parity of probabilities and classes, rare classes."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from slipway_core.graph import Graph, Outputs
from slipway_core.manifest import GraphNames
from slipway_core.rows import FloatMatrix
from slipway_trainer.errors import ParityError
from slipway_trainer.export import PARITY_TOLERANCE
from slipway_trainer.tasks import task_of
from support.bundles import NAMES, linear_classifier, regressor
from support.iris import IRIS

TASK = task_of(IRIS)
ROWS = np.array([[5.1, 3.5, 1.4, 0.2], [6.0, 2.7, 4.2, 1.3], [6.7, 3.0, 5.2, 2.3]], dtype=np.float32)
PERFECT = ("accuracy", "balanced_accuracy", "f1_macro", "precision_macro", "recall_macro", "roc_auc")
TARGET = np.array([0, 0, 1, 1, 2, 2])
# The probability of the true class is 0.5, 0.8, 0.6, 0.2, 0.5, 0.1.
SCORES = np.array(
    [[0.5, 0.3, 0.2], [0.8, 0.12, 0.08], [0.28, 0.6, 0.12], [0.1, 0.2, 0.7], [0.2, 0.3, 0.5], [0.85, 0.05, 0.1]],
    dtype=np.float32,
)
OUTPUTS = Outputs(np.array([0, 0, 1, 2, 2, 0]), SCORES)


@dataclass
class FakeEstimator:
    """An estimator with fixed probabilities and classes."""

    probabilities: NDArray[np.float64]
    classes: NDArray[np.int64]

    def predict_proba(self, _rows: FloatMatrix) -> NDArray[np.float64]:
        return self.probabilities

    def predict(self, _rows: FloatMatrix) -> NDArray[np.int64]:
        return self.classes


def agreeing_with(graph: Graph) -> FakeEstimator:
    """Return an estimator that answers what a graph does on ROWS."""
    outputs = graph.run(ROWS)
    assert outputs.scores is not None
    return FakeEstimator(outputs.scores.astype(np.float64), outputs.prediction.astype(np.int64))


@pytest.fixture
def graph() -> Graph:
    """A graph that tells the three species apart."""
    return Graph(linear_classifier(), NAMES)


def test_the_metrics_are_those_computed_by_hand() -> None:
    metrics = TASK.score(OUTPUTS, TARGET)

    assert metrics == pytest.approx(
        {
            "accuracy": 4 / 6,
            # Of three predicted setosa two are right, of one versicolor one, of two virginica one.
            "precision_macro": (2 / 3 + 1 + 1 / 2) / 3,
            "recall_macro": (1 + 1 / 2 + 1 / 2) / 3,
            "f1_macro": (4 / 5 + 2 / 3 + 1 / 2) / 3,
            "balanced_accuracy": (1 + 1 / 2 + 1 / 2) / 3,
            # Of the 8 pairs of a row of the class and one of another, so many put the row of the class first.
            "roc_auc": (6 / 8 + 6 / 8 + 4 / 8) / 3,
            "log_loss": -sum(math.log(p) for p in (0.5, 0.8, 0.6, 0.2, 0.5, 0.1)) / 6,
            # The squared distances of each row's probabilities from 1 for its class and 0 for the others.
            "brier": (0.38 + 0.0608 + 0.2528 + 1.14 + 0.38 + 1.535) / 6,
        },
        rel=1e-6,
    )


def test_a_perfect_answer_scores_one_and_loses_nothing() -> None:
    metrics = TASK.score(Outputs(TARGET, np.eye(3, dtype=np.float32)[TARGET]), TARGET)

    assert metrics == pytest.approx({**dict.fromkeys(PERFECT, 1.0), "log_loss": 0, "brier": 0}, abs=1e-9)


def test_a_class_that_is_never_predicted_counts_with_zero() -> None:
    outputs = Outputs(np.array([0, 1]), SCORES[:2])

    metrics = TASK.score(outputs, np.array([0, 1]))

    assert metrics["accuracy"] == 1
    assert "roc_auc" not in metrics
    assert metrics["precision_macro"] == metrics["recall_macro"] == metrics["f1_macro"] == pytest.approx(2 / 3)


def test_probabilities_within_float32_rounding_are_kept() -> None:
    loose = Outputs(OUTPUTS.prediction, SCORES * np.float32(1 + 1e-6))

    assert TASK.score(loose, TARGET) == pytest.approx(TASK.score(OUTPUTS, TARGET))


def test_the_outputs_are_left_as_they_are() -> None:
    before = SCORES.copy()

    TASK.score(OUTPUTS, TARGET)

    assert np.array_equal(SCORES, before)


def test_the_greatest_difference_is_returned(graph: Graph) -> None:
    estimator = agreeing_with(graph)
    estimator.probabilities[1, 2] += PARITY_TOLERANCE / 2

    assert TASK.difference(estimator, graph.run(ROWS), ROWS, 1.0) == pytest.approx(0.5)


@pytest.mark.parametrize("wrong", [2 * PARITY_TOLERANCE, -2 * PARITY_TOLERANCE, np.nan, np.inf])
def test_one_probability_beyond_the_tolerance_is_enough(graph: Graph, wrong: float) -> None:
    estimator = agreeing_with(graph)
    estimator.probabilities[1, 2] += wrong

    assert not TASK.difference(estimator, graph.run(ROWS), ROWS, 1.0) <= 1


def test_another_class_is_refused_though_the_probabilities_agree(graph: Graph) -> None:
    estimator = agreeing_with(graph)
    estimator.classes[2] = 0

    with pytest.raises(ParityError, match="predict different classes"):
        TASK.difference(estimator, graph.run(ROWS), ROWS, 1.0)


def test_either_class_of_a_tie_is_right() -> None:
    tied = Graph(linear_classifier(np.array([1, 1, 0], dtype=np.float32)), NAMES)
    rows = np.zeros((1, 4), dtype=np.float32)
    outputs = tied.run(rows)
    assert outputs.prediction.tolist() == [0]
    assert outputs.scores is not None

    estimator = FakeEstimator(outputs.scores.astype(np.float64), np.array([1]))

    assert TASK.difference(estimator, outputs, rows, 1.0) == 0


def test_probabilities_of_another_shape_are_refused(graph: Graph) -> None:
    estimator = FakeEstimator(np.full((3, 2), 0.5), np.zeros(3, dtype=np.int64))

    with pytest.raises(ParityError, match="the shape of the exported graph's probabilities"):
        TASK.difference(estimator, graph.run(ROWS), ROWS, 1.0)


def test_a_graph_without_probabilities_is_refused() -> None:
    graph = Graph(regressor(), GraphNames(label="value"))
    estimator = FakeEstimator(np.full((3, 3), 1 / 3), np.zeros(3, dtype=np.int64))

    with pytest.raises(ParityError, match="the exported graph's probabilities"):
        TASK.difference(estimator, graph.run(ROWS), ROWS, 1.0)


def test_labels_become_their_place_in_the_recipe_and_back() -> None:
    labels = pd.Series(["virginica", "setosa", "versicolor"])

    encoded = TASK.encode(labels)

    assert encoded.tolist() == [2, 0, 1]
    assert encoded.dtype == np.int64
    assert TASK.decode(encoded).tolist() == labels.tolist()


def test_two_classes_are_scored_by_the_probability_of_the_second() -> None:
    task = task_of(IRIS.model_copy(update={"classes": ("no", "yes")}))
    yes = np.array([0.1, 0.6, 0.4, 0.9], dtype=np.float32)
    outputs = Outputs((yes > 0.5).astype(np.int64), np.stack([1 - yes, yes], axis=1))

    metrics = task.score(outputs, np.array([0, 0, 1, 1]))

    assert metrics["roc_auc"] == pytest.approx(3 / 4)
    assert task.chance == 0.5


def test_the_figures_come_with_their_numbers() -> None:
    figures = {figure.name: figure for figure in TASK.figures(OUTPUTS, TARGET, "forest")}

    assert list(figures) == ["confusion_matrix", "roc", "precision_recall", "calibration"]
    matrix: Any = figures["confusion_matrix"].data
    assert matrix == {"classes": list(IRIS.classes), "counts": [[2, 0, 0], [0, 1, 1], [1, 0, 1]]}
    assert set(figures["roc"].data["classes"]) == set(IRIS.classes)
