"""Export: a graph of plain tensors in one file, with thresholds rounded to float32."""

import numpy as np
import onnx
import pandas as pd
import pytest
from onnxruntime import InferenceSession
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, StandardScaler
from threadpoolctl import threadpool_limits

from slipway_core.graph import Graph
from slipway_core.onnx_cost import cost_follows_rows
from slipway_core.onnx_model import parse_model
from slipway_trainer.boosting import round_down
from slipway_trainer.errors import TrainingError
from slipway_trainer.export import OPSET, export, round_to_float32
from slipway_trainer.recipes import Column
from slipway_trainer.recipes.iris import RECIPE as IRIS
from support.bike import trained_bike
from support.bundles import NAMES
from support.iris import CANDIDATES, trained_iris

ROWS = np.array([[5.1, 3.5, 1.4, 0.2], [6.0, 2.7, 4.2, 1.3], [6.7, 3.0, 5.2, 2.3]], dtype=np.float32)
EVERY_CANDIDATE = pytest.mark.parametrize("name", CANDIDATES)


@EVERY_CANDIDATE
def test_graph_takes_any_number_of_rows_and_gives_plain_tensors(name: str) -> None:
    graph = Graph(trained_iris().evaluations[name].model, NAMES)

    for n_rows in (1, 2, 64):
        outputs = graph.run(np.tile(ROWS[:1], (n_rows, 1)))
        assert outputs.prediction.shape == (n_rows,)
        assert outputs.prediction.dtype == np.int64
        assert outputs.scores is not None
        assert outputs.scores.shape == (n_rows, 3)
        assert outputs.scores.dtype == np.float32


@EVERY_CANDIDATE
def test_graph_is_one_file_of_the_documented_opset(name: str) -> None:
    model = onnx.load_model_from_string(trained_iris().evaluations[name].model)

    onnx.checker.check_model(model)
    assert all(item.version <= OPSET[item.domain] for item in model.opset_import)
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert model.producer_name == "slipway"


def test_graph_of_a_regressor_gives_one_value_per_row() -> None:
    evaluation = trained_bike().evaluations["hist-gradient-boosting"]
    graph = Graph(evaluation.model, evaluation.names)

    outputs = graph.run(trained_bike().split.test_features)

    assert outputs.prediction.shape == (len(trained_bike().split.test_target),)
    assert outputs.prediction.dtype == np.float32
    assert outputs.scores is None


def test_repeated_export_gives_the_same_bytes() -> None:
    fitted = trained_iris().evaluations["random-forest"].fitted

    first, second = (export(fitted.estimator, IRIS.columns, {"zipmap": False}) for _ in range(2))

    assert first == second == trained_iris().evaluations["random-forest"].model


def test_unconvertible_estimator_is_reported_by_name() -> None:
    class Unknown(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
        """An estimator without a converter in skl2onnx."""

    with pytest.raises(TrainingError, match=r"Unknown cannot be exported to ONNX: Unable to find .* 'Unknown'; "):
        export(Unknown(), IRIS.columns, {})


def test_every_candidate_of_both_recipes_may_run_inline() -> None:
    evaluations = {**trained_iris().evaluations, **trained_bike().evaluations}

    slow = [name for name, one in evaluations.items() if not cost_follows_rows(parse_model(one.model))]

    assert evaluations.keys() >= set(CANDIDATES)
    assert slow == []


@pytest.mark.parametrize("threshold", [0.1, -0.1, 1 / 3, 1e-50, -1e-50, 16_777_217.0, 0.5, 0.0])
def test_rounded_thresholds_separate_float32_rows_alike(threshold: float) -> None:
    values = np.array([threshold])
    nearest = np.float32(threshold)
    rows = np.array([np.nextafter(nearest, np.float32(-np.inf)), nearest, np.nextafter(nearest, np.float32(np.inf))])

    down, up = round_down(values), -round_down(-values)

    assert down == down.astype(np.float32)
    assert np.array_equal(rows <= down, rows.astype(np.float64) <= values)
    assert np.array_equal(rows >= up, rows.astype(np.float64) >= values)


def test_rounding_keeps_predictions_of_float32_rows() -> None:
    rows, target = trained_bike().split.train_features[:, 8:], trained_bike().split.train_target
    with threadpool_limits(1):
        boosted = HistGradientBoostingRegressor(max_iter=5).fit(rows, target)
        pipeline = make_pipeline(KBinsDiscretizer(5, encode="onehot-dense", strategy="uniform"), Ridge())
        pipeline.fit(rows, target)
        before = [estimator.predict(rows) for estimator in (boosted, pipeline)]

        for estimator in (boosted, pipeline):
            round_to_float32(estimator)

        after = [estimator.predict(rows) for estimator in (boosted, pipeline)]
    assert all(np.array_equal(*pair) for pair in zip(before, after, strict=True))


# skl2onnx replaces characters that are not part of an identifier, and its own tensors have names such as `label`.
NAMES_OF_COLUMNS = ("size (cm)", "size__cm_", "X", "label", "probabilities", "Concat", "é", "1")


@pytest.mark.parametrize("kind", ["by column", "as a matrix"])
def test_inputs_have_the_names_of_the_columns(kind: str) -> None:
    names = list(NAMES_OF_COLUMNS)
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(40, len(names))).astype(np.float32), columns=names)
    scaler = StandardScaler() if kind == "as a matrix" else ColumnTransformer([("scale", StandardScaler(), names)])
    estimator = make_pipeline(scaler, LogisticRegression()).fit(frame, frame["X"] > 0)
    columns = [Column(name=name, nullable=True) for name in names]

    session = InferenceSession(export(estimator, columns, {"zipmap": False}))

    assert [port.name for port in session.get_inputs()] == names
    _, scores = session.run(None, {name: frame[[name]].to_numpy() for name in names})
    assert scores == pytest.approx(estimator.predict_proba(frame), abs=1e-6)


@pytest.mark.parametrize("name", ["logistic-regression", "random-forest", "gradient-boosting"])
def test_opsets_are_in_order(name: str) -> None:
    model = onnx.load_from_string(trained_iris().evaluations[name].model)

    domains = [opset.domain for opset in model.opset_import]
    assert domains == sorted(domains)
    assert len(domains) > 1
