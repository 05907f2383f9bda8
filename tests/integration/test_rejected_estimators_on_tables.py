"""Estimators that cannot be served on tables: the training ends with the reason and an alternative."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import KNNImputer
from sklearn.linear_model import Ridge
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    QuantileTransformer,
    SplineTransformer,
    TargetEncoder,
)
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits
from xgboost import XGBClassifier, XGBRegressor

from slipway_trainer.errors import ParityError, TrainingError
from support.combinations import TEXTS, recipe_of, trained_on_orders
from support.preprocessing import (
    FOREST,
    LGBM,
    LINEAR,
    PASS,
    VALUES,
    XGB,
    imputed,
    on,
    one_hot,
    ordinal,
    pair,
)

# Fits as short as these do not all converge; scikit-learn 1.9 deprecates arguments of SVC and TargetEncoder.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

NATIVE = HistGradientBoostingClassifier(max_iter=5, categorical_features=[0, 1, 2])
# The estimator, the target and a pattern of the reason.
REJECTED: dict[str, tuple[Any, str, str]] = {
    "native categories": (
        on(NATIVE, ordinal(), PASS),
        "texts",
        r"HistGradientBoostingClassifier with categorical_features cannot be exported .* with OneHotEncoder or Ordinal",
    ),
    "native categories inside": (
        on(VotingClassifier(pair(NATIVE, FOREST), voting="soft"), ordinal()),
        "texts",
        "HistGradientBoostingClassifier with categorical_features cannot .* set categorical_features=None",
    ),
    "calibrated pipeline": (
        CalibratedClassifierCV(on(LINEAR), cv=2),
        "texts",
        r"CalibratedClassifierCV around a ColumnTransformer .* make_pipeline\(ColumnTransformer\(…\), CalibratedClass",
    ),
    "stacked pipelines": (
        StackingRegressor(pair(on(Ridge()), on(VALUES)), cv=2),
        "values",
        "StackingRegressor around a ColumnTransformer .* put the ColumnTransformer first",
    ),
    "stacked decisions": (
        on(StackingClassifier(pair(LinearSVC(), LINEAR), cv=2)),
        "booleans",
        "StackingClassifier with a member without probabilities .* CalibratedClassifierCV",
    ),
    "isotonic": (
        on(CalibratedClassifierCV(FOREST, cv=2, method="isotonic")),
        "booleans",
        'interpolating between steps; use method="sigmoid"',
    ),
    "words": (
        on(LINEAR, more=[("words", TfidfVectorizer(), "country")]),
        "texts",
        "TfidfVectorizer cannot be exported .* encode the text with OneHotEncoder",
    ),
    "neighbours as imputer": (on(LINEAR, numbers=KNNImputer()), "texts", "KNNImputer cannot .* use SimpleImputer"),
    "target encoder of both": (
        on(Ridge(), TargetEncoder(random_state=0)),
        "values",
        "TargetEncoder for text and numbers together .* one TargetEncoder for the text columns",
    ),
    "target encoder, classes": (
        on(LINEAR, TargetEncoder(random_state=0), texts=TEXTS),
        "texts",
        "only support TargetEncoder for binary classification",
    ),
    "unknown as rare": (
        on(LINEAR, one_hot(handle_unknown="infrequent_if_exist", min_frequency=70)),
        "texts",
        'OneHotEncoder with handle_unknown="infrequent_if_exist" .* use handle_unknown="ignore"',
    ),
    "unknown as an error": (
        on(LINEAR, OneHotEncoder()),
        "texts",
        r"the exported graph fails on rows drawn .* Column\(categories=…\)",
    ),
    "a function": (
        on(LINEAR, numbers=imputed(FunctionTransformer(np.log1p))),
        "texts",
        "FunctionTransformer is not supported unless",
    ),
    "splines": (on(LINEAR, numbers=imputed(SplineTransformer())), "texts", "'SplineTransformer'; change that part"),
    "target's quantiles": (
        on(TransformedTargetRegressor(Ridge(), transformer=QuantileTransformer(n_quantiles=9))),
        "values",
        "the target's transformer must be StandardScaler or MinMaxScaler, or its inverse_func one of np.exp",
    ),
    "XGBoost, dart": (
        on(XGBClassifier(**XGB, booster="dart"), ordinal(), PASS),
        "texts",
        "booster='dart' is not supported, only 'gbtree'",
    ),
    "XGBoost, missing -1": (
        on(XGBRegressor(**XGB, missing=-1), ordinal(), PASS),
        "values",
        "missing values are not nan but -1",
    ),
    "LightGBM, forest": (
        on(LGBMRegressor(**LGBM, boosting_type="rf", bagging_freq=1, bagging_fraction=0.5), ordinal(), PASS),
        "values",
        "boosting_type='rf' is not supported: use 'gbdt'",
    ),
    "LightGBM, zeros": (
        on(LGBMClassifier(**LGBM, zero_as_missing=True), ordinal(), PASS),
        "texts",
        "zero_as_missing is not supported: leave the zeros in the data empty",
    ),
}
# The others are slow.
QUICK = {"native categories", "unknown as rare"}


def params(table: dict[str, Any]) -> list[Any]:
    """Return a test's parameters, one a kind of estimator."""
    slow = [pytest.mark.slow]
    return [pytest.param(*row, id=kind, marks=[] if kind in QUICK else slow) for kind, row in table.items()]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Limit histograms to one thread: theirs wait for one another in a loop, for minutes where a core is busy."""
    with threadpool_limits(1):
        yield


@pytest.mark.parametrize(("estimator", "target", "words"), params(REJECTED))
def test_rejection_names_the_reason_and_an_alternative(tmp_path: Path, estimator: Any, target: str, words: str) -> None:
    with pytest.raises((TrainingError, ParityError), match=words) as caught:
        trained_on_orders(recipe_of(estimator, target), tmp_path)

    sentence = str(caught.value)
    assert sentence.startswith("tried cannot be ")
    assert len(sentence) <= 500
    assert "\n" not in sentence
