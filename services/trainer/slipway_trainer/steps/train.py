"""Hold test rows out, then fit every candidate on the rest and score it by cross-validation."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.metrics import get_scorer
from sklearn.model_selection import KFold, ParameterGrid, StratifiedKFold, TimeSeriesSplit
from sklearn.utils import get_tags

from slipway_core.signature import FloatMatrix
from slipway_trainer.errors import DataRefusedError, TrainingError, reason_of
from slipway_trainer.export import round_to_float32
from slipway_trainer.recipes import Candidate, Recipe
from slipway_trainer.splitting import held_out_rows
from slipway_trainer.step_results import Fitted, Split, Table
from slipway_trainer.tasks.base import Target

INNER_FOLDS = 3

# Called with the number of finished fits and the total number of fits.
Progress = Callable[[int, int], None]


def split_rows(recipe: Recipe, table: Table) -> Split:
    """Hold out the recipe's fraction of rows; see `slipway_trainer.splitting`.

    Raises:
        DataRefusedError: one side has no row of a class.
        TrainingError: there are too few rows for such a fraction.
    """
    held_out = held_out_rows(recipe, table.features, table.target)
    if held_out.all() or not held_out.any():
        raise TrainingError(
            f"test_fraction {recipe.test_fraction:g} of {len(held_out)} rows leaves none to "
            f"{'train on' if held_out.all() else 'judge by'}; take another with --set test_fraction=0.2"
        )
    train_target, test_target = table.target[~held_out], table.target[held_out]
    if lacking := [
        f"the {recipe.split} split leaves no row of the class {label!r} to {purpose}; change it with --set "
        f"split={'random' if recipe.split == 'stratified' else 'stratified'}, or the share of test rows, "
        f"{recipe.test_fraction:g}, with --set test_fraction=VALUE"
        for purpose, target in (("train on", train_target), ("judge by", test_target))
        for index, label in enumerate(recipe.classes)
        if index not in target
    ]:
        raise DataRefusedError(lacking)
    return Split(table.features[~held_out], train_target, table.features[held_out], test_target)


def train(recipe: Recipe, candidate: Candidate, split: Split, progress: Progress) -> Fitted:
    """Fit one candidate on the training rows; the test rows are not looked at.

    Where parameters are searched, each fold of the cross-validation searches anew within its own training rows: the
    rows that score a choice have had no part in it.

    Raises:
        TrainingError: it cannot be fitted, such as with a parameter out of its range, or there are fewer rows than
            folds.
    """
    started_at = time.time()
    score = _scorer(recipe)
    features, target = split.train_features, split.train_target
    scores = []
    with _translated_errors(f"{candidate.name} cannot be fitted"):
        _check_kind(recipe, candidate.build(candidate.parameters, recipe.seed))
        folds = list(_folds(recipe, recipe.folds).split(features, target))
        clock = time.perf_counter()
        for done, (rows, held_out) in enumerate(folds):
            progress(done, len(folds) + 1)
            estimator, _ = _fit(recipe, candidate, features[rows], target[rows])
            scores.append(_finite(recipe, float(score(estimator, features[held_out], target[held_out]))))
        cv_seconds = time.perf_counter() - clock
        progress(len(folds), len(folds) + 1)
        clock = time.perf_counter()
        estimator, chosen = _fit(recipe, candidate, features, target)
        fit_seconds = time.perf_counter() - clock
    round_to_float32(estimator)
    parameters = {**candidate.parameters, **chosen}
    return Fitted(candidate, estimator, parameters, tuple(scores), started_at, cv_seconds, fit_seconds)


def _check_kind(recipe: Recipe, estimator: Any) -> None:  # noqa: ANN401
    """Raise ValueError if an estimator is of another kind than the recipe's task; one without a kind passes."""
    kind = get_tags(estimator).estimator_type if hasattr(estimator, "__sklearn_tags__") else None
    wanted = "classifier" if recipe.task == "classification" else "regressor"
    if kind is not None and kind != wanted:
        raise ValueError(
            f"{type(estimator).__name__} is of the kind {kind.replace('_', ' ')!r}; a recipe for {recipe.task} needs a "
            f"{wanted}"
        )


def _fit(recipe: Recipe, candidate: Candidate, features: FloatMatrix, target: Target) -> tuple[Any, dict[str, Any]]:
    """Return a fitted estimator and the parameters that a search chose for it."""
    chosen = _search(recipe, candidate, features, target) if candidate.search else {}
    estimator = candidate.build({**candidate.parameters, **chosen}, recipe.seed)
    return estimator.fit(features, target), chosen


def _search(recipe: Recipe, candidate: Candidate, features: FloatMatrix, target: Target) -> dict[str, Any]:
    """Return the combination with the best mean score; of equal ones, the first."""
    score = _scorer(recipe)
    folds = list(_folds(recipe, INNER_FOLDS).split(features, target))

    def mean_score(chosen: dict[str, Any]) -> float:
        parameters = {**candidate.parameters, **chosen}
        fits = (
            (candidate.build(parameters, recipe.seed).fit(features[rows], target[rows]), held_out)
            for rows, held_out in folds
        )
        scores = [float(score(fitted, features[held_out], target[held_out])) for fitted, held_out in fits]
        return _finite(recipe, float(np.mean(scores)))

    best: dict[str, Any] = max(ParameterGrid(candidate.search), key=mean_score)
    return best


def _finite(recipe: Recipe, score: float) -> float:
    """Return the score; raise ValueError if it is not finite: NaN compares false, so the first NaN would win."""
    if not np.isfinite(score):
        raise ValueError(f"its {recipe.metric} is {score} on a fold: take fewer folds, or a metric that each fold has")
    return score


@contextmanager
def _translated_errors(what: str) -> Iterator[None]:
    """Report in one sentence why an estimator fails: its own code may raise anything."""
    try:
        yield
    except Exception as error:
        raise TrainingError(f"{what}: {reason_of(error)}") from error


def _scorer(recipe: Recipe) -> Any:  # noqa: ANN401  # scikit-learn has no types
    # As the graph is scored: each class against the rest. Its plain name takes two classes only.
    return get_scorer("roc_auc_ovr" if recipe.metric == "roc_auc" else recipe.metric)


def _folds(recipe: Recipe, count: int) -> StratifiedKFold | KFold | TimeSeriesSplit:
    if recipe.split == "time":
        return TimeSeriesSplit(count)
    kind = StratifiedKFold if recipe.task == "classification" else KFold
    return kind(count, shuffle=True, random_state=recipe.seed)
