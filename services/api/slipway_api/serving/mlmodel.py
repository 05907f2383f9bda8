"""Parse MLflow's MLmodel file: the flavor and the signature of a version that Slipway's trainer did not register."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from slipway_core.columns import MAX_FEATURES, MAX_NAME_LENGTH
from slipway_core.errors import BundleError
from slipway_core.manifest import MODEL_FILE
from slipway_core.printable import printable, printable_line
from slipway_core.registry import ModelVersion
from slipway_core.registry.register_command import register_command

# Every model has it, beside its own.
GENERIC_FLAVOR = "python_function"
MLMODEL_MAX_BYTES = 1_000_000
# MLflow writes a few hundred, five levels deep; the signature is one string.
MLMODEL_MAX_PARTS = 10_000
MLMODEL_MAX_DEPTH = 30
# Missing values, as YAML's base loader returns them: as text.
_MISSING_TEXTS = ("null", "~", "")

Kind = Literal["float", "integer", "boolean", "string"]
# MLflow's types of columns.
_KINDS: Mapping[str, Kind | None] = {
    # As in the signatures of Slipway's own bundles: the graph determines the type.
    "any": None,
    "float": "float",
    "double": "float",
    "integer": "integer",
    "long": "integer",
    "boolean": "boolean",
    "string": "string",
    # NumPy's names are valid, too.
    **dict.fromkeys(("float32", "float64"), "float"),
    **dict.fromkeys(("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"), "integer"),
    "bool": "boolean",
    **dict.fromkeys(("object", "str"), "string"),
}


@dataclass(frozen=True)
class Field:
    """A column or a tensor of a signature.

    Attributes:
        name: its name; None if it has none.
        kind: the kind of its values; None for that of the graph's input.
        is_required: whether its values are never missing.
        width: the number of columns of a tensor; None for a column.
    """

    name: str | None
    kind: Kind | None
    is_required: bool = True
    width: int | None = None


def read_mlmodel(version: ModelVersion, mlmodel: bytes) -> list[Field] | None:
    """Return the fields of the signature in an MLmodel file of the ONNX flavor; None if it has no signature.

    Raises:
        BundleError: it describes a model that the API cannot serve, or is damaged.
    """
    flavor, signature = _read(version, mlmodel)
    if flavor.get("data", MODEL_FILE) != MODEL_FILE:
        raise BundleError(f"its graph is not in the file {MODEL_FILE}: log it with mlflow.onnx again")
    inputs = None if signature is None else signature.get("inputs")
    if inputs is None or inputs in _MISSING_TEXTS:
        return None
    try:
        columns = json.loads(inputs)
    except (TypeError, ValueError, RecursionError) as error:
        raise _not_parsed("MLflow signature") from error
    if not isinstance(columns, list) or not columns or not all(isinstance(column, dict) for column in columns):
        raise _not_parsed("MLflow signature")
    if len(columns) > MAX_FEATURES:
        raise _too_wide()
    fields = [_field(column, index) for index, column in enumerate(columns)]
    if len({field.width is None for field in fields}) > 1:
        raise _not_parsed("MLflow signature")
    if sum(field.width or 1 for field in fields) > MAX_FEATURES:
        raise _too_wide()
    twice, count = Counter(field.name for field in fields).most_common(1)[0]
    if count > 1:
        raise BundleError(
            f"two columns of its MLflow signature have the same name, {twice!r}: rename one and log the model again"
        )
    return fields


def _field(column: Mapping[str, Any], index: int) -> Field:
    """Return a field; a column without a name is called by its index."""
    kind, name = column.get("type"), column.get("name")
    if kind == "tensor":
        return Field(None if name is None else _name(name, index), *_tensor(column.get("tensor-spec")))
    return Field(
        f"feature_{index}" if name is None else _name(name, index),
        _kind(kind, f"column {index + 1}"),
        is_required=column.get("required") is not False,
    )


def _name(name: object, index: int) -> str:
    # Neither a response nor a database can hold half a character or NUL, which JSON can name.
    if not isinstance(name, str) or len(name) > MAX_NAME_LENGTH or printable(name) != name or not name.strip():
        raise BundleError(
            f"column {index + 1} of its MLflow signature has an unusable name: give it a text of 1 to "
            f"{MAX_NAME_LENGTH} printable characters and log the model again"
        )
    return name


def _kind(kind: object, what: str) -> Kind | None:
    if not isinstance(kind, str):
        raise _not_parsed("MLflow signature")
    if kind not in _KINDS:
        raise BundleError(
            f"{what} of its MLflow signature has the type {kind[:40]!r}, but the API serves columns of numbers, "
            "booleans and text: log the model with a signature of those"
        )
    return _KINDS[kind]


def _tensor(spec: Any) -> tuple[Kind | None, bool, int]:  # noqa: ANN401  # any JSON
    """Return the kind of a tensor's values, that they are required, and its number of columns."""
    if not isinstance(spec, dict) or not isinstance(spec.get("dtype"), str):
        raise _not_parsed("MLflow signature")
    # NumPy's types of text include its length.
    kind = _kind("str" if spec["dtype"].startswith("str") else spec["dtype"], "the tensor")
    match spec.get("shape"):
        # `True` is an integer, too, and -1.0 equals -1.
        case [rows, width] if type(rows) is type(width) is int and rows == -1 and width > 0:
            if width > MAX_FEATURES:
                raise _too_wide()
            return kind, True, width
    raise BundleError(
        "the tensor in its MLflow signature has another shape than [-1, number of features]: log it with a signature "
        "of a two-dimensional array, such as of mlflow.models.infer_signature"
    )


