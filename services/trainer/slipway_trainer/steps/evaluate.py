"""Export a fitted candidate, check that its graph matches it, and score the graph on the test rows."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from slipway_core.errors import BundleError
from slipway_core.graph import Graph
from slipway_trainer.drawing import draw_features
from slipway_trainer.errors import ParityError, TrainingError, reason_of
from slipway_trainer.export import PARITY_TOLERANCE, export, graph_names
from slipway_trainer.features import Features, for_graph
from slipway_trainer.metrics import METRICS
from slipway_trainer.recipes import Candidate, Recipe
from slipway_trainer.step_results import Evaluation, Fitted, Split
from slipway_trainer.tasks import Task, task_of

DRAWN = "rows drawn from the values that clients may send"


def evaluate(recipe: Recipe, fitted: Fitted, split: Split) -> Evaluation:
    """Export, check parity, and score on the test rows.

    Raises:
        ParityError: the graph's predictions differ from the estimator's.
        TrainingError: the estimator cannot be exported, or a metric that decides is undefined on the test rows.
    """
    task = task_of(recipe)
    with _naming(fitted.candidate):
        task.check_estimator(fitted.estimator)
        model = export(fitted.estimator, recipe.columns, task.export_options)
        names = graph_names(model)
        graph = Graph(model, names)
        drawn = draw_features(recipe, split.train_features)
        parity = max(
            _parity_on("rows of the data", task, fitted.estimator, graph, split.all_features, split.target_scale),
            _parity_on(DRAWN, task, fitted.estimator, graph, drawn, split.target_scale),
        )
        outputs = graph.run(for_graph(split.test_features))
    metrics = task.score(outputs, split.test_target)
    _check_defined(recipe, metrics, len(split.test_target))
    metrics["cv_mean"] = fitted.cv_mean
    metrics["cv_std"] = float(np.std(fitted.cv_scores))
    # The gate's metrics first, because every list of metrics keeps this order.
    ordered = {name: metrics[name] for name in recipe.deciding_metrics}
    return Evaluation(fitted, model, names, ordered | metrics, outputs, parity)


def _check_defined(recipe: Recipe, metrics: Mapping[str, float], rows: int) -> None:
    """Raise TrainingError if a metric that decides is undefined on the test rows."""
    if lacking := [name for name in recipe.deciding_metrics if name not in metrics]:
        raise TrainingError(
            f"{lacking[0]} is undefined on the {rows} test rows; hold out more rows with --set test_fraction=VALUE, or "
            "use another metric"
        )


def check_parity(task: Task, estimator: Any, graph: Graph, rows: Features, scale: float) -> float:  # noqa: ANN401
    """Compare a graph with its estimator on rows.

    `scale` is the standard deviation of the training rows' target.

    Returns:
        The largest difference in units of the tolerance, at most 1.

    Raises:
        ParityError: a difference is above PARITY_TOLERANCE, a class differs without a tie, or the graph or the
            estimator rejects the rows.
    """
    outputs = graph.run(for_graph(rows))
    try:
        difference = task.difference(estimator, outputs, rows, scale)
    except ParityError:
        raise
    except Exception as error:  # an estimator may raise anything for an unknown value
        raise ParityError(f"the estimator rejects rows that clients may send ({reason_of(error)})") from error
    if not difference <= 1:  # also true for NaN
        raise ParityError(
            f"the exported graph differs from its estimator by {difference:.2g} times the tolerance of "
            f"{PARITY_TOLERANCE:g}"
        )
    return difference


def _parity_on(kind: str, task: Task, estimator: Any, graph: Graph, rows: Features, scale: float) -> float:  # noqa: ANN401
    try:
        return check_parity(task, estimator, graph, rows, scale)
    except (ParityError, BundleError) as error:
        advice = (
            "declare the values of a column of categories as Column(categories=…) and pass the same ones to its "
            "encoder, make the estimator accept any value, or choose another one"
            if kind is DRAWN
            else "choose another estimator or preprocessing"
        )
        reason = "the exported graph fails" if isinstance(error, BundleError) else str(error)
        raise ParityError(f"{reason} on {kind}; {advice}") from error


@contextmanager
def _naming(candidate: Candidate) -> Iterator[None]:
    """Prefix the reason why a candidate cannot be served with the candidate's name."""
    try:
        yield
    except (ParityError, TrainingError) as error:
        raise type(error)(f"{candidate.name} cannot be served: {error}") from error
    except BundleError as error:
        raise TrainingError(f"{candidate.name} cannot be served: {error}") from error


def best_of(recipe: Recipe, evaluations: Sequence[Evaluation]) -> Evaluation:
    """Choose the best candidate by cross-validation. A choice by the test rows would bias their scores.

    If scores are equal, the recipe's order decides.
    """
    return max(evaluations, key=lambda item: METRICS[recipe.metric].signed(item.fitted.cv_mean))
