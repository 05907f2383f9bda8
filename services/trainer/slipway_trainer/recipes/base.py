"""The classes that define a recipe. They are immutable, so a recipe describes its run completely."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pandera.pandas import Check
from pydantic import BaseModel, ConfigDict, Field, model_validator

from slipway_core.validation import did_you_mean

# The metrics for choosing a candidate and for floors; higher is better.
MEASURES = {"classification": ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc"), "regression": ("r2",)}
# The largest seed of the random number generators.
MAX_SEED = 2**32 - 1
# To occur in each fold and in the test rows, a class needs this many rows per fold.
ROWS_A_FOLD = 2
MIN_ROWS = 2
MIN_FOLDS = 2
# The lineage states the name of the key in a text of up to 256 characters.
MAX_KEY_LENGTH = 200


class _Frozen(BaseModel):
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


class Column(_Frozen):
    """A column and its valid values.

    Attributes:
        unit: the unit of measure, such as `cm`.
        minimum: the smallest valid value.
        maximum: the largest valid value.
        categories: the valid codes of a coded column.
        on_unknown: what the API does with values outside the categories: `reject` (422), or `warn` and predict.
        may_be_constant: whether the column may have the same value in every row.
    """

    name: str = Field(min_length=1)
    unit: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[float, ...] | None = None
    on_unknown: Literal["reject", "warn"] = "reject"
    may_be_constant: bool = False

    @property
    def served_categories(self) -> tuple[float, ...] | None:
        """The only values that the API accepts; None if it accepts any number."""
        return self.categories if self.on_unknown == "reject" else None

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(
                f"the column {self.name!r} has the minimum {self.minimum:g}, above its maximum {self.maximum:g}"
            )
        if self.categories is not None:
            if not self.categories or not all(map(math.isfinite, self.categories)):
                raise ValueError(f"the categories of the column {self.name!r} must be one or more finite numbers")
            # The graph takes float32, which may round different numbers to the same value.
            if len({np.float32(code).item() for code in self.categories}) < len(self.categories):
                raise ValueError(f"the categories of the column {self.name!r} must differ as float32 numbers")
            low, high = min(self.categories), max(self.categories)
            if (self.minimum is not None and low < self.minimum) or (self.maximum is not None and high > self.maximum):
                raise ValueError(f"the categories of the column {self.name!r} must lie within its minimum and maximum")
        return self


class Candidate(_Frozen):
    """An estimator to train and compare.

    Attributes:
        name: the name of its run.
        parameters: the estimator's parameters, recorded in its run.
        build: returns a new, unfitted scikit-learn estimator for the parameters and a seed.
        search: values of parameters to try in all combinations; the best combination by cross-validation on the
            training rows is chosen.
    """

    name: str = Field(min_length=1)
    parameters: Mapping[str, Any] = Field(default_factory=dict)
    build: Callable[[Mapping[str, Any], int], Any]
    search: Mapping[str, tuple[Any, ...]] = Field(default_factory=dict)


class Recipe(_Frozen):
    """The definition of a model: its data, schema, candidates, metric and floors.

    Attributes:
        name: the model's name in the registry.
        data_file: the path of the data, a CSV file, below SLIPWAY_DATA_DIR.
        fetch: downloads the data into a folder, as a CSV file of that name; None if the file must be provided.
        columns: the features, in the order of the graph's input.
        target: the column to predict.
        classes: the labels of a classifier; the graph returns the index of a label.
        ignored: other columns that the data may have, and that are not used.
        time_columns: the columns that order the rows in time, for `split="time"`.
        checks: additional rules for the data, as Pandera checks of the whole frame; their `error` states the rule.
        metric: the metric for choosing a candidate, and for the comparison with the champion; higher is better.
        floors: the minimum of each metric for promotion.
        max_regression: how much worse than the champion a challenger may be.
        min_rows_share: the minimum share of the champion's rows that a version must be trained on.
        split: how test rows are chosen: `random`, `stratified`: at random, but with each class among the training and
            the test rows, or `time`: the last rows. With `time`, the folds of the cross-validation follow the order,
            too.
        split_key: a column, such as a customer, whose rows with the same value stay together: among the training or
            the test rows, and in one fold. It does not need to be a feature. None to split by row.
        seed: the seed of the estimators and the folds. It does not affect the choice of test rows.
        min_rows: the minimum number of rows.
        min_class_share: the minimum share of rows of each class.
        max_duplicate_share: the maximum share of rows that repeat an earlier row.
        min_skill: the minimum skill of a quick model, from 0 (guessing) to 1 (perfect).
        leakage_score: a single feature that reaches this score reveals the target.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    title: str
    task: Literal["classification", "regression"]
    data_file: str
    fetch: Callable[[Path], None] | None = None
    columns: tuple[Column, ...] = Field(min_length=1)
    target: Column
    classes: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    time_columns: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    candidates: tuple[Candidate, ...] = Field(min_length=1)
    metric: str
    floors: Mapping[str, float]
    max_regression: float = Field(default=0.0, ge=0)
    min_rows_share: float = Field(default=0.8, ge=0)
    split: Literal["stratified", "random", "time"]
    split_key: str | None = Field(default=None, min_length=1, max_length=MAX_KEY_LENGTH)
    test_fraction: float = Field(default=0.2, gt=0, lt=1)
    folds: int = Field(default=5, ge=MIN_FOLDS)
    seed: int = Field(default=42, ge=0, le=MAX_SEED)
    min_rows: int = Field(default=50, ge=MIN_ROWS)
    min_class_share: float = Field(default=0.02, ge=0, lt=1)
    max_duplicate_share: float = Field(default=0.05, ge=0, le=1)
    min_skill: float = Field(default=0.2, ge=0, lt=1)
    leakage_score: float = Field(default=0.99, gt=0, le=1)

    @property
    def feature_names(self) -> list[str]:
        """The names of the features, in the order of the graph's input."""
        return [column.name for column in self.columns]

    @property
    def split_summary(self) -> str:
        """The split as the lineage states it: `time`, `random by row`, or `stratified by 'customer'`."""
        if self.split == "time":
            return self.split
        return f"{self.split} by {'row' if self.split_key is None else repr(self.split_key)}"

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        measured = MEASURES[self.task]
        for name in (self.metric, *self.floors):
            if name not in measured:
                raise ValueError(
                    f"{name!r} is not a metric of {self.task}{did_you_mean(name, measured) or ';'} the metrics are "
                    f"{', '.join(measured)}"
                )
        if (self.task == "classification") != (len(self.classes) > 1):
            raise ValueError("a classifier needs two or more `classes`, and a regressor none")
        if self.split == "stratified" and self.task != "classification":
            raise ValueError("the split 'stratified' requires classes; use 'random' or 'time'")
        if self.split == "time" and not self.time_columns:
            raise ValueError("the split 'time' requires time_columns, but the recipe has none")
        if self.split == "time" and self.split_key is not None:
            raise ValueError(
                "the split 'time' holds out the last rows, so it cannot keep the rows of a split_key together; use "
                "'random' or 'stratified', or set split_key to null"
            )
        if self.split_key == self.target.name:
            raise ValueError(
                f"the split_key {self.split_key!r} is the target; choose the column of a group, such as a customer"
            )
        for what, names in (
            ("columns", [*self.feature_names, self.target.name]),
            ("candidates", [candidate.name for candidate in self.candidates]),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"two {what} have the same name, {_twice(names)!r}; rename one of them")
        return self


def _twice(names: Sequence[str]) -> str:
    return next(name for index, name in enumerate(names) if name in names[:index])
