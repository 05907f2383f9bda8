"""The classes that define a recipe. They are immutable, so a recipe describes its run completely."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pandera.pandas import Check
from pydantic import Field, FiniteFloat, StrictBool, StrictInt, model_validator

from slipway_core.manifest import label_text
from slipway_core.validation import did_you_mean
from slipway_trainer.metrics import BINARY, METRICS, names_of
from slipway_trainer.recipes.columns import Column, Frozen, is_matrix_of

# The largest seed of the random number generators.
MAX_SEED = 2**32 - 1
# To occur in each fold and in the test rows, a class needs this many rows per fold.
ROWS_A_FOLD = 2
MIN_ROWS = 2
MIN_FOLDS = 2
# MLflow accepts longer aliases, but they must fit into the name of a file.
ALIAS_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,100}")
# The lineage states the name of the key in a text of up to 256 characters.
MAX_KEY_LENGTH = 200
# The split of a model whose training is unknown: all rows of its data only score it.
NOT_SPLIT = "none: all rows were scored"
# A class label: text, an integer or a boolean.
Label = str | StrictInt | StrictBool


class Candidate(Frozen):
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


class Recipe(Frozen):
    """The definition of a model: its data, schema, candidates, metric and floors.

    Attributes:
        name: the model's name in the registry.
        data_file: the path of the data, a CSV file, below SLIPWAY_DATA_DIR.
        fetch: downloads the data into a folder, as a CSV file of that name; None if the file must be provided.
        columns: the features, in the order of the graph's input.
        missing_values: the cells of the CSV file that stand for a missing value, if a feature is not float32 or may
            be missing. Otherwise pandas' own list counts, and missing values are errors.
        target: the column to predict.
        classes: the labels of a classifier; the graph returns the index of a label.
        ignored: other columns that the data may have, and that are not used.
        time_columns: the columns that order the rows in time, for `split="time"`.
        checks: additional rules for the data, as Pandera checks of the whole frame; their `error` states the rule.
        metric: the metric for choosing a candidate, and for the comparison with the Production version; see
            `slipway_trainer.metrics`. Its direction is respected everywhere.
        floors: for promotion, the minimum of each metric where higher is better.
        ceilings: for promotion, the maximum of each metric where lower is better.
        positive_class: the class that recall, precision, f1, average_precision and the threshold concern.
        threshold: a binary classifier predicts the positive class if its probability is at or above this value. By
            default, the graph's own label is the prediction.
        quantile: the quantile that a regressor predicts, for the metric `pinball`.
        max_regression: how much worse than the Production version a new version may be, in the metric's own unit.
        min_rows_share: the minimum share of the Production version's rows that a version must be trained on.
        split: how test rows are chosen: `random`, `stratified`: at random, but with each class among the training and
            the test rows, or `time`: the last rows. With `time`, the folds of the cross-validation follow the order,
            too.
        split_key: a column, such as a customer, whose rows with the same value stay together: among the training or
            the test rows, and in one fold. It does not need to be a feature. None to split by row.
        register_all: whether to register each candidate that meets the floors and ceilings, not only the best one,
            under the alias `candidate-<name>`.
        seed: the seed of the estimators and the folds. It does not affect the choice of test rows.
        min_rows: the minimum number of rows.
        min_class_share: the minimum share of rows of each class.
        max_duplicate_share: the maximum share of rows that repeat an earlier row.
        min_skill: the minimum skill of a quick model, from 0 (guessing) to 1 (perfect); 0 turns the check off.
        leakage_score: a single feature that reaches this score reveals the target; 1 turns the check off.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    title: str
    task: Literal["classification", "regression"]
    data_file: str
    fetch: Callable[[Path], None] | None = None
    columns: tuple[Column, ...] = Field(min_length=1)
    missing_values: tuple[str, ...] = ("", "NA", "NaN", "null")
    target: Column
    classes: tuple[Label, ...] = ()
    ignored: tuple[str, ...] = ()
    time_columns: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    candidates: tuple[Candidate, ...] = Field(min_length=1)
    metric: str
    floors: Mapping[str, FiniteFloat] = Field(default_factory=dict)
    ceilings: Mapping[str, FiniteFloat] = Field(default_factory=dict)
    positive_class: Label | None = None
    threshold: float | None = Field(default=None, gt=0, lt=1)
    quantile: float | None = Field(default=None, gt=0, lt=1)
    max_regression: float = Field(default=0.0, ge=0)
    min_rows_share: float = Field(default=0.8, ge=0)
    split: Literal["stratified", "random", "time"]
    split_key: str | None = Field(default=None, min_length=1, max_length=MAX_KEY_LENGTH)
    test_fraction: float = Field(default=0.2, gt=0, lt=1)
    folds: int = Field(default=5, ge=MIN_FOLDS)
    register_all: StrictBool = False
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
    def is_matrix(self) -> bool:
        """Whether all features are float32 without missing values, so that estimators receive one matrix."""
        return is_matrix_of(self.columns)

    @property
    def estimator_columns(self) -> list[str]:
        """The names of the columns that estimators receive."""
        return [name for column in self.columns for name in column.estimator_columns]

    @property
    def class_names(self) -> tuple[str, ...]:
        """The class labels as text."""
        return tuple(map(label_text, self.classes))

    @property
    def split_summary(self) -> str:
        """The split as the lineage states it: `time`, `random by row`, or `stratified by 'customer'`."""
        if self.split == "time":
            return self.split
        return f"{self.split} by {'row' if self.split_key is None else repr(self.split_key)}"

    @property
    def origin(self) -> str:
        """Where the model comes from, as the lineage states it: the recipe's name."""
        return self.name

    @property
    def scored_rows(self) -> str:
        """What the rows are on which a version is scored."""
        return "held-out rows"

    @property
    def deciding_metrics(self) -> tuple[str, ...]:
        """The names of the metric, and of those with a floor or a ceiling."""
        return tuple(dict.fromkeys((self.metric, *self.floors, *self.ceilings)))

    @model_validator(mode="after")
    def _check_metrics(self) -> Self:
        measured = names_of(self.task)
        for name in self.deciding_metrics:
            if name not in measured:
                raise ValueError(
                    f"{name!r} is not a metric of {self.task}{did_you_mean(name, measured) or ';'} the metrics are "
                    f"{', '.join(measured)}"
                )
        if not {"floors", "ceilings"} & self.model_fields_set:
            raise ValueError("a recipe needs `floors` or `ceilings`, the limits for promotion; floors={} sets none")
        for name in self.floors:
            if METRICS[name].lower_is_better:
                raise ValueError(
                    f"a lower {name} is better, so its limit is a maximum: use ceilings.{name}, not floors.{name}"
                )
        for name in self.ceilings:
            if not METRICS[name].lower_is_better:
                raise ValueError(
                    f"a higher {name} is better, so its limit is a minimum: use floors.{name}, not ceilings.{name}"
                )
        return self

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
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
            ("columns of the estimators", self.estimator_columns),
            ("classes", self.class_names),
            ("candidates", [candidate.name for candidate in self.candidates]),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"two {what} have the same name, {_twice(names)!r}; rename one of them")
        _check_parameters(self)
        _check_aliases(self)
        return self


