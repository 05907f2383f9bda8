"""Convert the features of a request to the typed columns of a table, or describe what is wrong with them."""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway_core.column_reader import ColumnReader
from slipway_core.columns import GraphInput, InputColumn, is_matrix, made_of_columns
from slipway_core.errors import FeaturesError, Problem
from slipway_core.feature_values import (
    FLOAT32_DIGITS,
    FLOAT64_DIGITS,
    MAX_PROBLEMS,
    MAX_WARNINGS,
    ROOT,
    ROWS,
    OutOfRange,
    RangeWarning,
    explain_range,
    kind_of,
)
from slipway_core.manifest import Manifest
from slipway_core.printable import SHOWN, shown_text
from slipway_core.rows import CELL_BYTES, Table
from slipway_core.signature import Signature

# The place of a row in a request, and of a column in it.
Place = Callable[[int, str], tuple[str | int, ...]]


class TableSignature:
    """The typed columns of a model, prepared once when the model is loaded."""

    def __init__(self, columns: Sequence[InputColumn], inputs: Sequence[GraphInput]) -> None:
        self.names = tuple(column.name for column in columns)
        self.columns = tuple(columns)
        self._name_set = frozenset(self.names)
        # The inputs that are a matrix, with the names of the arrays that they are joined from, one per column.
        self._matrices: list[tuple[str, list[str]]] = []
        made: dict[str, list[GraphInput]] = {column.name: [] for column in columns}
        places: dict[str, tuple[str, int]] = {}
        for tensor, made_of in made_of_columns(columns, inputs):
            parts = [tensor]
            if tensor.column is None:
                parts = [tensor.model_copy(update={"name": f"{tensor.name}\0{index}"}) for index in range(len(made_of))]
                self._matrices.append((tensor.name, [part.name for part in parts]))
            for index, (column, part) in enumerate(zip(made_of, parts, strict=True)):
                made[column.name].append(part)
                places.setdefault(column.name, (tensor.name, index))
        self._texts = [index for index, column in enumerate(columns) if column.dtype in {"string", "date"}]
        self._readers = [ColumnReader(column, made[column.name]) for column in columns]
        # The index, the graph's input and its column, and the limits of each column with a range.
        self._ranges = [
            (index, places[column.name], column.min, column.max)
            for index, column in enumerate(columns)
            if column.dtype not in {"string", "date", "bool"} and (column.min, column.max) != (None, None)
        ]
        # The index and the trained texts of each column that takes unknown ones.
        self._ignoring = [
            (index, frozenset(column.categories))
            for index, column in enumerate(columns)
            if column.dtype == "string" and column.categories is not None and column.on_unknown == "ignore"
        ]
        first, *others = self.names
        self._values_of = itemgetter(*self.names) if others else lambda row: (row[first],)

    def rows(self, features: Any) -> Table:  # noqa: ANN401  # clients may send anything
        """Convert `features` to a table.

        Args:
            features: a row or a list of rows, as parsed from JSON; a row is a list of values in the signature's order,
                or an object from feature name to value. A missing value is None.

        Raises:
            FeaturesError: the input is invalid; every problem has its place.
        """
        rows = self._rows(features)
        is_list = rows is features
        problems: list[Problem] = []
        found: list[Sequence[Any]] = []
        for index, row in enumerate(rows):
            if type(row) is dict and row.keys() == self._name_set:
                found.append(self._values_of(row))
            elif type(row) is list and len(row) == len(self.names):
                found.append(row)
            else:
                problems += self._misfits(row, (ROOT, index) if is_list else (ROOT,))
                if len(problems) >= MAX_PROBLEMS:
                    break
        if problems:
            raise FeaturesError(problems[:MAX_PROBLEMS])
        columns = list(zip(*found, strict=True))
        return self.table(columns, lambda row, name: (ROOT, row, name) if is_list else (ROOT, name))

    def table(self, columns: Sequence[Sequence[Any]], place: Place) -> Table:
        """Return a table of columns in the signature's order, all of the same length.

        Raises:
            FeaturesError: a value is invalid; its place is that of `place`.
        """
        feed: dict[str, NDArray[Any]] = {}
        problems: list[tuple[int, int, str]] = []
        for index, reader in enumerate(self._readers):
            if found := reader.read(columns[index], feed):
                problems += [(row, index, message) for row, message in found]
        if problems:
            shown = sorted(problems)[:MAX_PROBLEMS]
            raise FeaturesError([Problem(place(row, self.names[index]), message) for row, index, message in shown])
        for name, parts in self._matrices:
            feed[name] = np.concatenate([feed.pop(part) for part in parts], axis=1)
        n_bytes = CELL_BYTES * len(columns) * len(columns[0])
        for index in self._texts:
            for text in columns[index]:
                if text is not None:
                    n_bytes += len(text)
        return Table(columns, feed, n_bytes)

    def count_out_of_range(self, rows: Table) -> int:
        """Count the values outside the range or the categories of the training rows."""
        unknown = sum(len(self._unknown(rows, index, known)) for index, known in self._ignoring)
        if len(rows) == 1 and not self._may_be_outside(rows):  # faster than numpy for one row
            return unknown
        outside = (self._outside(rows, place, low, high) for _, place, low, high in self._ranges)
        return unknown + sum(int(np.count_nonzero(one)) for one in outside)

    def _unknown(self, rows: Table, index: int, known: frozenset[Any]) -> list[int]:
        """Return the rows whose text the training rows did not have."""
        values = rows.columns[index]
        return [row for row, value in enumerate(values) if value is not None and value not in known]

    def _may_be_outside(self, rows: Table) -> bool:
        """Return whether a value of the first row is outside its range before it is rounded."""
        for index, _, low, high in self._ranges:
            value = rows.columns[index][0]
            if value is not None and ((low is not None and value < low) or (high is not None and value > high)):
                return True
        return False

    def out_of_range(self, rows: Table) -> OutOfRange:
        """Describe the values outside the range or the categories of the training rows."""
        counts, found = [0] * len(self.names), []
        for index, known in self._ignoring:
            unknown = self._unknown(rows, index, known)
            counts[index] = len(unknown)
            for row in unknown[:MAX_WARNINGS]:
                message = f"{shown_text(rows.columns[index][row])} is not one of the {len(known)} trained categories"
                found.append((row, index, RangeWarning(row, self.names[index], message)))
        for index, place, low, high in self._ranges:
            outside = np.flatnonzero(self._outside(rows, place, low, high))
            digits = FLOAT32_DIGITS if self.columns[index].dtype == "float32" else FLOAT64_DIGITS
            counts[index] = len(outside)
            for row in outside[:MAX_WARNINGS].tolist():
                message = explain_range(rows.columns[index][row], low, high, digits)
                found.append((row, index, RangeWarning(row, self.names[index], message)))
        return OutOfRange(counts, [warning for *_, warning in sorted(found, key=itemgetter(0, 1))[:MAX_WARNINGS]])

    def _outside(self, rows: Table, place: tuple[str, int], low: float | None, high: float | None) -> NDArray[np.bool_]:
        values = rows.feed[place[0]][:, place[1]]
        limits = np.array([-np.inf if low is None else low, np.inf if high is None else high], dtype=np.float64)
        if values.dtype == np.float32:
            limits = limits.astype(np.float32)
        outside: NDArray[np.bool_] = (values < limits[0]) | (values > limits[1])
        return outside

    def _rows(self, features: Any) -> list[Any]:  # noqa: ANN401
        if isinstance(features, dict):
            return [features]
        if not isinstance(features, list):
            raise FeaturesError([Problem((ROOT,), f"{ROOT} must be a row or a list of rows, not {kind_of(features)}")])
        if not features:
            raise FeaturesError([Problem((ROOT,), f"{ROOT} is empty: send at least one row")])
        return [features] if ROWS.isdisjoint(map(type, features)) else features

    def _misfits(self, row: Any, loc: tuple[str | int, ...]) -> list[Problem]:  # noqa: ANN401
        if isinstance(row, Mapping):
            problems = [Problem((*loc, n), f"the feature {n!r} is missing") for n in self.names if n not in row]
            # Limit the length and number of unknown names, which the client chooses.
            extra = islice((name[:SHOWN] for name in row if name not in self._name_set), MAX_PROBLEMS)
            return problems + [Problem((*loc, n), f"the model has no feature {n!r}") for n in extra]
        if not isinstance(row, list):
            return [Problem(loc, f"a row must be a list or an object, not {kind_of(row)}")]
        expected = f"{len(self.names)} features ({', '.join(self.names)})"
        return [Problem(loc, f"expected {expected}, got {len(row)}")]


AnySignature = Signature | TableSignature


def signature_of(manifest: Manifest) -> AnySignature:
    """Return the signature for a manifest's columns."""
    return signature_for(manifest.columns, manifest.inputs)


def signature_for(columns: Sequence[InputColumn], inputs: Sequence[GraphInput]) -> AnySignature:
    """Return the signature for columns and the inputs that are made of them."""
    return Signature(columns) if is_matrix(columns, inputs) else TableSignature(columns, inputs)
