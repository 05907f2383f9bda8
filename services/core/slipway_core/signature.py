"""Convert the features of a request to the matrix that the graph needs, or describe what is wrong with them."""

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from operator import itemgetter
from typing import Any

import numpy as np

from slipway_core.columns import InputColumn
from slipway_core.errors import FeaturesError, Problem
from slipway_core.feature_values import (
    FLOAT32_LIMIT,
    MAX_PROBLEMS,
    MAX_WARNINGS,
    ROOT,
    ROWS,
    OutOfRange,
    RangeWarning,
    explain_category,
    explain_number,
    explain_range,
    kind_of,
    shortest,
)
from slipway_core.printable import SHOWN
from slipway_core.rows import FloatMatrix

NUMBERS = frozenset({float, int})


class Signature:
    """A model's inputs, prepared once when the model is loaded."""

    def __init__(self, inputs: Sequence[InputColumn]) -> None:
        self.names = tuple(column.name for column in inputs)
        self.columns = tuple(inputs)
        self._limits = tuple((column.min, column.max) for column in inputs)
        self._name_set = frozenset(self.names)
        self._minimum = np.array([-np.inf if c.min is None else c.min for c in inputs], dtype=np.float32)
        self._maximum = np.array([np.inf if c.max is None else c.max for c in inputs], dtype=np.float32)
        self._ranges = tuple(zip(self._minimum.tolist(), self._maximum.tolist(), strict=True))
        # As float32, like the graph compares them: 0.1 in float64 is another number.
        self._categories = {
            index: frozenset(np.array(column.categories, dtype=np.float32).tolist())
            for index, column in enumerate(inputs)
            if column.categories and column.on_unknown == "reject"
        }
        first, *others = self.names
        self._values_of = itemgetter(*self.names) if others else lambda row: (row[first],)

    def rows(self, features: Any) -> FloatMatrix:  # noqa: ANN401  # clients may send anything
        """Convert `features` to an (n_rows, n_features) float32 matrix.

        Args:
            features: a row or a list of rows, as parsed from JSON; a row is a list of numbers in the signature's
                order, or an object from feature name to number.

        Raises:
            FeaturesError: the input is invalid; every problem has its place. Booleans, strings, NaN, infinities,
                numbers that float32 rounds to infinity, and values outside a feature's categories are rejected.
                Integers are converted to floats.
        """
        matrix = self._quick(features)
        if matrix is None or (self._categories and any(True for _ in self._outside_categories(matrix))):
            return self._checked(features)
        return matrix

    def category_problems(self, matrix: FloatMatrix, loc: tuple[str | int, ...] = (ROOT,)) -> list[Problem]:
        """Return a problem for each value outside its feature's categories, at most MAX_PROBLEMS.

        Args:
            matrix: (n_rows, n_features) float32.
            loc: the place of the rows, to which the row's index and the feature's name are added.
        """
        if not self._categories:
            return []
        outside = islice(self._outside_categories(matrix), MAX_PROBLEMS)
        return [
            Problem((*loc, row, self.names[index]), self._explain_category(index, matrix[row, index].item()))
            for row, index in outside
        ]

    def _outside_categories(self, matrix: FloatMatrix) -> Iterator[tuple[int, int]]:
        """Yield the row and the column of each value outside its feature's categories."""
        if len(matrix) == 1:  # faster than numpy for one row
            [values] = matrix.tolist()
            yield from ((0, index) for index, allowed in self._categories.items() if values[index] not in allowed)
            return
        for index, allowed in self._categories.items():
            known = np.isin(matrix[:, index], np.array(list(allowed), dtype=np.float32))
            yield from ((row, index) for row in np.flatnonzero(~known).tolist())

    def _explain_category(self, index: int, value: float) -> str:
        return f"{self.names[index]!r} {explain_category(sorted(self._categories[index]), shortest(value))}"

    def _quick(self, features: Any) -> FloatMatrix | None:  # noqa: ANN401
        """Convert valid rows with functions written in C, for speed; None if each value must be checked."""
        if type(features) is list and NUMBERS.issuperset(map(type, features)):
            return self._row_of(features) if len(features) == len(self.names) else None
        rows = features if type(features) is list and type(features[0]) in {list, dict} else [features]
        values = self._flat(rows)
        if values is None or not NUMBERS.issuperset(map(type, values)):  # bool, a subclass of int, is rejected
            return None
        if len(rows) == 1:
            return self._row_of(values)
        try:
            wide = np.array(values, dtype=np.float64)
        except OverflowError:
            return None
        if wide.min() >= -FLOAT32_LIMIT and wide.max() <= FLOAT32_LIMIT:
            return wide.astype(np.float32).reshape(len(rows), -1)
        return None

    def _row_of(self, values: list[Any]) -> FloatMatrix | None:
        for value in values:
            if not -FLOAT32_LIMIT <= value <= FLOAT32_LIMIT:  # also rejects NaN
                return None
        return np.array([values], dtype=np.float32)

    def _flat(self, rows: list[Any]) -> list[Any] | None:
        """Return all values in one list; None if the rows differ in kind or have the wrong width."""
        kinds = set(map(type, rows))
        if kinds not in ({list}, {dict}) or set(map(len, rows)) != {len(self.names)}:
            return None
        if kinds == {dict}:
            try:
                rows = list(map(self._values_of, rows))
            except KeyError:
                return None
        return list(chain.from_iterable(rows))

    def _checked(self, features: Any) -> FloatMatrix:  # noqa: ANN401
        rows = self._list_of(features)
        problems: list[Problem] = []
        values = []
        for index, row in enumerate(rows):
            found = self._row(row, (ROOT, index) if rows is features else (ROOT,), problems)
            if len(problems) >= MAX_PROBLEMS:
                break
            values.append(found)
        if problems:
            raise FeaturesError(problems[:MAX_PROBLEMS])
        return np.array(values, dtype=np.float32)

    def count_out_of_range(self, matrix: FloatMatrix) -> int:
        """Count the values of an (n_rows, n_features) float32 matrix outside the range of the training rows."""
        if len(matrix) == 1:  # faster than numpy for one row
            outside = 0
            for value, (low, high) in zip(matrix.tolist()[0], self._ranges, strict=True):
                if value < low or value > high:
                    outside += 1
            return outside
        return int(np.count_nonzero((matrix < self._minimum) | (matrix > self._maximum)))

    def out_of_range(self, matrix: FloatMatrix) -> OutOfRange:
        """Describe the values of an (n_rows, n_features) float32 matrix outside the range of the training rows."""
        outside = (matrix < self._minimum) | (matrix > self._maximum)
        warnings = []
        for place in np.flatnonzero(outside)[:MAX_WARNINGS].tolist():
            row, column = divmod(place, len(self.names))
            message = explain_range(matrix[row, column].item(), *self._limits[column])
            warnings.append(RangeWarning(row, self.names[column], message))
        return OutOfRange(np.count_nonzero(outside, axis=0).tolist(), warnings)

    def _list_of(self, features: Any) -> list[Any]:  # noqa: ANN401
        if isinstance(features, dict):
            return [features]
        if not isinstance(features, list):
            message = f"{ROOT} must be a row or a list of rows, not {kind_of(features)}"
            raise FeaturesError([Problem((ROOT,), message)])
        if not features:
            raise FeaturesError([Problem((ROOT,), f"{ROOT} is empty: send at least one row")])
        return [features] if ROWS.isdisjoint(map(type, features)) else features

    def _row(self, row: Any, loc: tuple[str | int, ...], problems: list[Problem]) -> list[Any]:  # noqa: ANN401
        if isinstance(row, dict):
            if row.keys() != self._name_set:
                problems += [Problem((*loc, n), f"the feature {n!r} is missing") for n in self.names if n not in row]
                # Limit the length and number of unknown names, which the client chooses.
                extra = islice((name[:SHOWN] for name in row if name not in self._name_set), MAX_PROBLEMS)
                problems += [Problem((*loc, n), f"the model has no feature {n!r}") for n in extra]
                return []
            row = [row[name] for name in self.names]
        elif not isinstance(row, list):
            problems.append(Problem(loc, f"a row must be a list or an object, not {kind_of(row)}"))
            return []
        elif len(row) != len(self.names):
            expected = f"{len(self.names)} features ({', '.join(self.names)})"
            problems.append(Problem(loc, f"expected {expected}, got {len(row)}"))
            return []
        for index, (name, value) in enumerate(zip(self.names, row, strict=True)):
            # `type` and not `isinstance`: bool is a subclass of int.
            if not ((type(value) is float or type(value) is int) and _is_float32(value)):
                problems.append(Problem((*loc, name), f"{name!r} {explain_number(value)}"))
            elif index in self._categories and _float32(value) not in self._categories[index]:
                problems.append(Problem((*loc, name), self._explain_category(index, value)))
        return list(row)


def _float32(value: float) -> float:
    return np.float32(float(value)).item()


def _is_float32(value: float) -> bool:
    try:
        return abs(float(value)) <= FLOAT32_LIMIT  # integers are rounded to float64 first, as in numpy
    except OverflowError:
        return False
