"""Refuse data that the recipe does not allow, before anything is trained on it."""

import numpy as np
import pandas as pd

from slipway_trainer.data_checks import find_data_problems
from slipway_trainer.errors import DataRefusedError
from slipway_trainer.recipes import Recipe
from slipway_trainer.schema import check_schema, values_in_lines
from slipway_trainer.step_results import Dataset, Table
from slipway_trainer.tasks import task_of


def validate(recipe: Recipe, dataset: Dataset) -> Table:
    """Check a data set against the recipe's schema, look at it as a whole, and return it as matrices.

    The features are cast to float32 here, before anything is fitted, so that estimator and graph see the same numbers.

    Raises:
        DataRefusedError: with every finding; rows are counted as in the file, the header being line 1.
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
    """Read the columns that order the rows, as numbers or ISO dates: as text, 10/2 would come before 9/1."""
    times, findings = {}, []
    for name in recipe.time_columns:
        if name not in frame.columns:
            findings.append(
                f"the column {name!r} is missing, which the split 'time' needs; add it, or take --set split=random"
            )
            continue
        values = frame[name]
        if not pd.api.types.is_numeric_dtype(values):
            values = pd.to_datetime(values, format="ISO8601", errors="coerce", utc=True)
        if (wrong := values.isna()).any():
            found = values_in_lines(frame.loc[wrong.to_numpy(), name].items())
            findings.append(
                f"{name!r} must be a number or a date such as 2026-11-21, got {found}; correct the data, or take --set "
                "split=random"
            )
        times[name] = values
    return times, findings
