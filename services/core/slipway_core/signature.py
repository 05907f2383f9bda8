"""Convert the features of a request to the matrix that the graph needs, or describe what is wrong with them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway_core.bundle import InputColumn
from slipway_core.errors import FeaturesError, Problem

MAX_PROBLEMS = 20
MAX_WARNINGS = 20
SHOWN = 100
# The number of categories that a message lists.
SHOWN_CATEGORIES = 12
ROOT = "features"
FLOAT32_MAX = float(np.finfo(np.float32).max)
# The largest float64 that rounds to FLOAT32_MAX; half a unit in the last place above FLOAT32_MAX, values round to
# infinity. The shortest decimal of FLOAT32_MAX, as JSON writers print it, is slightly above FLOAT32_MAX.
FLOAT32_LIMIT = math.nextafter(FLOAT32_MAX + 2.0**103, 0.0)

NUMBERS = frozenset({float, int})
ROWS = frozenset({list, dict})

FloatMatrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RangeWarning:
    """A value outside the range of the training rows.

    Attributes:
        row: the index of its row in the request.
    """

    row: int
    feature: str
    message: str


@dataclass(frozen=True, slots=True)
class OutOfRange:
    """The values of a request outside the range of the training rows.

    Attributes:
        counts: the number of such values per feature, in the signature's order.
        warnings: the first MAX_WARNINGS of them.
    """

    counts: list[int]
    warnings: list[RangeWarning]

    @property
    def omitted(self) -> int:
        """The number of values without an entry in `warnings`."""
        return sum(self.counts) - len(self.warnings)


class Signature:
    """A model's inputs, prepared once when the model is loaded."""

    def __init__(self, inputs: Sequence[InputColumn]) -> None:
        self.names = tuple(column.name for column in inputs)
        self._limits = tuple((column.min, column.max) for column in inputs)
        self._name_set = frozenset(self.names)
        self._minimum = np.array([-np.inf if c.min is None else c.min for c in inputs], dtype=np.float32)
        self._maximum = np.array([np.inf if c.max is None else c.max for c in inputs], dtype=np.float32)
        self._ranges = tuple(zip(self._minimum.tolist(), self._maximum.tolist(), strict=True))
        # As float32, like the graph compares them: 0.1 in float64 is another number.
        self._categories = {
            index: frozenset(np.array(column.categories, dtype=np.float32).tolist())
            for index, column in enumerate(inputs)
            if column.categories
        }
        first, *others = self.names
        self._values_of = itemgetter(*self.names) if others else lambda row: (row[first],)

    def matrix(self, features: Any) -> FloatMatrix:  # noqa: ANN401  # clients may send anything
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
        allowed = [_shortest(code) for code in sorted(self._categories[index])]
        shown = ", ".join(allowed)
        if len(allowed) > SHOWN_CATEGORIES:
            shown = f"{', '.join(allowed[: SHOWN_CATEGORIES - 1])}, … {allowed[-1]} ({len(allowed)} values)"
        return f"{self.names[index]!r} must be one of {shown}, not {_shortest(value)}"

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
        rows = self._rows(features)
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
            message = f"{matrix[row, column]:.7g} is {_beyond(matrix[row, column].item(), *self._limits[column])}"
            warnings.append(RangeWarning(row, self.names[column], message))
        return OutOfRange(np.count_nonzero(outside, axis=0).tolist(), warnings)

    def _rows(self, features: Any) -> list[Any]:  # noqa: ANN401
        if isinstance(features, dict):
            return [features]
        if not isinstance(features, list):
            message = f"{ROOT} must be a row or a list of rows, not {_kind(features)}"
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
            problems.append(Problem(loc, f"a row must be a list or an object, not {_kind(row)}"))
            return []
        elif len(row) != len(self.names):
            expected = f"{len(self.names)} features ({', '.join(self.names)})"
            problems.append(Problem(loc, f"expected {expected}, got {len(row)}"))
            return []
        for index, (name, value) in enumerate(zip(self.names, row, strict=True)):
            # `type` and not `isinstance`: bool is a subclass of int.
            if not ((type(value) is float or type(value) is int) and _is_float32(value)):
                problems.append(Problem((*loc, name), _explain(name, value)))
            elif index in self._categories and _float32(value) not in self._categories[index]:
                problems.append(Problem((*loc, name), self._explain_category(index, value)))
        return list(row)


def _float32(value: float) -> float:
    return np.float32(float(value)).item()


def _shortest(value: float) -> str:
    """Write a float32 with the fewest digits that identify it."""
    return str(np.float32(float(value))).removesuffix(".0")


def _beyond(value: float, low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"outside the trained range {low:.7g} to {high:.7g}"
    if low is not None and value < low:
        return f"below the trained minimum {low:.7g}"
    return f"above the trained maximum {high:.7g}"


def _is_float32(value: float) -> bool:
    try:
        return abs(float(value)) <= FLOAT32_LIMIT  # integers are rounded to float64 first, as in numpy
    except OverflowError:
        return False


def _explain(name: str, value: Any) -> str:  # noqa: ANN401
    if isinstance(value, str) and not value.strip():
        return f"{name!r} is empty; it must be a number"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{name!r} must be a number, not {_kind(value)}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{name!r} must be a finite number, not NaN or infinity"
    return f"{name!r} is too large for a 32-bit float"


def _kind(value: Any) -> str:  # noqa: ANN401
    kinds = {bool: "a boolean", str: "a string", list: "a list", dict: "an object", type(None): "null"}
    return kinds.get(type(value), "a number")
