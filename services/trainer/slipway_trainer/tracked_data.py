"""The objects that a training links in MLflow, its data set and its runs, and MLflow's units and errors."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mlflow.entities import Dataset, DatasetInput, InputTag
from mlflow.exceptions import MlflowException
from mlflow.types import ColSpec, DataType, Schema

from slipway_core.errors import RegistryError
from slipway_trainer.recipes import Column, Recipe

# MLflow keeps at most 36 characters.
DIGEST_LENGTH = 32


@dataclass(frozen=True)
class TrackedData:
    """The data set that the runs of a training link to."""

    name: str
    version: str
    source: str
    rows: int


@dataclass(frozen=True)
class TrackedRuns:
    """The runs of one training.

    Attributes:
        parent: the parent of the candidates' runs.
        candidates: the run of each candidate, by name.
        stamp: the start of the training, as written in the names of the runs.
    """

    experiment_id: str
    parent: str
    candidates: Mapping[str, str]
    stamp: str = ""


def columns(described: Iterable[Column]) -> Schema:
    """Return columns as MLflow's; those that may have missing values are optional."""
    return Schema([ColSpec(_type(column), column.name, required=not column.nullable) for column in described])


def _type(column: Column) -> DataType:
    if column.dtype in {"string", "date"}:
        return DataType.string
    # MLflow's other types have no missing value.
    if column.dtype == "bool" and not column.nullable:
        return DataType.boolean
    if column.dtype == "int64" and not column.nullable:
        return DataType.long
    # MLflow's pyfunc rejects float64 for float32 columns; for double columns, it accepts any number and casts it.
    return DataType.double


def dataset_input(recipe: Recipe, data: TrackedData) -> DatasetInput:
    """Return a data set as the input of a run."""
    entity = Dataset(
        name=data.name,
        digest=data.version.removeprefix("sha256:")[:DIGEST_LENGTH],
        source_type="local" if "://" not in data.source else data.source.partition("://")[0],
        source=json.dumps({"uri": without_account(data.source)}),
        schema=json.dumps({"mlflow_colspec": columns(recipe.columns).to_dict()}),
        profile=json.dumps({"num_rows": data.rows}),
    )
    return DatasetInput(entity, [InputTag("mlflow.data.context", "training")])


def dataset_inputs(recipe: Recipe, data: TrackedData | None) -> list[DatasetInput]:
    """Return the inputs of a run: the data set, if there is one."""
    return [] if data is None else [dataset_input(recipe, data)]


def without_account(text: str) -> str:
    """Remove user names and passwords from the addresses in a text."""
    return re.sub(r"://[^/@\s]+@", "://", text)


def millis(seconds: float) -> int:
    """Return a time or duration in MLflow's unit."""
    return int(seconds * 1000)


def registry_error(error: MlflowException) -> RegistryError:
    """Convert an error of MLflow's client; only its first line is kept."""
    message = without_account(str(error.message).partition("\n")[0])
    return RegistryError(f"the tracking server rejected the request or failed: {message}")
