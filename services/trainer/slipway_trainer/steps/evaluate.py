"""Export a fitted candidate, prove the graph equal to it, and score the graph on the test rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slipway_core.graph import Graph, Outputs
from slipway_core.signature import FloatMatrix
from slipway_trainer.errors import ParityError
from slipway_trainer.export import PARITY_TOLERANCE, export
from slipway_trainer.recipes import Recipe
from slipway_trainer.steps.train import Fitted, Split
from slipway_trainer.tasks import Task, task_of

PARITY_ROWS = 1_000


@dataclass(frozen=True)
class Evaluation:
    """What an exported candidate is worth.

    Attributes:
        model: the serialised ONNX graph: this, and not the estimator, was scored.
        metrics: on the test rows, by name; of the cross-validation, with the prefix `cv_`.
        outputs: the graph's on the test rows.
        parity: the greatest difference to the estimator that was seen, in units of the tolerance.
    """

    fitted: Fitted
    model: bytes
    metrics: dict[str, float]
    outputs: Outputs
    parity: float


def evaluate(recipe: Recipe, fitted: Fitted, split: Split) -> Evaluation:
    """Export, check parity, and score on the test rows.

    Raises:
        ParityError: the graph does not answer as the estimator does.
        TrainingError: the estimator cannot be exported.
    """
    task = task_of(recipe)
    model = export(fitted.estimator, len(recipe.columns), task.export_options)
    graph = Graph(model, task.graph)
    rows = np.concatenate([split.train_features, split.test_features, _random_rows(split.train_features, recipe.seed)])
    parity = check_parity(task, fitted.estimator, graph, rows, split.target_scale)
    outputs = graph.run(split.test_features)
    metrics = task.score(outputs, split.test_target)
    metrics["cv_mean"] = fitted.cv_mean
    metrics["cv_std"] = float(np.std(fitted.cv_scores))
    return Evaluation(fitted, model, metrics, outputs, parity)


def check_parity(task: Task, estimator: Any, graph: Graph, rows: FloatMatrix, scale: float) -> float:  # noqa: ANN401
    """Compare a graph with its estimator on (n_rows, n_features) float32 rows.

    `scale` is the standard deviation of the training rows' target.

    Returns:
        The greatest difference in units of the tolerance, at most 1.

    Raises:
        ParityError: a difference is above PARITY_TOLERANCE, or a class differs that is no tie.
    """
    difference = task.difference(estimator, graph.run(rows), rows, scale)
    if not difference <= 1:  # NaN is no parity
        raise ParityError(
            f"the exported graph differs from its estimator by {difference:.2g} times the tolerance of "
            f"{PARITY_TOLERANCE:g}: it would not serve what was trained"
        )
    return difference


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
