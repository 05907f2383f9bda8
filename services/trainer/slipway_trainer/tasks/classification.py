"""Classifiers: the graph returns a class index and a probability for each class."""

from collections.abc import Iterator, Mapping
from math import floor
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from slipway_core.graph import Outputs
from slipway_core.plurals import count_of
from slipway_trainer.decision import decide_labels, decision_of
from slipway_trainer.errors import ParityError, TrainingError
from slipway_trainer.export import PARITY_TOLERANCE
from slipway_trainer.features import Features, for_estimator
from slipway_trainer.metrics import METRICS, Scored, measure_all
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
        self._names = recipe.class_names
        self._labels = np.arange(len(recipe.classes))
        self._decision = decision_of(recipe)
        self._positive = None if recipe.positive_class is None else recipe.classes.index(recipe.positive_class)
        self.chance = 1 / len(recipe.classes)

    def encode(self, values: pd.Series) -> Target:
        """Convert labels as text to (n_rows,) int64 class indices."""
        codes = {name: index for index, name in enumerate(self._names)}
        encoded: NDArray[np.int64] = values.map(codes).to_numpy(dtype=np.int64)
        return encoded

    def decode(self, target: Target) -> NDArray[Any]:
        """Convert class indices to labels."""
        return np.array(self._classes, dtype=object)[target]

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
                "with VotingClassifier(voting='soft'), or wrap it, as in CalibratedClassifierCV(SVC(), ensemble=False)"
            )

    def score(self, outputs: Outputs, target: Target) -> dict[str, float]:
        """Score class indices, with the recipe's threshold applied, and probabilities."""
        return measure_all("classification", self._scored(outputs, target))

    def score_estimator(self, estimator: Any, rows: Features, target: Target) -> float:  # noqa: ANN401
        """Score a fitted estimator by the recipe's metric."""
        metric = METRICS[self._recipe.metric]
        if metric.needs_probabilities or self._decision is not None:
            self.check_estimator(estimator)
            scores = self._probabilities(estimator, rows)
            # The metric ignores the labels, or the threshold replaces them.
            outputs = Outputs(scores.argmax(axis=1), scores)
        else:
            outputs = Outputs(estimator.predict(for_estimator(rows)), None)
        return metric.measure(self._scored(outputs, target))

    def _probabilities(self, estimator: Any, rows: Features) -> NDArray[np.float32]:  # noqa: ANN401
        """Return (n_rows, n_classes) float32; 0 for a class that the estimator was not fitted on."""
        scores = np.zeros((len(rows), len(self._classes)), dtype=np.float32)
        scores[:, estimator.classes_] = estimator.predict_proba(for_estimator(rows))
        return scores

    def _predicted(self, outputs: Outputs) -> NDArray[Any]:
        """Return the predicted class indices: by the recipe's threshold if it has one."""
        if self._decision is None or outputs.scores is None:
            return outputs.prediction
        return decide_labels(outputs.scores, self._decision)

    def _scored(self, outputs: Outputs, target: Target) -> Scored:
        probabilities = None
        if outputs.scores is not None:
            # float32 probabilities are in [0, 1] and sum to 1 only within 1e-6; the metrics expect float64 accuracy.
            probabilities = np.clip(np.asarray(outputs.scores, dtype=np.float64), 0.0, 1.0)
            probabilities /= probabilities.sum(axis=1, keepdims=True)
        return Scored(target, self._predicted(outputs), probabilities, self._labels, self._positive)

    def difference(self, estimator: Any, outputs: Outputs, rows: Features, scale: float) -> float:  # noqa: ANN401, ARG002  # classifiers have no scale
        """Compare probabilities and classes."""
        expected = estimator.predict_proba(for_estimator(rows))
        if outputs.scores is None or outputs.scores.shape != expected.shape:
            raise ParityError("the shape of the exported graph's probabilities differs from the estimator's")
        # If two classes are equally likely within the tolerance, both are accepted.
        best_two = np.sort(expected, axis=1)[:, -2:]
        tied = best_two[:, 1] - best_two[:, 0] <= PARITY_TOLERANCE
        if np.any((outputs.prediction != estimator.predict(for_estimator(rows))) & ~tied):
            raise ParityError("the exported graph and the estimator predict different classes")
        return float(np.max(np.abs(outputs.scores - expected)) / PARITY_TOLERANCE)

    def figures(self, outputs: Outputs, target: Target, title: str) -> Iterator[Figure]:
        """Draw confusion matrix, ROC and precision-recall curves, and calibration."""
        probabilities = np.asarray(outputs.scores, dtype=np.float64)
        counts = confusion_matrix(target, self._predicted(outputs), labels=self._labels)
        matrix = {"classes": list(self._names), "counts": counts.tolist()}
        yield Figure("confusion_matrix", confusion_matrix_figure(counts, self._names, title), matrix)
        figure, data = roc_figure(target, probabilities, self._names, title, self._positive)
        yield Figure("roc", figure, data)
        figure, data = precision_recall_figure(target, probabilities, self._names, title, self._positive)
        yield Figure("precision_recall", figure, data)
        figure, data = calibration_figure(target, probabilities, self._names, title, self._positive)
        yield Figure("calibration", figure, data)
