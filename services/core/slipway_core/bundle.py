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
from typing import Annotated, Self, TypeVar

from pydantic import BaseModel, Field, StrictBool, StrictFloat, StrictInt, ValidationError, model_validator

from slipway_core.columns import Frozen
from slipway_core.errors import BundleError
from slipway_core.manifest import DIGEST_PATTERN, GOLDEN_FILE, MODEL_FILE, SERVED_FILES, Manifest
from slipway_core.validation import first_problem

MANIFEST_FILE = "manifest.json"
REFERENCE_FILE = "reference.parquet"
# MLflow's own description of a model. Every version in its registry has one; it is not part of a bundle.
MLMODEL_FILE = "MLmodel"

MANIFEST_TAG = "slipway.manifest_sha256"
MAX_REFERENCE_ROWS = 5_000
MAX_GOLDEN_ROWS = 1_000
# The trainer writes 1e-5. With a wide tolerance, any graph would pass the replay.
MAX_TOLERANCE = 1e-2

# A value as clients send it.
Cell = StrictBool | StrictInt | StrictFloat | str | None
_Some = Field(min_length=1, max_length=MAX_GOLDEN_ROWS)
# The first type that fits is taken: rows of numbers are read several times faster.
GoldenRows = Annotated[
    Annotated[tuple[tuple[StrictFloat, ...], ...], _Some] | Annotated[tuple[tuple[Cell, ...], ...], _Some],
    Field(union_mode="left_to_right"),
]
M = TypeVar("M", bound=BaseModel)


class GoldenOutputs(Frozen):
    """The expected outputs of the golden rows."""

    prediction: tuple[float, ...] = Field(description="One class index or value per row.")
    scores: tuple[tuple[float, ...], ...] | None = Field(default=None, description="Probabilities per row, or null.")


class Golden(Frozen):
    """`golden.json`: rows with the outputs that the graph returned when it was exported."""

    rows: GoldenRows = Field(
        description="The rows, as clients send them, in the order of the manifest's columns.",
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
            "the artifact was changed after it was registered; train again, or promote another version"
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
                "the artifact is damaged; train again, or promote another version"
            )
        contents[name] = content
    golden = _parse(GOLDEN_FILE, contents[GOLDEN_FILE], Golden)
    if any(column.dtype == "int64" for column in manifest.columns):
        # The parser reads rows of numbers as floats, which cannot represent every integer of 64 bits.
        rows = tuple(map(tuple, json.loads(contents[GOLDEN_FILE])["rows"]))
        golden = golden.model_copy(update={"rows": rows})
    width = len(manifest.columns)
    if any(len(row) != width for row in golden.rows):
        raise BundleError(
            f"{GOLDEN_FILE} has rows without the manifest's {width} columns: train again, or promote another version"
        )
    return Bundle(manifest, expected_sha256, golden, contents[MODEL_FILE])


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError as error:
        raise BundleError(f"the bundle has no {name}: train again, or promote another version") from error
    except OSError as error:
        raise BundleError(f"{name} cannot be read: {error.strerror}") from error


def _parse(name: str, content: bytes, model: type[M]) -> M:
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        place, message = first_problem(error)
        raise BundleError(f"{name} is invalid at {place or 'the top'}: {message}") from error
