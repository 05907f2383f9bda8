"""Convert tensors of the Open Inference Protocol to the values of a table's columns, and text to binary tensors."""

import math
import struct
import sys
from collections.abc import Sequence
from typing import Any, Final, cast

import numpy as np

from slipway_api.errors import InvalidInputError
from slipway_api.protocols.tensors import BOOL, BYTES, INTEGERS, NUMBERS, Tensor, bytes_needed, flat_data, problems_at
from slipway_core.columns import InputColumn

_FLOATS: Final = frozenset({"FP16", "FP32", "FP64"})
_TEXTS: Final = frozenset({"string", "date"})


def objects_of(tensor: Tensor, binary: memoryview, column: InputColumn) -> list[Any]:
    """Return a tensor's values as JSON would have them, for the column's reader to check.

    A missing value of a nullable column is null, NaN in a tensor of floats, or an empty text in one of BYTES.

    Args:
        tensor: the input, of one value per row.
        binary: its binary bytes, if it was sent in binary.
        column: the column that it is sent for.

    Raises:
        InvalidInputError: its data type does not suit the column, or its values do not match its shape or data type.
    """
    expected = [BYTES] if column.dtype in _TEXTS else [*([BOOL] if column.dtype == "bool" else []), *NUMBERS]
    if tensor.datatype not in expected:
        raise InvalidInputError([tensor.problem(f"must have one of the datatypes {', '.join(expected)}", "datatype")])
    values = flat_data(tensor) if tensor.data is not None else _from_binary(tensor, binary)
    if tensor.data is not None and tensor.datatype in NUMBERS:
        values = _numbers(tensor, values, column)
    if column.nullable:
        if tensor.datatype == BYTES:
            values = [None if value == "" else value for value in values]
        elif tensor.datatype in _FLOATS:
            values = [None if type(value) is float and math.isnan(value) else value for value in values]
    if column.dtype == "bool" and tensor.datatype != BOOL:
        values = _booleans(tensor, values)
    return values


def _booleans(tensor: Tensor, values: list[Any]) -> list[Any]:
    """Return numbers as booleans."""
    wrong = [
        place
        for place, value in enumerate(values)
        if value is not None and not (type(value) in {int, float} and value in {0, 1})
    ]
    if wrong:
        raise InvalidInputError(problems_at(tensor, wrong, f"must be 0 or 1 as {tensor.datatype}"))
    return [None if value is None else bool(value) for value in values]


def _numbers(tensor: Tensor, values: list[Any], column: InputColumn) -> list[Any]:
    """Check JSON numbers against the tensor's type, and round them as binary values of that type would be."""
    if tensor.datatype in INTEGERS:
        least, most = INTEGERS[tensor.datatype]
        wrong = [
            place
            for place, value in enumerate(values)
            if value is not None and not (type(value) is int and least <= value <= most)
        ]
        if wrong:
            raise InvalidInputError(problems_at(tensor, wrong, f"must be a valid {tensor.datatype}"))
        return values
    if tensor.datatype == "FP64" or (tensor.datatype == "FP32" and column.dtype == "float32"):
        return values
    dtype = NUMBERS[tensor.datatype].type
    # The column's reader reports values of other types, and integers beyond float64.
    places = [place for place, value in enumerate(values) if _is_finite(value)]
    rounded = list(values)
    with np.errstate(over="ignore"):
        for place in places:
            rounded[place] = dtype(values[place]).item()
    if wrong := [place for place in places if math.isinf(rounded[place])]:
        raise InvalidInputError(problems_at(tensor, wrong, f"is too large for {tensor.datatype}"))
    return rounded


def _is_finite(value: object) -> bool:
    """Return whether a value is a number within float64."""
    return type(value) in {int, float} and abs(cast("float", value)) <= sys.float_info.max


def _from_binary(tensor: Tensor, binary: memoryview) -> list[Any]:
    if tensor.datatype == BYTES:
        return _texts(tensor, binary)
    dtype = np.dtype(np.uint8) if tensor.datatype == BOOL else NUMBERS[tensor.datatype]
    bytes_needed(tensor, binary, dtype)
    values: list[Any] = np.frombuffer(binary, dtype).tolist()
    if tensor.datatype != BOOL:
        return values
    if wrong := [place for place, value in enumerate(values) if value > 1]:
        raise InvalidInputError(problems_at(tensor, wrong, "must be a byte of 0 or 1"))
    return [value == 1 for value in values]


def _texts(tensor: Tensor, binary: memoryview) -> list[str]:
    """Decode texts, each preceded by its length in 4 bytes."""
    texts: list[str] = []
    begin = 0
    while begin < len(binary) and len(texts) < tensor.count:
        end = begin + 4
        if end <= len(binary):
            end += struct.unpack_from("<I", binary, begin)[0]
        if end > len(binary):
            break
        try:
            texts.append(str(binary[begin + 4 : end], "utf-8"))
        except UnicodeDecodeError as error:
            raise InvalidInputError(problems_at(tensor, [len(texts)], "must be UTF-8")) from error
        begin = end
    if begin != len(binary) or len(texts) != tensor.count:
        message = f"must have {tensor.count} texts as its binary data, each preceded by its length in 4 bytes"
        raise InvalidInputError([tensor.problem(message, "parameters")])
    return texts


def binary_texts(values: Sequence[str]) -> bytes:
    """Encode text as binary BYTES."""
    encoded = {text: text.encode() for text in set(values)}
    framed = {text: struct.pack("<I", len(content)) + content for text, content in encoded.items()}
    return b"".join([framed[text] for text in values])
