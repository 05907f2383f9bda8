"""Plots: each shows its numbers with the correct labels."""

import io
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from slipway_trainer.plots import (
    MAX_POINTS,
    calibration_figure,
    confusion_matrix_figure,
    importance_figure,
    precision_recall_figure,
    prediction_figure,
    residuals_figure,
    roc_figure,
)

COUNTS = np.array([[10, 0, 0], [0, 9, 1], [0, 2, 8]])
CLASSES = ("setosa", "versicolor", "virginica")


@pytest.fixture
def figure() -> Figure:
    """The figure of a usual confusion matrix."""
    return confusion_matrix_figure(COUNTS, CLASSES, "random-forest")


def test_every_count_is_written_in_its_cell(figure: Figure) -> None:
    written = {text.get_position(): text.get_text() for text in figure.axes[0].texts}

    assert written == {(column, row): str(COUNTS[row, column]) for row in range(3) for column in range(3)}


def test_axes_name_the_true_side(figure: Figure) -> None:
    axes = figure.axes[0]

    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    assert [label.get_text() for label in axes.get_xticklabels()] == list(CLASSES)
    assert [label.get_text() for label in axes.get_yticklabels()] == list(CLASSES)
    assert figure.get_suptitle() == "Confusion matrix\nrandom-forest"


def test_a_count_on_a_dark_cell_is_white(figure: Figure) -> None:
    colours = {text.get_position(): text.get_color() for text in figure.axes[0].texts}

    assert colours[0, 0] == "white"
    assert colours[1, 0] == "black"


@pytest.mark.parametrize("counts", [COUNTS, np.zeros((3, 3), dtype=np.int64)])
def test_it_is_drawn_without_a_display(counts: np.ndarray) -> None:
    png = io.BytesIO()

    confusion_matrix_figure(counts, CLASSES, "title").savefig(png)

    assert png.getvalue().startswith(b"\x89PNG")


TARGET = np.array([0, 0, 1, 1, 2, 2])
CERTAIN = np.eye(3)[TARGET]


def test_a_perfect_classifier_has_an_area_of_one_for_each_class() -> None:
    figure, data = roc_figure(TARGET, CERTAIN, CLASSES, "title")

    assert {name: curve["auc"] for name, curve in data["classes"].items()} == dict.fromkeys(CLASSES, 1.0)
    assert figure.axes[0].get_xlabel() == "false positive rate"
    # A line for each class and one for guessing.
    assert len(figure.axes[0].lines) == 4


def test_calibrated_classifier_is_on_the_diagonal() -> None:
    target = np.array([0, 0, 0, 1] * 10)
    said = np.tile([0.75, 0.25], (40, 1))

    _, data = calibration_figure(target, said, ("no", "yes"), "title")

    assert data["classes"]["yes"]["mean_probability"] == pytest.approx([0.25])
    assert data["classes"]["yes"]["share"] == pytest.approx([0.25])
    assert data["classes"]["yes"]["rows"] == [40]


def test_probabilities_rounded_above_one_are_calibrated() -> None:
    _, data = calibration_figure(TARGET, CERTAIN * (1 + 1e-7), CLASSES, "title")

    assert data["classes"]["setosa"]["share"] == [0.0, 1.0]


def test_predictions_are_drawn_against_truth_in_targets_unit() -> None:
    figure, data = prediction_figure(np.array([1.0, 2.0]), np.array([1.5, 1.5]), "rentals", "title")

    assert data == {"true": [1.0, 2.0], "prediction": [1.5, 1.5]}
    assert figure.axes[0].get_xlabel() == "true value (rentals)"
    assert figure.axes[0].get_ylabel() == "prediction (rentals)"


def test_many_points_are_sampled_evenly() -> None:
    values = np.arange(10 * MAX_POINTS, dtype=np.float64)

    _, data = prediction_figure(values, values, "rentals", "title")

    assert len(data["true"]) == MAX_POINTS
    assert (data["true"][0], data["true"][-1]) == (0, values[-1])


