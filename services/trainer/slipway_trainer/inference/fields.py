"""Recognize the fields of a CSV file: missing values, numbers, dates, and numbers that Slipway cannot read."""

import re
from collections.abc import Callable, Collection

import numpy as np
import pandas as pd

from slipway_core.dates import date_parts
from slipway_trainer.recipes.base import Recipe
from slipway_trainer.schema import shown, values_in_lines

# A recipe lists the others if the file has them.
DEFAULT_MISSING: tuple[str, ...] = Recipe.model_fields["missing_values"].default
MISSING = frozenset({*DEFAULT_MISSING, "N/A", "n/a", "None", "nan", "NULL", "?", "<NA>", "NaT", "#N/A"})
# Above this share, a few other fields are probably mistakes.
MOSTLY = 0.9
# Fewer numbers beside text are more likely to be codes, such as 0, 1, 2 and 3+.
MAX_CODES = 10

_INTEGER = re.compile(r"[-+]?\d+", re.ASCII)
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_LEADING_ZERO = re.compile(r"0\d+", re.ASCII)
_CONVERT_NUMBERS = (
    "convert the file with pandas.read_csv(FILE, {options}).to_csv(NEW_FILE, index=False), or write plain numbers such "
    "as 1234.5"
)
# Numbers that a person reads and a program does not: the pattern, its name, and what to do.
_FOREIGN = (
    (
        re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?", re.ASCII),
        "thousands separators",
        _CONVERT_NUMBERS.format(options='thousands=","'),
    ),
    (
        re.compile(r"[-+]?(\d{1,3}(\.\d{3})+|\d+),\d+|[-+]?\d{1,3}(\.\d{3}){2,}", re.ASCII),
        "a decimal comma",
        _CONVERT_NUMBERS.format(options='thousands=".", decimal=","'),
    ),
    (
        re.compile(r"[-+]?[$€£¥]\s*[-+]?[\d.,]+|[-+]?[\d.,]+\s*[$€£¥]", re.ASCII),
        "a currency sign",
        "remove the sign, and write plain numbers such as 1234.5",
    ),
    (
        re.compile(r"[-+]?[\d.,]+\s*%", re.ASCII),
        "a percent sign",
        "remove the sign, and write plain numbers such as 12.5",
    ),
)
_OTHER_DATE = re.compile(r"\d{1,2}[./-]\d{1,2}[./-]\d{2,4}( .*)?|\d{4}[./]\d{1,2}[./]\d{1,2}( .*)?", re.ASCII)


def is_missing(field: str) -> bool:
    """Return whether a field stands for a missing value."""
    return field.strip() in MISSING


def is_integer(field: str) -> bool:
    """Return whether a field is an integer without a decimal point."""
    return _INTEGER.fullmatch(field.strip()) is not None


def is_number(field: str) -> bool:
    """Return whether a field is a finite number that Slipway reads."""
    return _NUMBER.fullmatch(field.strip()) is not None


def is_code(field: str) -> bool:
    """Return whether a field consists of digits with a leading zero, such as a zip code."""
    return _LEADING_ZERO.fullmatch(field.strip()) is not None


def is_boolean(field: str) -> bool:
    """Return whether a field is true or false."""
    return field.strip().lower() in {"true", "false"}


def is_date(field: str) -> bool:
    """Return whether a field is a date in ISO 8601 that exists."""
    try:
        date_parts(field)
    except ValueError:
        return False
    return True


def is_other_date(field: str) -> bool:
    """Return whether a field looks like a date in another format."""
    return _OTHER_DATE.fullmatch(field.strip()) is not None


def matching(fields: pd.Series, test: Callable[[str], bool]) -> pd.Series:
    """Return a mask of the fields that pass a test, which runs once for each different field."""
    codes, distinct = pd.factorize(fields)
    passed = np.array([test(field) for field in distinct], dtype=bool)
    return pd.Series(passed[codes], index=fields.index)


def share(counts: pd.Series, test: Callable[[str], bool]) -> float:
    """Return the share of fields that pass a test.

    Args:
        counts: the number of fields by their text.
        test: the test of a text.
    """
    passed = counts.index.map(test).to_numpy(dtype=bool)
    return float(counts[passed].sum() / counts.sum())


def wrong_numbers(name: str, fields: pd.Series, distinct: Collection[str]) -> str | None:
    """Return why a column that holds numbers cannot be read as such; None if it is text or can be read.

    Args:
        name: the column's name.
        fields: its fields that are not missing; the index counts the file's lines, 0 for the second.
        distinct: the different fields among them.
    """
    counts = fields.value_counts(sort=False)
    for pattern, sign, advice in _FOREIGN:

        def matches(field: str, pattern: re.Pattern[str] = pattern) -> bool:
            return pattern.fullmatch(field.strip()) is not None

        if any(map(matches, distinct)) and share(counts, lambda field: matches(field) or is_number(field)) >= MOSTLY:
            first = fields[matching(fields, matches)].head(1)
            return f"{name!r} has numbers with {sign}: {values_in_lines(first.items())}; {advice}"
    numbers = sum(map(is_number, distinct))
    if MAX_CODES < numbers < len(distinct) and share(counts, is_number) >= MOSTLY:
        others = fields[~matching(fields, is_number)]
        return (
            f"{name!r} has numbers, and text in {len(others):,} of {len(fields):,} fields: "
            f"{values_in_lines(others.items())}; correct them, or write missing values as empty fields"
        )
    return None


def shown_all(values: Collection[str], limit: int = 5) -> str:
    """Return values as messages show them, at most `limit`."""
    listed = ", ".join(shown(value) for value in list(values)[:limit])
    return f"{listed}, …" if len(values) > limit else listed
