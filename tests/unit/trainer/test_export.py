"""Export: the graph answers as its estimator does, and a pair that does not is refused."""

from dataclasses import dataclass

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from slipway_core.bundle import GraphNames
from slipway_core.graph import Graph
from slipway_core.signature import FloatMatrix
from slipway_trainer.errors import ParityError
from slipway_trainer.export import CLASSIFIER_NAMES, OPSET, PARITY_TOLERANCE, check_parity, export_classifier
from support.bundles import NAMES, linear_classifier, regressor
from support.iris import CANDIDATES, trained_iris

ROWS = np.array([[5.1, 3.5, 1.4, 0.2], [6.0, 2.7, 4.2, 1.3], [6.7, 3.0, 5.2, 2.3]], dtype=np.float32)
EVERY_CANDIDATE = pytest.mark.parametrize("name", CANDIDATES)


@dataclass
class FakeEstimator:
    """Answers what it was told to answer."""

    probabilities: NDArray[np.float64]
    classes: NDArray[np.int64]

    def predict_proba(self, _rows: FloatMatrix) -> NDArray[np.float64]:
        return self.probabilities

    def predict(self, _rows: FloatMatrix) -> NDArray[np.int64]:
        return self.classes


def agreeing_with(graph: Graph) -> FakeEstimator:
    """Return an estimator that answers what a graph does on ROWS."""
    outputs = graph.run(ROWS)
    assert outputs.scores is not None
    return FakeEstimator(outputs.scores.astype(np.float64), outputs.prediction.astype(np.int64))


@pytest.fixture
def graph() -> Graph:
    """A graph that tells the three species apart."""
    return Graph(linear_classifier(), NAMES)


@EVERY_CANDIDATE
def test_the_graph_equals_its_estimator_over_and_beyond_the_training_range(name: str) -> None:
    evaluation, features = trained_iris().evaluations[name], trained_iris().split.train_features
    low, high = features.min(axis=0), features.max(axis=0)
    draw = np.random.default_rng(2026).uniform(low - (high - low), high + (high - low), size=(1_000, 4))

    difference = check_parity(
        evaluation.fitted.estimator, Graph(evaluation.model, CLASSIFIER_NAMES), draw.astype(np.float32)
    )

    assert 0 <= difference <= PARITY_TOLERANCE


@EVERY_CANDIDATE
def test_the_graph_equals_its_estimator_where_the_trees_part_their_rows(name: str) -> None:
    # Trees part rows half-way between two measures, that is at multiples of 0.05 cm.
    evaluation = trained_iris().evaluations[name]
    steps = np.random.default_rng(2026).integers(0, 160, size=(5_000, 4))

    rows = (steps / 20).astype(np.float32)

    check_parity(evaluation.fitted.estimator, Graph(evaluation.model, CLASSIFIER_NAMES), rows)


@EVERY_CANDIDATE
def test_the_graph_takes_any_number_of_rows_and_gives_plain_tensors(name: str) -> None:
    graph = Graph(trained_iris().evaluations[name].model, CLASSIFIER_NAMES)

    for n_rows in (1, 2, 64):
        outputs = graph.run(np.tile(ROWS[:1], (n_rows, 1)))
        assert outputs.prediction.shape == (n_rows,)
        assert outputs.prediction.dtype == np.int64
        assert outputs.scores is not None
        assert outputs.scores.shape == (n_rows, 3)
        assert outputs.scores.dtype == np.float32


@EVERY_CANDIDATE
def test_the_graph_is_one_file_of_the_opset_that_is_promised(name: str) -> None:
    model = onnx.load_model_from_string(trained_iris().evaluations[name].model)

    onnx.checker.check_model(model)
    assert all(item.version <= OPSET[item.domain] for item in model.opset_import)
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert model.producer_name == "slipway"


def test_the_graph_of_one_estimator_is_refused_with_another() -> None:
    evaluations = trained_iris().evaluations
    graph = Graph(evaluations["logistic-regression"].model, CLASSIFIER_NAMES)

    with pytest.raises(ParityError, match=r"probabilities differ from the estimator's by 0\.\d+, and 1e-05 is allowed"):
        check_parity(evaluations["random-forest"].fitted.estimator, graph, ROWS)


def test_an_estimator_that_was_changed_after_its_export_is_refused() -> None:
    split = trained_iris().split
    estimator = LogisticRegression().fit(split.train_features, split.train_target)
    graph = Graph(export_classifier(estimator, split.train_features), CLASSIFIER_NAMES)
    check_parity(estimator, graph, split.test_features)

    estimator.intercept_ = estimator.intercept_ + 1e-3 * np.array([1.0, 0.0, -1.0])

    with pytest.raises(ParityError, match="probabilities differ"):
        check_parity(estimator, graph, split.test_features)


def test_the_greatest_difference_is_returned(graph: Graph) -> None:
    estimator = agreeing_with(graph)
    estimator.probabilities[1, 2] += PARITY_TOLERANCE / 2

    assert check_parity(estimator, graph, ROWS) == pytest.approx(PARITY_TOLERANCE / 2)


@pytest.mark.parametrize("wrong", [2 * PARITY_TOLERANCE, -2 * PARITY_TOLERANCE, np.nan, np.inf])
def test_one_probability_beyond_the_tolerance_is_enough(graph: Graph, wrong: float) -> None:
    estimator = agreeing_with(graph)
    estimator.probabilities[1, 2] += wrong

    with pytest.raises(ParityError, match="probabilities differ"):
        check_parity(estimator, graph, ROWS)


def test_another_class_is_refused_though_the_probabilities_agree(graph: Graph) -> None:
    estimator = agreeing_with(graph)
    estimator.classes[2] = 0

    with pytest.raises(ParityError, match="disagree on a class"):
        check_parity(estimator, graph, ROWS)


def test_of_two_classes_that_are_equally_likely_either_is_right() -> None:
    tied = Graph(linear_classifier(np.array([1, 1, 0], dtype=np.float32)), NAMES)
    rows = np.zeros((1, 4), dtype=np.float32)
    outputs = tied.run(rows)
    assert outputs.prediction.tolist() == [0]
    assert outputs.scores is not None

    estimator = FakeEstimator(outputs.scores.astype(np.float64), np.array([1]))

    assert check_parity(estimator, tied, rows) == 0


def test_probabilities_of_another_shape_are_refused(graph: Graph) -> None:
    estimator = FakeEstimator(np.full((3, 2), 0.5), np.zeros(3, dtype=np.int64))

    with pytest.raises(ParityError, match="no probabilities of the estimator's shape"):
        check_parity(estimator, graph, ROWS)


def test_a_graph_without_probabilities_is_refused() -> None:
    graph = Graph(regressor(), GraphNames(input="X", label="value"))
    estimator = FakeEstimator(np.full((3, 3), 1 / 3), np.zeros(3, dtype=np.int64))

    with pytest.raises(ParityError, match="no probabilities"):
        check_parity(estimator, graph, ROWS)
