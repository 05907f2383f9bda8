"""Export a fitted candidate, prove the graph equal to it, and score the graph on the test rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
)

from slipway_core.graph import Graph, Outputs
from slipway_core.signature import FloatMatrix
from slipway_trainer.export import CLASSIFIER_NAMES, check_parity, export_classifier
from slipway_trainer.recipes import Recipe
from slipway_trainer.steps.train import Fitted, Split

PARITY_ROWS = 1_000


@dataclass(frozen=True)
class Evaluation:
    """What an exported candidate is worth.

    Attributes:
        model: the serialised ONNX graph: this, and not the estimator, was scored.
        metrics: on the test rows, by name; of the cross-validation, with the prefix `cv_`.
        confusion: (n_classes, n_classes) counts; rows are the true classes.
        parity: the greatest difference to the estimator that was seen.
    """

    fitted: Fitted
    model: bytes
    metrics: dict[str, float]
    confusion: NDArray[np.int64]
    parity: float


def evaluate(recipe: Recipe, fitted: Fitted, split: Split) -> Evaluation:
    """Export, check parity, and score on the test rows.

    Raises:
        ParityError: the graph does not answer as the estimator does.
    """
    model = export_classifier(fitted.estimator, split.train_features)
    graph = Graph(model, CLASSIFIER_NAMES)
    rows = np.concatenate([split.train_features, split.test_features, _random_rows(split.train_features, recipe.seed)])
    parity = check_parity(fitted.estimator, graph, rows)
    outputs = graph.run(split.test_features)
    metrics = classification_metrics(outputs, split.test_target, len(recipe.classes))
    metrics["cv_mean"] = fitted.cv_mean
    metrics["cv_std"] = float(np.std(fitted.cv_scores))
    labels = np.arange(len(recipe.classes))
    return Evaluation(
        fitted, model, metrics, confusion_matrix(split.test_target, outputs.prediction, labels=labels), parity
    )


def classification_metrics(outputs: Outputs, target: NDArray[np.int64], n_classes: int) -> dict[str, float]:
    """Score a classifier's outputs against (n_rows,) class indices.

    Precision, recall and F1 are means over the classes (macro); `log_loss` is in nats.
    """
    labels = np.arange(n_classes)
    macro = {"labels": labels, "average": "macro", "zero_division": 0.0}
    prediction = outputs.prediction
    # float32 probabilities sum to one within 1e-6 only, and the score expects it of float64.
    probabilities = np.asarray(outputs.scores, dtype=np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return {
        "accuracy": float(accuracy_score(target, prediction)),
        "f1_macro": float(f1_score(target, prediction, **macro)),
        "precision_macro": float(precision_score(target, prediction, **macro)),
        "recall_macro": float(recall_score(target, prediction, **macro)),
        "log_loss": float(log_loss(target, probabilities, labels=labels)),
    }


def best_of(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Choose by cross-validation: the test rows must not choose, or they would flatter the winner.

    A tie goes to the candidate that the recipe names first.
    """
    return max(evaluations, key=lambda item: item.fitted.cv_mean)


def _random_rows(features: FloatMatrix, seed: int) -> FloatMatrix:
    """Draw rows over the training range and half of it beyond on each side."""
    low, high = features.min(axis=0), features.max(axis=0)
    margin = (high - low) / 2
    draw = np.random.default_rng(seed).uniform(low - margin, high + margin, size=(PARITY_ROWS, features.shape[1]))
    return draw.astype(np.float32)
