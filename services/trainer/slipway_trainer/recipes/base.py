"""What a recipe is made of: frozen, so that a run can be told from it alone."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Column(_Frozen):
    """One feature column, and the values that make sense in it.

    Attributes:
        unit: the unit of measure, such as `cm`.
        minimum: the least value that the data may hold.
        maximum: the greatest value that the data may hold.
    """

    name: str
    unit: str | None = None
    minimum: float | None = None
    maximum: float | None = None


class Candidate(_Frozen):
    """One estimator that is tried.

    Attributes:
        name: the name of its run.
        parameters: what the estimator is made with, and what its run records.
        build: makes a new, unfitted scikit-learn estimator from the parameters and a seed.
    """

    name: str
    parameters: Mapping[str, Any]
    build: Callable[[Mapping[str, Any], int], Any]


class Recipe(_Frozen):
    """One file that names a model: its data, schema, candidates, metric and floors.

    Attributes:
        fetch: writes the data as a CSV file into a folder, where none is given.
        floors: the least value of each metric at which a version may be promoted.
        metric: the metric that candidates are chosen by; greater is better.
        split: how test rows are held out.
    """

    name: str
    title: str
    task: Literal["classification"]
    data_file: str
    fetch: Callable[[Path], None]
    columns: tuple[Column, ...]
    target: str
    classes: tuple[str, ...]
    candidates: tuple[Candidate, ...] = Field(min_length=1)
    metric: Literal["accuracy", "f1_macro"]
    floors: Mapping[str, float]
    split: Literal["stratified"] = "stratified"
    test_fraction: float = Field(default=0.2, gt=0, lt=1)
    folds: int = Field(default=5, ge=2)
    seed: int = 42
    min_rows: int = 50

    @property
    def feature_names(self) -> list[str]:
        """The names of the features, in the order that the graph takes them."""
        return [column.name for column in self.columns]