def _not_parsed(what: str) -> BundleError:
    return BundleError(f"its {what} cannot be parsed: log it with mlflow.onnx again")


def _too_wide() -> BundleError:
    return BundleError(f"its MLflow signature has more than {MAX_FEATURES} features: train a model on fewer")


def _read(version: ModelVersion, mlmodel: bytes) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    """Return the ONNX flavor and the signature of an MLmodel file; None without a signature."""
    # Imported here because it slows down every start and is rarely needed.
    import yaml  # noqa: PLC0415

    if len(mlmodel) > MLMODEL_MAX_BYTES:
        raise BundleError("its MLmodel file is too large: log it with mlflow.onnx again")
    # Only strings, lists and dictionaries: merge keys can grow without bound, and dates or numbers may fail.
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        # The composer recurses in C, where a document that is too deep crashes the process.
        depth = 0
        for count, event in enumerate(yaml.parse(mlmodel, Loader=loader)):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if count > MLMODEL_MAX_PARTS or depth > MLMODEL_MAX_DEPTH:
                raise _not_parsed("MLmodel file")
        content = yaml.load(mlmodel, Loader=loader)  # noqa: S506
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise _not_parsed("MLmodel file") from error
    flavors = content.get("flavors") if isinstance(content, dict) else None
    if not isinstance(flavors, dict) or not isinstance(flavors.get("onnx", {}), dict):
        raise _not_parsed("MLmodel file")
    flavor, signature = flavors.get("onnx"), content.get("signature")
    if flavor is None:
        raise BundleError(_why_other_flavor(version, flavors))
    if isinstance(signature, dict):
        return flavor, signature
    if signature is None or signature in _MISSING_TEXTS:
        return flavor, None
    raise _not_parsed("MLflow signature")


def _why_other_flavor(version: ModelVersion, flavors: Mapping[str, Any]) -> str:
    others = sorted(printable_line(str(name)[:40]) for name in flavors if name != GENERIC_FLAVOR)[:3]
    if not others and GENERIC_FLAVOR in flavors:
        others = ["pyfunc"]
    logged = f"it was logged with {', '.join(f'mlflow.{name}' for name in others)}" if others else "it has no flavor"
    command = register_command(version.name, version.version, trust=True)
    return f"{logged}, but the API serves ONNX models: convert it with `{command}`"
