"""Find the columns of a model: from MLflow's signature, from the model itself, from its input example, from data."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import Model
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

from slipway_trainer.errors import ForeignModelError
from slipway_trainer.foreign.columns import Feature, Kind
from slipway_trainer.inference.fields import is_boolean, is_code, is_integer, is_missing, is_number

_KINDS: dict[DataType, Kind] = {
    DataType.double: "float64",
    DataType.float: "float32",
    DataType.long: "int64",
    DataType.integer: "int32",
    DataType.boolean: "bool",
    DataType.string: "string",
}
_ADVICE = "pass a CSV file with rows as the model takes them: --data rows.csv"


@dataclass(frozen=True)
class Known:
    """What a model itself shows about its columns.

    Attributes:
        names: their names; None if unknown.
        width: their number; None if unknown.
        kinds: their types; None if unknown.
        fallback: the type of all columns if nothing else shows it.
    """

    names: tuple[str, ...] | None = None
    width: int | None = None
    kinds: tuple[Kind, ...] | None = None
    fallback: Kind | None = None


def features_of(
    uri: str, known: Known, model: Model | None, example: pd.DataFrame | None, table: pd.DataFrame | None
) -> tuple[Feature, ...]:
    """Return a model's columns in its order.

    Args:
        uri: the model's address, for messages.
        known: what the model itself shows.
        model: the MLmodel file, with the signature; None for a file.
        example: the input example; None without one.
        table: the features of the data, as text; None without data.

    Raises:
        ForeignModelError: a name or a type is unknown, or the sources contradict each other.
    """
    signature = _signature(uri, model)
    names = _names(uri, known, signature, example, table)
    by_name = {feature.name: feature for feature in signature or () if feature.name}
    features = []
    for index, name in enumerate(names):
        described = by_name.get(name) or (signature[index] if signature and len(signature) == len(names) else None)
        kind: Kind | None = known.kinds[index] if known.kinds else None
        if kind is None and described is not None:
            kind = described.kind
        if kind is None and example is not None and index < example.shape[1]:
            kind = _kind_of_values(example.iloc[:, index])
        if kind is None and table is not None and name in table.columns:
            kind = _kind_of_fields(table[name])
        kind = kind or known.fallback
        if kind is None:
            listed = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")  # noqa: PLR2004
            raise ForeignModelError(
                f"{uri} has neither a signature nor an input example, so the types of its columns ({listed}) are "
                f"unknown; {_ADVICE}"
            )
        features.append(Feature(name, kind, nullable=described is not None and described.nullable))
    return tuple(features)


def example_of(model: Model | None, folder: str) -> pd.DataFrame | None:
    """Return the input example of a model as a frame; None without one, or if it is not a table of rows."""
    if model is None or model.saved_input_example_info is None:
        return None
    try:
        found: Any = model.load_input_example(folder)
    except Exception:  # noqa: BLE001  # an example that cannot be read is like none
        return None
    if isinstance(found, np.ndarray) and found.ndim == 2:  # noqa: PLR2004
        return pd.DataFrame(found)
    return found if isinstance(found, pd.DataFrame) and len(found) else None


def _signature(uri: str, model: Model | None) -> tuple[Feature, ...] | None:
    """Return the columns of MLflow's signature; a column without a name has an empty one."""
    schema: Schema | None = model.signature.inputs if model is not None and model.signature is not None else None
    if schema is None:
        return None
    found: list[Feature] = []
    for spec in schema.inputs:
        if isinstance(spec, ColSpec):
            kind = _KINDS.get(spec.type) if isinstance(spec.type, DataType) else None
            if kind is None:
                named = spec.type.name if isinstance(spec.type, DataType) else type(spec.type).__name__
                raise ForeignModelError(
                    f"the column {spec.name!r} of the signature of {uri} has the type {named}, and Slipway takes "
                    "numbers, booleans and text; log the model with such columns"
                )
            found.append(Feature(str(spec.name or ""), kind, nullable=not spec.required))
        else:
            found += _tensor_columns(uri, spec)
    return tuple(found)


def _tensor_columns(uri: str, spec: TensorSpec) -> list[Feature]:
    kind = _kind_of_dtype(spec.type)
    shape = tuple(spec.shape)
    width = 1 if len(shape) == 1 else shape[1] if len(shape) == 2 else -1  # noqa: PLR2004
    if kind is None or width < 1:
        raise ForeignModelError(
            f"the signature of {uri} has a tensor of the type {spec.type} and the shape {shape}, and Slipway takes "
            "rows of numbers, booleans or text; log the model with a signature of columns"
        )
    named = str(spec.name or "")
    return [Feature(named if width == 1 else "", kind) for _ in range(width)]


