"""The plots that people look at when they compare runs. Each comes with the numbers that it shows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve
from sklearn.metrics import auc, roc_curve

from slipway_trainer.sampling import evenly

BINS = 10
# More points than these are a blot.
MAX_POINTS = 3_000

Drawn = tuple[Figure, Mapping[str, Any]]


def confusion_matrix_figure(counts: NDArray[np.int64], classes: Sequence[str], title: str) -> Figure:
    """Draw (n_classes, n_classes) counts; rows are the true classes, columns the predicted ones."""
    figure, axes = _axes(title, "predicted class", "true class")
    axes.imshow(counts, cmap="Blues", vmin=0)
    ticks = range(len(classes))
    axes.set_xticks(ticks, classes, rotation=30, ha="right")
    axes.set_yticks(ticks, classes)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if count > counts.max() / 2 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=colour)
    return figure


def roc_figure(target: NDArray[Any], probabilities: NDArray[np.float64], classes: Sequence[str], title: str) -> Drawn:
    """Draw the ROC curve of each class against the rest, from (n_rows, n_classes) probabilities.

    A class that the target lacks, or has alone, has no curve.
    """
    figure, axes = _axes(title, "false positive rate", "true positive rate")
    axes.plot([0, 1], [0, 1], linestyle=":", color="grey", label="guessing")
    curves = {}
    for index, name in enumerate(classes):
        is_class = target == index
        if is_class.all() or not is_class.any():
            continue
        false_positive, true_positive, _ = roc_curve(is_class, probabilities[:, index])
        area = float(auc(false_positive, true_positive))
        axes.plot(false_positive, true_positive, label=f"{name}, AUC {area:.3f}")
        curves[name] = {
            "false_positive_rate": false_positive.tolist(),
            "true_positive_rate": true_positive.tolist(),
            "auc": area,
        }
    axes.legend(loc="lower right", fontsize="small")
    return figure, {"classes": curves}


def calibration_figure(
    target: NDArray[Any], probabilities: NDArray[np.float64], classes: Sequence[str], title: str
) -> Drawn:
    """Draw how often each class is true against how likely it was said to be, in ten bins of probability."""
    figure, axes = _axes(title, "mean predicted probability", "share of rows that are of the class")
    axes.plot([0, 1], [0, 1], linestyle=":", color="grey", label="calibrated")
    curves = {}
    for index, name in enumerate(classes):
        said = np.clip(probabilities[:, index], 0.0, 1.0)
        share, mean = calibration_curve(target == index, said, n_bins=BINS)
        axes.plot(mean, share, marker="o", markersize=4, label=name)
        curves[name] = {"mean_probability": mean.tolist(), "share": share.tolist()}
    axes.legend(loc="upper left", fontsize="small")
    return figure, {"classes": curves}


def prediction_figure(target: NDArray[Any], prediction: NDArray[np.float64], unit: str, title: str) -> Drawn:
    """Draw (n_rows,) predicted against true values."""
    figure, axes = _axes(title, f"true value ({unit})", f"prediction ({unit})")
    shown = evenly(len(target), MAX_POINTS)
    low, high = float(min(target.min(), prediction.min())), float(max(target.max(), prediction.max()))
    axes.plot([low, high], [low, high], linestyle=":", color="grey")
    axes.scatter(target[shown], prediction[shown], s=6, alpha=0.4, linewidths=0)
    return figure, {"true": target[shown].tolist(), "prediction": prediction[shown].tolist()}


def residuals_figure(target: NDArray[Any], prediction: NDArray[np.float64], unit: str, title: str) -> Drawn:
    """Draw true less predicted values by prediction, and how they are spread."""
    figure = Figure(figsize=(8.0, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
    figure.suptitle(title)
    residuals = target - prediction
    shown = evenly(len(target), MAX_POINTS)
    left.axhline(0, linestyle=":", color="grey")
    left.scatter(prediction[shown], residuals[shown], s=6, alpha=0.4, linewidths=0)
    left.set(xlabel=f"prediction ({unit})", ylabel=f"residual ({unit})")
    counts, edges, _ = right.hist(residuals, bins=40, orientation="horizontal")
    right.set(xlabel="rows")
    quantiles = {f"p{q}": float(np.percentile(residuals, q)) for q in (5, 25, 50, 75, 95)}
    return figure, {"counts": np.asarray(counts).tolist(), "edges": edges.tolist(), **quantiles}


def importance_figure(
    means: NDArray[np.float64], spreads: NDArray[np.float64], names: Sequence[str], metric: str, title: str
) -> Drawn:
    """Draw what the metric loses when a feature's (n_features,) values are shuffled, the greatest loss first."""
    order = np.argsort(means)
    figure, axes = _axes(title, f"loss of {metric} when the feature is shuffled", "")
    axes.barh([names[i] for i in order], means[order], xerr=spreads[order], height=0.7)
    axes.axvline(0, color="grey", linewidth=0.8)
    data = {names[i]: {"mean": float(means[i]), "std": float(spreads[i])} for i in order[::-1]}
    return figure, {"metric": metric, "features": data}


def _axes(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.0, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel=x, ylabel=y, title=title)
    return figure, axes
