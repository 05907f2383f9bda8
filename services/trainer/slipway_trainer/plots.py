"""Plots for the comparison of runs. Each has the numbers that it shows."""

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve

from slipway_trainer.sampling import evenly

BINS = 10
# At most this many features are drawn, those with the largest losses; the numbers include all.
MAX_BARS = 30
# With this many classes or more, the counts in cells and the legend use a smaller font.
MANY_CLASSES = 8
BINARY = 2
MAX_LABEL = 32
LETTERS_AN_INCH = 12
# More points would overlap.
MAX_POINTS = 3_000

Drawn = tuple[Figure, Mapping[str, Any]]


def confusion_matrix_figure(counts: NDArray[np.int64], classes: Sequence[str], title: str) -> Figure:
    """Draw (n_classes, n_classes) counts; rows are the true classes, columns the predicted ones."""
    side = min(12.0, max(5.0, 0.55 * len(classes) + 2))
    figure, axes = _axes(f"Confusion matrix\n{title}", "predicted class", "true class", size=(side, side))
    axes.imshow(counts, cmap="Blues", vmin=0)
    ticks = range(len(classes))
    names = [_short(name) for name in classes]
    axes.set_xticks(ticks, names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, names)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if count > counts.max() / 2 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=_size(classes))
    return figure


def roc_figure(
    target: NDArray[Any],
    probabilities: NDArray[np.float64],
    classes: Sequence[str],
    title: str,
    positive: int | None = None,
) -> Drawn:
    """Draw the ROC curve of each class against the rest, from (n_rows, n_classes) probabilities.

    A class without rows, or with all rows, has no curve. Of two classes, only one has a curve, because that of the
    other would be its mirror image: the positive class, by default the second.
    """
    figure, axes = _axes(f"ROC curve\n{title}", "false positive rate", "true positive rate")
    axes.plot([0, 1], [0, 1], linestyle=":", color="grey", label="guessing")
    curves = {}
    for index, name in _drawn_classes(classes, positive):
        is_class = target == index
        if is_class.all() or not is_class.any():
            continue
        false_positive, true_positive, _ = roc_curve(is_class, probabilities[:, index])
        area = float(auc(false_positive, true_positive))
        axes.plot(false_positive, true_positive, label=f"{_short(name)}, AUC {area:.3f} ({is_class.sum()} rows)")
        curves[name] = {
            "false_positive_rate": false_positive.tolist(),
            "true_positive_rate": true_positive.tolist(),
            "auc": area,
        }
    _legend(axes, "lower right", len(curves))
    return figure, {"classes": curves}


def precision_recall_figure(
    target: NDArray[Any],
    probabilities: NDArray[np.float64],
    classes: Sequence[str],
    title: str,
    positive: int | None = None,
) -> Drawn:
    """Draw precision against recall of each class against the rest; of two classes, only of the positive class.

    The dotted line is the share of the class, which guessing reaches. A class without rows has no curve.
    """
    figure, axes = _axes(f"Precision and recall\n{title}", "recall", "precision")
    curves = {}
    for index, name in _drawn_classes(classes, positive):
        is_class = target == index
        if not is_class.any():
            continue
        precision, recall, thresholds = precision_recall_curve(is_class, probabilities[:, index])
        average = float(average_precision_score(is_class, probabilities[:, index]))
        label = f"{_short(name)}, AP {average:.3f} ({is_class.sum()} rows)"
        (line,) = axes.plot(recall, precision, drawstyle="steps-post", label=label)
        axes.axhline(float(is_class.mean()), linestyle=":", linewidth=0.8, color=line.get_color())
        curves[name] = {
            "precision": precision.tolist(),
            "recall": recall.tolist(),
            # One fewer than the points: the last point, with recall 0, has no threshold.
            "threshold": thresholds.tolist(),
            "average_precision": average,
            "share": float(is_class.mean()),
        }
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.05))
    _legend(axes, "lower left", len(curves))
    return figure, {"classes": curves}


