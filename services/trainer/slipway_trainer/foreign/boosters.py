"""Give native boosters of XGBoost and LightGBM the interface of scikit-learn, which the converters require."""

import json
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.preprocessing import LabelEncoder

from slipway_trainer.errors import ForeignModelError
from slipway_trainer.nested import nested

_BINARY = 2


class NativeBooster:
    """A native booster: predictions by the booster itself, and an estimator for the conversion.

    Attributes:
        estimator: the same trees with scikit-learn's interface.
        n_classes: the number of classes; 0 for a regressor.
        feature_names: the names of the features; None if the booster has none.
        n_features: the number of features.
    """

    def __init__(self, booster: Any, estimator: Any, n_classes: int, names: list[str] | None, width: int) -> None:  # noqa: ANN401
        self._booster = booster
        self.estimator = estimator
        self.n_classes = n_classes
        self.feature_names = names
        self.n_features = width

    def predict(self, rows: pd.DataFrame) -> NDArray[np.float64]:
        """Return what the booster returns: values, or (n_rows, n_classes) probabilities."""
        given: Any = rows
        if type(self._booster).__module__.startswith("xgboost"):
            import xgboost  # noqa: PLC0415  # an optional library

            given = xgboost.DMatrix(rows if self.feature_names else rows.to_numpy())
        found = np.asarray(self._booster.predict(given), dtype=np.float64)
        if self.n_classes == _BINARY and found.ndim == 1:
            return np.stack([1 - found, found], axis=1)
        return found


def check_categories(uri: str, estimator: Any) -> None:  # noqa: ANN401  # estimators have no common type
    """Raise ForeignModelError if a model splits columns of pandas' type `category` itself.

    Args:
        uri: the model's address, for messages.
        estimator: a fitted estimator or pipeline.
    """
    for one in nested(estimator):
        kind = type(one).__name__
        if not (kind.startswith(("LGBM", "XGB")) and one.__sklearn_is_fitted__()):
            continue  # another estimator, or the template of a fitted one
        if one.booster_.pandas_categorical if kind[0] == "L" else "c" in (one.get_booster().feature_types or ()):
            raise ForeignModelError(
                f"the {kind} in {uri} was trained on columns of the type category, which a graph does not take; encode "
                "them before, with OneHotEncoder or OrdinalEncoder in a ColumnTransformer"
            )


def from_xgboost_booster(booster: Any) -> NativeBooster:  # noqa: ANN401  # an optional library
    """Wrap a booster of XGBoost.

    Raises:
        ForeignModelError: its objective is not supported.
    """
    import xgboost  # noqa: PLC0415

    learner = json.loads(booster.save_config())["learner"]
    objective = str(learner["objective"]["name"])
    n_classes = 0
    if objective == "binary:logistic":
        n_classes = _BINARY
    elif objective == "multi:softprob":
        n_classes = int(learner["learner_model_param"]["num_class"])
    elif not objective.startswith(("reg:", "count:")):
        raise ForeignModelError(
            f"the booster has the objective {objective}, and Slipway converts binary:logistic, multi:softprob, reg:… "
            "and count:…; train it with one of these, or export it to ONNX, and pass the file with --onnx"
        )
    estimator = xgboost.XGBClassifier() if n_classes else xgboost.XGBRegressor()
    estimator.load_model(bytearray(booster.save_raw("ubj")))
    return NativeBooster(booster, estimator, n_classes, booster.feature_names, int(booster.num_features()))


def from_lightgbm_booster(booster: Any) -> NativeBooster:  # noqa: ANN401  # an optional library
    """Wrap a booster of LightGBM.

    Raises:
        ForeignModelError: its objective is not supported.
    """
    import lightgbm  # noqa: PLC0415

    dumped = booster.dump_model()
    objective = str(dumped.get("objective", "none")).split()[0]
    n_classes = 0
    if objective == "binary":
        n_classes = _BINARY
    elif objective == "multiclass":
        n_classes = int(dumped["num_class"])
    elif not objective.startswith(("regression", "poisson", "gamma", "quantile", "huber", "tweedie")):
        raise ForeignModelError(
            f"the booster has the objective {objective}, and Slipway converts binary, multiclass and those of "
            "regression; train it with one of these, or export it to ONNX, and pass the file with --onnx"
        )
    names = [str(name) for name in booster.feature_name()]
    estimator = lightgbm.LGBMClassifier() if n_classes else lightgbm.LGBMRegressor()
    # LightGBM has no public way to make an estimator of a booster.
    estimator._Booster = booster  # noqa: SLF001
    estimator._n_features = estimator._n_features_in = len(names)  # noqa: SLF001
    estimator._objective = objective  # noqa: SLF001
    estimator.fitted_ = True
    if n_classes:
        estimator._classes, estimator._n_classes = np.arange(n_classes), n_classes  # noqa: SLF001
        estimator._le = LabelEncoder().fit(np.arange(n_classes))  # noqa: SLF001
    has_names = names != [f"Column_{index}" for index in range(len(names))]
    return NativeBooster(booster, estimator, n_classes, names if has_names else None, len(names))
