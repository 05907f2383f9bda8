"""Refuse data that the recipe does not allow, before anything is trained on it."""

from dataclasses import dataclass

import numpy as np

from slipway_core.signature import FloatMatrix
from slipway_trainer.errors import DataRefusedError
from slipway_trainer.recipes import Recipe
from slipway_trainer.schema import check_schema
from slipway_trainer.steps.extract import Dataset
from slipway_trainer.suspicion import suspicious
from slipway_trainer.tasks import task_of
from slipway_trainer.tasks.base import Target


@dataclass(frozen=True)
class Table:
    """Rows that fit the schema; in time's order where the recipe splits by time.

    Attributes:
        features: (n_rows, n_features) float32, in the recipe's order.
        target: (n_rows,) class indices or values.
        data_version: the version of the data set that the rows are from.
    """

    features: FloatMatrix
    target: Target
    data_version: str


def validate(recipe: Recipe, dataset: Dataset) -> Table:
    """Check a data set against the recipe's schema, look at it as a whole, and return it as matrices.

    The features are cast to float32 here, before anything is fitted, so that estimator and graph see the same numbers.

    Raises:
        DataRefusedError: with every finding; rows are counted as in the file, the header being line 1.
    """
    frame, findings = check_schema(recipe, dataset.frame)
    if recipe.split == "time":
        findings += [
            f"the column {name!r} is missing, which the split by time needs"
            for name in recipe.time_columns
            if name not in frame.columns
        ]
    findings = findings or suspicious(recipe, frame)
    if findings:
        raise DataRefusedError(findings)
    if recipe.split == "time":
        frame = frame.sort_values(list(recipe.time_columns), kind="stable")
    features = frame[recipe.feature_names].to_numpy(dtype=np.float32)
    return Table(features, task_of(recipe).encode(frame[recipe.target.name]), dataset.version)
