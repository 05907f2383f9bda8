"""Convert the values of one column, as parsed from JSON, to what the graph takes, or describe what is wrong."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from slipway_core.columns import FLOAT32_EXACT, GraphInput, InputColumn
from slipway_core.dates import EXPECTED, date_parts
from slipway_core.feature_values import (
    FLOAT32_LIMIT,
    explain_category,
    explain_number,
    kind_of,
    shortest,
    shown_text,
)

_NUMPY: Final = {"float32": np.float32, "float64": np.float64, "int64": np.int64, "bool": np.bool_, "string": object}
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
        self._tensors = tensors
        self._dtypes = [np.dtype(_NUMPY[tensor.dtype]) for tensor in tensors]
        self._is_date = column.dtype == "date"
        self._nullable = column.nullable
        # What the graph receives for a missing value.
        self._placeholder: Any = column.missing if column.dtype == "string" else math.nan
        self._narrow = tensors[0].dtype == "float32"
        self._read_value: Callable[[Any], Any] = {
            "float32": self._float,
            "float64": self._float,
            "int64": self._integer,
            "bool": self._boolean,
            "string": self._text,
            "date": date_parts,
        }[column.dtype]
        self._limit = FLOAT32_LIMIT if self._narrow else _FLOAT64_MAX
        self._all_categories = column.categories
        self._categories: frozenset[Any] | None = None
        if column.categories is not None and column.on_unknown == "reject":
            # As the graph compares them: 0.1 in float64 is another number.
            is_text = column.dtype == "string"
            self._categories = frozenset(
                column.categories if is_text else np.array(column.categories, self._dtypes[0]).tolist()
            )

    def read(self, values: Sequence[Any], feed: dict[str, NDArray[Any]]) -> list[tuple[int, str]]:
        """Add the arrays of a column to the graph's inputs.

        Args:
            values: the values; None for a missing one.
            feed: receives an (n_rows, 1) array per input of the graph, unless there are problems.

        Returns:
            The index and the description of each invalid value.
        """
        try:
            cells = [self._cell(value) for value in values]
        except ValueError:
            return self._problems(values)
        if self._is_date:
            for tensor in self._tensors:
                parts = [math.nan if cell is None else cell[tensor.part] for cell in cells]
                feed[tensor.name] = np.array(parts, np.float32).reshape(-1, 1)
            return []
        for tensor, dtype in zip(self._tensors, self._dtypes, strict=True):
            feed[tensor.name] = np.array(cells, dtype).reshape(-1, 1)
        return []

    def _problems(self, values: Sequence[Any]) -> list[tuple[int, str]]:
        found = []
        for index, value in enumerate(values):
            try:
                self._cell(value)
            except ValueError as error:
                found.append((index, f"{self.name!r} {error}"))
        return found

    def _cell(self, value: Any) -> Any:  # noqa: ANN401  # a client may send anything
        """Return the value for the graph.

        Raises:
            ValueError: it is invalid; the message follows the column's name.
        """
        if value is None:
            if not self._nullable:
                raise ValueError("is null, but the model needs a value here")
            return None if self._is_date else self._placeholder
        if self._is_date and type(value) is not str:
            raise ValueError(f"must be {EXPECTED}, not {kind_of(value)}")
        return self._read_value(value)

    def _float(self, value: Any) -> float:  # noqa: ANN401
        if not ((type(value) is float or type(value) is int) and -self._limit <= value <= self._limit):
            raise ValueError(explain_number(value, missing=self._nullable, narrow=self._narrow))
        if self._categories is not None:
            value = self._dtypes[0].type(value).item()
            if value not in self._categories:
                raise ValueError(self._unknown(shortest(value)))
        return float(value)

    def _integer(self, value: Any) -> int:  # noqa: ANN401
        if type(value) is float and value.is_integer():  # pandas writes integers with gaps as 3.0
            value = int(value)
        if type(value) is not int:
            shown = f"{value:g}" if type(value) is float else kind_of(value)
            raise ValueError(f"must be an integer, not {shown}")
        if not _INT64[0] <= value <= _INT64[1]:
            raise ValueError("is too large for a 64-bit integer")
        if self._narrow and abs(value) > FLOAT32_EXACT:
            raise ValueError(f"must be between -{FLOAT32_EXACT} and {FLOAT32_EXACT}: the graph takes it as float32")
        if self._categories is not None and value not in self._categories:
            raise ValueError(self._unknown(str(value)))
        return value

    def _boolean(self, value: Any) -> bool:  # noqa: ANN401
        if type(value) is not bool:
            raise ValueError(f"must be true or false, not {kind_of(value)}")
        return value

    def _text(self, value: Any) -> str:  # noqa: ANN401
        if type(value) is not str:
            raise ValueError(f"must be text, not {kind_of(value)}")
        if self._categories is not None:
            if value not in self._categories:
                raise ValueError(self._unknown(shown_text(value)))
        elif "\x00" in value or not _is_encodable(value):
            raise ValueError("must be text without NUL and unpaired surrogates")
        return value

    def _unknown(self, shown: str) -> str:
        return explain_category(self._all_categories or (), shown)


def _is_encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
