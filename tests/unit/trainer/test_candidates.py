"""Candidates of every kind: each is served with parity, or rejected with a reason in one sentence."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    IsolationForest,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    SplineTransformer,
    StandardScaler,
)
from sklearn.svm import SVC, SVR, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from slipway_core.bundle import read_bundle
from slipway_core.graph import Graph, replay
from slipway_core.signature import Signature
from slipway_core.table_signature import signature_of
from slipway_trainer.bundling import GOLDEN_ROWS, write_bundle
from slipway_trainer.cli import main
from slipway_trainer.drawing import draw_features
from slipway_trainer.errors import ParityError, TrainingError, reason_of
from slipway_trainer.recipes import Candidate, Column, Recipe
from slipway_trainer.step_results import Dataset, Evaluation
from slipway_trainer.steps.evaluate import evaluate
from slipway_trainer.steps.train import split_rows, train
from slipway_trainer.steps.validate import validate
from support.command import run
from support.stub_api import Answer, stub_api

MAX_SENTENCE = 500
# Fits as short as these do not all converge.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
CODES = (0.0, 1.0, 2.0)


class Doubling(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A transformer that skl2onnx has no converter for."""

    def fit(self, _rows: Any, _target: Any = None) -> "Doubling":
        return self

    def transform(self, rows: Any) -> Any:
        return rows * 2


class CatBoostClassifier(GaussianNB):  # type: ignore[misc]
    """Stands in for CatBoost's class, which has no converter."""


class Broken(Doubling):
    """A transformer whose own code fails with a long message of several lines."""

    def transform(self, rows: Any) -> Any:
        raise AssertionError(f"{'the matrix is ' * 99}\n{rows}\n" + "  File '/srv/secret/recipe.py'\n" * 500)


def frame() -> pd.DataFrame:
    """Return rows of a coded column and two amounts, with targets of both kinds."""
    random = np.random.default_rng(11)
    color, size, weight = random.integers(0, 3, 240), random.uniform(0, 10, 240), random.uniform(1, 4, 240)
    score = np.array([0.0, 6.0, 2.0])[color] + size + random.normal(0, 0.3, 240)
    kind = np.where(score > 7, "large", "small")
    return pd.DataFrame({"color": color, "size": size, "weight": weight, "price": score + weight, "kind": kind})


def recipe_of(task: str, candidate: Candidate, **changes: Any) -> Recipe:
    is_classifier = task == "classification"
    columns = (Column(name="color", categories=CODES), Column(name="size"), Column(name="weight"))
    fields: dict[str, Any] = {
        "name": "parcels",
        "title": "Parcels",
        "task": task,
        "data_file": "parcels.csv",
        "fetch": lambda folder: frame().to_csv(folder / "parcels.csv", index=False),
        "columns": columns,
        "target": Column(name="kind" if is_classifier else "price"),
        "classes": ("large", "small") if is_classifier else (),
        "ignored": ("price",) if is_classifier else ("kind",),
        "candidates": (candidate,),
        "metric": "accuracy" if is_classifier else "r2",
        "floors": {},
        "split": "random",
        "folds": 2,
        **changes,
    }
    return Recipe(**fields)


def candidate_of(estimator: Any) -> Candidate:
    return Candidate(name="tried", build=lambda _parameters, _seed: clone(estimator))


def trained(task: str, estimator: Any, **changes: Any) -> Evaluation:
    """Fit, export and compare an estimator, as a training does."""
    recipe = recipe_of(task, candidate_of(estimator), **changes)
    split = split_rows(recipe, validate(recipe, Dataset(frame(), "version", "source")))
    return evaluate(recipe, train(recipe, recipe.candidates[0], split, lambda _done, _total: None), split)


def encoded(encoder: Any, estimator: Any) -> Any:
    """Return a pipeline that encodes the coded column, which is the first."""
    return make_pipeline(make_column_transformer((encoder, [0]), remainder="passthrough"), estimator)


def one_hot(**options: Any) -> OneHotEncoder:
    return OneHotEncoder(sparse_output=False, **options)


