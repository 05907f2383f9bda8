"""Convert the values of one column, as parsed from JSON, to what the graph takes, or describe what is wrong."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from slipway_core.columns import FLOAT32_EXACT, FLOAT64_EXACT, GraphInput, InputColumn
from slipway_core.csv_cells import EmptyCell
from slipway_core.dates import EXPECTED, date_parts
from slipway_core.feature_values import (
    FLOAT32_LIMIT,
    MAX_PROBLEMS,
    explain_kind,
    explain_number,
    list_categories,
    mend_of,
    shown_number,
    shown_value,
)

_NUMBERS: Final = frozenset({int, float})
_NUMERIC: Final = frozenset({"float32", "float64", "int64"})
_INT64: Final = (-(2**63), 2**63 - 1)
_FLOAT64_MAX: Final = float(np.finfo(np.float64).max)


class ColumnReader:
    """Read one column of a table."""

    def __init__(self, column: InputColumn, tensors: Sequence[GraphInput]) -> None:
        """Prepare a reader.

        Args:
            column: the column.
            tensors: the graph's inputs that are made of it.
        """
        self.name = column.name
        self._tensors = [(tensor.name, _numpy_type(tensor.dtype), tensor.part) for tensor in tensors]
        self._nullable = column.nullable
        # What a client sends for a missing value, or an object that no client can send.
        self._missing: object = None if column.nullable else self
        # Whether one of the inputs is narrower than the column may be.
        self._narrow = any(tensor.dtype == "float32" for tensor in tensors)
        self._limit = FLOAT32_LIMIT if self._narrow else _FLOAT64_MAX
        self._dtype = column.dtype
        limits = [_exact_integers(dtype) for _, dtype, _ in self._tensors]
        self._integers = (max(least for least, _ in limits), min(most for _, most in limits))
        # What the graph receives for a missing value.
        self._placeholder: Any = column.missing if column.dtype == "string" else math.nan
        if column.dtype == "date":
            self._placeholder = dict.fromkeys([tensor.part for tensor in tensors], math.nan)
        self._read_value: Callable[[Any], Any] = {
            "float32": self._float,
            "float64": self._float,
            "int64": self._integer,
            "bool": self._boolean,
            "string": self._text,
            "date": self._date,
        }[column.dtype]
        self._categories: frozenset[Any] | None = None
        if column.categories is not None and column.on_unknown == "reject":
            # As the graph compares them: 0.1 in float64 is another number.
            is_text = column.dtype == "string"
            self._round = np.float32 if self._narrow else np.float64
            self._categories = frozenset(
                column.categories if is_text else map(float, np.array(column.categories, self._round))
            )
            self._listed = list_categories(column.categories)

    def read(self, values: Sequence[Any], feed: dict[str, NDArray[Any]]) -> Sequence[tuple[int, str]]:
        """Add the arrays of a column to the graph's inputs.

        Args:
            values: the values; None for a missing one.
            feed: receives an (n_rows, 1) array per input of the graph, unless there are problems.

        Returns:
            The index and the description of the first MAX_PROBLEMS invalid values.
        """
        read, placeholder, missing = self._read_value, self._placeholder, self._missing
        try:
            if len(values) == 1:  # faster than the general form
                value = values[0]
                cell = placeholder if value is missing else read(value)
                for name, dtype, part in self._tensors:
                    feed[name] = np.array(cell if part is None else cell[part], dtype, ndmin=2)
                return ()
            cells = self._quick(values)
            if cells is None:
                cells = [placeholder if value is missing else read(value) for value in values]
        except ValueError:
            if found := self._problems(values):
                return found
            raise
        for name, dtype, part in self._tensors:
            feed[name] = np.array(cells if part is None else [cell[part] for cell in cells], dtype).reshape(-1, 1)
        return ()

    def _quick(self, values: Sequence[Any]) -> Sequence[Any] | NDArray[Any] | None:
        """Convert many valid values with functions written in C, for speed; None if each value must be checked.

        Raises:
            ValueError: a text is not a date.
        """
        kinds = set(map(type, values))
        present = values
        if self._nullable and type(None) in kinds:
            kinds.discard(type(None))
            present = [value for value in values if value is not None]
            if not present:
                return [self._placeholder] * len(values)
        if kinds <= _NUMBERS and self._categories is None and self._dtype in _NUMERIC:
            return self._quick_numbers(values, present, kinds)
        if kinds == {str} and self._dtype == "date":
            parts = {text: date_parts(text) for text in set(present)}
            return [self._placeholder if value is None else parts[value] for value in values]
        is_valid = kinds == {bool} and self._dtype == "bool"
        if kinds == {str} and self._dtype == "string":
            if self._categories is not None:
                is_valid = self._categories.issuperset(present)
            else:
                text = "".join(present)
                is_valid = "\x00" not in text and _is_encodable(text)
        return [self._placeholder if value is None else value for value in values] if is_valid else None

    def _quick_numbers(self, values: Sequence[Any], present: Sequence[float], kinds: set[type]) -> NDArray[Any] | None:
        is_integer = self._dtype == "int64"
        if is_integer and float in kinds:
            return None
        try:
            numbers = np.array(present, np.int64 if is_integer else np.float64)
        except OverflowError:
            return None
        least, most = self._integers if is_integer else (-self._limit, self._limit)
        if not (numbers.min() >= least and numbers.max() <= most):  # also rejects NaN
            return None
        if present is values:
            return numbers
        filled = np.full(len(values), math.nan)
        filled[[value is not None for value in values]] = numbers
        return filled

    def _problems(self, values: Sequence[Any]) -> list[tuple[int, str]]:
        found: list[tuple[int, str]] = []
        for index, value in enumerate(values):
            try:
                self._cell(value)
            except ValueError as error:
                found.append((index, f"{self.name!r} {error}"))
                if len(found) == MAX_PROBLEMS:
                    break
        return found

    def _cell(self, value: Any) -> Any:  # noqa: ANN401  # a client may send anything
        """Return the value for the graph.

        Raises:
            ValueError: it is invalid; the message follows the column's name.
        """
        if value is None:
            if not self._nullable:
                raise ValueError("is null, but the model needs a value here")
            return self._placeholder
        return self._read_value(value)

    def _float(self, value: Any) -> float:  # noqa: ANN401
        if not ((type(value) is float or type(value) is int) and -self._limit <= value <= self._limit):
            raise ValueError(explain_number(value, missing=self._nullable, narrow=self._narrow))
        if self._categories is not None and float(self._round(value)) not in self._categories:
            raise self._unknown(value)
        return float(value)

    def _integer(self, value: Any) -> int:  # noqa: ANN401
        if type(value) is float and value.is_integer():  # pandas writes integers with gaps as 3.0
            value = int(value)
        if type(value) is not int:
            raise self._must_be("an integer", value)
        if not _INT64[0] <= value <= _INT64[1]:
            raise ValueError(f"is too large for a 64-bit integer ({shown_number(value)})")
        least, most = self._integers
        if not least <= value <= most:
            narrowest = min((dtype for _, dtype, _ in self._tensors), key=lambda one: _exact_integers(one)[1])
            raise ValueError(f"must be between {least} and {most}, not {value}: the graph takes it as {narrowest.name}")
        if self._categories is not None and value not in self._categories:
            raise self._unknown(value)
        return value

    def _boolean(self, value: Any) -> bool:  # noqa: ANN401
        if type(value) is not bool:
            raise self._must_be("true or false", value)
        return value

    def _text(self, value: Any) -> str:  # noqa: ANN401
        if type(value) is not str:
            empty = ValueError("is empty, but the model needs a value here")
            raise empty if isinstance(value, EmptyCell) else self._must_be("text", value)
        if self._categories is not None:
            if value not in self._categories:
                raise self._unknown(value)
        elif "\x00" in value or not _is_encodable(value):
            raise ValueError("must be text without NUL and unpaired surrogates")
        return value

    def _date(self, value: Any) -> Any:  # noqa: ANN401
        if type(value) is not str or not value.strip():
            raise self._must_be(EXPECTED, value)
        try:
            return date_parts(value)
        except ValueError as error:
            raise ValueError(f"{error}{mend_of(value, missing=self._nullable, is_text=True)}") from error

    def _must_be(self, expected: str, value: Any) -> ValueError:  # noqa: ANN401
        return ValueError(explain_kind(expected, value, missing=self._nullable))

    def _unknown(self, value: str | float) -> ValueError:
        mend = mend_of(value, missing=self._nullable, is_text=True)
        return ValueError(f"must be one of {self._listed}, not {shown_value(value)}{mend}")


def _numpy_type(name: str) -> np.dtype[Any]:
    return np.dtype(object if name == "string" else name)


def _exact_integers(dtype: np.dtype[Any]) -> tuple[int, int]:
    """Return the least and the greatest of the integers that a type represents exactly, within 64 bits."""
    if dtype.kind in "iu":
        return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    greatest = {"float32": FLOAT32_EXACT, "float64": FLOAT64_EXACT}.get(dtype.name, _INT64[1])
    return -greatest, greatest


def _is_encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
