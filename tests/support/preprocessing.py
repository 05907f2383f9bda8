"""Estimators behind an encoder of text and codes, and an imputer of numbers, for the columns of `combinations`."""

from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)

from support.combinations import CODES, NUMBERS, TEXTS

PASS = "passthrough"
LINEAR = LogisticRegression(max_iter=500)
FOREST = RandomForestClassifier(10, random_state=0)
VALUES = RandomForestRegressor(10, random_state=0)
HIST = HistGradientBoostingClassifier(max_iter=10)
XGB: dict[str, Any] = {"n_estimators": 15, "n_jobs": 1}
LGBM: dict[str, Any] = {"n_estimators": 15, "n_jobs": 1, "verbose": -1}
BINS = KBinsDiscretizer(3, encode="onehot-dense", quantile_method="averaged_inverted_cdf")


def one_hot(**options: Any) -> OneHotEncoder:
    return OneHotEncoder(**{"handle_unknown": "ignore", "sparse_output": False, **options})


def ordinal(**options: Any) -> OrdinalEncoder:
    return OrdinalEncoder(handle_unknown="use_encoded_value", **{"unknown_value": -1, **options})


def imputed(*scalers: Any, **options: Any) -> Any:
    return make_pipeline(SimpleImputer(**options), *scalers)


def on(
    estimator: Any,
    encoder: Any = None,
    numbers: Any = None,
    *,
    texts: Any = (*TEXTS, *CODES),
    more: Any = (),
    **options: Any,
) -> Any:
    """Return a pipeline that encodes text and codes, and imputes and scales numbers, before the estimator."""
    parts = [
        ("encoded", one_hot() if encoder is None else encoder, list(texts)),
        ("numbers", imputed(StandardScaler()) if numbers is None else numbers, NUMBERS),
        *more,
    ]
    return make_pipeline(ColumnTransformer(parts, **options), estimator)


def pair(first: Any, second: Any) -> list[tuple[str, Any]]:
    return [("first", first), ("second", second)]
