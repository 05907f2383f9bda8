"""Convert the cells of CSV files to values as JSON would have them, by the type of their column."""

import re
from collections.abc import Callable
from typing import Any

from slipway_core.columns import InputColumn

# Longer than any number that a program writes. The time to parse a number grows with the square of its length.
MAX_DIGITS = 400
_INTEGER = re.compile(r"[-+]?\d{1,19}", re.ASCII)
# The spellings in lower case. pandas writes 1.0 and 0.0 for booleans with gaps.
BOOLEANS = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}


class EmptyCell(str):
    """An empty cell of text that must have a value, which the column's reader rejects."""

    __slots__ = ()


def converter(column: InputColumn) -> Callable[[str], Any]:
    """Return a function that converts a cell to a value of its column's type.

    An empty cell becomes None if the column takes missing values. Otherwise it is not a text, unless the empty text is
    one of the categories. A cell that is not of the type stays text. Spaces around numbers and booleans are ignored.
    """
    converters: dict[str, Callable[[str], Any]] = {"int64": _integer, "bool": _boolean, "string": str, "date": str}
    convert = converters.get(column.dtype, number)
    if column.nullable:
        return lambda cell: None if cell == "" else convert(cell)
    if column.dtype == "string" and "" not in (column.categories or ()):
        return lambda cell: cell or EmptyCell()
    return convert


def number(cell: str) -> float | str:
    """Return the number in a cell, which may be infinite or NaN, or else the cell."""
    # `float` alone accepts digits of every script, and underscores between them.
    if not cell.isascii() or "_" in cell or len(cell) > MAX_DIGITS:
        return cell
    try:
        return float(cell)
    except ValueError:
        return cell


def _integer(cell: str) -> int | float | str:
    return int(cell) if _INTEGER.fullmatch(cell.strip()) else number(cell)


def _boolean(cell: str) -> bool | str:
    return BOOLEANS.get(cell.strip().lower(), cell)
