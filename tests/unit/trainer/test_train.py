"""Train: test rows are held out, classes keep their proportions, and a seed gives the same model again."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway_trainer.recipes.iris import IRIS
from slipway_trainer.steps.train import split_rows, train
from slipway_trainer.steps.validate import Table
from support.iris import CANDIDATES, trained_iris

# The recipe's candidates, but with few trees.
BY_NAME = {
    candidate.name: candidate.model_copy(
        update={"parameters": {n: 5 if n == "n_estimators" else v for n, v in candidate.parameters.items()}}
    )
    for candidate in IRIS.candidates
}
QUICK = IRIS.model_copy(update={"folds": 2})


def numbered(counts: list[int]) -> Table:
    """Return a table whose only feature is the row's index, with so many rows of each class."""
    target = np.repeat(np.arange(len(counts)), counts)
    rows = np.arange(len(target), dtype=np.float32).reshape(-1, 1)
    return Table(rows, target, "version")


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(min_value=10, max_value=60), min_size=2, max_size=5),
    fraction=st.floats(min_value=0.1, max_value=0.5),
    seed=st.integers(min_value=0, max_value=2**32 - 1),
)
def test_no_row_is_on_both_sides_and_none_is_lost(counts: list[int], fraction: float, seed: int) -> None:
    recipe = IRIS.model_copy(update={"test_fraction": fraction, "seed": seed})

    split = split_rows(recipe, numbered(counts))

    training, test = set(split.train_features[:, 0]), set(split.test_features[:, 0])
    assert not training & test
    assert training | test == set(range(sum(counts)))
    assert len(split.test_target) == pytest.approx(fraction * sum(counts), abs=1)


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(min_value=10, max_value=60), min_size=2, max_size=5),
    fraction=st.floats(min_value=0.1, max_value=0.5),
)
def test_both_sides_have_the_classes_in_the_same_proportions(counts: list[int], fraction: float) -> None:
    table = numbered(counts)

    split = split_rows(IRIS.model_copy(update={"test_fraction": fraction}), table)

    found = np.bincount(split.test_target, minlength=len(counts))
    assert found == pytest.approx(len(split.test_target) * np.array(counts) / sum(counts), abs=1)


def test_rows_keep_their_targets() -> None:
    table = numbered([20, 30])

    split = split_rows(IRIS, table)

    for features, target in (
        (split.train_features, split.train_target),
        (split.test_features, split.test_target),
    ):
        assert np.array_equal(table.target[features[:, 0].astype(int)], target)


def test_iris_holds_out_ten_rows_of_each_species() -> None:
    split = trained_iris().split

    assert np.bincount(split.test_target).tolist() == [10, 10, 10]
    assert np.bincount(split.train_target).tolist() == [40, 40, 40]


def test_the_seed_alone_decides_the_split() -> None:
    table = trained_iris().table

    same = split_rows(IRIS, table)
    other = split_rows(IRIS.model_copy(update={"seed": 43}), table)

    assert np.array_equal(same.test_features, trained_iris().split.test_features)
    assert not np.array_equal(other.test_features, trained_iris().split.test_features)


@pytest.mark.parametrize("name", CANDIDATES)
def test_training_twice_gives_the_same_model(name: str) -> None:
    split = trained_iris().split

    first, second = (train(QUICK, BY_NAME[name], split) for _ in range(2))

    assert first.cv_scores == second.cv_scores
    before, after = (fitted.estimator.predict_proba(split.test_features) for fitted in (first, second))
    assert np.array_equal(before, after)


def test_another_seed_gives_another_forest() -> None:
    split = trained_iris().split
    other = QUICK.model_copy(update={"seed": 7})

    first, second = (train(recipe, BY_NAME["random-forest"], split) for recipe in (QUICK, other))

    before, after = (fitted.estimator.predict_proba(split.test_features) for fitted in (first, second))
    assert not np.array_equal(before, after)


def test_the_test_rows_change_nothing_about_the_model() -> None:
    split = trained_iris().split
    poisoned = replace(
        split, test_features=np.full_like(split.test_features, 1e9), test_target=np.zeros_like(split.test_target)
    )

    honest, other = (train(QUICK, BY_NAME["logistic-regression"], part) for part in (split, poisoned))

    assert honest.cv_scores == other.cv_scores
    assert np.array_equal(honest.estimator[-1].coef_, other.estimator[-1].coef_)


def test_each_fold_gives_a_score_and_their_mean_is_told() -> None:
    fitted = trained_iris().evaluations["random-forest"].fitted

    assert len(fitted.cv_scores) == IRIS.folds
    assert fitted.cv_mean == pytest.approx(sum(fitted.cv_scores) / IRIS.folds)
    assert fitted.fit_seconds > 0


def test_the_folds_are_scored_by_the_recipes_metric() -> None:
    split = trained_iris().split
    lopsided = replace(split, train_target=split.train_target // 2, test_target=split.test_target // 2)
    by_f1 = QUICK.model_copy(update={"metric": "f1_macro"})

    accuracy, f1 = (train(recipe, BY_NAME["logistic-regression"], lopsided) for recipe in (QUICK, by_f1))

    assert accuracy.cv_scores != f1.cv_scores
