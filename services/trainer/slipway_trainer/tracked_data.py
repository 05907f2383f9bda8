"""What a training links in MLflow: its data set, and its runs."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mlflow.entities import Dataset, DatasetInput, InputTag
from mlflow.types import ColSpec, DataType, Schema

from slipway_trainer.recipes import Recipe

# MLflow keeps at most 36 characters.
DIGEST_LENGTH = 32


@dataclass(frozen=True)
class TrackedData:
    """The data set of a training, as its runs link it."""

    name: str
    version: str
    source: str
    rows: int


@dataclass(frozen=True)
class TrackedRuns:
    """The runs of one training.

    Attributes:
        parent: the run that the candidates' runs are under.
        candidates: the run of each candidate, by its name.
        stamp: when the training began, as it is written in the names of the runs.
    """

    experiment_id: str
    parent: str
    candidates: Mapping[str, str]
    stamp: str = ""


def columns(names: Iterable[str]) -> Schema:
    """Return names as MLflow's columns of numbers."""
    # MLflow's pyfunc refuses float64 for float32 columns; it accepts numbers for these, and its flavor casts them.
    return Schema([ColSpec(DataType.double, name) for name in names])


def dataset_input(recipe: Recipe, data: TrackedData) -> DatasetInput:
    """Return a data set as the input of a run."""
    entity = Dataset(
        name=data.name,
        digest=data.version.removeprefix("sha256:")[:DIGEST_LENGTH],
        source_type="local" if "://" not in data.source else data.source.partition("://")[0],
        source=json.dumps({"uri": without_account(data.source)}),
        schema=json.dumps({"mlflow_colspec": columns(recipe.feature_names).to_dict()}),
        profile=json.dumps({"num_rows": data.rows}),
    )
    return DatasetInput(entity, [InputTag("mlflow.data.context", "training")])


def without_account(text: str) -> str:
    """Return a text without the names and passwords of the addresses in it."""
    return re.sub(r"://[^/@\s]+@", "://", text)
