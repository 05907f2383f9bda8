"""Data that fits its schema and is still not worth training on: few, repeated, constant, leaking or unrelated rows."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score

from slipway_core.signature import FloatMatrix
from slipway_trainer.recipes import Recipe
from slipway_trainer.schema import lines
from slipway_trainer.tasks import task_of
from slipway_trainer.tasks.base import Target

FOLDS = 3
# A first look needs no more rows than these.
MAX_PROBE_ROWS = 20_000
# Of fewer rows, one honest feature may tell every class by luck.
MIN_LEAKAGE_ROWS = 100
# A sum of features that gives the target this well holds the target's own parts.
MAX_LINEAR_R2 = 0.9999


def suspicious(recipe: Recipe, frame: pd.DataFrame) -> list[str]:
    """Look at rows that fit the schema as a whole.

    Args:
        recipe: tells what is too much.
        frame: features and target, numbers as float64; the index counts the lines of the file from the second.

    Returns:
        A sentence for each thing that speaks against training on them.
    """
    if len(frame) < recipe.min_rows:
        return [f"there are {len(frame)} rows, and {recipe.min_rows} are needed at least"]
    target = task_of(recipe).encode(frame[recipe.target.name])
    findings = [*task_of(recipe).check_target(target), *_constant(recipe, frame), *_duplicates(recipe, frame)]
    if findings:  # what comes next is no use on such rows
        return findings
    rows = _sample(recipe, target)
    features = frame[recipe.feature_names].to_numpy(dtype=np.float32)
    return [
        *_leaking(recipe, features, target, rows),
        *_copies(recipe, frame, target),
        *_unrelated(recipe, features, target, rows),
    ]


def _constant(recipe: Recipe, frame: pd.DataFrame) -> Iterator[str]:
    for column in recipe.columns:
        values = frame[column.name].to_numpy()
        if not column.may_be_constant and (values == values[0]).all():
            yield (
                f"{column.name!r} is {values[0]:g} in every row: a feature that never changes tells nothing (if it is "
                "meant to, set may_be_constant in the recipe)"
            )


def _duplicates(recipe: Recipe, frame: pd.DataFrame) -> Iterator[str]:
    names = [name for name in frame.columns if name in {*recipe.feature_names, recipe.target.name, *recipe.ignored}]
    repeated = frame.duplicated(names)
    if repeated.mean() > recipe.max_duplicate_share:
        yield (
            f"{repeated.sum()} of {len(frame)} rows repeat an earlier one, and {recipe.max_duplicate_share:.0%} may: "
            f"the same row would be learned from and judged by ({lines(repeated)})"
        )


def _leaking(recipe: Recipe, features: FloatMatrix, target: Target, rows: NDArray[np.int64]) -> Iterator[str]:
    task = task_of(recipe)
    # By ranks, so that a few huge values do not hide that the order is the same.
    ranked = rankdata(target) if recipe.task == "regression" else target
    for index, name in enumerate(recipe.feature_names):
        if len(rows) >= MIN_LEAKAGE_ROWS:
            score = _probe(recipe, task.probes()[0], features[:, [index]], ranked, rows)
        else:
            score = 1.0 if _is_copy(pd.Series(features[:, index]), target) else task.chance
        if score >= recipe.leakage_score:
            yield (
                f"{name!r} alone gives the target {recipe.target.name!r} away ({task.probe_score} {score:.4f}): it "
                "seems to hold the answer, which will not be known when the model is asked; put the right values into "
                "it, or take it out of the recipe's columns (or, if it is honest, set leakage_score above that)"
            )
    if recipe.task == "regression":
        together = _probe(recipe, LinearRegression(), features, target, rows)
        if together >= MAX_LINEAR_R2:
            yield (
                f"the features together add up to the target {recipe.target.name!r} (r2 {together:.5f} of a "
                "plain sum): they hold its parts, which will not be known when the model is asked"
            )


def _copies(recipe: Recipe, frame: pd.DataFrame, target: Target) -> Iterator[str]:
    """Look at columns that the recipe does not know: nothing is learned from them, but a copy is a trap."""
    known = {recipe.target.name, *recipe.feature_names, *recipe.ignored, *recipe.time_columns}
    for name in (name for name in frame.columns if name not in known):
        if _is_copy(frame[name], target):
            yield (
                f"the column {name!r} is a copy of the target {recipe.target.name!r} under another name; take it out "
                "of the data, or name it in the recipe's `ignored`"
            )


def _is_copy(values: pd.Series, target: Target) -> bool:
    """Tell whether a column has as many different values as the target, each always with the same one."""
    codes, different = pd.factorize(values)
    if not len(different) == len(np.unique(target)) == len(np.unique(np.stack([codes, target]), axis=1).T):
        return False
    if len(different) < len(target):
        return True
    # Where no value comes twice, that is so of any row number, too: then a copy rises or falls with the target.
    steps = np.diff(pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)[np.argsort(target)])
    return bool((steps > 0).all() or (steps < 0).all())


def _unrelated(recipe: Recipe, features: FloatMatrix, target: Target, rows: NDArray[np.int64]) -> Iterator[str]:
    task = task_of(recipe)
    score = max(_probe(recipe, probe, features, target, rows) for probe in task.probes())
    # What guessing classes reaches by luck: three standard errors of a share of rows, on the scale of skill.
    luck = 3 * np.sqrt(task.chance / ((1 - task.chance) * len(rows)))
    if (score - task.chance) / (1 - task.chance) < max(recipe.min_skill, luck):
        yield (
            f"the features tell next to nothing of the target {recipe.target.name!r}: a small model reaches "
            f"{task.probe_score} {score:.2f} where guessing reaches {task.chance:.2f}; were its values shuffled or "
            f"shifted against the rows? (If it is as hard as that, set min_skill below {recipe.min_skill:g}.)"
        )


def _sample(recipe: Recipe, target: Target) -> NDArray[np.int64]:
    """Return the indices of the rows to look at; of a rare class all, so that each is there."""
    random = np.random.default_rng(recipe.seed)
    groups = (
        [np.flatnonzero(target == label) for label in np.unique(target)] if recipe.classes else [np.arange(len(target))]
    )
    return np.concatenate([random.permutation(group)[: MAX_PROBE_ROWS // len(groups)] for group in groups])


def _probe(recipe: Recipe, estimator: Any, features: FloatMatrix, target: Target, rows: NDArray[np.int64]) -> float:  # noqa: ANN401  # scikit-learn has no types
    score = task_of(recipe).probe_score
    scores = cross_val_score(
        estimator, features[rows], target[rows], cv=_folds(recipe), scoring=score, error_score="raise"
    )
    return float(scores.mean())


def _folds(recipe: Recipe) -> KFold | StratifiedKFold:
    kind = KFold if recipe.task == "regression" else StratifiedKFold
    return kind(FOLDS, shuffle=True, random_state=recipe.seed)
