"""Parity: the graph of every candidate equals its estimator, also at the edges of its trees and bins."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from slipway_core.graph import Graph
from slipway_core.rows import FloatMatrix
from slipway_trainer.export import export, graph_names, round_to_float32
from slipway_trainer.recipes import Column, Recipe
from slipway_trainer.steps.evaluate import check_parity
from slipway_trainer.tasks import task_of
from support import bike, iris
from support.bike import BIKE, trained_bike
from support.iris import IRIS, trained_iris

EVERY_CANDIDATE = pytest.mark.parametrize(
    ("recipe", "name"),
    [(IRIS.name, name) for name in iris.CANDIDATES] + [(BIKE.name, name) for name in bike.CANDIDATES],
)
TREES = pytest.mark.parametrize(
    ("recipe", "name"),
    [
        (IRIS.name, "random-forest"),
        (IRIS.name, "gradient-boosting"),
        (BIKE.name, "random-forest"),
        (BIKE.name, "hist-gradient-boosting"),
    ],
)
TINY = (0.0, -0.0, 1e-45, -1e-45, 1.1754944e-38, 1e-30, -1e-20)
HUGE = (3.4028235e38, -3.4028235e38, 1e30, -1e30, 1e10, -1e10, 65_504.0, -1e5)

CHOICES = st.integers(min_value=0, max_value=2**16)
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


def rows_of_cells(cell: st.SearchStrategy[Any], width: int) -> st.SearchStrategy[list[list[Any]]]:
    """Return some rows of so many cells."""
    return st.lists(st.lists(cell, min_size=width, max_size=width), min_size=1, max_size=6)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Limit histograms to one thread: theirs wait for one another in a loop, for minutes where a core is busy."""
    with threadpool_limits(1):
        yield


class Pair:
    """A fitted candidate and its graph, with the values that its rows may be made of.

    Attributes:
        values: for each feature, values of the training rows, and each threshold of the estimator with both of its
            float32 neighbours.
    """

    def __init__(self, recipe: Recipe, name: str) -> None:
        trained = trained_iris() if recipe is IRIS else trained_bike()
        evaluation = trained.evaluations[name]
        self.rows = trained.split.train_features
        self.width = self.rows.shape[1]
        self._estimator = evaluation.fitted.estimator
        self._task, self._scale = task_of(recipe), trained.split.target_scale
        self._graph = Graph(evaluation.model, evaluation.names)
        thresholds: list[list[float]] = [[] for _ in range(self.width)]
        for column, threshold in thresholds_of(self._estimator, range(self.width)):
            thresholds[column].append(threshold)
        self.values = [
            np.unique(np.concatenate([with_neighbours(found), self.rows[:, column]]))
            for column, found in enumerate(thresholds)
        ]
        self.n_thresholds = sum(map(len, thresholds))

    def check(self, rows: FloatMatrix) -> float:
        """Return the greatest difference in units of the tolerance; fail if it is more than 1."""
        return check_parity(self._task, self._estimator, self._graph, rows, self._scale)

    def rows_of(self, cells: Sequence[Sequence[int | float]]) -> FloatMatrix:
        """Return rows of cells, of which a whole number chooses one of its feature's values."""
        return np.array(
            [
                [
                    values[cell % len(values)] if isinstance(cell, int) else cell
                    for values, cell in zip(self.values, row, strict=True)
                ]
                for row in cells
            ],
            dtype=np.float32,
        )


def thresholds_of(estimator: Any, columns: Sequence[int]) -> Iterator[tuple[int, float]]:
    """Yield the column and the value of each place where an estimator parts its rows."""
    if isinstance(estimator, Pipeline):
        for _, step in estimator.steps:
            yield from thresholds_of(step, columns)
    elif isinstance(estimator, ColumnTransformer):
        for _, step, chosen in estimator.transformers_:
            yield from thresholds_of(step, [columns[index] for index in chosen])
    elif hasattr(estimator, "bin_edges_"):
        for column, edges in zip(columns, estimator.bin_edges_, strict=True):
            yield from ((column, edge) for edge in edges)
    elif hasattr(estimator, "_predictors"):
        for predictor in (predictor for stage in estimator._predictors for predictor in stage):
            nodes = predictor.nodes[predictor.nodes["is_leaf"] == 0]
            yield from zip(nodes["feature_idx"].tolist(), nodes["num_threshold"].tolist(), strict=True)
    elif hasattr(estimator, "estimators_"):
        for tree in (tree.tree_ for tree in np.ravel(estimator.estimators_)):
            inner = tree.feature >= 0
            yield from zip(tree.feature[inner].tolist(), tree.threshold[inner].tolist(), strict=True)


