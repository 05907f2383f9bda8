"""What a recipe is made of: frozen, so that a run can be told from it alone."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pandera.pandas import Check
from pydantic import BaseModel, ConfigDict, Field, model_validator

from slipway_core.validation import did_you_mean

# What a model may be chosen by and must reach: of all of these, greater is better.
MEASURES = {"classification": ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc"), "regression": ("r2",)}
# The generators of random numbers take no greater seed.
MAX_SEED = 2**32 - 1
# A class is in the folds and in the test rows only if it has this many rows for each fold.
ROWS_A_FOLD = 2
MIN_ROWS = 2
MIN_FOLDS = 2


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with updated fields; unlike pydantic's method, reject unknown field names.

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
    """One column, and the values that make sense in it.

    Attributes:
        unit: the unit of measure, such as `cm`.
        minimum: the least value that the data may hold.
        maximum: the greatest value that the data may hold.
        categories: the codes that the data may hold, where they are few.
        on_unknown: what the API does with other values than the categories: `reject` (422), or `warn` and predict.
        may_be_constant: whether data in which it never changes is worth training on.
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
                raise ValueError(f"the categories of the column {self.name!r} must be one finite number or more")
            # The graph takes float32, which may not tell two numbers apart.
            if len({np.float32(code).item() for code in self.categories}) < len(self.categories):
                raise ValueError(f"the categories of the column {self.name!r} must differ from one another as float32")
            low, high = min(self.categories), max(self.categories)
            if (self.minimum is not None and low < self.minimum) or (self.maximum is not None and high > self.maximum):
                raise ValueError(f"the categories of the column {self.name!r} must lie within its minimum and maximum")
        return self


class Candidate(_Frozen):
    """One estimator that is tried.

    Attributes:
        name: the name of its run.
        parameters: what the estimator is made with, and what its run records.
        build: makes a new, unfitted scikit-learn estimator from the parameters and a seed.
        search: values of parameters that are tried, each combination; the best by cross-validation within the training
            rows is taken.
    """

    name: str = Field(min_length=1)
    parameters: Mapping[str, Any] = Field(default_factory=dict)
    build: Callable[[Mapping[str, Any], int], Any]
    search: Mapping[str, tuple[Any, ...]] = Field(default_factory=dict)


class Recipe(_Frozen):
    """One file that names a model: its data, schema, candidates, metric and floors.

    Attributes:
        name: the model's name in the registry.
        data_file: the data's place below SLIPWAY_DATA_DIR, a CSV file.
        fetch: writes the data as a CSV file of that name into a folder, where none is given.
        columns: the features, in the order that the graph takes them.
        target: the column to predict.
        classes: a classifier's labels; the index of a label is what the graph answers.
        ignored: columns that the data may hold beside features and target, and that nothing is learned from.
        time_columns: what orders the rows in time, for `split="time"`.
        checks: more rules for the data, as Pandera checks of the whole frame; their `error` states the rule.
        metric: what candidates are chosen by, and challenger and champion compared by; greater is better.
        floors: the least value of each metric at which a version may be promoted.
        max_regression: by how much a challenger may be worse than the champion.
        min_rows_share: the least share of the champion's rows that a version must be trained on.
        split: how test rows are held out: `random`, `stratified` by class, or `time`: the last ones, and the folds of
            the cross-validation in order, too.
        seed: of the estimators and the folds. It does not move a row between training and test rows.
        min_rows: the fewest rows that are worth training on.
        min_class_share: the least share of the rows that each class must have.
        max_duplicate_share: the greatest share of rows that may repeat an earlier one.
        min_skill: how far the features must lead from guessing (0) to knowing (1) in a first look at the data.
        leakage_score: a feature that alone predicts the target this well gives it away.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    title: str
    task: Literal["classification", "regression"]
    data_file: str
    fetch: Callable[[Path], None]
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
        """The names of the features, in the order that the graph takes them."""
        return [column.name for column in self.columns]

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
            raise ValueError("a classifier needs two `classes` or more, and a regressor none")
        if self.split == "stratified" and self.task != "classification":
            raise ValueError("the split 'stratified' is for classes; take 'random' or 'time'")
        if self.split == "time" and not self.time_columns:
            raise ValueError("the split 'time' needs time_columns, and this recipe has none")
        for what, names in (
            ("columns", [*self.feature_names, self.target.name]),
            ("candidates", [candidate.name for candidate in self.candidates]),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"two {what} have the same name, {_twice(names)!r}; rename one")
        return self


def _twice(names: Sequence[str]) -> str:
    return next(name for index, name in enumerate(names) if name in names[:index])
