"""Train: test rows are held out, each class is on both sides, and a seed gives the same model again."""

from dataclasses import replace
from typing import Self

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from slipway_core.rows import FloatMatrix
from slipway_trainer.errors import DataRefusedError, TrainingError
from slipway_trainer.export import export
from slipway_trainer.metrics import METRICS, names_of
from slipway_trainer.overrides import override
from slipway_trainer.recipes import Candidate, Recipe
from slipway_trainer.recipes.iris import RECIPE as IRIS
from slipway_trainer.step_results import Table
from slipway_trainer.steps.train import split_rows, train
from slipway_trainer.tasks import task_of
from support.bike import BIKE, QUICK_BIKE, trained_bike
from support.fraud import FRAUD, fraud_table
from support.iris import CANDIDATES, trained_iris

# The recipe's candidates, but with few trees and nothing to search.
BY_NAME = {
    candidate.name: candidate.model_copy(
        update={
            "parameters": {n: 5 if n == "n_estimators" else v for n, v in candidate.parameters.items()},
            "search": {},
        }
    )
    for candidate in IRIS.candidates
}
QUICK = IRIS.model_copy(update={"folds": 2})


def unwatched(_done: int, _total: int) -> None:
    """Ignore the progress of a training."""


def with_classes(counts: list[int], **changes: object) -> Recipe:
    """Return the recipe with as many classes as there are counts."""
    return IRIS.model_copy(update={"classes": tuple(f"class {i}" for i in range(len(counts))), **changes})


def numbered(counts: list[int]) -> Table:
    """Return a table whose only feature is the row's index, with so many rows of each class."""
    target = np.repeat(np.arange(len(counts)), counts)
    rows = np.arange(len(target), dtype=np.float32).reshape(-1, 1)
    return Table(rows, target, "version")


@given(
    counts=st.lists(st.integers(min_value=10, max_value=60), min_size=2, max_size=5),
    fraction=st.floats(min_value=0.1, max_value=0.5),
    seed=st.integers(min_value=0, max_value=2**32 - 1),
)
def test_no_row_is_on_both_sides_and_none_is_lost(counts: list[int], fraction: float, seed: int) -> None:
    recipe = with_classes(counts, test_fraction=fraction, seed=seed)

    split = split_rows(recipe, numbered(counts))

    training, test = set(split.train_features[:, 0]), set(split.test_features[:, 0])
    assert not training & test
    assert training | test == set(range(sum(counts)))
    assert set(split.train_target) == set(split.test_target) == set(range(len(counts)))


@given(
    counts=st.lists(st.integers(min_value=50, max_value=2_000), min_size=2, max_size=5),
    fraction=st.floats(min_value=0.1, max_value=0.5),
)
def test_both_sides_have_the_classes_in_similar_proportions(counts: list[int], fraction: float) -> None:
    table = numbered(counts)

    split = split_rows(with_classes(counts, test_fraction=fraction), table)

    found = np.bincount(split.test_target, minlength=len(counts))
    # Five standard errors of a share of rows.
    tolerance = 5 * np.sqrt(np.array(counts) * fraction * (1 - fraction))
    assert (np.abs(found - fraction * np.array(counts)) <= tolerance).all()


def test_rows_keep_their_targets() -> None:
    table = numbered([20, 30])

    split = split_rows(with_classes([20, 30]), table)

    for features, target in ((split.train_features, split.train_target), (split.test_features, split.test_target)):
        assert np.array_equal(table.target[features[:, 0].astype(int)], target)


def test_iris_holds_out_a_fifth_of_each_species() -> None:
    split = trained_iris().split

    assert np.bincount(split.test_target).tolist() == [11, 9, 13]
    assert np.bincount(split.train_target).tolist() == [39, 41, 37]


def test_same_rows_are_held_out_with_any_seed() -> None:
    table = trained_iris().table

    same = split_rows(IRIS, table)
    other = split_rows(IRIS.model_copy(update={"seed": 43}), table)

    assert np.array_equal(same.test_features, trained_iris().split.test_features)
    assert np.array_equal(other.test_features, trained_iris().split.test_features)


