"""Reject data that the recipe does not allow, before the training."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slipway_core.rows import FloatMatrix
from slipway_core.validation import did_you_mean
from slipway_trainer.data_checks import find_data_problems
from slipway_trainer.errors import DataRefusedError
from slipway_trainer.features import Features, signature_of, table_features
from slipway_trainer.recipes import Recipe
from slipway_trainer.recipes.base import MIN_FOLDS
from slipway_trainer.schema import SHOWN_COLUMNS, check_schema, lines, values_in_lines
from slipway_trainer.splitting import row_hashes
from slipway_trainer.step_results import Dataset, Table
from slipway_trainer.tasks import task_of
from slipway_trainer.typed_columns import read_columns


def validate(recipe: Recipe, dataset: Dataset) -> Table:
    """Check a data set against the recipe's schema and as a whole, and return its features and its target.

    The features are converted to float32 before any fit, so that estimator and graph receive the same numbers.

    Raises:
        DataRefusedError: with every finding; line numbers are those of the file, where the header is line 1.
    """
    read = dataset.frame
    findings: list[str] = []
    if not recipe.is_matrix and set(recipe.feature_names) <= set(read.columns):
        read, findings = _typed(recipe, read)
    frame, found = check_schema(recipe, read)
    findings += found
    times: dict[str, pd.Series] = {}
    if recipe.split == "time":
        times, wrong = _times(recipe, frame)
        findings += wrong
    keys, unusable = _keys(recipe, frame)
    findings += unusable
    findings = findings or find_data_problems(recipe, frame)
    if findings:
        raise DataRefusedError(findings)
    if recipe.split == "time":
        frame = frame.loc[pd.DataFrame(times).sort_values(list(times), kind="stable").index]
    return Table(_features(recipe, frame), task_of(recipe).encode(frame[recipe.target.name]), dataset.version, keys)


def _typed(recipe: Recipe, frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return a frame with typed features, numbers as float64; and the findings."""
    values, findings = read_columns(recipe, frame)
    numbers = {column.name: values[column.name].astype("float64") for column in recipe.columns if column.is_number}
    if findings:  # a number may not be one
        return frame.assign(**{name: values[name] for name in values.columns}), findings
    return frame.assign(**{name: numbers.get(name, values[name]) for name in values.columns}), findings


def _features(recipe: Recipe, frame: pd.DataFrame) -> Features:
    """Return the features of valid rows in the recipe's order."""
    if recipe.is_matrix:
        matrix: FloatMatrix = frame[recipe.feature_names].to_numpy(dtype=np.float32)
        return matrix
    columns = [frame[name].astype(object).where(frame[name].notna(), None).to_list() for name in recipe.feature_names]
    return table_features(signature_of(recipe), columns)


def _keys(recipe: Recipe, frame: pd.DataFrame) -> tuple[NDArray[np.uint64] | None, list[str]]:
    """Return the hashes of the recipe's `split_key`, and why it cannot split the rows."""
    if (key := recipe.split_key) is None:
        return None, []
    other = "set another column with --set split_key=NAME, or split by row with --set split_key=null"
    if key not in frame.columns:
        names = [str(name) for name in frame.columns]
        header = ", ".join(names[:SHOWN_COLUMNS]) + (", …" if len(names) > SHOWN_COLUMNS else "")
        meant = did_you_mean(key, names) or ";"
        return None, [f"the split_key {key!r} is not a column of the file{meant} the file has {header}; {other}"]
    values = frame[key]
    if (empty := values.isna() | values.astype("str").str.strip().eq("")).any():
        return None, [
            f"the split_key {key!r} is empty or NA in {lines(empty)}; fill it in, remove the rows, or {other}"
        ]
    keys = row_hashes(frame[[key]])
    if (count := len(np.unique(keys))) > recipe.folds:
        return keys, []
    fewer = f"use fewer folds with --set folds={count - 1}, " if count > MIN_FOLDS else ""
    finding = (
        f"the split_key {key!r} has {count} distinct value{'s' if count > 1 else ''}, fewer than the "
        f"{recipe.folds + 1} that {recipe.folds} folds and the test rows require; {fewer}{other}"
    )
    return keys, [finding]


def _times(recipe: Recipe, frame: pd.DataFrame) -> tuple[dict[str, pd.Series], list[str]]:
    """Convert the columns that order the rows to numbers or dates: as text, 10/2 would come before 9/1."""
    times, findings = {}, []
    for name in recipe.time_columns:
        if name not in frame.columns:
            findings.append(
                f"the column {name!r} is missing, but the split 'time' requires it; add it, or use --set split=random"
            )
            continue
        values = frame[name]
        if not pd.api.types.is_numeric_dtype(values):
            values = pd.to_datetime(values, format="ISO8601", errors="coerce", utc=True)
        if (wrong := values.isna()).any():
            found = values_in_lines(frame.loc[wrong.to_numpy(), name].items())
            findings.append(
                f"{name!r} must be a number or a date such as 2026-11-21, got {found}; correct the data, or use --set "
                "split=random"
            )
        times[name] = values
    return times, findings