LOGISTIC = LogisticRegression(max_iter=500)
TWO: list[tuple[str, Any]] = [("linear", LOGISTIC), ("bayes", GaussianNB())]
PAIR: list[tuple[str, Any]] = [("linear", Ridge()), ("trees", ExtraTreesRegressor(3, random_state=0))]
BINS = KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf")
CLASSIFIERS: dict[str, Any] = {
    "one-hot": encoded(one_hot(), LOGISTIC),
    "one-hot with categories": encoded(one_hot(categories=[list(CODES)]), LOGISTIC),
    "one-hot, unknown ignored": encoded(one_hot(handle_unknown="ignore"), LOGISTIC),
    "one-hot, first dropped": encoded(one_hot(drop="first"), LOGISTIC),
    "ordinal": encoded(OrdinalEncoder(), DecisionTreeClassifier(max_depth=4)),
    "ordinal, unknown -1": encoded(
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), DecisionTreeClassifier(max_depth=4)
    ),
    "bins": make_pipeline(
        KBinsDiscretizer(3, encode="onehot-dense", quantile_method="averaged_inverted_cdf"), LOGISTIC
    ),
    "neighbours": make_pipeline(StandardScaler(), KNeighborsClassifier()),
    "support vectors": make_pipeline(StandardScaler(), CalibratedClassifierCV(LinearSVC(), cv=2)),
    "perceptron": make_pipeline(
        StandardScaler(), MLPClassifier(hidden_layer_sizes=(4,), solver="lbfgs", max_iter=2_000, random_state=0)
    ),
    "bayes": GaussianNB(),
    "extra trees": ExtraTreesClassifier(5, random_state=0),
    "boosting": AdaBoostClassifier(n_estimators=5, random_state=0),
    "bagging": BaggingClassifier(n_estimators=3, random_state=0),
    "soft voting": VotingClassifier(TWO, voting="soft", flatten_transform=False),
    "flattened voting": VotingClassifier(TWO, voting="soft"),
    "stacking": StackingClassifier(TWO, cv=2),
    "identity": make_pipeline(FunctionTransformer(), LOGISTIC),
}
REGRESSORS: dict[str, Any] = {
    "one-hot": encoded(one_hot(categories=[list(CODES)]), Ridge()),
    "ordinal": encoded(OrdinalEncoder(categories=[list(CODES)]), ExtraTreesRegressor(3, random_state=0)),
    "neighbours": KNeighborsRegressor(),
    "neighbours in a pipeline": make_pipeline(StandardScaler(), KNeighborsRegressor()),
    "support vectors": make_pipeline(StandardScaler(), SVR()),
    "perceptron": make_pipeline(
        StandardScaler(), MLPRegressor(hidden_layer_sizes=(4,), solver="lbfgs", max_iter=3_000, random_state=0)
    ),
    "boosting": AdaBoostRegressor(n_estimators=5, random_state=0),
    "bagging": BaggingRegressor(n_estimators=3, random_state=0),
    "voting": VotingRegressor(PAIR),
    "stacking": StackingRegressor(PAIR, cv=2),
    "a transformed target": TransformedTargetRegressor(Ridge()),
    "polynomial": make_pipeline(PolynomialFeatures(), Ridge()),
}
# The task, the estimator, and a pattern of the reason.
REJECTED: dict[str, tuple[str, Any, str]] = {
    "hard voting": ("classification", VotingClassifier(TWO), "VotingClassifier returns no probabilities"),
    "no probabilities": ("classification", SVC(), "SVC returns no probabilities, .* CalibratedClassifierCV"),
    "ridge classes": ("classification", make_pipeline(StandardScaler(), RidgeClassifier()), "RidgeClassifier returns"),
    "outliers": ("classification", IsolationForest(n_estimators=3), "IsolationForest .*outlier detector"),
    "a regressor": ("classification", LinearRegression(), "LinearRegression .*regressor.* needs a classifier"),
    "CatBoost": ("classification", CatBoostClassifier(), "CatBoostClassifier cannot be exported .* use HistGradientB"),
    "no converter": ("classification", make_pipeline(Doubling(), LOGISTIC), "shape calculator for type 'Doubling'"),
    "a function": ("regression", make_pipeline(FunctionTransformer(np.log1p), Ridge()), "FunctionTransformer is not"),
    "splines": ("regression", make_pipeline(SplineTransformer(), Ridge()), "'SplineTransformer'"),
    "several targets": ("regression", MultiOutputRegressor(Ridge()), "y must have at least two dimensions"),
    "a classifier": ("regression", LogisticRegression(), "LogisticRegression .*classifier.* needs a regressor"),
    "code that fails": ("regression", make_pipeline(Broken(), Ridge()), "cannot be fitted: the matrix is"),
    "sparse bins": ("regression", make_pipeline(BINS, Ridge()), "cannot be exported to ONNX: "),
}
# The others are slow.
QUICK = {
    "classifier: ordinal",
    "regressor: ordinal",
    "regressor: neighbours in a pipeline",
    "ordinal",
    "hard voting",
    "no converter",
    "outliers",
}


def params(table: dict[str, Any]) -> list[Any]:
    """Return a test's parameters, one a kind of estimator."""
    given = {kind: row if isinstance(row, tuple) else (row,) for kind, row in table.items()}
    return [
        pytest.param(*row, id=kind, marks=[] if kind in QUICK else [pytest.mark.slow]) for kind, row in given.items()
    ]


@pytest.mark.parametrize(
    ("task", "estimator"),
    [
        *params({f"classifier: {kind}": ("classification", estimator) for kind, estimator in CLASSIFIERS.items()}),
        *params({f"regressor: {kind}": ("regression", estimator) for kind, estimator in REGRESSORS.items()}),
    ],
)
def test_supported_estimator_is_served_with_parity(task: str, estimator: Any) -> None:
    evaluation = trained(task, estimator)

    assert evaluation.parity <= 1
    assert (evaluation.names.scores is None) is (task == "regression")


