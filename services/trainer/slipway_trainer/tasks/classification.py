"""Classifiers: the graph returns a class index and a probability for each class."""

from collections.abc import Iterator, Mapping
from math import floor
from typing import Any

import numpy as np
import pandas as pd
from mlflow.types import TensorSpec
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from slipway_core.bundle import GraphNames
from slipway_core.graph import Outputs
from slipway_core.plurals import count_of
from slipway_core.signature import FloatMatrix
from slipway_trainer.errors import ParityError, TrainingError
from slipway_trainer.export import PARITY_TOLERANCE
from slipway_trainer.plots import calibration_figure, confusion_matrix_figure, precision_recall_figure, roc_figure
from slipway_trainer.recipes.base import MIN_FOLDS, ROWS_A_FOLD, Recipe
from slipway_trainer.tasks.base import Figure, Target


class Classification:
    """The task of a classifier; see `slipway_trainer.tasks.base.Task`."""

    # Probabilities as one matrix instead of a map per row.
    export_options: Mapping[str, Any] = {"zipmap": False}
    probe_score = "balanced_accuracy"

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._classes = recipe.classes
        self._labels = np.arange(len(recipe.classes))
        self.chance = 1 / len(recipe.classes)

    def encode(self, values: pd.Series) -> Target:
        """Convert labels to (n_rows,) int64 class indices."""
        codes = {label: index for index, label in enumerate(self._classes)}
        encoded: NDArray[np.int64] = values.map(codes).to_numpy(dtype=np.int64)
        return encoded

    def decode(self, target: Target) -> NDArray[Any]:
        """Convert class indices to labels."""
        return np.array(self._classes)[target]

    def probes(self) -> tuple[Any, ...]:
        """Return a small tree and a linear classifier with weights for rare classes."""
        return (
            DecisionTreeClassifier(max_depth=6, class_weight="balanced", random_state=0),
            make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1_000)),
        )

    def check_target(self, target: Target) -> Iterator[str]:
        """Yield the classes that are too rare for training and evaluation."""
        counts = np.bincount(target.astype(np.int64), minlength=len(self._classes))
        least = self._recipe.folds * ROWS_A_FOLD
        share = self._recipe.min_class_share
        for label, count in zip(self._classes, counts.tolist(), strict=True):
            if count < least:
                folds = count // ROWS_A_FOLD
                fewer = f", use fewer folds with --set folds={folds}" if folds >= MIN_FOLDS else ""
                yield (
                    f"the class {label!r} has {count_of(count, 'row')}, fewer than the {least} that "
                    f"{self._recipe.folds} folds require; add rows{fewer}, or remove the class from the recipe's "
                    "`classes` and its rows"
                )
            elif count < share * len(target):
                yield (
                    f"the class {label!r} has {count} of {len(target)} rows ({count / len(target):.2%}), less than "
                    f"min_class_share {share:g}; add rows, or lower the limit with --set "
                    f"min_class_share={floor(count / len(target) * 10_000) / 10_000:g}"
                )

    def check_estimator(self, estimator: Any) -> None:  # noqa: ANN401
        """Raise TrainingError if a fitted estimator returns no probabilities."""
        if not hasattr(estimator, "predict_proba"):
            inner = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
            raise TrainingError(
                f"{type(inner).__name__} returns no probabilities, which a classifier requires: enable them, such as "
                "with SVC(probability=True) or VotingClassifier(voting='soft'), or wrap it in CalibratedClassifierCV"
            )

    def score(self, outputs: Outputs, target: Target) -> dict[str, float]:
        """Score class indices and probabilities.

        Precision, recall and F1 are means over the classes (macro). ROC AUC compares each class with the rest.
        `log_loss` is in nats.
        """
        macro = {"labels": self._labels, "average": "macro", "zero_division": 0.0}
        prediction = outputs.prediction
        # float32 probabilities are in [0, 1] and sum to 1 only within 1e-6; the scores expect float64 accuracy.
        probabilities = np.clip(np.asarray(outputs.scores, dtype=np.float64), 0.0, 1.0)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        scores = {
            "accuracy": float(accuracy_score(target, prediction)),
            "balanced_accuracy": float(balanced_accuracy_score(target, prediction)),
            "f1_macro": float(f1_score(target, prediction, **macro)),
            "precision_macro": float(precision_score(target, prediction, **macro)),
            "recall_macro": float(recall_score(target, prediction, **macro)),
            "log_loss": float(log_loss(target, probabilities, labels=self._labels)),
        }
        if len(np.unique(target)) == len(self._classes):  # undefined otherwise
            binary = len(self._classes) == 2  # noqa: PLR2004  # scikit-learn then requires one class's probability
            columns = probabilities[:, 1] if binary else probabilities
            scores["roc_auc"] = float(roc_auc_score(target, columns, multi_class="ovr", labels=self._labels))
        return scores

    def difference(self, estimator: Any, outputs: Outputs, rows: FloatMatrix, scale: float) -> float:  # noqa: ANN401, ARG002  # classifiers have no scale
        """Compare probabilities and classes."""
        expected = estimator.predict_proba(rows)
        if outputs.scores is None or outputs.scores.shape != expected.shape:
            raise ParityError("the shape of the exported graph's probabilities differs from the estimator's")
        # If two classes are equally likely within the tolerance, both are accepted.
        best_two = np.sort(expected, axis=1)[:, -2:]
        tied = best_two[:, 1] - best_two[:, 0] <= PARITY_TOLERANCE
        if np.any((outputs.prediction != estimator.predict(rows)) & ~tied):
            raise ParityError("the exported graph and the estimator predict different classes")
        return float(np.max(np.abs(outputs.scores - expected)) / PARITY_TOLERANCE)

    def output_specs(self, names: GraphNames) -> list[TensorSpec]:
        """Return the class index and the probabilities."""
        return [
            TensorSpec(np.dtype(np.int64), (-1,), names.label),
            TensorSpec(np.dtype(np.float32), (-1, len(self._classes)), names.scores),
        ]

    def figures(self, outputs: Outputs, target: Target, title: str) -> Iterator[Figure]:
        """Draw confusion matrix, ROC and precision-recall curves, and calibration."""
        probabilities = np.asarray(outputs.scores, dtype=np.float64)
        counts = confusion_matrix(target, outputs.prediction, labels=self._labels)
        matrix = {"classes": list(self._classes), "counts": counts.tolist()}
        yield Figure("confusion_matrix", confusion_matrix_figure(counts, self._classes, title), matrix)
        figure, data = roc_figure(target, probabilities, self._classes, title)
        yield Figure("roc", figure, data)
        figure, data = precision_recall_figure(target, probabilities, self._classes, title)
        yield Figure("precision_recall", figure, data)
        figure, data = calibration_figure(target, probabilities, self._classes, title)
        yield Figure("calibration", figure, data)
