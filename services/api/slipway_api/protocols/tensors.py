"""Tensors of the Open Inference Protocol: validate their metadata, and decode and encode their values.

The data types are those of the protocol's "Tensor Data Types". Binary values are little-endian and row-major; each
element of BYTES is preceded by its length in 4 bytes, as in Triton's "Binary Tensor Data Extension".
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from slipway_api.errors import InvalidInputError
from slipway_core.errors import Problem
from slipway_core.feature_values import FLOAT32_LIMIT, MAX_PROBLEMS
from slipway_core.printable import SHOWN

Values = NDArray[np.float32] | NDArray[np.float64]

NUMBERS: Final[Mapping[str, np.dtype[Any]]] = {
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    **{f"{kind}{8 * size}": np.dtype(f"<{kind[0].lower()}{size}") for kind in ("INT", "UINT") for size in (1, 2, 4, 8)},
}
# The types of table columns besides numbers.
BYTES: Final = "BYTES"
BOOL: Final = "BOOL"
MAX_DIMENSIONS = 2
# The exact range of each integer type.
INTEGERS: Final[Mapping[str, tuple[int, int]]] = {
    name: (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)) for name, dtype in NUMBERS.items() if dtype.kind != "f"
}
# The largest float64 that float16 rounds to its maximum, 65,504, instead of infinity.
_FP16_LIMIT = math.nextafter(65_520, 0)
# Beyond it, float64 cannot represent every integer.
_FLOAT64_EXACT = 2**53
# Beyond every type's limit, but still a float64.
_BEYOND = 1e300


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input with valid metadata and unchecked values.

    Attributes:
        loc: its path in the request.
        name: as the client sent it; shortened in messages.
        datatype: a key of `NUMBERS`, BYTES or BOOL.
        shape: one or two dimensions, each at least 1. Their product is unchecked.
        data: the JSON values, or None.
        binary_size: its number of binary bytes, or None.
    """

    loc: tuple[str | int, ...]
    name: str
    datatype: str
    shape: tuple[int, ...]
    data: list[Any] | None
    binary_size: int | None

    @property
    def count(self) -> int:
        """The number of values in the shape."""
        return math.prod(self.shape)

    def problem(self, message: str, *loc: str | int) -> Problem:
        """Return a problem at a path inside this tensor."""
        return Problem((*self.loc, *loc), f"the input {self.name[:SHOWN]!r} {message}")


def describe(item: Any, loc: tuple[str | int, ...], datatypes: Collection[str] = NUMBERS) -> Tensor:  # noqa: ANN401
    """Parse the metadata of an input, which must have one of the data types.

    Raises:
        InvalidInputError: it is malformed, or not supported for tabular models.
    """
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        raise InvalidInputError([Problem(loc, "an input must be an object with `name`, `shape` and `datatype`")])
    shape, datatype, data = item.get("shape"), item.get("datatype"), item.get("data")
    parameters = item.get("parameters")
    parameters = {} if parameters is None else parameters
    name = item["name"]
    tensor = Tensor(loc, name, "", (), None, None)
    if not isinstance(parameters, dict):
        raise InvalidInputError([tensor.problem("must have an object as its `parameters`", "parameters")])
    if "shared_memory_region" in parameters:
        message = "uses shared memory, which is not supported; send its values"
        raise InvalidInputError([tensor.problem(message, "parameters")])
    if not isinstance(datatype, str) or datatype not in datatypes:
        raise InvalidInputError([tensor.problem(f"must have one of the datatypes {', '.join(datatypes)}", "datatype")])
    if not (isinstance(shape, list) and 1 <= len(shape) <= MAX_DIMENSIONS and all(_is_size(n) for n in shape)):
        message = "must have a shape of one or two dimensions, each at least 1"
        raise InvalidInputError([tensor.problem(message, "shape")])
    size = parameters.get("binary_data_size")
    if size is not None and (type(size) is not int or size < 0):
        raise InvalidInputError(
            [tensor.problem("must have a non-negative integer as its `binary_data_size`", "parameters")]
        )
    if (data is None) == (size is None):
        message = "must have either `data` or the parameter `binary_data_size`"
        raise InvalidInputError([tensor.problem(message)])
    if data is not None and not isinstance(data, list):
        raise InvalidInputError([tensor.problem("must have a list as its `data`", "data")])
    return Tensor(loc, name, datatype, tuple(shape), data, size)


def _is_size(value: object) -> bool:
    return type(value) is int and value >= 1