@pytest.mark.filterwarnings("ignore:Only one class")
def test_nan_score_does_not_win() -> None:
    # ROC AUC is undefined for a single class, so a fold without the rare class has no score.
    features = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    target = np.zeros(40, dtype=np.int64)
    target[:3] = 1
    recipe = IRIS.model_copy(update={"classes": ("no", "yes"), "metric": "roc_auc", "split": "time", "folds": 3})
    split = split_rows(recipe.model_copy(update={"split": "stratified"}), Table(features, target, "version"))

    with pytest.raises(TrainingError, match=r"cannot be fitted: "):
        train(recipe, BY_NAME["logistic-regression"], split, unwatched)


@pytest.mark.parametrize("name", CANDIDATES)
def test_training_twice_gives_the_same_model(name: str) -> None:
    split = trained_iris().split

    first, second = (train(QUICK, BY_NAME[name], split, unwatched) for _ in range(2))

    assert first.cv_scores == second.cv_scores
    options = task_of(QUICK).export_options
    assert export(first.estimator, IRIS.columns, options) == export(second.estimator, IRIS.columns, options)
    before, after = (fitted.estimator.predict_proba(split.test_features) for fitted in (first, second))
    assert np.array_equal(before, after)


def test_another_seed_gives_another_forest() -> None:
    split = trained_iris().split
    other = QUICK.model_copy(update={"seed": 7})

    first, second = (train(recipe, BY_NAME["random-forest"], split, unwatched) for recipe in (QUICK, other))

    before, after = (fitted.estimator.predict_proba(split.test_features) for fitted in (first, second))
    assert not np.array_equal(before, after)


def test_test_rows_do_not_affect_the_model() -> None:
    split = trained_iris().split
    poisoned = replace(
        split, test_features=np.full_like(split.test_features, 1e9), test_target=np.zeros_like(split.test_target)
    )

    honest, other = (train(QUICK, BY_NAME["logistic-regression"], part, unwatched) for part in (split, poisoned))

    assert honest.cv_scores == other.cv_scores
    assert np.array_equal(honest.estimator[-1].coef_, other.estimator[-1].coef_)


def test_each_fold_has_a_score_and_the_mean_is_returned() -> None:
    fitted = trained_iris().evaluations["random-forest"].fitted

    assert len(fitted.cv_scores) == IRIS.folds
    assert fitted.cv_mean == pytest.approx(sum(fitted.cv_scores) / IRIS.folds)
    assert fitted.fit_seconds > 0