def test_residuals_are_truth_less_prediction_and_each_is_counted() -> None:
    target = np.linspace(0, 100, 101)

    _, data = residuals_figure(target, np.zeros(101), "rentals", "title")

    assert (data["p5"], data["p50"], data["p95"]) == pytest.approx((5, 50, 95))
    assert sum(data["counts"]) == 101
    assert len(data["edges"]) == len(data["counts"]) + 1


def test_the_feature_that_matters_most_comes_first() -> None:
    figure, data = importance_figure(
        np.array([0.1, 0.5, -0.01]), np.array([0.01, 0.02, 0.03]), ["a", "b", "c"], "r2", "title"
    )

    assert list(data["features"]) == ["b", "a", "c"]
    assert data["features"]["b"] == {"mean": 0.5, "std": 0.02}
    # matplotlib draws from the bottom up.
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["c", "a", "b"]


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """Draw a figure and return the neighbouring labels of its axes that overlap, and the texts that leave the page."""
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]  # of Agg
    found = []
    for axes in figure.axes:
        labels = [label for label in axes.get_yticklabels() if label.get_text()]
        boxes = [(label.get_text(), label.get_window_extent(renderer)) for label in labels]
        found += [(a, b) for (a, one), (b, two) in pairwise(boxes) if one.overlaps(two)]
    page = figure.bbox
    for text in [*figure.texts, *(label for axes in figure.axes for label in axes.get_yticklabels())]:
        box = text.get_window_extent(renderer)
        if text.get_text() and (box.x0 < page.x0 - 1 or box.x1 > page.x1 + 1):
            found.append((text.get_text(), "page"))
    return found


LONG_TITLE = "a-model-with-a-long-name, gradient-boosting: 12,345 held-out rows of a/folder/with-a-long-name.csv"


@pytest.mark.parametrize("features", [1, 4, 30, 300])
def test_importance_labels_do_not_overlap(features: int) -> None:
    values = np.linspace(0, 1, features)
    names = [f"feature {number} with a rather long name of many words" for number in range(features)]

    figure, data = importance_figure(values, values / 10, names, "accuracy", LONG_TITLE)
    FigureCanvasAgg(figure)

    assert overlaps(figure) == []
    assert len(data["features"]) == features


@pytest.mark.parametrize("classes", [2, 3, 12])
def test_confusion_labels_do_not_overlap(classes: int) -> None:
    names = [f"class ${number} of many words $" for number in range(classes)]
    figure = confusion_matrix_figure(np.full((classes, classes), 1_234), names, LONG_TITLE)
    FigureCanvasAgg(figure)

    assert overlaps(figure) == []


@pytest.mark.parametrize("draw", [roc_figure, precision_recall_figure, calibration_figure])
@pytest.mark.parametrize(("count", "curves"), [(2, 1), (3, 3), (5, 5)])
def test_binary_classifier_has_one_curve(draw: Callable[..., Any], count: int, curves: int) -> None:
    target = np.arange(60) % count
    names = [f"class {number}" for number in range(count)]

    _, data = draw(target, np.eye(count)[target], names, "title")

    assert len(data["classes"]) == curves
    assert names[-1] in data["classes"]


def test_calibration_counts_every_row() -> None:
    random = np.random.default_rng(0)
    said = random.dirichlet([1, 1, 1], 500)

    _, data = calibration_figure(random.integers(0, 3, 500), said, CLASSES, "title")

    assert [sum(curve["rows"]) for curve in data["classes"].values()] == [500, 500, 500]


@pytest.mark.parametrize(("draw", "measure"), [(roc_figure, "auc"), (precision_recall_figure, "average_precision")])
def test_class_missing_in_the_target_has_no_curve(draw: Callable[..., Any], measure: str) -> None:
    _, data = draw(TARGET[:4], CERTAIN[:4], CLASSES, "title")

    assert {name: curve[measure] for name, curve in data["classes"].items()} == {"setosa": 1.0, "versicolor": 1.0}
