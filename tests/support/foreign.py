"""Models that a program other than Slipway logs to MLflow, and their own predictions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import mlflow
import mlflow.lightgbm
import mlflow.onnx
import mlflow.sklearn
import mlflow.xgboost
import numpy as np
import pandas as pd
from lightgbm import Dataset, LGBMClassifier, LGBMRegressor
from lightgbm import train as train_lightgbm
from mlflow.models import infer_signature
from palmerpenguins import load_penguins
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from xgboost import DMatrix, XGBClassifier
from xgboost import train as train_xgboost

MEASURES = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]
TEXTS = ["island", "sex"]
LGBM: Mapping[str, Any] = {"n_estimators": 15, "n_jobs": 1, "verbose": -1, "min_child_samples": 5}
XGB: Mapping[str, Any] = {"n_estimators": 15, "n_jobs": 1}


@dataclass(frozen=True)
class Foreign:
    """A model of another program.

    Attributes:
        flavor: MLflow's module of its flavor.
        model: the model, as that module logs it.
        rows: the rows that it was trained on.
        target: (n_rows,) the true values.
        predict: its own predictions for rows: labels or values.
        probabilities: its own probabilities; None for a regressor.
        logged: more arguments of `log_model`.
        has_signature: whether it is logged with a signature.
        options: options of `slipway register`.
        with_data: whether `slipway register` gets the rows.
    """

    flavor: Any
    model: Any
    rows: pd.DataFrame
    target: "pd.Series[Any]"
    predict: Callable[[pd.DataFrame], Any]
    probabilities: Callable[[pd.DataFrame], Any] | None = None
    logged: Mapping[str, Any] = field(default_factory=dict)
    has_signature: bool = True
    options: tuple[str, ...] = ()
    with_data: bool = True

    def log(self, uri: str, name: str) -> str:
        """Log and register it by plain MLflow code, and return the id of the run."""
        mlflow.set_tracking_uri(uri)
        signature = infer_signature(self.rows, self.predict(self.rows.head())) if self.has_signature else None
        with mlflow.start_run() as run:
            self.flavor.log_model(
                self.model,
                name="model",
                registered_model_name=name,
                signature=signature,
                pip_requirements=[],
                **self.logged,
            )
        return str(run.info.run_id)


@cache
def penguins() -> pd.DataFrame:
    """Return the penguins: text, numbers with gaps, and the species."""
    frame = load_penguins()[["island", "sex", *MEASURES, "species"]]
    return frame.astype(dict.fromkeys(("island", "sex", "species"), object)).reset_index(drop=True)


@cache
def iris() -> pd.DataFrame:
    """Return the measurements of iris, with the spaces and brackets of their names, and the class 0, 1 or 2."""
    return load_iris(as_frame=True).frame


@cache
def diabetes() -> pd.DataFrame:
    """Return ten numbers and a value."""
    return load_diabetes(as_frame=True, scaled=False).frame


def estimator(fitted: Any, rows: pd.DataFrame, target: "pd.Series[Any]", flavor: Any, **more: Any) -> Foreign:
    """Return a fitted estimator of scikit-learn's interface."""
    probabilities = getattr(fitted, "predict_proba", None)
    return Foreign(flavor, fitted, rows, target, fitted.predict, probabilities, **more)


def integer_labels() -> Foreign:
    rows, target = iris().iloc[:, :4], iris()["target"] + 1
    return estimator(LogisticRegression(max_iter=500).fit(rows, target), rows, target, mlflow.sklearn)


def pickle_without_signature() -> Foreign:
    known = penguins().dropna().reset_index(drop=True)
    rows, target = known[MEASURES], known["sex"].map({"male": "yes", "female": "no"})
    fitted = RandomForestClassifier(10, random_state=0).fit(rows, target)
    return estimator(
        fitted,
        rows,
        target,
        mlflow.sklearn,
        logged={"serialization_format": "cloudpickle"},
        has_signature=False,
        options=("--trust",),
    )


def encoded(model: Any) -> Any:
    """Return a pipeline that takes text and missing values."""
    text = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    return make_pipeline(ColumnTransformer([("text", text, TEXTS), ("numbers", numbers, MEASURES)]), model)


def text_and_missing_values() -> Foreign:
    rows, target = penguins()[TEXTS + MEASURES], penguins()["species"]
    fitted = encoded(LogisticRegression(max_iter=500)).fit(rows, target)
    return estimator(fitted, rows, target, mlflow.sklearn, logged={"skops_trusted_types": ["numpy.dtype"]})


def regressor_without_data() -> Foreign:
    rows, target = diabetes().drop(columns="target"), diabetes()["target"]
    fitted = make_pipeline(StandardScaler(), Ridge()).fit(rows, target)
    return estimator(fitted, rows, target, mlflow.sklearn, with_data=False)


def boolean_labels() -> Foreign:
    rows, target = iris().iloc[:, :4], iris()["target"] == 2
    return estimator(
        DecisionTreeClassifier(max_depth=3).fit(rows, target),
        rows,
        target,
        mlflow.sklearn,
        logged={"skops_trusted_types": ["sklearn.tree._tree.Tree"]},
        options=("--trust",),
    )


