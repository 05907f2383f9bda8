"""Reject data that the recipe does not allow, before the training."""

import numpy as np
import pandas as pd

from slipway_trainer.data_checks import find_data_problems
from slipway_trainer.errors import DataRefusedError
from slipway_trainer.recipes import Recipe
from slipway_trainer.schema import check_schema, values_in_lines
from slipway_trainer.step_results import Dataset, Table
from slipway_trainer.tasks import task_of


def validate(recipe: Recipe, dataset: Dataset) -> Table:
    """Check a data set against the recipe's schema and as a whole, and return it as matrices.

    The features are converted to float32 before any fit, so that estimator and graph receive the same numbers.

    Raises:
        DataRefusedError: with every finding; line numbers are those of the file, where the header is line 1.
    """
    frame, findings = check_schema(recipe, dataset.frame)
    times: dict[str, pd.Series] = {}
    if recipe.split == "time":
        times, wrong = _times(recipe, frame)
        findings += wrong
    findings = findings or find_data_problems(recipe, frame)
    if findings:
        raise DataRefusedError(findings)
    if recipe.split == "time":
        frame = frame.loc[pd.DataFrame(times).sort_values(list(times), kind="stable").index]
    features = frame[recipe.feature_names].to_numpy(dtype=np.float32)
    return Table(features, task_of(recipe).encode(frame[recipe.target.name]), dataset.version)


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
