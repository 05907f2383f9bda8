"""Estimators, encoders and imputers on tables of typed columns: every protocol answers like the estimator."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import ElasticNet, LogisticRegression, PoissonRegressor, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC, SVR, LinearSVC
from threadpoolctl import threadpool_limits
from xgboost import XGBClassifier, XGBRegressor, XGBRFClassifier

from support.api import Database, make_database
from support.combinations import CITIES, CODES, TEXTS, TIERS, recipe_of, trained_on_orders
from support.preprocessing import (
    BINS,
    FOREST,
    HIST,
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
from support.served import check_served, serving

# Fits as short as these do not all converge; scikit-learn 1.9 deprecates arguments of SVC and TargetEncoder.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

# The target's name decides the labels: text, the integers 10 and -30, booleans, or values of a regression.
SERVED: dict[str, tuple[Any, str]] = {
    # Linear and other estimators
    "logistic": (on(LINEAR), "texts"),
    "logistic, integers": (on(LogisticRegression(class_weight="balanced")), "integers"),
    "calibrated linear SVC": (on(CalibratedClassifierCV(LinearSVC(), cv=2)), "texts"),
    "SVC": (on(SVC(probability=True, random_state=0)), "booleans"),
    "SVR": (on(SVR()), "values"),
    "naive Bayes": (on(GaussianNB()), "texts"),
    "neighbours": (on(KNeighborsClassifier()), "integers"),
    "neighbours, values": (on(KNeighborsRegressor()), "values"),
    "perceptron": (on(MLPClassifier((8,), random_state=0)), "booleans"),
    "perceptron, values": (on(MLPRegressor(hidden_layer_sizes=(8,), random_state=0)), "values"),
    "ridge": (on(Ridge()), "values"),
    "elastic net": (on(ElasticNet(alpha=0.01)), "values"),
    "Poisson": (on(PoissonRegressor()), "values"),
    "components": (make_pipeline(on(PCA(5)), LINEAR), "texts"),
    # Trees
    "forest": (on(FOREST, ordinal()), "integers"),
    "forest with gaps": (on(FOREST, ordinal(), PASS), "texts"),
    "forest with gaps, values": (on(VALUES, one_hot(), PASS), "values"),
    "extra trees": (on(ExtraTreesClassifier(10, random_state=0), ordinal()), "texts"),
    "extra trees with gaps": (on(ExtraTreesRegressor(10, random_state=0), ordinal(), PASS), "values"),
    "bagging with gaps": (on(BaggingClassifier(n_estimators=5, random_state=0), ordinal(), PASS), "booleans"),
    "AdaBoost": (on(AdaBoostClassifier(n_estimators=5, random_state=0)), "texts"),
    "gradient boosting": (on(GradientBoostingClassifier(n_estimators=10)), "texts"),
    "histograms with gaps": (on(HIST, ordinal(), PASS), "texts"),
    "histograms, scaled": (on(HIST, ordinal(), StandardScaler()), "booleans"),
    "histograms, values": (on(HistGradientBoostingRegressor(max_iter=10), one_hot(), PASS), "values"),
    "histograms, Poisson": (on(HistGradientBoostingRegressor(loss="poisson", max_iter=10), ordinal(), PASS), "values"),
    "histograms, gamma": (on(HistGradientBoostingRegressor(loss="gamma", max_iter=10), ordinal(), PASS), "values"),
    # XGBoost and LightGBM
    "XGBoost": (on(XGBClassifier(**XGB), ordinal(), PASS), "texts"),
    "XGBoost, integers": (on(XGBClassifier(**XGB, scale_pos_weight=3), one_hot(), PASS), "integers"),
    "XGBoost, values": (on(XGBRegressor(**XGB), ordinal(), PASS), "values"),
    "XGBoost, Poisson": (on(XGBRegressor(**XGB, objective="count:poisson"), ordinal(), PASS), "values"),
    "XGBoost, forest": (on(XGBRFClassifier(**XGB), ordinal(), PASS), "texts"),
    "XGBoost, calibrated": (on(CalibratedClassifierCV(XGBClassifier(**XGB), cv=2)), "booleans"),
    "LightGBM": (on(LGBMClassifier(**LGBM), ordinal(), PASS), "texts"),
    "LightGBM, booleans": (on(LGBMClassifier(**LGBM), one_hot(), PASS), "booleans"),
    "LightGBM, values": (on(LGBMRegressor(**LGBM), ordinal(), PASS), "values"),
    "LightGBM, Poisson": (on(LGBMRegressor(**LGBM, objective="poisson"), ordinal(), PASS), "values"),
    "LightGBM, calibrated": (on(CalibratedClassifierCV(LGBMClassifier(**LGBM), cv=2)), "texts"),
    "both": (on(VotingClassifier(pair(XGBClassifier(**XGB), LGBMClassifier(**LGBM)), voting="soft")), "booleans"),
    # Ensembles of estimators
    "voting": (on(VotingClassifier(pair(LINEAR, GaussianNB()), voting="soft")), "texts"),
    "voting of pipelines": (VotingClassifier(pair(on(LINEAR), on(FOREST, ordinal())), voting="soft"), "booleans"),
    "voting of pipelines, values": (VotingRegressor(pair(on(Ridge()), on(VALUES, ordinal()))), "values"),
    "stacking": (on(StackingClassifier(pair(LINEAR, FOREST), cv=2)), "integers"),
    "stacking, values": (on(StackingRegressor(pair(Ridge(), VALUES), cv=2)), "values"),
    "calibrated forest": (on(CalibratedClassifierCV(FOREST, cv=2), ordinal()), "booleans"),
    "target's logarithm": (
        TransformedTargetRegressor(on(Ridge()), func=np.log1p, inverse_func=np.expm1),
        "values",
    ),
    "target's root": (on(TransformedTargetRegressor(VALUES, func=np.sqrt, inverse_func=np.square)), "values"),
    "scaled target": (on(TransformedTargetRegressor(SVR(), transformer=StandardScaler())), "values"),
    # Encoders
    "sparse one-hot": (on(LINEAR, OneHotEncoder(handle_unknown="ignore")), "texts"),
    "one-hot of categories": (
        on(
            LINEAR,
            one_hot(handle_unknown="error", categories=[list(CITIES), list(TIERS)], drop="first"),
            texts=["city", *CODES],
        ),
        "texts",
    ),
    "one-hot, rare": (on(LINEAR, one_hot(min_frequency=50)), "texts"),
    "ordinal of codes": (on(FOREST, OrdinalEncoder(categories=[list(TIERS)]), texts=CODES), "texts"),
    "ordinal, unknown missing": (on(HIST, ordinal(unknown_value=np.nan), PASS), "texts"),
    "target encoder": (on(Ridge(), TargetEncoder(random_state=0), texts=TEXTS), "values"),
    "target encoder, codes": (on(LINEAR, TargetEncoder(random_state=0), texts=CODES), "booleans"),
    "columns by type": (
        make_pipeline(
            ColumnTransformer(
                [
                    ("text", one_hot(), make_column_selector(dtype_include="str")),
                    ("rest", SimpleImputer(), make_column_selector(dtype_include="number")),
                ]
            ),
            LINEAR,
        ),
        "texts",
    ),
    "the rest passed on": (
        make_pipeline(ColumnTransformer([("text", one_hot(), TEXTS)], remainder=PASS), HIST),
        "integers",
    ),
    "placeholder imputed": (
        on(
            LINEAR,
            make_pipeline(SimpleImputer(strategy="most_frequent", missing_values="(none)"), one_hot()),
            texts=TEXTS,
        ),
        "texts",
    ),
    # Missing values and scalers
    "median": (on(LINEAR, numbers=imputed(MinMaxScaler(), strategy="median")), "texts"),
    "most frequent": (on(LINEAR, numbers=imputed(MaxAbsScaler(), strategy="most_frequent")), "texts"),
    "constant": (on(LINEAR, numbers=imputed(RobustScaler(), strategy="constant", fill_value=-1)), "texts"),
    "with indicators": (on(LINEAR, numbers=imputed(StandardScaler(), add_indicator=True)), "texts"),
    "indicators alone": (on(LINEAR, more=[("gaps", MissingIndicator(), ["size", "consent"])]), "booleans"),
    "scaled, then imputed": (on(LINEAR, numbers=make_pipeline(StandardScaler(), SimpleImputer())), "texts"),
    "powers": (on(LINEAR, numbers=imputed(PowerTransformer())), "texts"),
    "quantiles": (on(LINEAR, numbers=imputed(QuantileTransformer(n_quantiles=20))), "texts"),
    "bins": (on(LINEAR, numbers=imputed(BINS)), "texts"),
}
# The others are slow.
QUICK = {
    "logistic, integers",
    "forest with gaps",
    "XGBoost, integers",
    "LightGBM, values",
    "voting of pipelines",
    "target's logarithm",
}


def params(table: dict[str, Any]) -> list[Any]:
    """Return a test's parameters, one a kind of estimator."""
    slow = [pytest.mark.slow]
    return [pytest.param(*row, id=kind, marks=[] if kind in QUICK else slow) for kind, row in table.items()]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Database:
    return make_database(tmp_path_factory.mktemp("database") / "template.db")


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Limit histograms to one thread: theirs wait for one another in a loop, for minutes where a core is busy."""
    with threadpool_limits(1):
        yield


@pytest.mark.parametrize(("estimator", "target"), params(SERVED))
def test_every_protocol_answers_like_the_estimator(
    tmp_path: Path, database: Database, estimator: Any, target: str
) -> None:
    recipe = recipe_of(estimator, target)
    results = trained_on_orders(recipe, tmp_path)

    with serving(recipe, results, "tried", tmp_path, database) as (api, manifest):
        check_served(api, manifest, recipe, results, "tried")