def calibration_figure(
    target: NDArray[Any],
    probabilities: NDArray[np.float64],
    classes: Sequence[str],
    title: str,
    positive: int | None = None,
) -> Drawn:
    """Draw the observed frequency of each class by predicted probability, in ten bins, and the rows per bin.

    Of two classes, only the positive class is drawn: the other mirrors it.
    """
    figure = Figure(figsize=(5.6, 6.2), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    _head(figure, f"Calibration\n{title}")
    axes.set(ylabel="share of rows of the class")
    below.set(xlabel="predicted probability", ylabel="rows")
    axes.plot([0, 1], [0, 1], linestyle=":", color="grey", label="calibrated")
    curves = {}
    edges = np.linspace(0.0, 1.0, BINS + 1)
    for index, name in _drawn_classes(classes, positive):
        predicted = np.clip(probabilities[:, index], 0.0, 1.0)
        bins = np.searchsorted(edges[1:-1], predicted)
        counts = np.bincount(bins, minlength=BINS)
        filled = counts > 0
        mean = np.bincount(bins, weights=predicted, minlength=BINS)[filled] / counts[filled]
        share = np.bincount(bins, weights=target == index, minlength=BINS)[filled] / counts[filled]
        (line,) = axes.plot(mean, share, marker="o", markersize=4, label=_short(name))
        below.stairs(counts, edges, color=line.get_color())
        curves[name] = {
            "mean_probability": mean.tolist(),
            "share": share.tolist(),
            "rows": counts[filled].tolist(),
        }
        if len(_drawn_classes(classes, positive)) == 1:
            for x, count in zip((edges[:-1] + edges[1:]) / 2, counts, strict=True):
                below.annotate(str(count), (x, count), ha="center", va="bottom", fontsize="x-small")
            below.margins(y=0.25)
    _legend(axes, "upper left", len(curves))
    return figure, {"classes": curves}


def prediction_figure(target: NDArray[Any], prediction: NDArray[np.float64], unit: str, title: str) -> Drawn:
    """Draw (n_rows,) predicted against true values."""
    figure, axes = _axes(f"Prediction against truth\n{title}", f"true value ({unit})", f"prediction ({unit})")
    shown = evenly(len(target), MAX_POINTS)
    low, high = float(min(target.min(), prediction.min())), float(max(target.max(), prediction.max()))
    axes.plot([low, high], [low, high], linestyle=":", color="grey")
    axes.scatter(target[shown], prediction[shown], s=6, alpha=0.4, linewidths=0)
    return figure, {"true": target[shown].tolist(), "prediction": prediction[shown].tolist()}


def residuals_figure(target: NDArray[Any], prediction: NDArray[np.float64], unit: str, title: str) -> Drawn:
    """Draw true minus predicted values by prediction, and their distribution."""
    figure = Figure(figsize=(8.0, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
    _head(figure, f"Residuals\n{title}")
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
    """Draw the loss of the metric when a feature is shuffled, from (n_features,) losses, largest first.

    Of many features, only those with the largest losses are drawn; the numbers include all.
    """
    order = np.argsort(means)
    shown = order[-MAX_BARS:]
    cut = f" ({MAX_BARS} of {len(order)} features)" if len(order) > MAX_BARS else ""
    heading = f"Feature importance{cut}"
    height = max(3.2, 0.24 * len(shown) + 1.6)
    figure, axes = _axes(
        f"{heading}\n{title}", f"how much worse {metric} is with a shuffled feature", "", size=(6.8, height)
    )
    axes.barh(range(len(shown)), means[shown], xerr=spreads[shown], height=0.7, ecolor="grey")
    axes.set_yticks(range(len(shown)), [_short(names[i]) for i in shown], fontsize="small")
    axes.set_ylim(-0.7, len(shown) - 0.3)
    axes.axvline(0, color="grey", linewidth=0.8)
    data = {names[i]: {"mean": float(means[i]), "std": float(spreads[i])} for i in order[::-1]}
    return figure, {"metric": metric, "features": data}


def _axes(title: str, x: str, y: str, size: tuple[float, float] = (5.6, 4.8)) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel=x, ylabel=y)
    _head(figure, title)
    return figure, axes


def _head(figure: Figure, title: str) -> None:
    """Write a title over the whole figure, wrapped to its width."""
    fitting = int(figure.get_figwidth() * LETTERS_AN_INCH)
    lines = [part for line in title.replace("$", r"\$").splitlines() for part in wrap(line, fitting)]
    figure.suptitle("\n".join(lines), fontsize="medium")


def _drawn_classes(classes: Sequence[str], positive: int | None) -> list[tuple[int, str]]:
    """Return the classes with their own curve, with their indices: of two classes, the positive or the second one."""
    if len(classes) != BINARY:
        return list(enumerate(classes))
    drawn = 1 if positive is None else positive
    return [(drawn, classes[drawn])]


def _short(name: str) -> str:
    """Return a short label, without the characters that matplotlib interprets as mathematics."""
    cut = name if len(name) <= MAX_LABEL else name[: MAX_LABEL - 1] + "…"
    return cut.replace("$", r"\$")


def _size(classes: Sequence[str]) -> str:
    return "x-small" if len(classes) > MANY_CLASSES else "medium"


def _legend(axes: Axes, where: str, curves: int) -> None:
    if curves > MANY_CLASSES:  # inside the axes, the legend would hide the curves
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize="x-small", ncols=1 + curves // 20)
    elif curves:
        axes.legend(loc=where, fontsize="small")
