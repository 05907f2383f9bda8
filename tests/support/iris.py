"""Iris: split, fitted, exported and scored once for all tests of a run. Tests must not change these objects."""

import functools
import tempfile
from pathlib import Path

from slipway_trainer.recipes.iris import RECIPE
from slipway_trainer.step_results import Dataset
from slipway_trainer.steps.extract import extract
from support.trained import Trained, trained

IRIS = RECIPE
CANDIDATES = tuple(candidate.name for candidate in IRIS.candidates)


@functools.cache
def iris_dataset() -> Dataset:
    """Return the data as the recipe fetches it."""
    with tempfile.TemporaryDirectory() as folder:
        return extract(IRIS, data=None, data_dir=Path(folder), workdir=Path(folder))


@functools.cache
def trained_iris() -> Trained:
    """Return the results up to the evaluations."""
    return trained(IRIS, iris_dataset())
