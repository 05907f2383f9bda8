"""Convert the fields of a CSV file to the typed values of a recipe's columns, and describe the invalid ones."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from slipway_core.columns import FLOAT32_EXACT
from slipway_core.csv_cells import BOOLEANS, number
from slipway_core.dates import EXPECTED, date_parts
from slipway_core.feature_values import FLOAT32_LIMIT, MISSING_WORDS, explain_category
from slipway_trainer.recipes import Recipe
from slipway_trainer.recipes.columns import Column
from slipway_trainer.schema import lines, values_in_lines

MISSING = "or, if it is a missing value, add it to `missing_values` in the recipe"


def read_columns(recipe: Recipe, frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Convert the features of a frame.

    Args:
        recipe: the recipe, whose features are a table.
        frame: the fields as text; the index counts the file's lines, 0 for the second.

    Returns:
        The features as clients send them, as objects with None for a missing value; and the findings.
    """
    values, findings = {}, []
    for column in recipe.columns:
        values[column.name], found = _read(column, frame[column.name], recipe)
        findings += found
    return pd.DataFrame(values, dtype=object), findings


def _read(column: Column, fields: pd.Series, recipe: Recipe) -> tuple[pd.Series, list[str]]:
    """Return the values of a column, and what is wrong with it, one finding per kind of problem."""
    missing = fields.isna() | fields.isin(recipe.missing_values)
    findings = []
    if not column.nullable and missing.any():
        words = missing & (fields != "")
        found = f"empty in {lines(missing)}"
        kept = ""
        if words.any():
            found = f"missing, got {values_in_lines(fields[missing].items())}"
            kept = ", or, if it is a value of its own, remove it from the recipe's `missing_values`"
        findings.append(
            f"{column.name!r} is {found}; fill it in, remove the row, or allow missing values with the column's "
            f"`nullable=True` in the recipe{kept}"
        )
    codes, distinct = pd.factorize(fields.mask(missing))
    converted = np.empty(len(distinct) + 1, dtype=object)  # the code of a missing value is -1, the last entry
    problems: dict[str, list[int]] = {}
    for index, field in enumerate(distinct):
        try:
            converted[index] = _CONVERTERS[column.dtype](field)
            _check(column, converted[index])
        except ValueError as error:
            sentence = str(error)
            if field.strip().lower() in MISSING_WORDS:
                sentence = f"{sentence}, {MISSING}"
            problems.setdefault(sentence, []).append(index)
    for sentence, wrong in problems.items():
        cells = fields[np.isin(codes, wrong)]
        findings.append(f"{column.name!r} {sentence.replace('{found}', values_in_lines(cells.items()))}")
    return pd.Series(converted[codes], index=fields.index, dtype=object), findings


def _number(field: str) -> float:
    value = number(field)
    if isinstance(value, str) or math.isnan(value):
        # Text such as `1.234,5`, `1 234` or `1'234`.
        is_grouped = any(character.isdigit() for character in field) and not any(map(str.isalpha, field))
        plainly = " with a decimal point and without separators of thousands" if is_grouped else ""
        raise ValueError(f"must be a number{plainly}, got {{found}}; correct the data, or choose another `dtype`")
    if abs(value) > FLOAT32_LIMIT:
        raise ValueError("must be within the range of a 32-bit float, got {found}; correct the data")
    return value


def _integer(field: str) -> int:
    value = _number(field)
    if not value.is_integer():
        raise ValueError('must be an integer, got {found}; correct the data, or set `dtype="float32"` in the recipe')
    if abs(value) > FLOAT32_EXACT:
        raise ValueError(
            f"must be between -{FLOAT32_EXACT} and {FLOAT32_EXACT}, the integers that float32 holds exactly, got "
            "{found}; "
            'set `dtype="float32"` if rounding is acceptable, or `dtype="string"` if it is a code'
        )
    return int(value)


def _boolean(field: str) -> bool:
    if (value := BOOLEANS.get(field.strip().lower())) is None:
        raise ValueError("must be true or false, or 1 or 0, got {found}; correct the data, or choose another `dtype`")
    return value


def _text(field: str) -> str:
    if "\x00" in field:
        raise ValueError("must not contain NUL, got {found}; correct the data")
    return field


def _date(field: str) -> str:
    try:
        date_parts(field)
    except ValueError as error:
        raise ValueError(f"must be {EXPECTED}, got {{found}}; convert the dates to ISO 8601") from error
    return field


_CONVERTERS: Mapping[str, Callable[[str], Any]] = {
    "float32": _number,
    "float64": _number,
    "int64": _integer,
    "bool": _boolean,
    "string": _text,
    "date": _date,
}


def _check(column: Column, value: Any) -> None:  # noqa: ANN401
    """Raise ValueError if a value is outside the column's limits or categories."""
    for sentence in _violations(column, value):
        raise ValueError(f"{sentence}; correct the data, or change the recipe")


def _violations(column: Column, value: Any) -> Iterator[str]:  # noqa: ANN401
    unit = f" {column.unit}" if column.unit else ""
    if column.minimum is not None and value < column.minimum:
        yield f"must be at least {column.minimum:g}{unit}, got {{found}}"
    if column.maximum is not None and value > column.maximum:
        yield f"must be at most {column.maximum:g}{unit}, got {{found}}"
    if column.trained_categories is not None and value not in column.trained_categories:
        yield explain_category(column.trained_categories, "{found}").replace(", not {found}", ", got {found}")
