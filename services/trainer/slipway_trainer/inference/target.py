"""Infer the task and the classes from the target's fields."""

import math
import re
from collections.abc import Collection

import pandas as pd

from slipway_core.plurals import count_of
from slipway_trainer.errors import DataRefusedError
from slipway_trainer.inference.drafts import TargetDraft
from slipway_trainer.inference.fields import (
    is_boolean,
    is_date,
    is_missing,
    is_number,
    matching,
    shown_all,
    wrong_numbers,
)
from slipway_trainer.recipes.base import ROWS_A_FOLD, Label, Recipe
from slipway_trainer.schema import lines, shown

# More integers are quantities.
MAX_INTEGER_CLASSES = 10
MAX_TEXT_CLASSES = 50
MIN_CLASS_ROWS = Recipe.model_fields["folds"].default * ROWS_A_FOLD
_INTEGER_LABEL = re.compile(r"(0|-?[1-9]\d*)(\.0)?", re.ASCII)


def infer_target(name: str, fields: pd.Series) -> TargetDraft:
    """Infer whether the target has classes or values.

    Args:
        name: the target's name.
        fields: its fields as text; the index counts the file's lines, 0 for the second.

    Raises:
        DataRefusedError: values are missing, or the target is not suitable.
    """
    if (missing := matching(fields, is_missing)).any():
        raise DataRefusedError(
            [f"the target {name!r} is missing in {lines(missing)}; fill it in, or remove these rows"]
        )
    distinct = fields.unique().tolist()
    if len(distinct) == 1:
        raise DataRefusedError(
            [f"the target {name!r} is {shown(distinct[0])} in every row; add rows with another value"]
        )
    if problem := wrong_numbers(name, fields, distinct):
        raise DataRefusedError([problem])
    if all(map(is_boolean, distinct)):
        return _classes(name, fields.map(lambda field: field.strip().lower() == "true"), "it is true or false")
    if all(map(is_date, distinct)):
        raise DataRefusedError([f"the target {name!r} is a date; choose a column of numbers or classes with --target"])
    if all(_INTEGER_LABEL.fullmatch(field.strip()) for field in distinct) and len(distinct) <= MAX_INTEGER_CLASSES:
        labels = fields.map(lambda field: int(field.strip().removesuffix(".0")))
        return _classes(name, labels, f"it has {len(distinct)} different integers")
    if all(map(is_number, distinct)) and len(distinct) > 2:  # noqa: PLR2004  # two numbers are two classes
        numbers = fields.astype("float64")
        note = f"it has {len(distinct):,} different numbers, from {numbers.min():.10g} to {numbers.max():.10g}"
        return TargetDraft(name, note=note)
    if len(distinct) > MAX_TEXT_CLASSES:
        raise DataRefusedError([_too_many(name, distinct)])
    return _classes(name, fields, f"it has {len(distinct)} different texts")


def _too_many(name: str, distinct: Collection[str]) -> str:
    return (
        f"the target {name!r} has {len(distinct):,} different texts ({shown_all(distinct, 3)}), more than the "
        f"{MAX_TEXT_CLASSES} that Slipway takes for classes; choose another column with --target, or merge values"
    )


def _classes(name: str, labels: pd.Series, note: str) -> TargetDraft:
    counts: dict[Label, int] = {label: int((labels == label).sum()) for label in sorted(labels.unique().tolist())}
    if findings := [
        f"the class {label!r} of the target {name!r} has {count_of(count, 'row')}, fewer than the {MIN_CLASS_ROWS} "
        "that a cross-validation requires; add rows, merge the class with another, or remove its rows"
        for label, count in counts.items()
        if count < MIN_CLASS_ROWS
    ]:
        raise DataRefusedError(findings)
    return TargetDraft(name, counts, note)


def rounded_down(share: float) -> float:
    """Return a share rounded down to two significant digits."""
    digits = 1 - math.floor(math.log10(share))
    return math.floor(share * 10.0**digits) / 10.0**digits
