"""Evaluate: metrics as computed by hand, of the graph, on the test rows; cross-validation chooses."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest

from slipway_core.graph import Graph, Outputs
from slipway_trainer.errors import ParityError
from slipway_trainer.export import CLASSIFIER_NAMES
from slipway_trainer.recipes.iris import IRIS
from slipway_trainer.steps.evaluate import Evaluation, best_of, classification_metrics, evaluate
from support.iris import CANDIDATES, trained_iris

TARGET = np.array([0, 0, 1, 1, 2, 2])
# The probability of the true class is 0.5, 0.8, 0.6, 0.2, 0.5, 0.1.
SCORES = np.array(
    [
        [0.5, 0.3, 0.2],
        [0.8, 0.1, 0.1],
        [0.3, 0.6, 0.1],
        [0.1, 0.2, 0.7],
        [0.2, 0.3, 0.5],
        [0.8, 0.1, 0.1],
    ],
    dtype=np.float32,
)
OUTPUTS = Outputs(np.array([0, 0, 1, 2, 2, 0]), SCORES)


def with_cv_scores(evaluation: Evaluation, *scores: float, accuracy: float = 0.9) -> Evaluation:
    return replace(
        evaluation,
        fitted=replace(evaluation.fitted, cv_scores=scores),
        metrics={**evaluation.metrics, "accuracy": accuracy},
    )


def test_the_metrics_are_those_computed_by_hand() -> None:
    metrics = classification_metrics(OUTPUTS, TARGET, 3)

    assert metrics == pytest.approx(
        {
            "accuracy": 4 / 6,
            # Of three predicted setosa two are right, of one versicolor one, of two virginica one.
            "precision_macro": (2 / 3 + 1 + 1 / 2) / 3,
            "recall_macro": (1 + 1 / 2 + 1 / 2) / 3,
            "f1_macro": (4 / 5 + 2 / 3 + 1 / 2) / 3,
            "log_loss": -sum(math.log(p) for p in (0.5, 0.8, 0.6, 0.2, 0.5, 0.1)) / 6,
        },
        rel=1e-6,
    )


def test_a_perfect_answer_scores_one_and_loses_nothing() -> None:
    metrics = classification_metrics(Outputs(TARGET, np.eye(3, dtype=np.float32)[TARGET]), TARGET, 3)

    assert metrics == pytest.approx(
        {"accuracy": 1, "f1_macro": 1, "precision_macro": 1, "recall_macro": 1, "log_loss": 0}, abs=1e-9
    )


def test_a_class_that_is_never_predicted_counts_with_zero() -> None:
    outputs = Outputs(np.array([0, 1]), SCORES[:2])

    metrics = classification_metrics(outputs, np.array([0, 1]), 3)

    assert metrics["accuracy"] == 1
    assert metrics["precision_macro"] == metrics["recall_macro"] == metrics["f1_macro"] == pytest.approx(2 / 3)


def test_probabilities_that_sum_to_one_within_float32_are_taken_as_they_are() -> None:
    loose = Outputs(OUTPUTS.prediction, SCORES * np.float32(1 + 1e-6))

    assert classification_metrics(loose, TARGET, 3) == pytest.approx(classification_metrics(OUTPUTS, TARGET, 3))


def test_the_outputs_are_left_as_they_are() -> None:
    before = SCORES.copy()

    classification_metrics(OUTPUTS, TARGET, 3)

    assert np.array_equal(SCORES, before)


@pytest.mark.parametrize("name", CANDIDATES)
def test_the_graph_is_scored_on_the_test_rows(name: str) -> None:
    evaluation, split = trained_iris().evaluations[name], trained_iris().split
    outputs = Graph(evaluation.model, CLASSIFIER_NAMES).run(split.test_features)

    expected = classification_metrics(outputs, split.test_target, 3)

    assert {key: evaluation.metrics[key] for key in expected} == expected
    assert np.trace(evaluation.confusion) / 30 == pytest.approx(evaluation.metrics["accuracy"])


@pytest.mark.parametrize("name", CANDIDATES)
def test_the_cross_validation_is_told_beside_the_test_rows(name: str) -> None:
    evaluation = trained_iris().evaluations[name]

    assert evaluation.metrics["cv_mean"] == pytest.approx(np.mean(evaluation.fitted.cv_scores))
    assert evaluation.metrics["cv_std"] == pytest.approx(np.std(evaluation.fitted.cv_scores))


@pytest.mark.parametrize("name", CANDIDATES)
def test_every_iris_candidate_meets_the_floors(name: str) -> None:
    metrics = trained_iris().evaluations[name].metrics

    assert all(metrics[metric] >= floor for metric, floor in IRIS.floors.items())


def test_the_confusion_has_a_row_and_a_column_for_every_class() -> None:
    split, evaluation = trained_iris().split, trained_iris().evaluations["logistic-regression"]
    setosa = split.test_target == 0
    only_setosa = replace(split, test_features=split.test_features[setosa], test_target=split.test_target[setosa])

    confusion = evaluate(IRIS, evaluation.fitted, only_setosa).confusion

    assert confusion.tolist() == [[10, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_rows_of_the_confusion_are_the_true_classes() -> None:
    split, evaluation = trained_iris().split, trained_iris().evaluations["logistic-regression"]
    setosa = split.test_features[split.test_target == 0]
    mislabelled = replace(split, test_features=setosa, test_target=np.full(len(setosa), 2))

    confusion = evaluate(IRIS, evaluation.fitted, mislabelled).confusion

    assert confusion.tolist() == [[0, 0, 0], [0, 0, 0], [10, 0, 0]]


def test_an_estimator_whose_graph_answers_otherwise_is_refused() -> None:
    fitted = trained_iris().evaluations["random-forest"].fitted
    undecided = copy.copy(fitted.estimator)
    undecided.predict_proba = lambda rows: np.full((len(rows), 3), 1 / 3)

    with pytest.raises(ParityError, match="probabilities differ"):
        evaluate(IRIS, replace(fitted, estimator=undecided), trained_iris().split)


def test_cross_validation_chooses_and_not_the_test_rows() -> None:
    first, second, third = trained_iris().evaluations.values()
    lucky = with_cv_scores(first, 0.90, 0.92, accuracy=1.0)
    solid = with_cv_scores(second, 0.96, 0.98, accuracy=0.9)
    poor = with_cv_scores(third, 0.5, 0.5, accuracy=0.95)

    assert best_of([lucky, solid, poor]) is solid


def test_a_tie_goes_to_the_candidate_that_is_named_first() -> None:
    first, second, third = (with_cv_scores(e, 0.96, 0.94) for e in trained_iris().evaluations.values())

    assert best_of([first, second, third]) is first
    assert best_of([third, first, second]) is third