def test_the_folds_are_scored_by_the_recipes_metric() -> None:
    split = trained_iris().split
    lopsided = replace(split, train_target=split.train_target // 2, test_target=split.test_target // 2)
    by_f1 = QUICK.model_copy(update={"metric": "f1_macro"})

    accuracy, f1 = (train(recipe, BY_NAME["logistic-regression"], lopsided, unwatched) for recipe in (QUICK, by_f1))

    assert accuracy.cv_scores != f1.cv_scores


def test_class_missing_on_one_side_is_reported_by_name() -> None:
    in_order = with_classes([30, 30], split="time", time_columns=("day",))

    with pytest.raises(DataRefusedError) as caught:
        split_rows(in_order, numbered([30, 30]))

    assert caught.value.findings == (
        (
            "the time split leaves no test row of the class 'class 0'; change it with --set split=stratified, "
            "or the share of test rows, 0.2, with --set test_fraction=VALUE"
        ),
    )


@pytest.mark.parametrize(("fraction", "side", "other"), [(0.001, "test", "larger"), (0.999, "training", "smaller")])
@pytest.mark.parametrize("split", ["random", "time"])
def test_test_fraction_with_too_few_rows_is_reported(split: str, fraction: float, side: str, other: str) -> None:
    recipe = IRIS.model_copy(update={"test_fraction": fraction, "split": split})

    with pytest.raises(TrainingError) as caught:
        split_rows(recipe, trained_iris().table)

    assert str(caught.value) == (
        f"test_fraction {fraction:g} of 150 rows leaves no {side} rows; choose a {other} one with --set "
        "test_fraction=VALUE"
    )


def test_class_with_a_single_row_is_reported_by_name() -> None:
    with pytest.raises(DataRefusedError) as caught:
        split_rows(with_classes([30, 30, 1]), numbered([30, 30, 1]))

    assert caught.value.findings == (
        (
            "the stratified split leaves no test row of the class 'class 2'; add rows of the class, or remove it from "
            "the recipe's `classes`"
        ),
    )


@pytest.mark.parametrize("name", ["random-forest", "hist-gradient-boosting"])
def test_training_a_regressor_twice_gives_the_same_bytes(name: str) -> None:
    bike = trained_bike()
    candidate = next(candidate for candidate in QUICK_BIKE.candidates if candidate.name == name)

    with threadpool_limits(1):
        fitted = train(QUICK_BIKE, candidate, bike.split, unwatched)

    assert export(fitted.estimator, BIKE.columns, {}) == bike.evaluations[name].model


def test_a_split_by_time_holds_out_the_last_rows() -> None:
    table = Table(np.arange(50, dtype=np.float32).reshape(-1, 1), np.arange(50.0), "version")

    split = split_rows(override(BIKE, ["split=time"]), table)

    assert split.train_features[:, 0].tolist() == list(range(40))
    assert split.test_target.tolist() == list(range(40, 50))


def test_a_search_takes_the_parameter_that_scores_best() -> None:
    recipe = override(IRIS, ["folds=2", "candidates=logistic-regression"])
    candidate = recipe.candidates[0].model_copy(update={"search": {"C": (1e-6, 1.0)}})

    fitted = train(recipe, candidate, trained_iris().split, unwatched)

    assert fitted.parameters["C"] == 1.0
    assert fitted.estimator[-1].C == 1.0


def test_set_parameter_is_not_searched() -> None:
    recipe = override(IRIS, ["folds=2", "C=0.25", "candidates=logistic-regression"])

    fitted = train(recipe, recipe.candidates[0], trained_iris().split, unwatched)

    assert fitted.parameters["C"] == 0.25


def test_progress_is_reported_before_each_fit() -> None:
    told: list[tuple[int, int]] = []

    train(QUICK, BY_NAME["logistic-regression"], trained_iris().split, lambda done, total: told.append((done, total)))

    assert told == [(0, 3), (1, 3), (2, 3)]


@pytest.mark.parametrize("metric", names_of("classification"))
def test_every_classifier_metric_scores_the_folds(metric: str) -> None:
    recipe = override(QUICK, [f"metric={metric}", "positive_class=virginica"])

    fitted = train(recipe, BY_NAME["logistic-regression"], trained_iris().split, unwatched)

    assert METRICS[metric].lower_is_better == (fitted.cv_mean < 0.5)
    assert 0 < fitted.cv_mean <= 1


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_search_respects_the_direction_of_the_metric(metric: str) -> None:
    recipe = override(QUICK, [f"metric={metric}"])
    candidate = BY_NAME["logistic-regression"].model_copy(update={"search": {"C": (1e-5, 1.0)}})

    assert train(recipe, candidate, trained_iris().split, unwatched).parameters["C"] == 1.0


def test_threshold_decides_in_the_folds() -> None:
    strict, lenient = (
        train(
            FRAUD.model_copy(update={"metric": "recall", "threshold": threshold}), FRAUD.candidates[0], split, unwatched
        )
        for split in [split_rows(FRAUD, fraud_table())]
        for threshold in (0.99, 0.01)
    )

    assert strict.cv_mean < 0.7
    assert lenient.cv_mean > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("quantile", [0.1, 0.9])
def test_pinball_is_lowest_for_the_estimator_of_its_quantile(quantile: float) -> None:
    rows = np.random.default_rng(0).uniform(size=(600, 2)).astype(np.float32)
    target = rows[:, 0] * np.random.default_rng(1).exponential(size=600)
    recipe = BIKE.model_copy(update={"metric": "pinball", "quantile": quantile, "split": "random", "folds": 3})
    candidate = Candidate(
        name="boosting",
        build=lambda parameters, seed: HistGradientBoostingRegressor(
            **parameters, loss="quantile", max_iter=20, random_state=seed
        ),
        search={"quantile": (0.1, 0.5, 0.9)},
    )

    fitted = train(recipe, candidate, split_rows(recipe, Table(rows, target, "version")), unwatched)

    assert fitted.parameters == {"quantile": quantile}


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("C=0", "logistic-regression cannot be fitted: The 'C' parameter of LogisticRegression must be a float in"),
        ("C=many", "logistic-regression cannot be fitted: The 'C' parameter of LogisticRegression must be a float in"),
        ("folds=42", "logistic-regression cannot be fitted: n_splits=42 cannot be greater than the number of members"),
    ],
)
def test_failed_fit_is_reported_in_one_sentence(setting: str, sentence: str) -> None:
    recipe = override(IRIS, [setting])

    with pytest.raises(TrainingError) as caught:
        train(recipe, recipe.candidates[0], trained_iris().split, unwatched)

    assert str(caught.value).startswith(sentence)
    assert len(str(caught.value).splitlines()) == 1