def values_of(tensor: Tensor, binary: memoryview) -> Values:
    """Return a tensor's values, flat. Check its shape against the model first, because it determines the memory used.

    Args:
        tensor: the input.
        binary: its binary bytes, if it was sent in binary.

    Raises:
        InvalidInputError: their number does not match the shape, or some are not finite numbers within the range of
            float32 and of the tensor's type.
    """
    if tensor.data is None:
        values = _from_binary(tensor, binary)
        _check(tensor, values)
        return values
    flat = flat_data(tensor)
    values = _from_json(tensor, flat)
    _check(tensor, values, flat)
    if tensor.datatype == "FP16":
        return values.astype(np.float16).astype(np.float32)
    return values


def _from_binary(tensor: Tensor, binary: memoryview) -> Values:
    dtype = NUMBERS[tensor.datatype]
    bytes_needed(tensor, binary, dtype)
    values = np.frombuffer(binary, dtype)
    if tensor.datatype in {"FP16", "FP32"}:
        return values.astype(np.float32)
    # Integers are converted through float64 like JSON numbers, so that both are rounded equally.
    return values.astype(np.float64)


def bytes_needed(tensor: Tensor, binary: memoryview, dtype: "np.dtype[Any]") -> None:
    """Raise InvalidInputError if the number of binary bytes does not match the shape and the data type."""
    if len(binary) != (needed := tensor.count * dtype.itemsize):
        message = f"has {len(binary)} binary bytes, but {tensor.datatype} of shape {_text(tensor.shape)} needs {needed}"
        raise InvalidInputError([tensor.problem(message, "parameters")])


def _from_json(tensor: Tensor, flat: Sequence[Any]) -> Values:
    if not set(map(type, flat)) <= {int, float}:
        places = [i for i, value in enumerate(flat) if type(value) not in {int, float}]
        raise InvalidInputError(problems_at(tensor, places, "must be a number"))
    try:
        return np.array(flat, dtype=np.float64)
    except OverflowError:  # an integer beyond float64
        return np.array([min(max(value, -_BEYOND), _BEYOND) for value in flat], dtype=np.float64)


def flat_data(tensor: Tensor) -> list[Any]:
    """Return the JSON values of a tensor, flat.

    Raises:
        InvalidInputError: they do not match its shape.
    """
    data = tensor.data or []
    if len(tensor.shape) > 1 and any(isinstance(row, list) for row in data):
        n_rows, n_columns = tensor.shape
        if len(data) != n_rows or not all(isinstance(row, list) and len(row) == n_columns for row in data):
            message = f"has `data` that does not match its shape {_text(tensor.shape)}"
            raise InvalidInputError([tensor.problem(message, "data")])
        return [value for row in data for value in row]
    if len(data) != tensor.count:
        message = f"has {len(data)} values, but its shape {_text(tensor.shape)} needs {tensor.count}"
        raise InvalidInputError([tensor.problem(message, "data")])
    return data


def _check(tensor: Tensor, values: Values, original: Sequence[Any] = ()) -> None:
    """Reject values that are not numbers of a tensor's type.

    Args:
        tensor: the input.
        values: its values, flat.
        original: the original JSON values, if any: float64 cannot represent every integer of 64 bits.
    """
    finite = np.isfinite(values)
    if not finite.all():
        message = "must be a finite number, not NaN or infinity"
        raise InvalidInputError(problems_at(tensor, np.flatnonzero(~finite).tolist(), message))
    limits = INTEGERS.get(tensor.datatype)
    if limits is None:
        limit, name = (_FP16_LIMIT, "FP16") if tensor.datatype == "FP16" else (FLOAT32_LIMIT, "FP32")
        wrong, message = np.abs(values) > limit, f"is too large for {name}"
    else:
        least, most = limits
        is_inexact = bool(original) and most > _FLOAT64_EXACT
        beyond = np.abs(values) >= float(most) if is_inexact else values > float(most)
        wrong = beyond | (values < float(least)) | (values != np.floor(values))
        if is_inexact:
            for place in beyond.nonzero()[0].tolist():
                # The parser converts integers beyond 64 bits to float, so a float at the limit may be too large.
                value = original[place]
                wrong[place] = type(value) is not int or not least <= value <= most
        message = f"must be a valid {tensor.datatype}"
    if wrong.any():
        raise InvalidInputError(problems_at(tensor, np.flatnonzero(wrong).tolist(), message))


def problems_at(tensor: Tensor, places: Sequence[int], message: str) -> list[Problem]:
    """Return a problem for each place, an index of the flat values, at most MAX_PROBLEMS."""
    found = []
    for place in places[:MAX_PROBLEMS]:
        index = [place] if len(tensor.shape) == 1 else list(divmod(place, tensor.shape[1]))
        found.append(tensor.problem(f"at {_text(index)} {message}", "data", *index))
    return found


def _text(numbers: Sequence[int]) -> str:
    # Numbers are chosen by the client: limit their length in the message.
    return f"[{', '.join(str(number)[:SHOWN] for number in numbers)}]"
