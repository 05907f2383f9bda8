"""Hold test rows out, then fit every candidate on the rest and score it by cross-validation."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold, cross_val_score, train_test_split

from slipway_core.signature import FloatMatrix
from slipway_trainer.recipes import Candidate, Recipe
from slipway_trainer.steps.validate import Table


@dataclass(frozen=True)
class Split:
    """Training and test rows, told apart by the recipe's split and seed alone."""

    train_features: FloatMatrix
    train_target: NDArray[np.int64]
    test_features: FloatMatrix
    test_target: NDArray[np.int64]


@dataclass(frozen=True)
class Fitted:
    """A candidate fitted on all training rows.

    Attributes:
        cv_scores: the recipe's metric on each fold that was held out of the training rows.
        started_at: seconds since the epoch.
        fit_seconds: how long the last fit took, without cross-validation.
    """

    candidate: Candidate
    estimator: Any
    cv_scores: tuple[float, ...]
    started_at: float
    fit_seconds: float

    @property
    def cv_mean(self) -> float:
        """The mean of the folds' scores."""
        return float(np.mean(self.cv_scores))


def split_rows(recipe: Recipe, table: Table) -> Split:
    """Hold out the recipe's fraction of rows, with the classes in the same proportions on both sides."""
    train_features, test_features, train_target, test_target = train_test_split(
        table.features,
        table.target,
        test_size=recipe.test_fraction,
        stratify=table.target,
        random_state=recipe.seed,
    )
    return Split(train_features, train_target, test_features, test_target)


def train(recipe: Recipe, candidate: Candidate, split: Split) -> Fitted:
    """Fit one candidate on the training rows; the test rows are not looked at."""
    started_at = time.time()
    folds = StratifiedKFold(recipe.folds, shuffle=True, random_state=recipe.seed)
    scores = cross_val_score(
        candidate.build(candidate.parameters, recipe.seed),
        split.train_features,
        split.train_target,
        scoring=recipe.metric,
        cv=folds,
        error_score="raise",
    )
    estimator = candidate.build(candidate.parameters, recipe.seed)
    before = time.perf_counter()
    estimator.fit(split.train_features, split.train_target)
    fit_seconds = time.perf_counter() - before
    return Fitted(candidate, estimator, tuple(float(score) for score in scores), started_at, fit_seconds)
