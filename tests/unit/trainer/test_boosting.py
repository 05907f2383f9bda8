"""XGBoost and LightGBM: their graphs equal them at each threshold and for missing values."""

import sys
from typing import Any

import numpy as np
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from xgboost import XGBClassifier, XGBRegressor

from slipway_core.graph import Graph
from slipway_core.rows import FloatMatrix
from slipway_trainer.boosting import round_down
from slipway_trainer.errors import TrainingError
from slipway_trainer.export import export, graph_names
from slipway_trainer.recipes import Column

WIDTH = 3
COLUMNS = tuple(Column(name=f"f{index}") for index in (2, 0, 1))
XGB: dict[str, Any] = {"n_estimators": 20, "n_jobs": 1}
LGBM: dict[str, Any] = {**XGB, "verbose": -1}
MODELS: dict[str, Any] = {
    "XGBoost classes": XGBClassifier(**XGB),
    "XGBoost values": XGBRegressor(**XGB),
    "LightGBM classes": LGBMClassifier(**LGBM),
    "LightGBM values": LGBMRegressor(**LGBM),
}
EVERY_MODEL = pytest.mark.parametrize("name", MODELS)
# LightGBM reports names that a matrix does not have.
pytestmark = pytest.mark.filterwarnings("ignore:X does not have valid feature names")


def fitted(name: str, share_missing: float) -> Any:
    """Fit a model on rows of which a share of values is missing."""
    random = np.random.default_rng(3)
    rows = random.normal(size=(400, WIDTH)).astype(np.float32)
    value = rows[:, 0] * 2 + rows[:, 1] ** 2 + random.normal(0, 0.1, 400)
    rows[random.random(rows.shape) < share_missing] = np.nan
    target = np.digitize(value, [-1, 1]) if "classes" in name else value
    return MODELS[name].fit(rows, target)


def thresholds_of(model: Any) -> np.ndarray[Any, Any]:
    if hasattr(model, "booster_"):
        found = model.booster_.trees_to_dataframe()["threshold"]
    else:
        found = model.get_booster().trees_to_dataframe()["Split"]
    values: np.ndarray[Any, Any] = found.dropna().to_numpy(dtype=np.float64)
    return values


def check_equal(model: Any, rows: FloatMatrix) -> None:
    content = export(model, COLUMNS, {"zipmap": False} if hasattr(model, "classes_") else {})
    outputs = Graph(content, graph_names(content)).run(rows)
    if outputs.scores is None:
        assert np.allclose(outputs.prediction, model.predict(rows), rtol=1e-5, atol=1e-5)
    else:
        assert np.abs(outputs.scores - model.predict_proba(rows)).max() <= 1e-5


@EVERY_MODEL
def test_graph_equals_model_at_and_near_each_threshold(name: str) -> None:
    model = fitted(name, 0.0)
    thresholds = np.unique(thresholds_of(model))
    with np.errstate(over="ignore"):
        nearest = thresholds.astype(np.float32)
    near = [np.nextafter(nearest, np.float32(end)) for end in (-np.inf, np.inf)]
    values = np.concatenate([nearest, *near])
    values = values[np.isfinite(values)]
    random = np.random.default_rng(4)

    rows = random.choice(values, size=(4_000, WIDTH)).astype(np.float32)

    assert len(values) > 50
    check_equal(model, rows)


@EVERY_MODEL
@pytest.mark.parametrize("share_missing", [0.0, 0.2])
def test_graph_equals_model_for_missing_values(name: str, share_missing: float) -> None:
    model = fitted(name, share_missing)
    random = np.random.default_rng(5)
    rows = random.normal(size=(2_000, WIDTH)).astype(np.float32)
    rows[random.random(rows.shape) < 0.3] = np.nan

    check_equal(model, rows)


def test_thresholds_beyond_float32_let_every_number_pass() -> None:
    rounded = round_down(np.array([1.7e308, -1.7e308]))

    assert rounded[0] == np.finfo(np.float32).max
    assert rounded[1] == -np.inf


def test_missing_onnxmltools_is_reported_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    model = fitted("XGBoost values", 0.0)
    monkeypatch.setitem(sys.modules, "onnxmltools.convert.xgboost.operator_converters.XGBoost", None)

    with pytest.raises(TrainingError, match=r"xgboost cannot be exported .* pip install 'slipway\[boosting\]'"):
        export(model, COLUMNS, {})