def with_neighbours(values: Sequence[float]) -> FloatMatrix:
    """Return values as float32, each with the next one above and below."""
    nearest = np.array(values, dtype=np.float32)
    ends = (np.float32(-np.inf), np.float32(np.inf))
    return np.concatenate([nearest, *(np.nextafter(nearest, end) for end in ends)])


@functools.cache
def pair_of(recipe: str, name: str) -> Pair:
    """Return the pair of a candidate, made once."""
    return Pair(IRIS if recipe == IRIS.name else BIKE, name)


@EVERY_CANDIDATE
def test_graph_equals_estimator_beyond_the_training_range(recipe: str, name: str) -> None:
    pair = pair_of(recipe, name)
    low, high = pair.rows.min(axis=0), pair.rows.max(axis=0)
    margin = (high - low) / 2
    draw = np.random.default_rng(2026).uniform(low - margin, high + margin, size=(1_000, pair.width))

    assert pair.check(draw.astype(np.float32)) <= 1


@EVERY_CANDIDATE
def test_graph_equals_estimator_at_and_near_each_threshold(recipe: str, name: str) -> None:
    pair = pair_of(recipe, name)
    random = np.random.default_rng(2026)

    for column, values in enumerate(pair.values):
        rows = pair.rows[random.integers(0, len(pair.rows), len(values))]
        rows[:, column] = values
        assert pair.check(rows) <= 1


@TREES
def test_thresholds_that_are_tried_are_those_of_estimator(recipe: str, name: str) -> None:
    assert pair_of(recipe, name).n_thresholds > 30


def test_the_edges_of_the_bins_are_tried_too() -> None:
    # 24 hours, 12 months, 7 days and 4 kinds of weather, one edge more than bins each.
    assert pair_of(BIKE.name, "linear-regression").n_thresholds >= 25 + 13 + 8 + 4


@pytest.mark.slow
@EVERY_CANDIDATE
@settings(max_examples=25)
@given(data=st.data())
def test_graph_equals_its_estimator_on_rows_of_nothing_but_edges(recipe: str, name: str, data: st.DataObject) -> None:
    pair = pair_of(recipe, name)

    cells = data.draw(rows_of_cells(CHOICES | st.sampled_from(TINY), pair.width))

    assert pair.check(pair.rows_of(cells)) <= 1


@pytest.mark.slow
@TREES
@settings(max_examples=25)
@given(data=st.data())
def test_a_graph_of_trees_equals_its_estimator_on_any_finite_row(recipe: str, name: str, data: st.DataObject) -> None:
    # Not the linear ones: so far out their sums of float32 cancel out, and the estimators themselves overflow.
    pair = pair_of(recipe, name)

    cells = data.draw(rows_of_cells(CHOICES | FINITE | st.sampled_from((*TINY, *HUGE)), pair.width))

    assert pair.check(pair.rows_of(cells)) <= 1


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("model", [HistGradientBoostingClassifier, GradientBoostingClassifier])
def test_boosted_classifiers_equal_their_graphs(model: Any, n_classes: int) -> None:
    random = np.random.default_rng(5)
    rows = random.normal(size=(400, 3)).astype(np.float32)
    target = np.digitize(rows[:, 0] + rows[:, 1] ** 2, [0.7, 1.6][: n_classes - 1])
    fewer = {"max_iter": 12} if model is HistGradientBoostingClassifier else {"n_estimators": 12}
    with threadpool_limits(1):
        estimator = model(**fewer, random_state=0).fit(rows, target)
    round_to_float32(estimator)
    recipe = IRIS.model_copy(update={"classes": IRIS.classes[:n_classes]})
    task = task_of(recipe)

    model = export(estimator, [Column(name=name) for name in "abc"], task.export_options)
    graph = Graph(model, graph_names(model))

    edges = [[threshold for at, threshold in thresholds_of(estimator, range(3)) if at == c] for c in range(3)]
    at_edges = np.stack([random.choice(with_neighbours(values or [0.0]), 1_000) for values in edges], axis=1)
    assert check_parity(task, estimator, graph, np.concatenate([rows, at_edges]), 1.0) <= 1


def test_unrounded_thresholds_change_a_row_at_an_edge() -> None:
    # The reason for `round_to_float32`: it must not become idle.
    rows = np.array([[np.float32(0.1)], [np.nextafter(np.float32(0.1), np.float32(1))]] * 40)
    target = np.tile([0, 1], 40)
    with threadpool_limits(1):
        estimator = HistGradientBoostingClassifier(max_iter=1, min_samples_leaf=1).fit(rows, target)
    task = task_of(IRIS.model_copy(update={"classes": ("low", "high")}))
    before = estimator.predict_proba(rows)

    round_to_float32(estimator)

    assert np.array_equal(estimator.predict_proba(rows), before)
    model = export(estimator, [Column(name="a")], task.export_options)
    graph = Graph(model, graph_names(model))
    assert check_parity(task, estimator, graph, rows, 1.0) <= 1