def _check_parameters(recipe: Recipe) -> None:
    """Raise ValueError if the parameters of the metrics are missing, or do not match the task."""
    classes = ", ".join(recipe.class_names)
    positive = recipe.positive_class
    if recipe.task == "regression" and (positive is not None or recipe.threshold is not None):
        raise ValueError("positive_class and threshold belong to classification; remove them")
    if recipe.task == "classification" and recipe.quantile is not None:
        raise ValueError("quantile belongs to regression, for the metric 'pinball'; remove it")
    if positive is not None and positive not in recipe.classes:
        suggestion = did_you_mean(str(positive), recipe.class_names) or ";"
        raise ValueError(f"positive_class {positive!r} is not one of the classes{suggestion} they are {classes}")
    for name in recipe.deciding_metrics:
        if METRICS[name].needs_positive_class and positive is None:
            raise ValueError(f"{name} concerns one class: set positive_class to one of {classes}")
        if METRICS[name].needs_quantile and recipe.quantile is None:
            raise ValueError(f"{name} concerns a quantile: set quantile to a number between 0 and 1, such as 0.9")
    if recipe.threshold is not None and len(recipe.classes) != BINARY:
        raise ValueError(f"a threshold requires two classes, but the recipe has {len(recipe.classes)}; remove it")
    if recipe.threshold is not None and positive is None:
        raise ValueError(f"threshold concerns the probability of one class: set positive_class to one of {classes}")


def _check_aliases(recipe: Recipe) -> None:
    """Raise ValueError if a candidate's name cannot be part of an alias."""
    for name in [candidate.name for candidate in recipe.candidates if recipe.register_all]:
        if not ALIAS_PATTERN.fullmatch(name):
            raise ValueError(
                f"register_all needs candidates with names of letters, digits, '-' and '_', and {name!r} is not one; "
                "rename it"
            )


def _twice(names: Sequence[str]) -> str:
    return next(name for index, name in enumerate(names) if name in names[:index])
