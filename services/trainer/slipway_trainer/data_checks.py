"""Find valid data that is unsuitable for training: too few, repeated, constant, leaking or unrelated rows."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score

from slipway_core.plurals import count_of
from slipway_core.rows import FloatMatrix
from slipway_trainer.recipes import Recipe
from slipway_trainer.recipes.base import MIN_ROWS
from slipway_trainer.schema import lines, shown
from slipway_trainer.tasks import task_of
from slipway_trainer.tasks.base import Target

FOLDS = 3
# Enough rows for a quick check.
MAX_PROBE_ROWS = 20_000
# With fewer rows, a legitimate feature may separate the classes by chance.
MIN_LEAKAGE_ROWS = 100
# If a sum of features predicts the target this well, the features are parts of the target.
MAX_LINEAR_R2 = 0.9999
# Above this score, a message proposes no limit between the score and 1.
MAX_LEAKAGE_SCORE = 0.99999


def find_data_problems(recipe: Recipe, frame: pd.DataFrame) -> list[str]:
    """Check valid rows as a whole.

    Args:
        recipe: the recipe with its limits.
        frame: features and target, numbers as float64; the index counts the file's lines, 0 for the second.

    Returns:
        One sentence per problem.
    """
    if len(frame) < recipe.min_rows:
        lower = f", or lower the limit with --set min_rows={len(frame)}" if len(frame) >= MIN_ROWS else ""
        return [f"the data has {count_of(len(frame), 'row')}, fewer than min_rows {recipe.min_rows}; add rows{lower}"]
    target = task_of(recipe).encode(frame[recipe.target.name])
    findings = [*task_of(recipe).check_target(target), *_constant(recipe, frame), *_duplicates(recipe, frame)]
    if findings:  # the other checks need valid rows
        return findings
    rows = _sample(recipe, target)
    features = _as_numbers(recipe, frame)
    return [
        *_leaking(recipe, features, target, rows),
        *_copies(recipe, frame, target),
        *_unrelated(recipe, features, target, rows),
    ]


def _as_numbers(recipe: Recipe, frame: pd.DataFrame) -> FloatMatrix:
    """Return the features as (n_rows, n_features) float32: text as codes, missing numbers as the median."""
    if recipe.is_matrix:
        matrix: FloatMatrix = frame[recipe.feature_names].to_numpy(dtype=np.float32)
        return matrix
    numbers = np.zeros((len(frame), len(recipe.columns)), dtype=np.float32)
    for index, column in enumerate(recipe.columns):
        values = frame[column.name]
        numbers[:, index] = values.fillna(values.median()) if column.is_number else pd.factorize(values, sort=True)[0]
    return numbers


def _constant(recipe: Recipe, frame: pd.DataFrame) -> Iterator[str]:
    for column in recipe.columns:
        values = frame[column.name]
        if values.isna().all():
            yield (
                f"{column.name!r} is missing in every row, so a model cannot learn from it; correct the data, or "
                "remove the column from the recipe"
            )
        elif not column.may_be_constant and len(values.drop_duplicates()) == 1:
            yield (
                f"{column.name!r} is {shown(values.iloc[0])} in every row, so it has no information; "
                "correct the data, or set the column's `may_be_constant=True` in the recipe"
            )


def _duplicates(recipe: Recipe, frame: pd.DataFrame) -> Iterator[str]:
    names = [name for name in frame.columns if name in {*recipe.feature_names, recipe.target.name, *recipe.ignored}]
    repeated = frame.duplicated(names)
    if repeated.mean() > recipe.max_duplicate_share:
        yield (
            f"{repeated.sum()} of {len(frame)} rows ({repeated.mean():.1%}) repeat an earlier row, more than "
            f"max_duplicate_share {recipe.max_duplicate_share:g} allows: {_pair(frame, names, repeated)}; all of them: "
            f"{lines(repeated)}; remove them, or raise the limit with --set "
            f"max_duplicate_share={_rounded_up(repeated.mean())}"
        )


def _pair(frame: pd.DataFrame, names: list[str], repeated: pd.Series) -> str:
    """Return the first repeated row with the row that it repeats."""
    second = frame.index[repeated.to_numpy()][0]
    # A comparison would treat missing values as different from each other.
    groups = frame.groupby(names, sort=False, dropna=False).ngroup()
    first = groups.index[(groups == groups[second]).to_numpy()][0]
    return f"line {second + 2} repeats line {first + 2}"


def _rounded_up(share: float) -> str:
    """Return a share rounded up, so that a limit of this value allows it."""
    return f"{np.ceil(share * 1_000) / 1_000:g}"


def _limit_advice(score: float) -> str:
    if score >= MAX_LEAKAGE_SCORE:
        return "turn this check off with --set leakage_score=1"
    return f"raise the limit with --set leakage_score={(score + 1) / 2:.6g}"


def _leaking(recipe: Recipe, features: FloatMatrix, target: Target, rows: NDArray[np.int64]) -> Iterator[str]:
    if recipe.leakage_score == 1:
        return
    task = task_of(recipe)
    # Ranks, so that a few extreme values do not hide an equal order.
    ranked = rankdata(target) if recipe.task == "regression" else target
    for index, name in enumerate(recipe.feature_names):
        if len(rows) >= MIN_LEAKAGE_ROWS:
            score = _probe(recipe, task.probes()[0], features[:, [index]], ranked, rows)
        else:
            score = 1.0 if _is_copy(pd.Series(features[:, index]), target) else task.chance
        if score >= recipe.leakage_score:
            yield (
                f"{name!r} alone predicts the target {recipe.target.name!r} ({task.probe_score} {score:.4f}, "
                f"leakage_score {recipe.leakage_score:g}): it seems to reveal the target, which clients do not know; "
                f"correct its values, or remove it from the recipe's columns, or, if the feature is legitimate, "
                f"{_limit_advice(score)}"
            )
    if recipe.task == "regression":
        together = _probe(recipe, LinearRegression(), features, target, rows)
        if together >= MAX_LINEAR_R2:
            yield (
                f"the features together add up to the target {recipe.target.name!r} (r2 {together:.5f} of a linear "
                f"model, limit {MAX_LINEAR_R2}): they are parts of it, which clients do not know; remove them from the "
                "recipe's columns, or, if they are legitimate, turn this check off with --set leakage_score=1"
            )


def _copies(recipe: Recipe, frame: pd.DataFrame, target: Target) -> Iterator[str]:
    """Find copies of the target in columns that the recipe does not use, because a recipe could include them later."""
    known = {recipe.target.name, *recipe.feature_names, *recipe.ignored, *recipe.time_columns}
    for name in (name for name in frame.columns if name not in known):
        if _is_copy(frame[name], target):
            yield (
                f"the column {name!r} is a copy of the target {recipe.target.name!r}; remove it from the data, or add "
                "it to the recipe's `ignored`"
            )


def _is_copy(values: pd.Series, target: Target) -> bool:
    """Return whether each value of a column corresponds to exactly one value of the target, and vice versa."""
    codes, different = pd.factorize(values)
    if not len(different) == len(np.unique(target)) == len(np.unique(np.stack([codes, target]), axis=1).T):
        return False
    if len(different) < len(target):
        return True
    # If all values are unique, this is true of any row number, too: a copy must also rise or fall with the target.
    steps = np.diff(pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)[np.argsort(target)])
    return bool((steps > 0).all() or (steps < 0).all())


def _unrelated(recipe: Recipe, features: FloatMatrix, target: Target, rows: NDArray[np.int64]) -> Iterator[str]:
    task = task_of(recipe)
    score = max(_probe(recipe, probe, features, target, rows) for probe in task.probes())
    skill = (score - task.chance) / (1 - task.chance)
    # The skill that guessing classes reaches by chance: three standard errors of a share of rows.
    luck = 3 * np.sqrt(task.chance / ((1 - task.chance) * len(rows)))
    if recipe.min_skill and skill < max(recipe.min_skill, luck):
        allowing = np.floor(skill * 100) / 100
        change = (
            f"lower the limit, {recipe.min_skill:g}, with --set min_skill={allowing:g}"
            if allowing >= luck
            else "turn this check off with --set min_skill=0"
        )
        yield (
            f"the features hardly predict the target {recipe.target.name!r}: a small model reaches {task.probe_score} "
            f"{score:.2f}, and guessing {task.chance:.2f}; check that each target value belongs to its row, or, if the "
            f"target is hard to predict, {change}"
        )


def _sample(recipe: Recipe, target: Target) -> NDArray[np.int64]:
    """Return the indices of the rows to check; they include all rows of rare classes."""
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
