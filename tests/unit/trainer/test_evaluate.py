"""Evaluate: the graph equals its estimator and is scored on the test rows; cross-validation chooses."""

import copy
from dataclasses import replace

import numpy as np
import onnx
import pytest
from sklearn.metrics import r2_score

from slipway_core.graph import Graph
from slipway_trainer.errors import ParityError, TrainingError
from slipway_trainer.recipes.iris import RECIPE as IRIS
from slipway_trainer.step_results import Evaluation
from slipway_trainer.steps.evaluate import best_of, check_parity, evaluate
from slipway_trainer.tasks import task_of
from support import bike
from support.bike import BIKE, trained_bike
from support.iris import CANDIDATES, trained_iris


def with_cv_scores(evaluation: Evaluation, *scores: float, accuracy: float = 0.9) -> Evaluation:
    return replace(
        evaluation,
        fitted=replace(evaluation.fitted, cv_scores=scores),
        metrics={**evaluation.metrics, "accuracy": accuracy},
    )


@pytest.mark.parametrize("name", CANDIDATES)
def test_graph_is_scored_on_the_test_rows(name: str) -> None:
    evaluation, split = trained_iris().evaluations[name], trained_iris().split
    outputs = Graph(evaluation.model, evaluation.names).run(split.test_features)

    expected = task_of(IRIS).score(outputs, split.test_target)

    assert {key: evaluation.metrics[key] for key in expected} == expected
    assert np.array_equal(evaluation.outputs.prediction, outputs.prediction)


@pytest.mark.parametrize("name", CANDIDATES)
def test_metrics_include_the_cross_validation(name: str) -> None:
    evaluation = trained_iris().evaluations[name]

    assert evaluation.metrics["cv_mean"] == pytest.approx(np.mean(evaluation.fitted.cv_scores))
    assert evaluation.metrics["cv_std"] == pytest.approx(np.std(evaluation.fitted.cv_scores))


@pytest.mark.parametrize("name", CANDIDATES)
def test_every_iris_candidate_meets_the_floors(name: str) -> None:
    metrics = trained_iris().evaluations[name].metrics

    assert all(metrics[metric] >= floor for metric, floor in IRIS.floors.items())


@pytest.mark.parametrize("name", bike.CANDIDATES)
def test_graph_of_a_regressor_is_scored_on_the_test_rows(name: str) -> None:
    evaluation, split = trained_bike().evaluations[name], trained_bike().split
    outputs = Graph(evaluation.model, evaluation.names).run(split.test_features)

    assert evaluation.metrics["r2"] == pytest.approx(r2_score(split.test_target, outputs.prediction))
    assert evaluation.metrics["r2"] > 0.6
    assert evaluation.parity <= 1


def test_changed_graph_fails_parity() -> None:
    evaluation, split = trained_bike().evaluations["linear-regression"], trained_bike().split
    model = onnx.load_model_from_string(evaluation.model)
    (regressor,) = (node for node in model.graph.node if node.op_type == "LinearRegressor")
    (weights,) = (attribute for attribute in regressor.attribute if attribute.name == "coefficients")
    weights.floats[0] *= 1.01
    task = task_of(BIKE)

    with pytest.raises(ParityError, match="times the tolerance of 1e-05"):
        check_parity(
            task,
            evaluation.fitted.estimator,
            Graph(model.SerializeToString(), evaluation.names),
            split.test_features,
            split.target_scale,
        )


def test_estimator_that_differs_from_its_graph_is_rejected() -> None:
    fitted = trained_iris().evaluations["random-forest"].fitted
    undecided = copy.copy(fitted.estimator)
    undecided.predict_proba = lambda rows: np.full((len(rows), 3), 1 / 3)

    with pytest.raises(
        ParityError, match=r"^random-forest cannot be served: the exported graph .* on rows of the data; choose another"
    ):
        evaluate(IRIS, replace(fitted, estimator=undecided), trained_iris().split)


def test_best_candidate_is_chosen_by_cross_validation() -> None:
    first, second, third = trained_iris().evaluations.values()
    lucky = with_cv_scores(first, 0.90, 0.92, accuracy=1.0)
    solid = with_cv_scores(second, 0.96, 0.98, accuracy=0.9)
    poor = with_cv_scores(third, 0.5, 0.5, accuracy=0.95)

    assert best_of(IRIS, [lucky, solid, poor]) is solid


def test_first_candidate_wins_a_tie() -> None:
    first, second, third = (with_cv_scores(e, 0.96, 0.94) for e in trained_iris().evaluations.values())

    assert best_of(IRIS, [first, second, third]) is first
    assert best_of(IRIS, [third, first, second]) is third


def test_best_candidate_has_the_lowest_error() -> None:
    first, second, third = trained_iris().evaluations.values()
    candidates = [with_cv_scores(first, 0.3, 0.5), with_cv_scores(second, 0.2, 0.4), with_cv_scores(third, 0.2, 0.4)]

    by_loss, by_accuracy = (
        best_of(IRIS.model_copy(update={"metric": metric}), candidates) for metric in ("log_loss", "accuracy")
    )

    assert by_loss is candidates[1]
    assert by_accuracy is candidates[0]


@pytest.mark.filterwarnings("ignore:A single label was found")
def test_undefined_metric_on_the_test_rows_is_reported() -> None:
    fitted, split = trained_iris().evaluations["logistic-regression"].fitted, trained_iris().split
    setosa = replace(split, test_features=split.test_features[:10], test_target=split.test_target[:10] * 0)

    with pytest.raises(TrainingError, match=r"roc_auc is undefined on the 10 test rows; .* --set test_fraction=VALUE"):
        evaluate(IRIS.model_copy(update={"floors": {"roc_auc": 0.5}}), fitted, setosa)


def test_metrics_of_the_gate_come_first() -> None:
    fitted = trained_iris().evaluations["logistic-regression"].fitted
    recipe = IRIS.model_copy(update={"metric": "f1_macro", "floors": {"roc_auc": 0.5}, "ceilings": {"brier": 0.5}})

    evaluation = evaluate(recipe, fitted, trained_iris().split)

    assert list(evaluation.metrics)[:3] == ["f1_macro", "roc_auc", "brier"]
    assert evaluation.metrics == trained_iris().evaluations["logistic-regression"].metrics
