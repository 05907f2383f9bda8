"""Models that were logged with plain MLflow code: served, or answered with the command that converts them."""

import uuid
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import httpx
import mlflow
import numpy as np
import pandas as pd
import pytest
from skl2onnx import to_onnx
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from slipway_api.accounts.models import Role
from slipway_core.registry import PRODUCTION
from slipway_core.registry.mlflow import MlflowRegistry
from support.api import RunningApi, make_database, running_api
from support.waiting import wait_for

# MLflow warns of its own types when it first imports its model flavors.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

FRAME = pd.DataFrame(
    {
        "color": ["red", "green", "blue", "green", "red", "blue"] * 10,
        "width": np.random.default_rng(0).normal(size=60),
        "count": np.arange(60) % 7,
    }
)
NUMBERS = FRAME[["width", "count"]].astype(float)
TARGET = np.array(["no", "yes"])[(FRAME["width"] > 0).astype(int)]


class Logged(NamedTuple):
    """An estimator that was logged as ONNX, and its training rows."""

    estimator: BaseEstimator
    rows: pd.DataFrame | np.ndarray


def encoder() -> Any:
    return make_column_transformer((OneHotEncoder(), ["color"]), (StandardScaler(), ["width", "count"]))


MODELS = {
    "mixed": Logged(make_pipeline(encoder(), LogisticRegression()).fit(FRAME, TARGET), FRAME),
    "integers": Logged(RandomForestClassifier(5).fit(NUMBERS, np.digitize(NUMBERS["width"], (-0.3, 0.3)) + 1), NUMBERS),
    "array": Logged(LogisticRegression().fit(NUMBERS.to_numpy(), TARGET), NUMBERS.to_numpy()),
    "values": Logged(LinearRegression().fit(NUMBERS.to_numpy(), FRAME["width"]), NUMBERS.to_numpy()),
}
OTHER_FLAVOR = "sklearn"


@pytest.fixture(scope="module")
def api(mlflow_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningApi, Mapping[str, str]]]:
    """Start an API that serves the models of a real server; they are logged with MLflow's own functions."""
    names = {name: f"{name}-{uuid.uuid4().hex}" for name in (*MODELS, OTHER_FLAVOR)}
    folder = tmp_path_factory.mktemp("foreign")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _log_all(mlflow_url, names)
    settings: dict[str, Any] = {"models": tuple(names.values()), "allow_unverified_models": True}
    database = make_database(folder / "template.db")
    with (
        MlflowRegistry(mlflow_url) as registry,
        running_api(folder / "api", registry, database, ready=False, **settings) as running,
    ):
        models = running.app.state.models
        wait_for(lambda: len(models.served) == len(MODELS), what="the models", seconds=60)
        wait_for(lambda: models.failure(names[OTHER_FLAVOR]) is not None, what="the failure")
        yield running, names


def _log_all(url: str, names: Mapping[str, str]) -> None:
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(url)
    try:
        client = mlflow.MlflowClient()
        for name, logged in MODELS.items():
            mlflow.onnx.log_model(
                # A forest takes one matrix, whose columns only the signature names.
                to_onnx(logged.estimator, (logged.rows if name == "mixed" else np.asarray(logged.rows))[:1]),
                name="model",
                registered_model_name=names[name],
                signature=mlflow.models.infer_signature(logged.rows),
                pip_requirements=["onnx"],
                save_as_external_data=False,
            )
        estimator = MODELS["values"].estimator
        mlflow.sklearn.log_model(
            estimator, name="model", registered_model_name=names[OTHER_FLAVOR], pip_requirements=["scikit-learn"]
        )
        for name in names.values():
            client.set_registered_model_alias(name, PRODUCTION, "1")
    finally:
        mlflow.set_tracking_uri(before)


@pytest.mark.parametrize("name", MODELS)
def test_graph_logged_with_mlflow_predicts_like_its_estimator(
    api: tuple[RunningApi, Mapping[str, str]], name: str
) -> None:
    running, names = api
    estimator, rows = MODELS[name]
    values = rows.tolist() if isinstance(rows, np.ndarray) else rows.to_dict(orient="records")

    native = running.post(f"/models/{names[name]}/predict", role=Role.USER, json={"features": values}).json()
    scored = running.post(f"/v1/models/{names[name]}:predict", role=Role.USER, json={"instances": values}).json()

    expected = estimator.predict(rows).tolist()
    if name == "values":
        assert native["prediction"] == scored["predictions"] == pytest.approx(expected)
        return
    assert scored["predictions"] == expected
    assert native["label"] == [str(label) for label in expected]
    assert np.allclose(native["probabilities"], estimator.predict_proba(rows), atol=1e-5)
    assert np.array(native["probabilities"]).argmax(axis=1).tolist() == native["prediction"]


def test_answer_for_another_flavor_names_the_command(api: tuple[RunningApi, Mapping[str, str]]) -> None:
    running, names = api
    name = names[OTHER_FLAVOR]

    answers: list[httpx.Response] = [
        running.post(f"/models/{name}/predict", role=Role.USER, json={"features": [1, 2]}),
        running.get(f"/models/{name}", role=Role.VIEWER),
    ]

    for answer in answers:
        assert answer.status_code == 503
        assert f"`slipway register {name} --model models:/{name}/1 --trust`" in answer.json()["detail"]
