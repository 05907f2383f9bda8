"""Estimators of other programs: their bundles predict what they predict themselves, or the reason is named."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lightgbm import Dataset, LGBMClassifier
from lightgbm import train as train_lightgbm
from mlflow.models import infer_signature
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.multioutput import MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC
from xgboost import DMatrix, XGBClassifier
from xgboost import train as train_xgboost

from slipway_core.errors import SlipwayError
from support.conversions import cells_of, convert, csv_data
from support.foreign import LGBM, MEASURES, TEXTS, XGB, encoded, iris, penguins

pytestmark = pytest.mark.filterwarnings("ignore")

IRIS, SPECIES = iris().iloc[:, :4], iris()["target"]
TEXT = SPECIES.map({0: "no", 1: "yes", 2: "maybe"})
BIRDS, KINDS = penguins()[TEXTS + MEASURES], penguins()["species"]
CODES = KINDS.map({"Adelie": 0, "Chinstrap": 1, "Gentoo": 2})
WIDE = pd.DataFrame({"age": [20, 30, 40, 50] * 10, "income": [1_000, 2_000_000_000, 30, 7] * 10})


def by_text(encoder: Any, model: Any) -> Any:
    """Return a pipeline that encodes two columns of text and passes the numbers on."""
    return make_pipeline(ColumnTransformer([("text", encoder, TEXTS), ("rest", SimpleImputer(), MEASURES)]), model)


# The model, its rows and its target.
SERVED: dict[str, Callable[[], tuple[Any, pd.DataFrame, Any]]] = {
    "integer labels": lambda: (SVC(probability=True), IRIS, SPECIES * 2 + 5),
    "text labels": lambda: (HistGradientBoostingClassifier(max_iter=5), IRIS, TEXT),
    "boolean labels": lambda: (LogisticRegression(), IRIS, SPECIES == 1),
    "labels that are whole floats": lambda: (GaussianNB(), IRIS, SPECIES + 1.0),
    "text with a missing category": lambda: (by_text(OneHotEncoder(), RandomForestClassifier(5)), BIRDS, KINDS),
    "text with unknown categories": lambda: (
        by_text(
            OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
            HistGradientBoostingClassifier(max_iter=5),
        ),
        BIRDS,
        KINDS,
    ),
    "text with an imputer": lambda: (encoded(LGBMClassifier(**LGBM)), BIRDS, KINDS),
    "sparse indicators": lambda: (
        by_text(OneHotEncoder(), XGBClassifier(**XGB)).set_params(columntransformer__sparse_threshold=1.0),
        BIRDS,
        CODES,
    ),
    "names with spaces": lambda: (
        make_pipeline(ColumnTransformer([("all", StandardScaler(), list(IRIS.columns))]), Ridge()),
        IRIS,
        SPECIES * 1.5,
    ),
    "one column": lambda: (LinearRegression(), IRIS[["petal width (cm)"]], SPECIES * 1.5),
    "large integers": lambda: (make_pipeline(StandardScaler(), Ridge()), WIDE, WIDE["age"] * 2.0),
    "missing numbers": lambda: (XGBClassifier(**XGB), BIRDS[MEASURES], CODES),
}


@pytest.mark.parametrize("case", SERVED)
def test_bundle_predicts_what_the_estimator_predicts(case: str, tmp_path: Path) -> None:
    model, rows, target = SERVED[case]()
    model.fit(rows, target)

    converted = convert(model, tmp_path, signature=rows, data=csv_data(rows, target))

    labels, scores = converted.predict(cells_of(rows))
    if scores is None:
        assert np.allclose(labels, model.predict(rows), rtol=1e-5, atol=1e-5)
    else:
        assert labels == model.predict(rows).tolist()
        assert np.abs(scores - model.predict_proba(rows)).max() <= 1e-5
    assert converted.metrics


def booster_of_xgboost() -> Any:
    from slipway_trainer.foreign.boosters import from_xgboost_booster  # noqa: PLC0415

    parameters = {"objective": "multi:softprob", "num_class": 3, "nthread": 1}
    return from_xgboost_booster(train_xgboost(parameters, DMatrix(IRIS, label=SPECIES), 3))


def booster_of_lightgbm() -> Any:
    from slipway_trainer.foreign.boosters import from_lightgbm_booster  # noqa: PLC0415

    parameters = {"objective": "binary", "verbose": -1, "num_threads": 1}
    return from_lightgbm_booster(train_lightgbm(parameters, Dataset(IRIS, label=SPECIES == 1), 3))


@pytest.mark.parametrize("booster", [booster_of_xgboost, booster_of_lightgbm])
def test_native_booster_needs_neither_signature_nor_data(booster: Callable[[], Any], tmp_path: Path) -> None:
    model = booster()

    converted = convert(model, tmp_path)

    labels, scores = converted.predict(cells_of(IRIS))
    assert np.abs(scores - model.predict(IRIS)).max() <= 1e-5
    assert labels == model.predict(IRIS).argmax(axis=1).tolist()


def test_signature_alone_shows_text_that_encoders_know(tmp_path: Path) -> None:
    model = by_text(OneHotEncoder(), RandomForestClassifier(5)).fit(BIRDS, KINDS)

    columns = convert(model, tmp_path, signature=BIRDS).manifest.columns

    assert [(column.name, column.nullable, column.categories) for column in columns[:2]] == [
        ("island", False, ("Biscoe", "Dream", "Torgersen")),
        ("sex", True, ("female", "male")),
    ]
    # Drawn rows are no training rows.
    assert {(column.min, column.max) for column in columns} == {(None, None)}


def test_matrix_without_names_takes_those_of_the_data(tmp_path: Path) -> None:
    model = RandomForestClassifier(3).fit(IRIS.to_numpy(), SPECIES)

    converted = convert(model, tmp_path, data=csv_data(IRIS, SPECIES))

    assert [column.name for column in converted.manifest.columns] == list(IRIS.columns)
    assert converted.manifest.columns[0].max == pytest.approx(7.9)


def test_matrix_without_names_and_data_has_numbered_columns(tmp_path: Path) -> None:
    model = RandomForestClassifier(3).fit(IRIS.to_numpy(), SPECIES)

    converted = convert(model, tmp_path, signature=infer_signature(IRIS.to_numpy()))

    assert [column.name for column in converted.manifest.columns] == [f"feature_{index}" for index in range(4)]


REFUSED: dict[str, tuple[Callable[[], Any], pd.DataFrame | None, Any, str]] = {
    "no probabilities": (lambda: LinearSVC().fit(IRIS, SPECIES), IRIS, None, "returns no probabilities"),
    "a clusterer": (lambda: KMeans(3).fit(IRIS), IRIS, None, "neither a classifier nor a regressor"),
    "several values": (
        lambda: MultiOutputRegressor(Ridge()).fit(IRIS, np.stack([SPECIES, SPECIES], axis=1)),
        IRIS,
        None,
        "predicts 2 values per row",
    ),
    "words": (
        lambda: make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(BIRDS["island"], KINDS),
        BIRDS[["island"]],
        csv_data(BIRDS[["island"]]),
        "TfidfVectorizer cannot be exported to ONNX",
    ),
    "pandas' categories": (
        lambda: LGBMClassifier(**LGBM).fit(BIRDS.astype(dict.fromkeys(TEXTS, "category")), KINDS),
        BIRDS,
        None,
        "trained on columns of the type category",
    ),
    "no signature and no data": (
        lambda: LogisticRegression().fit(IRIS, SPECIES),
        None,
        None,
        r"neither a signature nor an input example, .*sepal length.*--data rows\.csv",
    ),
    "another signature": (
        lambda: LogisticRegression().fit(IRIS, SPECIES),
        IRIS.rename(columns={"sepal length (cm)": "length"}),
        None,
        "the columns in the signature .* are not those of the model itself",
    ),
    "a signature of other width": (
        lambda: LogisticRegression().fit(IRIS.to_numpy(), SPECIES),
        IRIS.iloc[:, :3],
        None,
        "the signature of .* has 3 columns, but the model takes 4",
    ),
    "a date in the signature": (
        lambda: LogisticRegression().fit(IRIS.to_numpy(), SPECIES),
        IRIS.assign(day=pd.Timestamp("2026-11-29")),
        None,
        "the column 'day' of the signature .* has the type datetime",
    ),
    "a neighbour at an equal distance": (
        lambda: KNeighborsClassifier().fit(IRIS, TEXT),
        IRIS,
        csv_data(IRIS, TEXT),
        r"differs from the model on 1 of 150 rows .* the model predicts 'yes' with the probabilities 0\.2.*the graph",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_rejected_estimator_is_explained(case: str, tmp_path: Path) -> None:
    model, signature, data, reason = REFUSED[case]

    with pytest.raises(SlipwayError, match=reason):
        convert(model(), tmp_path, signature=signature, data=data)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda rows: rows.drop(columns="sepal width (cm)"), "lacks the column 'sepal width .cm.' of the model"),
        (lambda rows: rows.rename(columns={"petal width (cm)": "petal_width"}), "lacks the column 'petal width"),
        (
            lambda rows: rows.assign(**{"petal width (cm)": "wide"}),
            "must be a number, as the model takes it, got 'wide'",
        ),
        (lambda rows: rows.assign(**{"petal width (cm)": ""}), "'petal width .cm.' has no values"),
        (lambda rows: rows.assign(answer="tulip"), "values that are not classes of the model: 'tulip' in lines 2, 3"),
        (lambda rows: rows.assign(answer=""), "values that are not classes of the model"),
    ],
)
def test_data_that_does_not_match_is_explained(
    change: Callable[[pd.DataFrame], pd.DataFrame], reason: str, tmp_path: Path
) -> None:
    model = LogisticRegression().fit(IRIS, TEXT)
    changed = change(IRIS.assign(answer=TEXT))

    with pytest.raises(SlipwayError, match=reason):
        convert(model, tmp_path, signature=IRIS, data=csv_data(changed.drop(columns="answer"), changed["answer"]))


def test_target_that_is_a_feature_is_explained(tmp_path: Path) -> None:
    model = LogisticRegression().fit(IRIS, TEXT)
    data = csv_data(IRIS.drop(columns="petal width (cm)"), IRIS["petal width (cm)"])
    renamed = replace(data, table=data.table.rename(columns={"answer": "petal width (cm)"}), target="petal width (cm)")

    with pytest.raises(SlipwayError, match=r"the target 'petal width .cm.' is a column that the model takes"):
        convert(model, tmp_path, signature=IRIS, data=renamed)


def test_undefined_metric_is_explained(tmp_path: Path) -> None:
    model = LogisticRegression().fit(IRIS, SPECIES == 1)

    with pytest.raises(
        SlipwayError, match=r"roc_auc is undefined on the rows of rows\.csv.*another metric with --metric"
    ):
        convert(model, tmp_path, signature=IRIS, data=csv_data(IRIS.head(20), (SPECIES == 1).head(20)))
