"""Infer the type of a column from its fields, or a reason to leave it out."""

import re
from collections.abc import Callable, Collection

import numpy as np
import pandas as pd

from slipway_core.columns import FLOAT32_EXACT, MAX_NAME_LENGTH, DatePart
from slipway_core.dates import DATE_PARTS, date_parts
from slipway_trainer.errors import DataRefusedError
from slipway_trainer.inference.drafts import ColumnDraft, IgnoredDraft
from slipway_trainer.inference.fields import (
    MOSTLY,
    is_boolean,
    is_code,
    is_date,
    is_integer,
    is_missing,
    is_number,
    is_other_date,
    matching,
    share,
    shown_all,
    wrong_numbers,
)
from slipway_trainer.schema import shown

# With more different texts, each must occur often enough for a model to learn from it.
MAX_CATEGORIES = 50
MAX_FREQUENT_CATEGORIES = 200
FREQUENT_ROWS = 20
RARE_ROWS = 2
# `id`, `customer_id` and `customerID`; not `paid`.
_ID_WORD = re.compile(r"(.*[^a-z0-9])?(id|uuid|guid)", re.DOTALL)
_ID_SUFFIX = re.compile(r".*[a-z]I[Dd]", re.DOTALL)


def infer_column(name: str, fields: pd.Series) -> ColumnDraft | IgnoredDraft:
    """Infer a feature.

    Args:
        name: the column's name.
        fields: its fields as text; the index counts the file's lines, 0 for the second.

    Raises:
        DataRefusedError: the column holds numbers in a form that Slipway does not read.
    """
    missing = matching(fields, is_missing)
    present = fields[~missing]
    distinct = present.unique().tolist()
    if len(distinct) <= 1:
        where = "in every row" if not missing.any() else "in every row that has a value"
        return IgnoredDraft(name, f"is {shown(distinct[0])} {where}" if distinct else "has no values")
    if problem := wrong_numbers(name, present, distinct):
        raise DataRefusedError([problem])

    def every(test: Callable[[str], bool]) -> bool:
        return all(map(test, distinct))

    gaps = (f"{missing.sum():,} of {len(fields):,} values are missing",) if missing.any() else ()
    if every(is_boolean):
        return ColumnDraft(name, "bool", bool(gaps), notes=gaps)
    if every(is_number) and not any(map(is_code, distinct)):
        return _number(name, present, distinct, gaps)
    if every(is_date):
        return _date(name, distinct, gaps)
    return _text(name, present, distinct, gaps)


def _number(
    name: str, present: pd.Series, distinct: Collection[str], gaps: tuple[str, ...]
) -> ColumnDraft | IgnoredDraft:
    numbers = pd.to_numeric(present).astype("float64")
    integers = all(map(is_integer, distinct))
    if is_id_name(name):
        return IgnoredDraft(name, _identifies(name, is_unique=len(distinct) == len(present)))
    steps = np.diff(numbers)
    if integers and not gaps and ((steps > 0).all() or (steps < 0).all()):
        return IgnoredDraft(name, "numbers the rows: its integers are unique and in order")
    notes = (f"{numbers.min():.10g} to {numbers.max():.10g}", *gaps)
    if not integers:
        return ColumnDraft(name, "float32", bool(gaps), notes=notes)
    if numbers.abs().max() > FLOAT32_EXACT:
        return ColumnDraft(name, "float32", bool(gaps), notes=(*notes, "integers too large for int64 are rounded"))
    return ColumnDraft(name, "int64", bool(gaps), notes=notes)


def _date(name: str, distinct: Collection[str], gaps: tuple[str, ...]) -> ColumnDraft | IgnoredDraft:
    found = [date_parts(field) for field in distinct]
    parts: tuple[DatePart, ...] = tuple(part for part in DATE_PARTS if len({one[part] for one in found}) > 1)
    if not parts:
        return IgnoredDraft(name, "has dates that differ only in their minutes")
    return ColumnDraft(name, "date", bool(gaps), parts=parts, notes=(f"{min(distinct)} to {max(distinct)}", *gaps))


def _text(
    name: str, present: pd.Series, distinct: Collection[str], gaps: tuple[str, ...]
) -> ColumnDraft | IgnoredDraft:
    if share(present.value_counts(sort=False), is_other_date) >= MOSTLY:
        return IgnoredDraft(name, f"seems to hold dates, such as {shown_all(distinct, 1)}; write them like 2026-11-21")
    if is_id_name(name) or len(distinct) == len(present):
        return IgnoredDraft(name, _identifies(name, is_unique=len(distinct) == len(present)))
    rows = len(present) / len(distinct)
    is_few = len(distinct) <= MAX_CATEGORIES and rows >= RARE_ROWS
    is_frequent = len(distinct) <= MAX_FREQUENT_CATEGORIES and rows >= FREQUENT_ROWS
    if not (is_few or is_frequent) or max(map(len, distinct)) > MAX_NAME_LENGTH:
        return IgnoredDraft(
            name, f"is free text: {len(distinct):,} different texts in {len(present):,} rows are too many to learn from"
        )
    codes = ("codes with leading zeros, so text",) if all(map(is_number, distinct)) else ()
    return ColumnDraft(name, "string", bool(gaps), categories=tuple(sorted(distinct)), notes=(*codes, *gaps))


def is_id_name(name: str) -> bool:
    """Return whether a column's name is or ends with `id`."""
    return _ID_WORD.fullmatch(name.lower()) is not None or _ID_SUFFIX.fullmatch(name) is not None


def _identifies(name: str, *, is_unique: bool) -> str:
    if is_unique:
        return "identifies rows: each row has another value"
    return f"identifies something; if rows of the same one belong together, set split_key={name!r}"
