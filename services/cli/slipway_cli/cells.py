"""Read the cells of a model's columns, or say what is wrong with them. It needs no numpy, which `slipway` may lack."""

import math
import re
from collections.abc import Sequence
from ctypes import c_float

from slipway_core.columns import FLOAT32_EXACT, InputColumn
from slipway_core.csv_cells import EmptyCell, converter
from slipway_core.dates import EXPECTED, date_parts

DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
# The largest number that rounds to a finite float32.
FLOAT32_LIMIT = math.nextafter(2.0**128 - 2.0**103, 0.0)
INT64 = range(-(2**63), 2**63)
SHOWN_VALUES = 12
_EXPECTED = {"int64": "an integer", "bool": "true or false", "string": "text", "date": EXPECTED}

Value = float | bool | str | None


class CellReader:
    """Reads the cells of one column."""

    def __init__(self, column: InputColumn) -> None:
        self.name = column.name
        self.is_text = column.dtype == "string"
        self.is_number = column.dtype in {"float32", "float64", "int64"}
        self._dtype = column.dtype
        self._convert = converter(column)
        self._known: frozenset[object] | None = None
        self._expected = _EXPECTED.get(column.dtype, "a number")
        self._or_empty = ", or empty for a missing value" if column.nullable else ""
        if column.categories is not None and column.on_unknown == "reject":
            self._known = frozenset(map(_comparable, column.categories))
            self._expected = f"one of {listed(column.categories)}"

    def read(self, cell: str, *, decimal_comma: bool) -> Value:
        """Return the value of a cell; None if it is missing.

        Args:
            cell: the cell. Spaces around anything but text are ignored.
            decimal_comma: whether a number may have a decimal comma.

        Raises:
            ValueError: the model does not take it; the message follows the column's name.
        """
        text = cell if self.is_text else cell.strip()
        if self.is_number and "," in text and DECIMAL_COMMA.fullmatch(text):
            if not decimal_comma:
                raise ValueError("has a decimal comma; write a decimal point, or separate columns by semicolons")
            text = text.replace(",", ".")
        value: Value = self._convert(text)
        if value is None:
            return None
        if value == "" and (isinstance(value, EmptyCell) or not self.is_text):
            raise ValueError(f"is empty and must be {self._expected}")
        if self.is_number:
            value = self._number(value, text)
        elif self._dtype == "date":
            self._check_date(text)
        elif self.is_text and not _is_sendable(text):
            raise ValueError("must be text without NUL, in UTF-8")
        elif self._dtype == "bool" and not isinstance(value, bool):
            raise self._must_be(self._expected)
        if self._known is not None and _comparable(value) not in self._known:
            raise self._must_be(self._expected)
        return value

    def accepts(self, cell: str, *, decimal_comma: bool) -> bool:
        """Return whether a cell has a value that the model takes."""
        try:
            self.read(cell, decimal_comma=decimal_comma)
        except ValueError:
            return False
        return True

    def _number(self, value: float | str, text: str) -> float:
        if isinstance(value, str):
            raise self._must_be(self._expected)
        if not math.isfinite(value) and not any(character.isdigit() for character in text):
            raise self._must_be("finite")
        if self._dtype == "int64":
            if math.isfinite(value) and value != int(value):
                raise self._must_be(self._expected)
            if math.isinf(value) or int(value) not in INT64:
                raise ValueError("is too large for a 64-bit integer")
            if (
                self._or_empty and abs(value) > FLOAT32_EXACT
            ):  # a column with missing values enters the graph as float32
                raise self._must_be(f"between -{FLOAT32_EXACT} and {FLOAT32_EXACT}")
            return int(value)
        if math.isinf(value) or (self._dtype == "float32" and abs(value) > FLOAT32_LIMIT):
            raise ValueError(f"is too large for a {self._dtype.removeprefix('float')}-bit float")
        return value

    def _check_date(self, text: str) -> None:
        try:
            date_parts(text)
        except ValueError as error:
            raise self._must_be(EXPECTED) from error

    def _must_be(self, expected: str) -> ValueError:
        return ValueError(f"must be {expected}{self._or_empty}")


def listed(values: Sequence[str | float]) -> str:
    """Return the first of a column's categories or of a model's classes, as a list for people."""
    shown = [repr(one) if isinstance(one, str) else str(one).lower().removesuffix(".0") for one in values]
    more = f", … ({len(shown)} values)" if len(shown) > SHOWN_VALUES else ""
    return ", ".join(shown[:SHOWN_VALUES]) + more


def _is_sendable(text: str) -> bool:
    # An argument that is not UTF-8 has unpaired surrogates, which JSON cannot carry.
    return "\x00" not in text and text.encode(errors="ignore").decode() == text


def _comparable(value: object) -> object:
    # As float32: the API accepts any number that rounds to a category in the type of the graph's input.
    return c_float(value).value if isinstance(value, int | float) else value
