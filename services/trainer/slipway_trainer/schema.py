"""A recipe's schema as Pandera's, and what it finds as sentences with the lines of the file."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from pandera.errors import SchemaErrors
from pandera.pandas import Check, DataFrameSchema
from pandera.pandas import Column as SchemaColumn

from slipway_core.signature import FLOAT32_MAX
from slipway_trainer.recipes import Column, Recipe

SHOWN_LINES = 5
SHOWN_CODES = 12


def check_schema(recipe: Recipe, frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Check a frame column by column, and by the recipe's own rules.

    Args:
        recipe: tells the columns and what they may hold.
        frame: as it was read; the index counts the lines of the file from the second.

    Returns:
        The frame with numbers as float64, and the findings. A value that is no number is NaN in it.
    """
    numeric = [*recipe.columns, *([] if recipe.classes else [recipe.target])]
    raw = {column.name: _raw(is_number=column in numeric) for column in (*recipe.columns, recipe.target)}
    if missing := [name for name in raw if name not in frame.columns]:
        there = ", ".join(str(name) for name in frame.columns[:30])
        return frame, [f"the column {name!r} is missing; the file has {there}" for name in missing]
    # First as they stand in the file, then as numbers: a word in a column of numbers would hide all else.
    findings = list(_findings(DataFrameSchema(raw), frame))
    numbers = frame.copy()
    for column in numeric:
        numbers[column.name] = pd.to_numeric(frame[column.name], errors="coerce").astype("float64")
    columns = {column.name: SchemaColumn(float, _checks(column), nullable=True) for column in numeric}
    if recipe.classes:
        known = Check.isin(recipe.classes, error=f"is none of {', '.join(recipe.classes)}")
        columns[recipe.target.name] = SchemaColumn(None, known, nullable=True)
    findings += _findings(DataFrameSchema(columns, checks=list(recipe.checks)), numbers)
    return numbers, findings


def lines(mask: pd.Series) -> str:
    """Return the lines of the file where a mask is true: `line 2`, or `lines 2, 3, 5 and 7 more`."""
    return _lines(mask.index[mask.to_numpy()].to_list())


def _raw(*, is_number: bool) -> SchemaColumn:
    checks = [Check(_not_empty, error="is empty", ignore_na=False)]
    if is_number:
        checks.append(Check(_is_number, error="holds what is not a number", ignore_na=False))
    return SchemaColumn(None, checks, nullable=True)


def _not_empty(values: pd.Series) -> pd.Series:
    return values.notna()


def _is_number(values: pd.Series) -> pd.Series:
    # True and False are words here, though pandas takes them for 1 and 0.
    if pd.api.types.is_bool_dtype(values):
        return pd.Series(data=False, index=values.index)
    is_word = values.map(lambda value: isinstance(value, bool))
    return values.isna() | (pd.to_numeric(values.mask(is_word), errors="coerce").notna())


def _checks(column: Column) -> list[Check]:
    checks = [Check(lambda values: ~np.isinf(values), error="is infinite")]
    minimum = -FLOAT32_MAX if column.minimum is None else column.minimum
    maximum = FLOAT32_MAX if column.maximum is None else column.maximum
    unit = column.unit or ""
    # A unit such as `41 °C` is a number itself.
    unit = f"{' ×' if unit[:1].isdigit() else ''} {unit}".rstrip()
    checks.append(Check(lambda values: (values >= minimum) | np.isneginf(values), error=f"is below {minimum:g}{unit}"))
    checks.append(Check(lambda values: (values <= maximum) | np.isposinf(values), error=f"is above {maximum:g}{unit}"))
    if column.categories is not None:
        codes = [f"{code:g}" for code in column.categories]
        told = ", ".join(codes) if len(codes) <= SHOWN_CODES else f"{codes[0]} to {codes[-1]}"
        checks.append(Check.isin(column.categories, error=f"is none of {told}"))
    return checks


def _findings(schema: DataFrameSchema, frame: pd.DataFrame) -> Iterator[str]:
    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as error:
        cases = error.failure_cases
        # A rule of the whole frame fails once for each of its columns.
        subjects = cases["column"].map("{!r} ".format).where(cases["schema_context"] == "Column", "")
        for (subject, check), group in cases.groupby([subjects, "check"], sort=False):
            rows = sorted({int(index) for index in group["index"].dropna()})
            yield f"{subject}{check} in {_lines(rows)}" if rows else f"{subject}{check}"


def _lines(rows: list[int]) -> str:
    # Line 1 is the header, so the first row of data is line 2.
    shown = ", ".join(str(row + 2) for row in rows[:SHOWN_LINES])
    more = f" and {len(rows) - SHOWN_LINES} more" if len(rows) > SHOWN_LINES else ""
    return f"line{'s' if len(rows) > 1 else ''} {shown}{more}"