def _names(
    uri: str,
    known: Known,
    signature: Sequence[Feature] | None,
    example: pd.DataFrame | None,
    table: pd.DataFrame | None,
) -> tuple[str, ...]:
    signed = tuple(feature.name for feature in signature or ())
    width = known.width or len(signed) or None
    if known.width and signed and len(signed) != known.width:
        raise ForeignModelError(
            f"the signature of {uri} has {len(signed)} columns, but the model takes {known.width}; log it again with "
            "the signature of its own input"
        )
    header = () if table is None else tuple(map(str, table.columns))
    if signed and all(signed):
        names = signed if known.names is None else _aligned(known.names, signed)
        if not names:
            raise ForeignModelError(
                f"the columns in the signature of {uri} ({', '.join(signed[:5])}, …) are not those of the model itself "
                f"({', '.join((known.names or ())[:5])}, …); log it again with the signature of its own input"
            )
    elif known.names:
        names = _aligned(known.names, header) or known.names
    elif example is not None and all(isinstance(name, str) for name in example.columns):
        names = tuple(map(str, example.columns))
    elif header and (width is None or len(header) == width):
        names = header
    elif header:
        raise ForeignModelError(
            f"{uri} takes {width} columns without names, and the data has {len(header)}: {', '.join(header[:10])}; "
            "remove the columns that the model does not take, and name the column to predict with --target"
        )
    elif width is not None:
        names = tuple(f"feature_{index}" for index in range(width))
    else:
        raise ForeignModelError(f"{uri} shows neither the names nor the number of its columns; {_ADVICE}")
    if len(set(names)) != len(names):
        raise ForeignModelError(f"two columns of {uri} have the same name; log it with a signature of different names")
    return names


def _aligned(own: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Return the names in the order of the model's own, which may lack characters; none if one has no counterpart.

    LightGBM and skl2onnx replace spaces and other characters by underscores.
    """
    plain = {_plain(name): name for name in names}
    exact = set(names)
    found = tuple(name if name in exact else plain.get(_plain(name), "") for name in own)
    return found if all(found) else ()


def _plain(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _kind_of_dtype(dtype: Any) -> Kind | None:  # noqa: ANN401  # numpy's
    found = np.dtype(dtype)
    if found.kind in "OU":
        return "string"
    name = found.name
    kinds: tuple[Kind, ...] = ("float64", "float32", "int64", "int32", "bool")
    return next((kind for kind in kinds if kind == name), None)


def _kind_of_values(values: "pd.Series[Any]") -> Kind | None:
    if pd.api.types.is_bool_dtype(values):
        return "bool"
    if pd.api.types.is_integer_dtype(values):
        return "int64"
    if pd.api.types.is_float_dtype(values):
        return "float64"
    present = values.dropna()
    return "string" if len(present) and all(isinstance(value, str) for value in present) else None


def _kind_of_fields(fields: "pd.Series[str]") -> Kind:
    distinct = [field for field in fields.unique() if not is_missing(field)]
    if distinct and all(map(is_boolean, distinct)):
        return "bool"
    if distinct and all(map(is_number, distinct)) and not any(map(is_code, distinct)):
        gaps = any(map(is_missing, fields.unique()))
        return "int64" if all(map(is_integer, distinct)) and not gaps else "float64"
    return "string"


def cells_of_frame(frame: pd.DataFrame) -> "np.ndarray[Any, Any]":
    """Return the values of a frame as clients send them, None for a missing one."""
    cells = np.empty(frame.shape, dtype=object)
    for index in range(frame.shape[1]):
        values = frame.iloc[:, index]
        cells[:, index] = [
            None if missing else value for value, missing in zip(values.tolist(), values.isna(), strict=True)
        ]
    return cells


def width_of(model: Model | None, table: pd.DataFrame | None) -> int | None:
    """Return the number of columns in the signature, or otherwise in the data; None if both are missing."""
    signature = None if model is None or model.signature is None else model.signature.inputs
    if signature is None:
        return None if table is None else table.shape[1]
    return len(signature.inputs) if not signature.is_tensor_spec() else int(signature.inputs[0].shape[-1])
