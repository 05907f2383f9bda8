"""`manifest.json`: a model's inputs, outputs and lineage, and the digests of the bundle's other files."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, Field, StrictBool, StrictInt, model_validator

from slipway_core.columns import MAX_FEATURES, Frozen, GraphInput, InputColumn, Name, check_inputs

MODEL_FILE = "model.onnx"
GOLDEN_FILE = "golden.json"
# The files that the API fetches besides the manifest. Only the monitor needs the reference rows.
SERVED_FILES = (MODEL_FILE, GOLDEN_FILE)

SCHEMA_VERSION = 2
MAX_CLASSES = 10_000
MAX_ENTRIES = 1_000
DIGEST_PATTERN = r"^sha256:[0-9a-f]{64}$"
Digest = Annotated[str, Field(pattern=DIGEST_PATTERN)]
# A class label: text, an integer or a boolean.
Label = Name | StrictInt | StrictBool


class GraphNames(Frozen):
    """The names of the graph's outputs."""

    label: str = Field(
        description="Classifiers: a class per row, (n_rows,) integer, boolean or text. Regressors: a value per row, "
        "(n_rows,) or (n_rows, 1) float32 or float64."
    )
    scores: str | None = Field(default=None, description="Classifiers: the probabilities, (n_rows, n_classes) floats.")
    labels: tuple[StrictInt | Name, ...] | None = Field(
        default=None,
        exclude_if=lambda labels: labels is None,
        description="The label output's value for each class index, for classifiers whose output is not the index.",
    )


class Decision(Frozen):
    """When a binary classifier predicts its positive class."""

    positive_class: int = Field(ge=0, le=1, description="The index of the positive class.")
    threshold: float = Field(gt=0, lt=1, description="Its probability at or above which it is predicted.")


class DataLineage(Frozen):
    """The data that the model was trained on."""

    version: Name = Field(description="The SHA-256 of the sorted `path sha256` lines of the data's files.")
    rows: int = Field(ge=0, description="The number of rows in the data before the split.")
    split: Name = Field(description="How the data was split into training and test rows, such as `stratified by row`.")


class Manifest(Frozen):
    """`manifest.json`, schema version 2. Version 1 is converted when it is read."""

    schema_version: Literal[2] = Field(description="The version of this schema.")
    name: Name = Field(min_length=1, description="The model's name.")
    task: Literal["classification", "regression"] = Field(description="The kind of prediction.")
    columns: tuple[InputColumn, ...] = Field(
        min_length=1, max_length=MAX_FEATURES, description="The features, as clients send them, in their order."
    )
    inputs: tuple[GraphInput, ...] = Field(
        min_length=1,
        max_length=MAX_FEATURES,
        description="The graph's inputs: matrices of columns, or one input per column or part of a date.",
    )
    graph: GraphNames
    classes: tuple[Label, ...] | None = Field(
        default=None, max_length=MAX_CLASSES, description="Classifiers: the label of each class index."
    )
    decision: Decision | None = Field(
        default=None, description="Binary classifiers with a threshold; otherwise the graph's own label counts."
    )
    metrics: dict[Name, float] = Field(
        max_length=MAX_ENTRIES, description="The metrics of the exported graph on the test rows."
    )
    data: DataLineage
    recipe: Name = Field(description="The recipe that trained the model.")
    git_commit: Name | None = Field(default=None, description="The commit that the model was trained from.")
    libraries: dict[Name, Name] = Field(
        default_factory=dict, max_length=MAX_ENTRIES, description="The versions of the training libraries."
    )
    created_at: AwareDatetime = Field(description="When the bundle was written, UTC.")
    digests: dict[str, Digest] = Field(description="The SHA-256 of each other file of the bundle.")

    @model_validator(mode="before")
    @classmethod
    def _upgrade(cls, content: Any) -> Any:  # noqa: ANN401  # any JSON
        return from_version_1(content) if isinstance(content, dict) and content.get("schema_version") == 1 else content

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        check_inputs(self.columns, self.inputs)
        if self.task == "classification" and not (self.classes and self.graph.scores):
            raise ValueError("a classifier needs classes and graph.scores")
        if self.task == "regression" and (self.classes, self.graph.scores, self.graph.labels) != (None, None, None):
            raise ValueError("a regressor has no classes, graph.scores and graph.labels")
        # As text, because metrics and feedback are by text.
        labels = [label_text(label) for label in self.classes or ()]
        if len(set(labels)) != len(labels):
            raise ValueError("two classes have the same label")
        own = self.graph.labels
        if own is not None and (len(set(own)), len(own)) != (len(labels), len(labels)):
            raise ValueError("graph.labels needs a different value for each class")
        if own is not None and len({type(label) for label in own}) > 1:
            raise ValueError("graph.labels must be all text or all integers")
        if self.decision is not None and len(labels) != 2:  # noqa: PLR2004
            raise ValueError("only a classifier of two classes can have a decision threshold")
        if missing := [name for name in SERVED_FILES if name not in self.digests]:
            raise ValueError(f"digests lack {', '.join(missing)}")
        return self


def label_text(label: str | int) -> str:
    """Return a class label as text, as metrics and text formats show it: `true` and `false` for booleans."""
    return str(label).lower() if isinstance(label, bool) else str(label)


def from_version_1(content: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the JSON of schema version 1: one float32 matrix, whose name is part of `graph`."""
    graph, columns = content.get("graph"), content.get("inputs")
    converted = {key: value for key, value in content.items() if key not in {"inputs", "graph", "preprocessing"}}
    converted["schema_version"] = SCHEMA_VERSION
    # The validation reports values of other types.
    converted["graph"], converted["columns"] = graph, columns
    if isinstance(graph, dict):
        converted["graph"] = {key: value for key, value in graph.items() if key != "input"}
    if isinstance(columns, list):
        converted["columns"] = [_column_of_version_1(column) for column in columns]
        name = graph.get("input") if isinstance(graph, dict) else "X"
        converted["inputs"] = [{"name": name, "dtype": "float32", "shape": [len(columns)]}]
    return converted


def _column_of_version_1(column: Any) -> Any:  # noqa: ANN401  # any JSON
    if not isinstance(column, dict):
        return column
    return {key: value for key, value in column.items() if key not in {"shape", "required"}}


def manifest_json_schema() -> str:
    """Return the JSON schema of `manifest.json`, the content of `docs/manifest.schema.json`."""
    return json.dumps(Manifest.model_json_schema(), indent=2, ensure_ascii=False) + "\n"
