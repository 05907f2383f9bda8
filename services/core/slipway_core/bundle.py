"""The bundle: the folder of files that the trainer registers and the API serves.

`model.onnx` is the graph. `manifest.json` describes its inputs, outputs and lineage, and lists the digests of the other
files. `golden.json` has test inputs with their expected outputs. `reference.parquet` has training rows, for drift.
This module reads and checks the files. It runs no graph and uses no network.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from slipway_core.errors import BundleError
from slipway_core.validation import first_problem

MODEL_FILE = "model.onnx"
MANIFEST_FILE = "manifest.json"
GOLDEN_FILE = "golden.json"
REFERENCE_FILE = "reference.parquet"
# MLflow's own description of a model. Every version in its registry has one; it is not part of a bundle.
MLMODEL_FILE = "MLmodel"
# The files that the API fetches. Only the monitor needs the reference rows.
SERVED_FILES = (MODEL_FILE, GOLDEN_FILE)

MANIFEST_TAG = "slipway.manifest_sha256"
SCHEMA_VERSION = 1
MAX_REFERENCE_ROWS = 5_000
# The trainer writes 1e-5. With a wide tolerance, any graph would pass the replay.
MAX_TOLERANCE = 1e-2

DIGEST_PATTERN = r"^sha256:[0-9a-f]{64}$"
Digest = Annotated[str, Field(pattern=DIGEST_PATTERN)]
# Names appear in every response, metric and log line, so their length is limited.
MAX_NAME_LENGTH = 256
MAX_FEATURES = MAX_CLASSES = 10_000
MAX_GOLDEN_ROWS = 1_000
MAX_ENTRIES = 1_000
Name = Annotated[str, Field(max_length=MAX_NAME_LENGTH)]
M = TypeVar("M", bound=BaseModel)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputColumn(_Frozen):
    """One named feature of a tabular model."""

    name: Name = Field(min_length=1, description="The feature's name, as clients send it.")
    dtype: Literal["float32"] = Field(description="The element type of the graph's input.")
    shape: tuple[int, ...] = Field(default=(), description="The shape of one value: () is a scalar.")
    min: float | None = Field(default=None, description="The smallest value in the training rows.")
    max: float | None = Field(default=None, description="The largest value in the training rows.")
    unit: Name | None = Field(default=None, description="The unit of measure, such as `cm`.")
    required: bool = Field(default=True, description="Whether every row must have this feature.")
    categories: tuple[float, ...] | None = Field(
        default=None, max_length=MAX_FEATURES, description="The allowed values of a feature of category codes."
    )


class GraphNames(_Frozen):
    """The names of the graph's input and outputs."""

    input: str = Field(description="The input, (n_rows, n_features) float32.")
    label: str = Field(
        description="Classifiers: a class index per row, (n_rows,) int64. Regressors: a value, (n_rows, 1) float32."
    )
    scores: str | None = Field(default=None, description="Classifiers: the probabilities, (n_rows, n_classes) float32.")
    labels: tuple[int, ...] | None = Field(
        default=None,
        exclude_if=lambda labels: labels is None,
        description="The label of each class index, for classifiers whose label output does not give indices.",
    )


class DataLineage(_Frozen):
    """The data that the model was trained on."""

    version: Name = Field(description="The SHA-256 of the sorted `path sha256` lines of the data's files.")
    rows: int = Field(ge=0, description="The number of rows in the data before the split.")
    split: Name = Field(description="How the data was split into training and test rows, such as `stratified`.")


class Manifest(_Frozen):
    """`manifest.json`, schema version 1."""

    schema_version: Literal[1] = Field(description="The version of this schema.")
    name: Name = Field(min_length=1, description="The model's name.")
    task: Literal["classification", "regression"] = Field(description="The kind of prediction.")
    inputs: tuple[InputColumn, ...] = Field(
        min_length=1, max_length=MAX_FEATURES, description="The features, in the graph's order."
    )
    graph: GraphNames
    classes: tuple[Name, ...] | None = Field(
        default=None, max_length=MAX_CLASSES, description="Classifiers: the label of each class index."
    )
    preprocessing: None = Field(default=None, description="Tabular models keep preprocessing in the graph.")
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

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        names = [column.name for column in self.inputs]
        if len(set(names)) != len(names):
            raise ValueError("two inputs have the same name")
        if self.task == "classification" and not (self.classes and self.graph.scores):
            raise ValueError("a classifier needs classes and graph.scores")
        missing = [name for name in SERVED_FILES if name not in self.digests]
        if missing:
            raise ValueError(f"digests lack {', '.join(missing)}")
        return self


