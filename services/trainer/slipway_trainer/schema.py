"""Check data with Pandera against a recipe's schema, and describe the problems with the lines of the file."""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
from pandera.errors import SchemaErrors
from pandera.pandas import Check, DataFrameSchema
from pandera.pandas import Column as SchemaColumn

from slipway_core.feature_values import FLOAT32_MAX
from slipway_trainer.recipes import Column, Recipe

SHOWN_LINES = 5
SHOWN_VALUES = 3
SHOWN_CHARACTERS = 40
SHOWN_COLUMNS = 30
SHOWN_CODES = 12
# pandas adds a suffix to the second column of the same name: numeric names may become 1.4.1.
NUMBER = re.compile(r"\s*[-+]?[\d.]+(e[-+]?\d+)?(\.\d+)?\s*", re.IGNORECASE)


def check_schema(recipe: Recipe, frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Check a frame column by column, and by the recipe's own rules.

    The typed features of a table are checked before, by `typed_columns`; here, only their presence is.

    Args:
        recipe: the recipe with its columns and their valid values.
        frame: the data as read; the index counts the file's lines, 0 for the second.

    Returns:
        The frame with numbers as float64, and the findings. A value that is not a number becomes NaN.
    """
    checked = [*(recipe.columns if recipe.is_matrix else ()), recipe.target]
    numeric = [column for column in checked if not (recipe.classes and column is recipe.target)]
    raw = {column.name: _raw(is_number=column in numeric, is_feature=column is not recipe.target) for column in checked}
    if missing := missing_columns([*recipe.feature_names, recipe.target.name], [str(name) for name in frame.columns]):
        return frame, missing
    # First the values as read, then as numbers: one word in a column of numbers would prevent all numeric checks.
    findings = list(_findings(DataFrameSchema(raw), frame))
    numbers = frame.copy()
    for column in numeric:
        numbers[column.name] = pd.to_numeric(frame[column.name], errors="coerce").astype("float64")
    columns = {column.name: SchemaColumn(float, _checks(column), nullable=True) for column in numeric}
    if recipe.classes:
        some = f"{', '.join(recipe.class_names[:SHOWN_CODES])}{', …' if len(recipe.classes) > SHOWN_CODES else ''}"
        error = f"must be one of {some}, got {{found}}; correct the data, or change `classes` in the recipe"
        known = Check.isin(recipe.class_names, error=error)
        columns[recipe.target.name] = SchemaColumn(None, known, nullable=True)
    findings += _findings(DataFrameSchema(columns, checks=list(recipe.checks)), numbers)
    return numbers, findings


def lines(mask: pd.Series) -> str:
    """Return the lines of the file where a mask is true: `line 2`, or `lines 2, 3, 5 and 7 more`."""
    return _lines(mask.index[mask.to_numpy()].to_list())


def values_in_lines(cells: Iterable[tuple[int, object]]) -> str:
    """Return values with their lines, such as `24 in line 9, 'x' in lines 3, 4`.

    Args:
        cells: the index of each row and the value in it.
    """
    rows: dict[str, list[int]] = {}
    for index, value in sorted(cells, key=lambda cell: cell[0]):
        rows.setdefault(shown(value), []).append(index)
    listed = ", ".join(f"{value} in {_lines(found)}" for value, found in [*rows.items()][:SHOWN_VALUES])
    others = sum(len(found) for found in [*rows.values()][SHOWN_VALUES:])
    return f"{listed} and other values in {others} more line{'s' if others > 1 else ''}" if others else listed


def shown(value: object) -> str:
    """Return a value of the data as messages show it: text in quotes, numbers with all their digits."""
    if isinstance(value, str):
        return repr(value if len(value) <= SHOWN_CHARACTERS else value[: SHOWN_CHARACTERS - 1] + "…")
    return str(value).removesuffix(".0")


def missing_columns(names: Sequence[str], header: Sequence[str]) -> list[str]:
    """Return a finding with the columns that a file lacks, and suggestions.

    Args:
        names: the required columns.
        header: the columns of the file.
    """
    missing = [name for name in names if name not in header]
    n_numbers = sum(NUMBER.fullmatch(name) is not None for name in header)
    if len(missing) == len(names) and n_numbers > len(header) / 2:
        first = ", ".join(header[:SHOWN_COLUMNS])
        return [f"the file has no header: its first line is {first!r}; add a first line that names the columns"]
    if not missing:
        return []
    plain = {_plain(column): column for column in header if column not in names}
    close = {name: difflib.get_close_matches(_plain(name), plain, n=1, cutoff=0.85) for name in missing}
    pairs = ", ".join(f"{plain[found[0]]!r} to {name!r}" for name, found in close.items() if found)
    lacking = [name for name, found in close.items() if not found]
    if not lacking:
        return [f"the names of columns differ from those of the recipe; rename {pairs}"]
    it, is_missing = ("it", "column {} is missing") if len(lacking) == 1 else ("them", "columns {} are missing")
    there = ", ".join(header[:SHOWN_COLUMNS]) + (", …" if len(header) > SHOWN_COLUMNS else "")
    renamed = f"; rename {pairs}" if pairs else ""
    return [
        (
            f"the {is_missing.format(', '.join(map(repr, lacking)))}; the file has {there}; add {it}, or remove {it} "
            f"from the recipe{renamed}"
        )
    ]


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name).strip().casefold()


def _raw(*, is_number: bool, is_feature: bool) -> SchemaColumn:
    remedy = "fill it in, or remove the row"
    if is_feature:
        remedy = "fill it in, remove the row, or allow missing values with the column's `nullable=True` in the recipe"
    checks = [Check(_not_empty, error=f"is empty or NA in {{lines}}; {remedy}", ignore_na=False)]
    if is_number:
        error = "must be a number, got {found}; write plain numbers such as 12.5, and 1 and 0 for true and false"
        checks.append(Check(_is_number, error=error, ignore_na=False))
    return SchemaColumn(None, checks, nullable=True)


def _not_empty(values: pd.Series) -> pd.Series:
    return values.notna()


def _is_number(values: pd.Series) -> pd.Series:
    # The words True and False are invalid, although pandas converts them to 1 and 0.
    if pd.api.types.is_bool_dtype(values):
        return pd.Series(data=False, index=values.index)
    is_word = values.map(lambda value: isinstance(value, bool))
    return values.isna() | (pd.to_numeric(values.mask(is_word), errors="coerce").notna())


def _checks(column: Column) -> list[Check]:
    minimum = -FLOAT32_MAX if column.minimum is None else column.minimum
    maximum = FLOAT32_MAX if column.maximum is None else column.maximum
    unit = column.unit or ""
    # A unit that starts with a number, such as `41 °C`, is multiplied.
    unit = f"{' ×' if unit[:1].isdigit() else ''} {unit}".rstrip()
    checks = [
        Check(lambda values: ~np.isinf(values), error="must be finite, got {found}; correct the data"),
        Check(
            lambda values: (values >= minimum) | np.isneginf(values),
            error=f"must be at least {minimum:g}{unit}, got {{found}}; {_limit('minimum', column.minimum)}",
        ),
        Check(
            lambda values: (values <= maximum) | np.isposinf(values),
            error=f"must be at most {maximum:g}{unit}, got {{found}}; {_limit('maximum', column.maximum)}",
        ),
    ]
    if column.trained_categories is not None:
        codes = [f"{code:g}" for code in column.trained_categories if not isinstance(code, str)]
        listed = ", ".join(codes) if len(codes) <= SHOWN_CODES else f"{codes[0]} to {codes[-1]}"
        error = f"must be one of {listed}, got {{found}}; {_limit('categories', column.categories)}"
        checks.append(Check.isin(column.trained_categories, error=error))
    return checks


def _limit(field: str, value: object) -> str:
    """Return advice for a value outside the column's limit, or outside the range of float32 if it has no limit."""
    if value is None:
        return "correct the data: the value exceeds the range of a 32-bit float"
    return f"correct the data, or change the column's `{field}` in the recipe"


def _findings(schema: DataFrameSchema, frame: pd.DataFrame) -> Iterator[str]:
    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as error:
        cases = error.failure_cases
        # A rule for the whole frame is reported once per column.
        is_column = cases["schema_context"] == "Column"
        subjects = cases["column"].map("{!r} ".format).where(is_column, "")
        for (subject, check), group in cases.groupby([subjects, "check"], sort=False):
            placed = group.dropna(subset="index")
            cells = [(int(index), value) for index, value in zip(placed["index"], placed["failure_case"], strict=True)]
            rows = sorted({index for index, _ in cells})
            if not subject:
                where = f" in {_lines(rows)}" if rows else f" ({shown(group['failure_case'].iloc[0])})"
                yield f"{check}{where}; correct the data, or change `checks` in the recipe"
            else:
                details = check.replace("{found}", values_in_lines(cells)).replace("{lines}", _lines(rows))
                yield f"{subject}{details}"


def _lines(rows: list[int]) -> str:
    # Line 1 is the header, so the first row of data is line 2.
    listed = ", ".join(str(row + 2) for row in rows[:SHOWN_LINES])
    more = f" and {len(rows) - SHOWN_LINES} more" if len(rows) > SHOWN_LINES else ""
    return f"line{'s' if len(rows) > 1 else ''} {listed}{more}"