def test_overflowing_number_is_reported_in_one_sentence() -> None:
    recipe = override(QUICK, [f"random-forest.max_depth={10**30}"])

    with pytest.raises(TrainingError, match="random-forest cannot be fitted: Python int too large"):
        train(recipe, recipe.candidates[1], trained_iris().split, unwatched)


TWO_CLASSES = IRIS.model_copy(update={"classes": ("even", "odd"), "folds": 3})
# A table whose only feature is the row's number.
NUMBERED = Table(np.arange(60, dtype=np.float32).reshape(-1, 1), np.arange(60) % 2, "version")


def recording(calls: list[tuple[str, tuple[float, ...]]]) -> Candidate:
    """Return a candidate that records the number, its first feature, of each row that it fits or predicts."""

    class Recorder(DecisionTreeClassifier):  # type: ignore[misc]  # scikit-learn has no types
        def fit(self, rows: FloatMatrix, target: NDArray[np.int64]) -> Self:
            calls.append(("fit", tuple(rows[:, 0].tolist())))
            super().fit(rows, target)
            return self

        def predict(self, rows: FloatMatrix) -> NDArray[np.int64]:
            calls.append(("score", tuple(rows[:, 0].tolist())))
            found: NDArray[np.int64] = super().predict(rows)
            return found

    return Candidate(
        name="recorder",
        build=lambda parameters, seed: Recorder(**parameters, random_state=seed),
        search={"max_depth": (1, 2)},
    )


def test_fold_and_test_rows_take_no_part_in_the_search() -> None:
    calls: list[tuple[str, tuple[float, ...]]] = []
    split = split_rows(TWO_CLASSES, NUMBERED)

    train(TWO_CLASSES, recording(calls), split, unwatched)

    test_rows = set(split.test_features[:, 0])
    assert all(test_rows.isdisjoint(rows) for _, rows in calls)
    # Two parameters on three inner folds, then the fit that the outer fold scores: of each, a fit and a score.
    search = 2 * 3 * 2
    outer = [calls[start : start + search + 2] for start in range(0, 3 * (search + 2), search + 2)]
    for fold in outer:
        *searched, (fitted, training), (scored, held_out) = fold
        assert (fitted, scored) == ("fit", "score")
        assert set(training).isdisjoint(held_out)
        assert all(set(rows) <= set(training) for _, rows in searched)
    # Last, the search and the fit on all training rows, without a score.
    assert len(calls) == 3 * (search + 2) + search + 1
    assert sorted(calls[-1][1]) == sorted(split.train_features[:, 0].tolist())


def test_folds_of_a_time_split_train_only_on_the_past() -> None:
    calls: list[tuple[str, tuple[float, ...]]] = []
    recipe = TWO_CLASSES.model_copy(update={"split": "time", "time_columns": ("day",)})
    split = split_rows(recipe, NUMBERED)

    train(recipe, recording(calls).model_copy(update={"search": {}}), split, unwatched)

    folds = list(zip(calls[0:6:2], calls[1:6:2], strict=True))
    assert len(folds) == 3
    for (_, past), (_, future) in folds:
        assert max(past) < min(future)
