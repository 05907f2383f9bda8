"""The columns of a recipe: their types and valid values."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from slipway_core.columns import DatePart, Name
from slipway_core.validation import did_you_mean

NUMBERS = frozenset({"float32", "float64", "int64"})
DEFAULT_PARTS: tuple[DatePart, ...] = ("year", "month", "day", "weekday")


class Frozen(BaseModel):
    """An immutable definition; unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with updated fields. Unlike pydantic's method, it rejects unknown field names.

        Raises:
            TypeError: a name is not a field.
        """
        for name in update or {}:
            if name not in type(self).model_fields:
                known = (
                    did_you_mean(name, type(self).model_fields)
                    or f"; its fields are {', '.join(type(self).model_fields)}"
                )
                raise TypeError(f"{type(self).__name__} has no field {name!r}{known}")
        return super().model_copy(update=update, deep=deep)


class Column(Frozen):
    """A column and its valid values.

    Estimators receive numbers and booleans as float32 with NaN for a missing value, text as it is, and one float32
    column `NAME_PART` for each part of a date. If all features are float32 without missing values, they receive one
    matrix; otherwise a DataFrame with these columns.

    Attributes:
        dtype: the type of its values. A date is text in ISO 8601.
        nullable: whether a value may be missing.
        missing: what estimators receive for a missing text.
        unit: the unit of measure, such as `cm`.
        description: what the feature means, for the users of the API.
        minimum: the smallest value that the data may have. The API does not reject smaller ones.
        maximum: the largest value that the data may have. The API does not reject larger ones.
        categories: the valid codes or texts of a column of categories.
        on_unknown: what happens to values outside the categories. `reject`: they are errors in the data and in
            requests (422). `ignore`: the data may have them, and the API predicts. `warn`: they are errors in the data,
            and the API predicts; it warns about values outside the trained range.
        parts: the parts of a date that estimators receive.
        may_be_constant: whether the column may have the same value in every row.
    """

    name: Name = Field(min_length=1)
    dtype: Literal["float32", "float64", "int64", "bool", "string", "date"] = "float32"
    nullable: bool = False
    missing: Name = ""
    unit: Name | None = None
    description: str | None = Field(default=None, max_length=1_000)
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[float, ...] | tuple[str, ...] | None = None
    on_unknown: Literal["reject", "ignore", "warn"] = "reject"
    parts: tuple[DatePart, ...] = Field(default=DEFAULT_PARTS, min_length=1)
    may_be_constant: bool = False

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers."""
        return self.dtype in NUMBERS

    @property
    def graph_dtype(self) -> Literal["float32", "float64", "int64", "bool", "string"]:
        """The element type of its tensors in the graph."""
        return "string" if self.dtype == "string" else "float32"

    @property
    def served_categories(self) -> tuple[float, ...] | tuple[str, ...] | None:
        """The only values that the API accepts; None if it accepts others."""
        return self.categories if self.on_unknown == "reject" else None

    @property
    def trained_categories(self) -> tuple[float, ...] | tuple[str, ...] | None:
        """The only values that the data may have; None if it may have others."""
        return None if self.on_unknown == "ignore" else self.categories

    @property
    def estimator_columns(self) -> tuple[str, ...]:
        """The names of the columns that estimators receive for it."""
        return tuple(f"{self.name}_{part}" for part in self.parts) if self.dtype == "date" else (self.name,)

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        if not self.is_number and (self.minimum, self.maximum, self.unit) != (None, None, None):
            raise ValueError(f"the column {self.name!r} holds no numbers, so it has no minimum, maximum or unit")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(
                f"the column {self.name!r} has the minimum {self.minimum:g}, above its maximum {self.maximum:g}"
            )
        if len(set(self.parts)) < len(self.parts):
            raise ValueError(f"the column {self.name!r} names a part of the date twice")
        if self.categories is not None:
            self._check_categories(self.categories)
        return self

    def _check_categories(self, categories: tuple[float, ...] | tuple[str, ...]) -> None:
        if self.dtype in {"bool", "date"}:
            raise ValueError(f"the column {self.name!r} of type {self.dtype} has no categories; remove them")
        if not categories:
            raise ValueError(f"the column {self.name!r} needs at least one category")
        if any(isinstance(one, str) != (self.dtype == "string") for one in categories):
            raise ValueError(
                f"the categories of the column {self.name!r} do not have its type, {self.dtype}; write text with "
                'dtype="string", and numbers otherwise'
            )
        codes = [one for one in categories if not isinstance(one, str)]
        if not all(map(math.isfinite, codes)):
            raise ValueError(f"the categories of the column {self.name!r} must be finite numbers")
        # The graph takes float32, which may round different numbers to the same value.
        if len({one if isinstance(one, str) else np.float32(one).item() for one in categories}) < len(categories):
            numbers = " as float32 numbers" if codes else ""
            raise ValueError(f"the categories of the column {self.name!r} must differ{numbers}")
        if codes and (
            (self.minimum is not None and min(codes) < self.minimum)
            or (self.maximum is not None and max(codes) > self.maximum)
        ):
            raise ValueError(f"the categories of the column {self.name!r} must lie within its minimum and maximum")


def is_matrix_of(columns: Sequence[Column]) -> bool:
    """Return whether all columns are float32 without missing values, so that they form one matrix."""
    return all(column.dtype == "float32" and not column.nullable for column in columns)
