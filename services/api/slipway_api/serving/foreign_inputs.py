"""Derive the columns and inputs of a foreign graph from MLflow's signature, if there is one, and from the graph."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pydantic import ValidationError

from slipway_api.serving.mlmodel import Field, Kind
from slipway_core.columns import (
    FLOAT64_EXACT,
    MAX_FEATURES,
    MAX_NAME_LENGTH,
    GraphInput,
    InputColumn,
    TensorType,
    check_inputs,
)
from slipway_core.errors import BundleError
from slipway_core.graph import TENSOR_TYPES, Port
from slipway_core.onnx_categories import Place, find_categories
from slipway_core.plurals import count_of
from slipway_core.printable import printable
from slipway_core.validation import first_problem

# The axes of a matrix: rows and columns.
_AXES = 2
_SHOWN_NAMES = 5
_KINDS: Mapping[str, Kind] = {"float32": "float", "float64": "float", "bool": "boolean", "string": "string"}
_COLUMN_TYPES: Mapping[Kind, Literal["int64", "bool", "string"]] = {
    "integer": "int64",
    "boolean": "bool",
    "string": "string",
}
_Categories = Mapping[Place, Sequence[int] | Sequence[str]]


class ForeignInputs(NamedTuple):
    """What clients send, and what the graph takes."""

    columns: tuple[InputColumn, ...]
    inputs: tuple[GraphInput, ...]


@dataclass(frozen=True)
class _Input:
    """An input of the graph.

    Attributes:
        width: the number of its columns; None if the graph does not state it.
    """

    name: str
    dtype: TensorType
    width: int | None

    @property
    def kind(self) -> Kind:
        return _KINDS.get(self.dtype, "integer")


@dataclass(frozen=True)
class _Matched:
    """An input with its columns: the names, and their fields in the signature if there are any."""

    input: _Input
    names: Sequence[str]
    fields: Sequence[Field | None]
    by_name: bool


def derive_inputs(fields: Sequence[Field] | None, ports: Sequence[Port], model: bytes) -> ForeignInputs:
    """Return the columns and inputs of a graph.

    Names are those of the signature; without one, they are those of the graph's inputs.

    Args:
        fields: the fields of MLflow's signature, if there is one.
        ports: the inputs of the graph.
        model: the serialised graph, whose encoders may list categories.

    Raises:
        BundleError: the graph takes other inputs than tables, or others than the signature describes.
    """
    if not ports or len(ports) > MAX_FEATURES:
        raise BundleError(f"the graph has {len(ports)} inputs, but must have 1 to {MAX_FEATURES}: export it again")
    inputs = [_read_port(port) for port in ports]
    matched = list(_match(fields, inputs))
    categories = find_categories(model, {one.input.name: len(one.names) for one in matched})
    try:
        columns = [
            _column(one, index, categories.get((one.input.name, index)))
            for one in matched
            for index in range(len(one.names))
        ]
        tensors = [
            GraphInput(
                name=one.input.name,
                dtype=one.input.dtype,
                shape=(len(one.names),),
                column=one.names[0] if one.by_name else None,
            )
            for one in matched
        ]
        check_inputs(tuple(columns), tuple(tensors))
    except ValidationError as error:
        raise BundleError(f"no columns can be derived: {first_problem(error)[1]}") from error
    except ValueError as error:
        raise BundleError(f"no columns can be derived: {error}") from error
    if fields is not None and all(one.by_name for one in matched):
        by_name = {column.name: column for column in columns}
        columns = [by_name[field.name or ""] for field in fields]
    return ForeignInputs(tuple(columns), tuple(tensors))


def _read_port(port: Port) -> _Input:
    """Return an input that is a matrix of rows and columns."""
    name = port.name
    if not name.strip() or len(name) > MAX_NAME_LENGTH or printable(name) != name:
        raise BundleError(
            f"an input of the graph has an unusable name: give it 1 to {MAX_NAME_LENGTH} printable characters"
        )
    dtype = TENSOR_TYPES.get(port.kind)
    if dtype is None:
        raise BundleError(
            f"the graph's input {name!r} has the type {port.kind[:80]}, but the API serves float32, float64, integers, "
            "bool and string: export it with one of those"
        )
    if not port.shape:  # the graph does not state the shape
        return _Input(name, dtype, None)
    if len(port.shape) != _AXES:
        dimensions = count_of(len(port.shape), "dimension")
        raise BundleError(
            f"the graph's input {name!r} has {dimensions}, but the API serves tables of rows and columns: export it "
            "with an input of the shape [rows, columns]"
        )
    rows, width = port.shape
    if isinstance(rows, int):
        raise BundleError(
            f"the graph's input {name!r} takes exactly {count_of(rows, 'row')}: export it with a dynamic first axis, "
            "for any number of rows"
        )
    if isinstance(width, int) and not 1 <= width <= MAX_FEATURES:
        raise BundleError(f"the graph's input {name!r} has {width} columns, but must have 1 to {MAX_FEATURES}")
    return _Input(name, dtype, width if isinstance(width, int) else None)


def _match(fields: Sequence[Field] | None, inputs: Sequence[_Input]) -> Iterator[_Matched]:
    """Yield each input with its columns."""
    if fields is None:
        for one in inputs:
            yield _without_signature(one, is_only=len(inputs) == 1)
        return
    if len(inputs) == 1 and (fields[0].width is None or len(fields) == 1):
        yield _of_matrix(fields, inputs[0])
        return
    by_name = {field.name: field for field in fields}
    names = [one.name for one in inputs]
    if by_name.keys() != set(names):
        found, expected = _listed([field.name or "(no name)" for field in fields]), _listed(names)
        raise BundleError(
            f"its MLflow signature has the columns {found}, but the graph has the inputs {expected}: log the model "
            "with a signature of the names of the graph's inputs"
        )
    for one in inputs:
        yield _of_input(by_name[one.name], one)


def _without_signature(one: _Input, *, is_only: bool) -> _Matched:
    if one.width is None:
        raise BundleError(
            f"it has no MLflow signature, and the graph does not state how many columns its input {one.name!r} has: "
            "log it with a signature, for example from mlflow.models.infer_signature"
        )
    if one.width == 1:
        return _Matched(one, [one.name], [None], by_name=not is_only)
    prefix = "feature" if is_only else one.name
    return _Matched(one, [f"{prefix}_{index}" for index in range(one.width)], [None] * one.width, by_name=False)


def _of_matrix(fields: Sequence[Field], one: _Input) -> _Matched:
    """Return the only input, a matrix of all columns."""
    width = fields[0].width
    columns = list(fields) if width is None else [fields[0]] * width
    _check_width(one, len(columns))
    names = [f"feature_{index}" if width is not None else str(field.name) for index, field in enumerate(columns)]
    return _Matched(one, names, columns, by_name=False)


def _of_input(field: Field, one: _Input) -> _Matched:
    """Return one of several inputs, with the field of its name."""
    width = field.width or 1
    _check_width(one, width)
    if width == 1:
        return _Matched(one, [one.name], [field], by_name=True)
    return _Matched(one, [f"{one.name}_{index}" for index in range(width)], [field] * width, by_name=False)


def _check_width(one: _Input, width: int) -> None:
    if one.width not in {None, width}:
        raise BundleError(
            f"its MLflow signature has {width} columns for the graph's input {one.name!r}, which takes {one.width}: "
            "log the model with the signature of the data that it was trained on"
        )


def _column(one: _Matched, index: int, categories: Sequence[int] | Sequence[str] | None) -> InputColumn:
    name, field, tensor = one.names[index], one.fields[index], one.input
    kind = tensor.kind if field is None or field.kind is None else field.kind
    # A graph of integers takes the numbers of a float column, as pandas stores integers with gaps.
    if kind == "float" and tensor.kind == "integer":
        kind = "integer"
    if (kind == "string") != (tensor.kind == "string") or (tensor.kind == "boolean" and kind != "boolean"):
        raise BundleError(
            f"the column {name!r} of its MLflow signature is of the kind {kind}, but the graph's input {tensor.name!r} "
            f"takes {tensor.dtype}: log the model with the signature of the data that it was trained on"
        )
    is_float = tensor.kind == "float"
    return InputColumn.model_validate(
        {
            "name": name,
            "dtype": tensor.dtype if kind == "float" else _COLUMN_TYPES[kind],
            "nullable": field is not None and not field.is_required and is_float,
            "categories": _usable(categories, kind),
        }
    )


def _usable(categories: Sequence[int] | Sequence[str] | None, kind: Kind) -> list[float] | list[str] | None:
    """Return categories as a column states them; None if it cannot, so that the graph itself rejects other values."""
    if not categories or kind == "boolean":
        return None
    texts = [one for one in categories if isinstance(one, str)]
    if kind == "string":
        is_usable = len(texts) == len(categories) and all("\x00" not in text for text in texts)
        return texts if is_usable else None
    numbers = [float(one) for one in categories if isinstance(one, int) and abs(one) <= FLOAT64_EXACT]
    return numbers if len(numbers) == len(categories) else None


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return f"{', '.join(repr(name[:40]) for name in names[:_SHOWN_NAMES])}{more}"
