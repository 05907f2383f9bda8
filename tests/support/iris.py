"""Iris: split, fitted, exported and scored once for all tests of a run. Tests must not change these objects."""

import functools
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slipway_trainer.recipes.iris import RECIPE
from slipway_trainer.step_results import Dataset, Evaluation, Split, Table
from slipway_trainer.steps.evaluate import evaluate
from slipway_trainer.steps.extract import extract
from slipway_trainer.steps.train import split_rows, train
from slipway_trainer.steps.validate import validate

IRIS = RECIPE
CANDIDATES = tuple(candidate.name for candidate in IRIS.candidates)


@dataclass(frozen=True)
class TrainedIris:
    """The results of each step of the recipe `iris`.

    Attributes:
        evaluations: the evaluations by the candidate's name.
    """

    dataset: Dataset
    table: Table
    split: Split
    evaluations: Mapping[str, Evaluation]


@functools.cache
def iris_dataset() -> Dataset:
    """Return the data as the recipe fetches it."""
    with tempfile.TemporaryDirectory() as folder:
        return extract(IRIS, data=None, data_dir=Path(folder), workdir=Path(folder))


@functools.cache
def trained_iris() -> TrainedIris:
    """Return the results up to the evaluations."""
    dataset = iris_dataset()
    table = validate(IRIS, dataset)
    split = split_rows(IRIS, table)
    for array in (split.train_features, split.train_target, split.test_features, split.test_target):
        array.flags.writeable = False
    evaluations = {c.name: evaluate(IRIS, train(IRIS, c, split, _unwatched), split) for c in IRIS.candidates}
    return TrainedIris(dataset, table, split, evaluations)


def _unwatched(_done: int, _total: int) -> None:
    """Ignore the progress of a training."""
