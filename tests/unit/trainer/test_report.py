"""Report: the figures of each candidate, from its graph on the test rows, and the importance of each feature."""

import json
from dataclasses import replace

import pytest

from slipway_trainer.recipes import Recipe
from slipway_trainer.steps.report import figures_of
from slipway_trainer.tasks import Figure
from support.bike import QUICK_BIKE, trained_bike
from support.iris import CANDIDATES, IRIS, trained_iris


def figures(recipe: Recipe, name: str) -> dict[str, Figure]:
    """Return a candidate's figures by their names."""
    trained = trained_iris() if recipe is IRIS else trained_bike()
    return {figure.name: figure for figure in figures_of(recipe, trained.evaluations[name], trained.split)}


@pytest.mark.parametrize("name", CANDIDATES)
def test_a_classifier_has_five_figures(name: str) -> None:
    assert list(figures(IRIS, name)) == [
        "confusion_matrix",
        "roc",
        "precision_recall",
        "calibration",
        "feature_importance",
    ]


def test_a_regressor_has_three_figures() -> None:
    found = figures(QUICK_BIKE, "random-forest")

    assert list(found) == ["prediction_against_truth", "residuals", "feature_importance"]


@pytest.mark.parametrize(("recipe", "name"), [(IRIS, "random-forest"), (QUICK_BIKE, "hist-gradient-boosting")])
def test_the_numbers_behind_every_figure_are_json(recipe: Recipe, name: str) -> None:
    for figure in figures(recipe, name).values():
        assert json.loads(json.dumps(dict(figure.data), allow_nan=False)) == figure.data


def test_the_confusion_counts_the_test_rows_as_the_accuracy_does() -> None:
    counts = figures(IRIS, "random-forest")["confusion_matrix"].data["counts"]

    right = sum(counts[index][index] for index in range(3))
    assert sum(map(sum, counts)) == 33
    assert right / 33 == pytest.approx(trained_iris().evaluations["random-forest"].metrics["accuracy"])


def test_hour_has_the_highest_importance_and_constant_year_none() -> None:
    data = figures(QUICK_BIKE, "hist-gradient-boosting")["feature_importance"].data

    assert data["metric"] == "r2"
    assert next(iter(data["features"])) == "hr"
    assert data["features"]["hr"]["mean"] > 0.5
    assert data["features"]["yr"] == {"mean": 0.0, "std": 0.0}


def test_petals_matter_more_to_iris_than_width_of_sepals() -> None:
    features = figures(IRIS, "random-forest")["feature_importance"].data["features"]

    assert features["petal width (cm)"]["mean"] > features["sepal width (cm)"]["mean"]


def test_importance_is_positive_if_lower_is_better() -> None:
    recipe = QUICK_BIKE.model_copy(update={"metric": "mae"})

    features = figures(recipe, "hist-gradient-boosting")["feature_importance"].data["features"]

    assert next(iter(features)) == "hr"
    assert features["hr"]["mean"] > 0


def test_same_seed_shuffles_alike_and_keeps_the_test_rows() -> None:
    before = trained_iris().split.test_features.copy()

    first, second = (figures(IRIS, "gradient-boosting")["feature_importance"].data for _ in range(2))

    assert first == second
    assert (trained_iris().split.test_features == before).all()


def test_each_figure_names_its_candidate() -> None:
    evaluation = trained_iris().evaluations["random-forest"]
    renamed = replace(
        evaluation,
        fitted=replace(evaluation.fitted, candidate=evaluation.fitted.candidate.model_copy(update={"name": "woods"})),
    )

    (matrix, *_) = figures_of(IRIS, renamed, trained_iris().split)

    title = matrix.figure.get_suptitle()
    assert title == f"Confusion matrix\niris, woods: 33 held-out rows of {IRIS.data_file}"
