"""Plots: the confusion matrix shows its counts under the right names."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure

from slipway_trainer.plots import confusion_matrix_figure

COUNTS = np.array([[10, 0, 0], [0, 9, 1], [0, 2, 8]])
CLASSES = ("setosa", "versicolor", "virginica")


@pytest.fixture
def figure() -> Figure:
    """The figure of a usual confusion matrix."""
    return confusion_matrix_figure(COUNTS, CLASSES, "random-forest")


def test_every_count_is_written_in_its_cell(figure: Figure) -> None:
    written = {text.get_position(): text.get_text() for text in figure.axes[0].texts}

    assert written == {(column, row): str(COUNTS[row, column]) for row in range(3) for column in range(3)}


def test_the_axes_say_which_side_is_true(figure: Figure) -> None:
    axes = figure.axes[0]

    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    assert [label.get_text() for label in axes.get_xticklabels()] == list(CLASSES)
    assert [label.get_text() for label in axes.get_yticklabels()] == list(CLASSES)
    assert axes.get_title() == "random-forest"


def test_a_count_on_a_dark_cell_is_white(figure: Figure) -> None:
    colours = {text.get_position(): text.get_color() for text in figure.axes[0].texts}

    assert colours[0, 0] == "white"
    assert colours[1, 0] == "black"


@pytest.mark.parametrize("counts", [COUNTS, np.zeros((3, 3), dtype=np.int64)])
def test_it_is_drawn_without_a_display(counts: np.ndarray) -> None:
    png = io.BytesIO()

    confusion_matrix_figure(counts, CLASSES, "title").savefig(png)

    assert png.getvalue().startswith(b"\x89PNG")
