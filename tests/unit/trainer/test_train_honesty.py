"""Train: rows that score a choice have had no part in it, whatever is searched and however rows are split."""

from typing import Self

import numpy as np
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier

from slipway_core.signature import FloatMatrix
from slipway_trainer.recipes import Candidate
from slipway_trainer.step_results import Table
from slipway_trainer.steps.train import split_rows, train
from support.iris import IRIS

TWO_CLASSES = IRIS.model_copy(update={"classes": ("even", "odd"), "folds": 3})
# A table whose only feature is the row's number.
NUMBERED = Table(np.arange(60, dtype=np.float32).reshape(-1, 1), np.arange(60) % 2, "version")


def unwatched(_done: int, _total: int) -> None:
    """Take no notice of how far a training is."""


def recording(calls: list[tuple[str, tuple[float, ...]]]) -> Candidate:
    """Return a candidate that writes down the number of each row that it is fitted on, or asked about.

    The first feature of a row is its number.
    """

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
    # At last the search and the fit on all training rows, which nothing scores.
    assert len(calls) == 3 * (search + 2) + search + 1
    assert sorted(calls[-1][1]) == sorted(split.train_features[:, 0].tolist())


def test_the_folds_of_a_split_by_time_train_on_the_past_alone() -> None:
    calls: list[tuple[str, tuple[float, ...]]] = []
    recipe = TWO_CLASSES.model_copy(update={"split": "time", "time_columns": ("day",)})
    split = split_rows(recipe, NUMBERED)

    train(recipe, recording(calls).model_copy(update={"search": {}}), split, unwatched)

    folds = list(zip(calls[0:6:2], calls[1:6:2], strict=True))
    assert len(folds) == 3
    for (_, past), (_, future) in folds:
        assert max(past) < min(future)
