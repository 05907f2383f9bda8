"""Classifiers: the graph answers a class index and a probability for each class."""

from collections.abc import Iterator, Mapping
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
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from slipway_core.bundle import GraphNames
from slipway_core.graph import Outputs
from slipway_core.signature import FloatMatrix
from slipway_trainer.errors import ParityError
from slipway_trainer.export import PARITY_TOLERANCE
from slipway_trainer.plots import calibration_figure, confusion_matrix_figure, precision_recall_figure, roc_figure
from slipway_trainer.recipes.base import ROWS_A_FOLD, Recipe
from slipway_trainer.tasks.base import Figure, Target


class Classification:
    """What a classifier's recipe asks for; see `slipway_trainer.tasks.base.Task`."""

    graph = GraphNames(input="X", label="label", scores="probabilities")
    # Probabilities as one matrix, not as a map a row.
    export_options: Mapping[str, Any] = {"zipmap": False}
    probe_score = "balanced_accuracy"

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._classes = recipe.classes
        self._labels = np.arange(len(recipe.classes))
        self.chance = 1 / len(recipe.classes)

    def encode(self, values: pd.Series) -> Target:
        """Turn labels into (n_rows,) int64 class indices."""
        codes = {label: index for index, label in enumerate(self._classes)}
        encoded: NDArray[np.int64] = values.map(codes).to_numpy(dtype=np.int64)
        return encoded

    def decode(self, target: Target) -> NDArray[Any]:
        """Turn class indices into labels."""
        return np.array(self._classes)[target]

    def probes(self) -> tuple[Any, ...]:
        """Return a small tree and a linear classifier that give rare classes their weight."""
        return (
            DecisionTreeClassifier(max_depth=6, class_weight="balanced", random_state=0),
            make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1_000)),
        )

    def check_target(self, target: Target) -> Iterator[str]:
        """Yield the classes that are too rare to learn from and to judge by."""
        counts = np.bincount(target.astype(np.int64), minlength=len(self._classes))
        least = self._recipe.folds * ROWS_A_FOLD
        share = self._recipe.min_class_share
        for label, count in zip(self._classes, counts.tolist(), strict=True):
            if count < least:
                yield f"there are {count} rows of the class {label!r}, and {least} are needed at least"
            elif count < share * len(target):
                yield (
                    f"the classes are out of balance: {label!r} has {count} of {len(target)} rows, "
                    f"and a share of {share:.0%} is needed at least"
                )

    def score(self, outputs: Outputs, target: Target) -> dict[str, float]:
        """Score class indices and probabilities.

        Precision, recall and F1 are means over the classes (macro), ROC AUC each class against the rest; `log_loss` is
        in nats.
        """
        macro = {"labels": self._labels, "average": "macro", "zero_division": 0.0}
        prediction = outputs.prediction
        # float32 probabilities are between 0 and 1, and sum to 1, within 1e-6 only; the scores expect it of float64.
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
        if len(np.unique(target)) == len(self._classes):  # else it has no value
            binary = len(self._classes) == 2  # noqa: PLR2004  # scikit-learn then asks for one class's probability
            columns = probabilities[:, 1] if binary else probabilities
            scores["roc_auc"] = float(roc_auc_score(target, columns, multi_class="ovr", labels=self._labels))
        return scores

    def difference(self, estimator: Any, outputs: Outputs, rows: FloatMatrix, scale: float) -> float:  # noqa: ANN401, ARG002  # classifiers have no scale
        """Compare probabilities and classes."""
        if not hasattr(estimator, "predict_proba"):
            raise ParityError(
                f"{type(estimator).__name__} gives no probabilities, which every classifier here must; wrap it in "
                "scikit-learn's CalibratedClassifierCV, or take another"
            )
        expected = estimator.predict_proba(rows)
        if outputs.scores is None or outputs.scores.shape != expected.shape:
            raise ParityError("the exported graph gives no probabilities of the estimator's shape")
        # Where two classes are equally likely within the tolerance, either is right.
        best_two = np.sort(expected, axis=1)[:, -2:]
        tied = best_two[:, 1] - best_two[:, 0] <= PARITY_TOLERANCE
        if np.any((outputs.prediction != estimator.predict(rows)) & ~tied):
            raise ParityError("the exported graph and the estimator disagree on a class")
        return float(np.max(np.abs(outputs.scores - expected)) / PARITY_TOLERANCE)

    def output_specs(self) -> list[TensorSpec]:
        """Return the class index and the probabilities."""
        return [
            TensorSpec(np.dtype(np.int64), (-1,), self.graph.label),
            TensorSpec(np.dtype(np.float32), (-1, len(self._classes)), self.graph.scores),
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