@pytest.mark.parametrize(("task", "estimator", "words"), params(REJECTED))
def test_rejection_names_the_candidate_and_the_reason(task: str, estimator: Any, words: str) -> None:
    with pytest.raises(TrainingError, match=words) as caught:
        trained(task, estimator)

    sentence = str(caught.value)
    assert sentence.startswith("tried cannot be ")
    assert len(sentence) <= MAX_SENTENCE
    assert "\n" not in sentence
    assert "Traceback" not in sentence
    assert "/" not in sentence


UNDECLARED = (Column(name="color"), Column(name="size"), Column(name="weight"))


ENCODERS = {
    "one-hot": one_hot(),
    "one-hot with categories": one_hot(categories=[list(CODES)]),
    "ordinal": OrdinalEncoder(),
    "one-hot, unknown ignored": one_hot(handle_unknown="ignore"),
}


@pytest.mark.parametrize("encoder", params(ENCODERS))
def test_undeclared_codes_are_reported_in_one_sentence(encoder: Any) -> None:
    with pytest.raises(ParityError) as caught:
        trained("classification", encoded(encoder, LOGISTIC), columns=UNDECLARED)

    sentence = str(caught.value)
    assert re.match(r"tried cannot be served: .* Column\(categories=…\)", sentence)
    assert len(sentence) <= MAX_SENTENCE
    assert "\n" not in sentence


def test_drawn_rows_have_only_declared_categories() -> None:
    features = np.array([[0, 3, 0.5], [2, 9, 1.5]], dtype=np.float32)
    columns = (Column(name="a", categories=(0, 2, 7)), Column(name="b"), Column(name="c"))

    rows = draw_features(
        recipe_of("regression", candidate_of(LinearRegression)).model_copy(update={"columns": columns}), features
    )
    assert isinstance(rows, np.ndarray)

    assert set(rows[:, 0].tolist()) == {0, 2, 7}
    assert (rows[::2, 1] == np.rint(rows[::2, 1])).all()
    assert not (rows[1::2, 1] == np.rint(rows[1::2, 1])).all()
    assert (rows.min(axis=0)[1:] < features.min(axis=0)[1:]).all()
    assert (rows.max(axis=0)[1:] > features.max(axis=0)[1:]).all()
    assert rows.dtype == np.float32


@pytest.mark.parametrize("name", ["neighbours in a pipeline", "one-hot"])
def test_bundle_names_the_outputs_of_the_graph(tmp_path: Path, name: str) -> None:
    recipe = recipe_of("regression", candidate_of(REGRESSORS[name]))
    table = validate(recipe, Dataset(frame(), "sha256:" + "a" * 64, "source"))
    split = split_rows(recipe, table)
    evaluation = evaluate(recipe, train(recipe, recipe.candidates[0], split, lambda _done, _total: None), split)

    written = write_bundle(
        tmp_path,
        recipe=recipe,
        table=table,
        split=split,
        evaluation=evaluation,
        created_at=datetime(2026, 11, 28, tzinfo=UTC),
        git_commit=None,
        libraries={},
    )

    bundle = read_bundle(tmp_path, written.manifest_sha256)
    replay(Graph(bundle.model, bundle.manifest.graph), bundle.golden, signature_of(bundle.manifest))
    assert bundle.manifest.columns[0].categories == CODES
    assert len(Signature(bundle.manifest.columns).rows([list(row) for row in bundle.golden.rows])) == GOLDEN_ROWS


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("", "ValueError"),
        ("\n\n  it is wrong. \nand more", "it is wrong"),
        ("no such file: '/srv/models/a b/x.onnx'", "no such file: 'x.onnx'"),
        ("no such file: 'C:\\models\\x.onnx'", "no such file: 'x.onnx'"),
        ("type '<class 'a.b.C'>' is unknown", "type 'C' is unknown"),
        ("not done yet. You may raise an issue at https://github.com/onnx/x/issues.", "not done yet"),
        ("a/b is a ratio", "a/b is a ratio"),
    ],
)
def test_reason_of_an_error_is_one_short_line(message: str, reason: str) -> None:
    assert reason_of(ValueError(message)) == reason


RECIPE_FILE = """
from slipway_trainer.recipes.iris import RECIPE as IRIS
from slipway_trainer.recipes import Candidate
from sklearn.ensemble import VotingClassifier
from sklearn.naive_bayes import GaussianNB

voting = Candidate(name="voting", build=lambda p, seed: VotingClassifier([("bayes", GaussianNB())]))
RECIPE = IRIS.model_copy(update={"candidates": (voting,)})
"""


def test_rejected_candidate_ends_the_command_with_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tmp_path / "mine.py"
    recipe.write_text(RECIPE_FILE)
    with stub_api(lambda _asked: Answer({})) as stub:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", stub.url)

        ended = run(main, "train", str(recipe))

    assert ended.exit_code == 1
    assert ended.error.startswith("Error: voting cannot be served: VotingClassifier returns no probabilities")
    assert len(ended.error.splitlines()) == 1
