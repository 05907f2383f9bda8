"""The results that the steps of a training pass to each other, from the data set to the evaluated candidate."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slipway_core.graph import Outputs
from slipway_core.manifest import GraphNames
from slipway_trainer.features import Features, joined
from slipway_trainer.recipes import Candidate
from slipway_trainer.tasks.base import Target


@dataclass(frozen=True)
class Dataset:
    """The data of a recipe, as read from its file.

    Attributes:
        frame: every row and column of the file; the index counts the file's lines, 0 for the second.
        version: see `slipway_core.bundle.data_version`.
        source: the origin of the data, for messages.
    """

    frame: pd.DataFrame
    version: str
    source: str


@dataclass(frozen=True)
class Table:
    """Rows that match the schema, ordered by time if the recipe splits by time.

    Attributes:
        features: in the recipe's order; see `slipway_trainer.features`.
        target: (n_rows,) class indices or values.
        data_version: the version of the data set.
        keys: (n_rows,) the hashes of the recipe's `split_key`; None without one.
    """

    features: Features
    target: Target
    data_version: str
    keys: NDArray[np.uint64] | None = None


@dataclass(frozen=True)
class Split:
    """Training and test rows, chosen by the recipe's split and the rows' content.

    Attributes:
        train_keys: (n_training_rows,) the hashes of the recipe's `split_key`; None without one.
    """

    train_features: Features
    train_target: Target
    test_features: Features
    test_target: Target
    train_keys: NDArray[np.uint64] | None = None

    @property
    def all_features(self) -> Features:
        """The training rows, then the test rows."""
        return joined(self.train_features, self.test_features)

    @property
    def n_rows(self) -> int:
        """The number of rows of the data."""
        return len(self.train_target) + len(self.test_target)

    @property
    def target_scale(self) -> float:
        """The standard deviation of the training rows' target."""
        return float(np.std(self.train_target))


@dataclass(frozen=True)
class Fitted:
    """A candidate fitted on all training rows.

    Attributes:
        parameters: the parameters of the fit: the candidate's own and the searched ones.
        cv_scores: the recipe's metric on each fold of the cross-validation on the training rows.
        started_at: seconds since the epoch.
        cv_seconds: the duration of the cross-validation.
        fit_seconds: the duration of the last fit, including its search.
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
    """The evaluation of an exported candidate.

    Attributes:
        model: the serialised ONNX graph. The graph was scored, not the estimator.
        names: the names of the graph's input and outputs.
        metrics: the metrics on the test rows, the gate's first; those of the cross-validation have the prefix `cv_`.
        outputs: the graph's outputs for the test rows.
        parity: the largest difference from the estimator, in units of the tolerance.
    """

    fitted: Fitted
    model: bytes
    names: GraphNames
    metrics: dict[str, float]
    outputs: Outputs
    parity: float
