"""Draw plots for the comparison of runs, and store them with each candidate's run."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from slipway_core.graph import Graph
from slipway_trainer.features import Features, for_graph, with_shuffled_column
from slipway_trainer.metrics import METRICS
from slipway_trainer.plots import importance_figure
from slipway_trainer.recipes import Recipe
from slipway_trainer.sampling import evenly
from slipway_trainer.step_results import Evaluation, Split
from slipway_trainer.tasks import Figure, Task, task_of
from slipway_trainer.tasks.base import Target
from slipway_trainer.tracked_data import TrackedRuns
from slipway_trainer.tracking import Tracker

IMPORTANCE_REPEATS = 3
# Enough rows to rank features; more would only take longer.
IMPORTANCE_ROWS = 2_000
# At least this many rows of each class, because a metric may be undefined without a rare class.
IMPORTANCE_ROWS_A_CLASS = 50


def report(
    recipe: Recipe,
    evaluations: tuple[Evaluation, ...],
    best: Evaluation,
    split: Split,
    *,
    tracker: Tracker,
    runs: TrackedRuns,
) -> None:
    """Log every candidate's figures with its run, and those of the best candidate with the training's run, too.

    Raises:
        RegistryError: the server rejected a call or failed.
    """
    for evaluation in evaluations:
        candidate = evaluation.fitted.candidate.name
        figures = tuple(figures_of(recipe, evaluation, split))
        tracker.log_figures(runs.candidates[candidate], figures)
        if evaluation is best:
            tracker.log_figures(runs.parent, figures)


def figures_of(recipe: Recipe, evaluation: Evaluation, split: Split) -> Iterator[Figure]:
    """Draw a candidate's figures, on the test rows."""
    task, rows = task_of(recipe), len(split.test_target)
    title = f"{recipe.name}, {evaluation.fitted.candidate.name}: {rows:,} held-out rows of {recipe.data_file}"
    yield from task.figures(evaluation.outputs, split.test_target, title)
    yield _importance(recipe, task, evaluation, split, title)


def _importance(recipe: Recipe, task: Task, evaluation: Evaluation, split: Split, title: str) -> Figure:
    """Shuffle one feature after the other and measure the graph's loss (L. Breiman, Random Forests, 2001).

    scikit-learn's function supports only estimators, but the API serves the graph.
    """
    graph = Graph(evaluation.model, evaluation.names)
    taken = _taken(recipe, split.test_target)
    rows, target = split.test_features[taken], split.test_target[taken]
    random = np.random.default_rng(recipe.seed)

    def score(features: Features) -> float:
        return METRICS[recipe.metric].signed(task.score(graph.run(for_graph(features)), target)[recipe.metric])

    def loss(index: int) -> float:
        return whole - score(with_shuffled_column(rows, recipe.columns[index], index, random))

    whole = score(rows)
    losses = np.array([[loss(column) for _ in range(IMPORTANCE_REPEATS)] for column in range(len(recipe.columns))])
    figure, data = importance_figure(
        losses.mean(axis=1), losses.std(axis=1), recipe.feature_names, recipe.metric, title
    )
    return Figure("feature_importance", figure, data)


def _taken(recipe: Recipe, target: Target) -> NDArray[np.int64]:
    """Return the indices of evenly spaced rows, in which each class keeps its share or has at least a few rows."""
    taken = evenly(len(target), IMPORTANCE_ROWS)
    for label in range(len(recipe.classes)):
        members = np.flatnonzero(target == label)
        if np.count_nonzero(target[taken] == label) < IMPORTANCE_ROWS_A_CLASS:
            taken = np.union1d(taken, members[evenly(len(members), IMPORTANCE_ROWS_A_CLASS)])
    return taken
