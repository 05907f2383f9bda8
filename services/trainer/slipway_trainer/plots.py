"""The plots that people look at when they compare runs."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray


def confusion_matrix_figure(counts: NDArray[np.int64], classes: tuple[str, ...], title: str) -> Figure:
    """Draw (n_classes, n_classes) counts; rows are the true classes, columns the predicted ones."""
    figure = Figure(figsize=(4.5, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(counts, cmap="Blues", vmin=0)
    ticks = range(len(classes))
    axes.set_xticks(ticks, classes, rotation=30, ha="right")
    axes.set_yticks(ticks, classes)
    axes.set(xlabel="predicted class", ylabel="true class", title=title)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if count > counts.max() / 2 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=colour)
    return figure