class GoldenOutputs(_Frozen):
    """The expected outputs of the golden rows."""

    prediction: tuple[float, ...] = Field(description="One class index or value per row.")
    scores: tuple[tuple[float, ...], ...] | None = Field(default=None, description="Probabilities per row, or null.")


class Golden(_Frozen):
    """`golden.json`: rows with the outputs that the graph returned when it was exported."""

    rows: tuple[tuple[float, ...], ...] = Field(
        min_length=1, max_length=MAX_GOLDEN_ROWS, description="The inputs, in the graph's order."
    )
    outputs: GoldenOutputs
    rtol: float = Field(ge=0, le=MAX_TOLERANCE, description="The relative tolerance of a replay.")
    atol: float = Field(
        ge=0,
        allow_inf_nan=False,
        description="The absolute tolerance of a replay: at most 0.01 of the largest expected value, or 0.01.",
    )

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        lengths = {len(self.rows), len(self.outputs.prediction)}
        if self.outputs.scores is not None:
            lengths.add(len(self.outputs.scores))
        if len(lengths) != 1:
            raise ValueError("the numbers of rows and outputs differ")
        limit = max_atol(self.outputs)
        if not self.atol <= limit:
            raise ValueError(f"atol is {self.atol:g}, the allowed maximum is {limit:g}")
        return self


def max_atol(outputs: GoldenOutputs) -> float:
    """Return the largest absolute tolerance allowed for golden rows: a hundredth of the largest finite output."""
    values = () if outputs.scores is not None else outputs.prediction
    return MAX_TOLERANCE * max([1.0, *(abs(value) for value in values if math.isfinite(value))])


@dataclass(frozen=True)
class Bundle:
    """A bundle whose digests have been checked.

    Attributes:
        manifest_sha256: the digest that the manifest was checked against.
        model: the bytes of the ONNX graph.
    """

    manifest: Manifest
    manifest_sha256: str
    golden: Golden
    model: bytes


def digest(content: bytes) -> str:
    """Return `sha256:` and the SHA-256 of the content in hexadecimal."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def is_digest(text: str) -> bool:
    """Return whether a text has the format that `digest` returns."""
    return re.fullmatch(DIGEST_PATTERN, text) is not None


def data_version(digests: Mapping[str, str]) -> str:
    """Return the version of a data set from its files' digests, by path relative to the data's root.

    It is the digest of the sorted lines `path sha256`, so the order and the location of the files do not matter.
    """
    lines = sorted(f"{path} {value.removeprefix('sha256:')}\n" for path, value in digests.items())
    return digest("".join(lines).encode())


def parse_manifest(content: bytes, expected_sha256: str) -> Manifest:
    """Parse `manifest.json` after checking its digest.

    Raises:
        BundleError: the digest differs, or the content does not match the schema.
    """
    found = digest(content)
    if found != expected_sha256:
        raise BundleError(
            f"{MANIFEST_FILE} has the digest {found}, but the model version says {expected_sha256}: "
            "the artifact was changed after it was registered; register it again"
        )
    return _parse(MANIFEST_FILE, content, Manifest)


def read_bundle(folder: Path, expected_sha256: str) -> Bundle:
    """Read a bundle from a folder and check the digest of every served file.

    Raises:
        BundleError: a file is missing, damaged or invalid.
    """
    manifest = parse_manifest(_read(folder, MANIFEST_FILE), expected_sha256)
    contents = {}
    for name in SERVED_FILES:
        content = _read(folder, name)
        found, expected = digest(content), manifest.digests[name]
        if found != expected:
            raise BundleError(
                f"{name} has the digest {found}, but the manifest says {expected}: "
                "the artifact is damaged; register it again"
            )
        contents[name] = content
    golden = _parse(GOLDEN_FILE, contents[GOLDEN_FILE], Golden)
    width = len(manifest.inputs)
    if any(len(row) != width for row in golden.rows):
        raise BundleError(f"{GOLDEN_FILE} has rows without the manifest's {width} inputs: register the version again")
    return Bundle(manifest, expected_sha256, golden, contents[MODEL_FILE])


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError as error:
        raise BundleError(f"the bundle has no {name}: register the version again") from error
    except OSError as error:
        raise BundleError(f"{name} cannot be read: {error.strerror}") from error


def _parse(name: str, content: bytes, model: type[M]) -> M:
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        place, message = first_problem(error)
        raise BundleError(f"{name} is invalid at {place or 'the top'}: {message}") from error


def manifest_json_schema() -> str:
    """Return the JSON schema of `manifest.json`, the content of `docs/manifest.schema.json`."""
    return json.dumps(Manifest.model_json_schema(), indent=2, ensure_ascii=False) + "\n"
