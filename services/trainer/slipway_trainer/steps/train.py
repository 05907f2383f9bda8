"""Hold out test rows, then fit every candidate on the other rows and score it by cross-validation."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    ParameterGrid,
    StratifiedGroupKFold,
    StratifiedKFold,
    TimeSeriesSplit,
)
from sklearn.utils import get_tags

from slipway_trainer.errors import DataRefusedError, TrainingError, reason_of
from slipway_trainer.export import round_to_float32
from slipway_trainer.features import Features, as_sent, for_estimator
from slipway_trainer.metrics import METRICS
from slipway_trainer.recipes import Candidate, Recipe
from slipway_trainer.splitting import Hashes, held_out_rows
from slipway_trainer.step_results import Fitted, Split, Table
from slipway_trainer.tasks import task_of
from slipway_trainer.tasks.base import Target

INNER_FOLDS = 3
# With more keys, the shares of the classes hardly differ between folds, and to balance them takes seconds per fold.
MAX_BALANCED_KEYS = 20_000

_Indices = NDArray[np.int64]
# Called with the number of finished fits and the total number of fits.
Progress = Callable[[int, int], None]

# Advice for frequent messages of scikit-learn about tables.
_ADVICE = {
    "unknown categories": "declare the `categories` of the column and pass the same ones to its encoder, or set "
    'handle_unknown="ignore" in the encoder',
    "contains NaN": "fill missing values in the pipeline, such as with SimpleImputer",
    "could not convert string to float": "encode columns of text in the pipeline, such as with OneHotEncoder",
}


def split_rows(recipe: Recipe, table: Table) -> Split:
    """Hold out the recipe's fraction of rows; see `slipway_trainer.splitting`.

    Raises:
        DataRefusedError: the training or the test rows have no row of a class.
        TrainingError: the fraction leaves no training or no test rows.
    """
    held_out = held_out_rows(recipe, as_sent(table.features), table.target, table.keys)
    if held_out.all() or not held_out.any():
        units = f"{len(held_out)} rows"
        if table.keys is not None:
            units = f"{len(np.unique(table.keys))} values of the split_key {recipe.split_key!r}"
        lacking, other = ("training", "smaller") if held_out.all() else ("test", "larger")
        raise TrainingError(
            f"test_fraction {recipe.test_fraction:g} of {units} leaves no {lacking} rows; choose a {other} one with "
            "--set test_fraction=VALUE"
        )
    train_target, test_target = table.target[~held_out], table.target[held_out]
    if findings := [
        f"the {recipe.split} split leaves no {kind} row of the class {label!r}; {_advice(recipe)}"
        for kind, target in (("training", train_target), ("test", test_target))
        for index, label in enumerate(recipe.classes)
        if index not in target
    ]:
        raise DataRefusedError(findings)
    train_keys = None if table.keys is None else table.keys[~held_out]
    return Split(table.features[~held_out], train_target, table.features[held_out], test_target, train_keys)


def _advice(recipe: Recipe) -> str:
    """Return what to do if a class has no training or no test row."""
    if recipe.split != "stratified":
        return (
            f"change it with --set split=stratified, or the share of test rows, {recipe.test_fraction:g}, with --set "
            "test_fraction=VALUE"
        )
    rows = "rows" if recipe.split_key is None else f"rows with other values of the split_key {recipe.split_key!r}"
    return f"add {rows} of the class, or remove it from the recipe's `classes`"


def train(recipe: Recipe, candidate: Candidate, split: Split, progress: Progress) -> Fitted:
    """Fit one candidate on the training rows. The test rows are not used.

    If parameters are searched, each fold of the cross-validation searches within its own training rows, so that the
    rows of a score have no influence on the choice.

    Raises:
        TrainingError: the candidate cannot be fitted, for example because a parameter is out of range or there are
            fewer rows than folds.
    """
    started_at = time.time()
    score = task_of(recipe).score_estimator
    features, target = split.train_features, split.train_target
    scores = []
    with _translated_errors(f"{candidate.name} cannot be fitted"):
        _check_kind(recipe, candidate.build(candidate.parameters, recipe.seed))
        folds = _folds(recipe, recipe.folds, target, split.train_keys)
        clock = time.perf_counter()
        for done, (rows, held_out) in enumerate(folds):
            progress(done, len(folds) + 1)
            keys = None if split.train_keys is None else split.train_keys[rows]
            estimator, _ = _fit(recipe, candidate, features[rows], target[rows], keys)
            scores.append(_finite(recipe, score(estimator, features[held_out], target[held_out])))
        cv_seconds = time.perf_counter() - clock
        progress(len(folds), len(folds) + 1)
        clock = time.perf_counter()
        estimator, chosen = _fit(recipe, candidate, features, target, split.train_keys)
        fit_seconds = time.perf_counter() - clock
    round_to_float32(estimator)
    parameters = {**candidate.parameters, **chosen}
    return Fitted(candidate, estimator, parameters, tuple(scores), started_at, cv_seconds, fit_seconds)


def _check_kind(recipe: Recipe, estimator: Any) -> None:  # noqa: ANN401
    """Raise ValueError if the estimator's kind does not match the recipe's task; estimators without a kind pass."""
    kind = get_tags(estimator).estimator_type if hasattr(estimator, "__sklearn_tags__") else None
    wanted = "classifier" if recipe.task == "classification" else "regressor"
    if kind is not None and kind != wanted:
        raise ValueError(
            f"{type(estimator).__name__} is of the kind {kind.replace('_', ' ')!r}; a recipe for {recipe.task} needs a "
            f"{wanted}"
        )


def _fit(
    recipe: Recipe, candidate: Candidate, features: Features, target: Target, keys: Hashes | None
) -> tuple[Any, dict[str, Any]]:
    """Return a fitted estimator and the parameters that a search chose for it."""
    chosen = _search(recipe, candidate, features, target, keys) if candidate.search else {}
    return _fitted(recipe, candidate, chosen, features, target), chosen


def _fitted(recipe: Recipe, candidate: Candidate, chosen: Mapping[str, Any], features: Features, target: Target) -> Any:  # noqa: ANN401  # scikit-learn has no types
    """Return a fitted estimator; raise ValueError with advice if it rejects rows of a single class."""
    estimator = candidate.build({**candidate.parameters, **chosen}, recipe.seed)
    try:
        return estimator.fit(for_estimator(features), target)
    except ValueError as error:
        if recipe.task == "regression" or len(np.unique(target)) > 1:
            raise
        raise ValueError(
            f"the training rows of a fold have only the class {recipe.classes[int(target[0])]!r}; use fewer folds with "
            "--set folds=N, or another split with --set split=stratified"
        ) from error


def _search(
    recipe: Recipe, candidate: Candidate, features: Features, target: Target, keys: Hashes | None
) -> dict[str, Any]:
    """Return the combination with the best mean score; among equal scores, the first."""
    score = task_of(recipe).score_estimator
    folds = _folds(recipe, INNER_FOLDS, target, keys)

    def mean_score(chosen: dict[str, Any]) -> float:
        fits = (
            (_fitted(recipe, candidate, chosen, features[rows], target[rows]), held_out) for rows, held_out in folds
        )
        scores = [score(fitted, features[held_out], target[held_out]) for fitted, held_out in fits]
        return METRICS[recipe.metric].signed(_finite(recipe, float(np.mean(scores))))

    best: dict[str, Any] = max(ParameterGrid(candidate.search), key=mean_score)
    return best


def _finite(recipe: Recipe, score: float) -> float:
    """Return the score; raise ValueError if it is not finite, because NaN would win every comparison."""
    if not np.isfinite(score):
        raise ValueError(
            f"its {recipe.metric} is {score} on a fold; use fewer folds with --set folds=N, or another metric with "
            "--set metric=NAME"
        )
    return score


@contextmanager
def _translated_errors(what: str) -> Iterator[None]:
    """Raise a TrainingError with one sentence for any exception of an estimator."""
    try:
        yield
    except Exception as error:
        advice = next((f"; {advice}" for phrase, advice in _ADVICE.items() if phrase in str(error)), "")
        raise TrainingError(f"{what}: {reason_of(error)}{advice}") from error


def _folds(recipe: Recipe, count: int, target: Target, keys: Hashes | None) -> list[tuple[_Indices, _Indices]]:
    """Return the training and the held-out rows of each fold; rows with one key are in one fold.

    Raises:
        ValueError: there are fewer rows or keys than folds.
    """
    is_classification = recipe.task == "classification"
    if recipe.split == "time":
        return list(TimeSeriesSplit(count).split(target))
    if keys is None:
        kind = StratifiedKFold if is_classification else KFold
        return list(kind(count, shuffle=True, random_state=recipe.seed).split(target, target))
    if (found := len(np.unique(keys))) < count:
        raise ValueError(
            f"{found} values of the split_key {recipe.split_key!r} are too few for {count} folds; use fewer with --set "
            "folds=VALUE, add rows with other values, or choose another column with --set split_key=NAME"
        )
    group_kind = StratifiedGroupKFold if is_classification and found <= MAX_BALANCED_KEYS else GroupKFold
    return list(group_kind(count, shuffle=True, random_state=recipe.seed).split(target, target, keys))
