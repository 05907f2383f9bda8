"""The results that the steps of a training pass on: from the data set to the evaluated candidate."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from slipway_core.bundle import GraphNames
from slipway_core.graph import Outputs
from slipway_core.signature import FloatMatrix
from slipway_trainer.recipes import Candidate
from slipway_trainer.tasks.base import Target


@dataclass(frozen=True)
class Dataset:
    """A recipe's data as it was found.

    Attributes:
        frame: every row and column of the file; the index counts its lines from the second.
        version: see `slipway_core.bundle.data_version`.
        source: where it comes from, for people.
    """

    frame: pd.DataFrame
    version: str
    source: str


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


@dataclass(frozen=True)
class Split:
    """Training and test rows, told apart by the recipe's split and their content alone."""

    train_features: FloatMatrix
    train_target: Target
    test_features: FloatMatrix
    test_target: Target

    @property
    def all_features(self) -> FloatMatrix:
        """The training rows, then the test rows."""
        return np.concatenate([self.train_features, self.test_features])

    @property
    def target_scale(self) -> float:
        """The standard deviation of the training rows' target."""
        return float(np.std(self.train_target))


@dataclass(frozen=True)
class Fitted:
    """A candidate fitted on all training rows.

    Attributes:
        parameters: what it was fitted with: the candidate's own, and those that the search took.
        cv_scores: the recipe's metric on each fold that was held out of the training rows.
        started_at: seconds since the epoch.
        cv_seconds: how long the cross-validation took.
        fit_seconds: how long the last fit took, the search included.
    """

    candidate: Candidate
    estimator: Any
    parameters: Mapping[str, Any]
    cv_scores: tuple[float, ...]
    started_at: float
    cv_seconds: float
    fit_seconds: float

    @property
    def cv_mean(self) -> float:
        """The mean of the folds' scores."""
        return float(np.mean(self.cv_scores))


@dataclass(frozen=True)
class Evaluation:
    """What an exported candidate is worth.

    Attributes:
        model: the serialised ONNX graph: this, and not the estimator, was scored.
        names: of the graph's input and outputs.
        metrics: on the test rows, by name, the gate's first; of the cross-validation, with the prefix `cv_`.
        outputs: the graph's on the test rows.
        parity: the greatest difference to the estimator that was seen, in units of the tolerance.
    """

    fitted: Fitted
    model: bytes
    names: GraphNames
    metrics: dict[str, float]
    outputs: Outputs
    parity: float