def xgboost_classifier() -> Foreign:
    rows, target = penguins()[MEASURES], penguins()["species"].map({"Adelie": 0, "Chinstrap": 1, "Gentoo": 2})
    return estimator(XGBClassifier(**XGB).fit(rows, target), rows, target, mlflow.xgboost)


def xgboost_booster() -> Foreign:
    rows, target = iris().iloc[:, :4], (iris()["target"] == 1).astype(int)
    booster = train_xgboost({"objective": "binary:logistic", "nthread": 1}, DMatrix(rows, label=target), 10)

    def probabilities(given: pd.DataFrame) -> Any:
        positive = booster.predict(DMatrix(given))
        return np.stack([1 - positive, positive], axis=1)

    return Foreign(
        mlflow.xgboost, booster, rows, target, lambda given: probabilities(given).argmax(axis=1), probabilities
    )


def lightgbm_regressor() -> Foreign:
    rows, target = diabetes().drop(columns="target"), diabetes()["target"]
    return estimator(
        LGBMRegressor(**LGBM).fit(rows, target),
        rows,
        target,
        mlflow.lightgbm,
        options=("--trust",),
        logged={"serialization_format": "cloudpickle"},
    )


def lightgbm_text_labels() -> Foreign:
    rows, target = iris().iloc[:, :4], iris()["target"].map({0: "setosa", 1: "versicolor", 2: "virginica"})
    return estimator(
        LGBMClassifier(**LGBM).fit(rows, target),
        rows,
        target,
        mlflow.lightgbm,
        options=("--trust",),
        logged={"serialization_format": "cloudpickle"},
    )


def lightgbm_booster() -> Foreign:
    rows, target = penguins()[MEASURES], penguins()["species"].map({"Adelie": 0, "Chinstrap": 1, "Gentoo": 2})
    parameters = {"objective": "multiclass", "num_class": 3, "verbose": -1, "num_threads": 1}
    booster = train_lightgbm(parameters, Dataset(rows, label=target), 10)
    return Foreign(
        mlflow.lightgbm, booster, rows, target, lambda given: booster.predict(given).argmax(axis=1), booster.predict
    )


def onnx_with_zipmap() -> Foreign:
    rows, target = iris().iloc[:, :4], iris()["target"].map({0: "no", 1: "yes", 2: "maybe"})
    fitted = RandomForestClassifier(10, random_state=0).fit(rows.to_numpy(), target)
    graph = to_onnx(fitted, initial_types=[("X", FloatTensorType([None, 4]))])
    return Foreign(
        mlflow.onnx,
        graph,
        rows.astype("float32"),
        target,
        lambda given: fitted.predict(given.to_numpy()),
        lambda given: fitted.predict_proba(given.to_numpy()),
        logged={"save_as_external_data": False},
    )


def onnx_by_column() -> Foreign:
    known = penguins().dropna().reset_index(drop=True)
    rows, target = known[["island", *MEASURES]], known["species"]
    encode = ColumnTransformer(
        [("text", OneHotEncoder(handle_unknown="ignore"), ["island"]), ("numbers", StandardScaler(), MEASURES)]
    )
    fitted = make_pipeline(encode, LogisticRegression(max_iter=500)).fit(rows, target)
    types: list[tuple[str, Any]] = [("island", StringTensorType([None, 1]))]
    graph = to_onnx(fitted, initial_types=types + [(name, FloatTensorType([None, 1])) for name in MEASURES])
    return Foreign(
        mlflow.onnx,
        graph,
        rows,
        target,
        fitted.predict,
        fitted.predict_proba,
        logged={"save_as_external_data": False},
    )


def onnx_of_doubles() -> Foreign:
    rows, target = diabetes().drop(columns="target") * 1e6, diabetes()["target"]
    fitted = make_pipeline(StandardScaler(), Ridge()).fit(rows.to_numpy(), target)
    graph = to_onnx(fitted, initial_types=[("X", DoubleTensorType([None, rows.shape[1]]))])
    return Foreign(
        mlflow.onnx,
        graph,
        rows,
        target,
        lambda given: fitted.predict(given.to_numpy()),
        logged={"save_as_external_data": False},
    )


CASES: Mapping[str, Callable[[], Foreign]] = {
    "sklearn-integer-labels": integer_labels,
    "sklearn-pickle-without-signature": pickle_without_signature,
    "sklearn-text-and-missing-values": text_and_missing_values,
    "sklearn-regressor-without-data": regressor_without_data,
    "sklearn-boolean-labels": boolean_labels,
    "xgboost-classifier": xgboost_classifier,
    "xgboost-booster": xgboost_booster,
    "lightgbm-regressor": lightgbm_regressor,
    "lightgbm-text-labels": lightgbm_text_labels,
    "lightgbm-booster": lightgbm_booster,
    "onnx-with-zipmap": onnx_with_zipmap,
    "onnx-by-column": onnx_by_column,
    "onnx-of-doubles": onnx_of_doubles,
}
