"""Refuse data that the recipe's schema does not allow, before anything is trained on it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slipway_core.signature import FLOAT32_MAX, FloatMatrix
from slipway_trainer.errors import DataRefusedError
from slipway_trainer.recipes import Column, Recipe
from slipway_trainer.steps.extract import Dataset

SHOWN_ROWS = 5


@dataclass(frozen=True)
class Table:
    """Rows that fit the schema.

    Attributes:
        features: (n_rows, n_features) float32, in the recipe's order.
        target: (n_rows,) int64 class indices.
        data_version: the version of the data set that the rows are from.
    """

    features: FloatMatrix
    target: NDArray[np.int64]
    data_version: str


def validate(recipe: Recipe, dataset: Dataset) -> Table:
    """Check a data set against the recipe's schema and return it as matrices.

    The features are cast to float32 here, before anything is fitted, so that estimator and graph see the same numbers.

    Raises:
        DataRefusedError: with every finding; rows are counted as in the file, the header being line 1.
    """
    frame = dataset.frame
    expected = [*recipe.feature_names, recipe.target]
    if missing := [name for name in expected if name not in frame.columns]:
        raise DataRefusedError([f"the column {name!r} is missing" for name in missing])
    findings = [finding for column in recipe.columns for finding in _check_column(column, frame[column.name])]
    findings += _check_target(recipe, frame[recipe.target])
    if len(frame) < recipe.min_rows:
        findings.append(f"there are {len(frame)} rows, and {recipe.min_rows} are needed at least")
    if findings:
        raise DataRefusedError(findings)
    features = frame[recipe.feature_names].to_numpy(dtype=np.float32)
    codes = {label: index for index, label in enumerate(recipe.classes)}
    target = frame[recipe.target].map(codes).to_numpy(dtype=np.int64)
    return Table(features, target, dataset.version)


def _check_column(column: Column, values: pd.Series) -> Iterator[str]:
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    bad = values.notna() & numbers.isna()
    if bad.any():
        yield f"{column.name!r} holds what is not a number in {_lines(bad)}"
    if values.isna().any():
        yield f"{column.name!r} is empty in {_lines(values.isna())}"
    infinite = np.isinf(numbers)
    if infinite.any():
        yield f"{column.name!r} is infinite in {_lines(infinite)}"
    minimum = -FLOAT32_MAX if column.minimum is None else column.minimum
    maximum = FLOAT32_MAX if column.maximum is None else column.maximum
    if (low := (numbers < minimum) & ~infinite).any():
        yield f"{column.name!r} is below {minimum:g} in {_lines(low)}"
    if (high := (numbers > maximum) & ~infinite).any():
        yield f"{column.name!r} is above {maximum:g} in {_lines(high)}"


def _check_target(recipe: Recipe, values: pd.Series) -> Iterator[str]:
    unknown = ~values.isin(recipe.classes)
    if unknown.any():
        yield f"{recipe.target!r} is none of {', '.join(recipe.classes)} in {_lines(unknown)}"
    counts = values.value_counts()
    if scarce := [label for label in recipe.classes if counts.get(label, 0) < recipe.folds * 2]:
        yield f"there are fewer than {recipe.folds * 2} rows of {', '.join(scarce)}"


def _lines(mask: pd.Series) -> str:
    # Line 1 is the header, so the first row of data is line 2.
    lines = [str(index + 2) for index in mask.index[mask.to_numpy()]]
    shown = ", ".join(lines[:SHOWN_ROWS])
    more = f" and {len(lines) - SHOWN_ROWS} more" if len(lines) > SHOWN_ROWS else ""
    return f"line{'s' if len(lines) > 1 else ''} {shown}{more}"
