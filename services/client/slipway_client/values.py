"""Convert rows of Python, NumPy and pandas values to the JSON that the API expects."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypeAlias

from slipway_client.errors import InvalidValue, ValidationError

Row: TypeAlias = Mapping[str, Any] | Sequence[Any]
# Errors that are collected before the data is rejected, as in the API.
MAX_ERRORS = 20
# `json.dumps` with these options would create an encoder for each row.
_to_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class _UnsupportedValueError(ValueError):
    """A value has no form in JSON that the API accepts."""


def json_value(value: Any) -> Any:  # noqa: ANN401, PLR0911  # one return per kind of value
    """Return a value as the API expects it in JSON; None for a missing value.

    NaN, NaT and pandas' NA are missing values. Dates become text in ISO 8601, scalars of NumPy those of Python.

    Raises:
        ValueError: the value is infinite, or has a type without such a form.
    """
    if value is None or isinstance(value, str | int):  # including booleans
        return value
    if isinstance(value, float):
        if math.isinf(value):
            raise _UnsupportedValueError(f"must be a finite number, got {value}")
        return None if math.isnan(value) else value
    if type(value).__name__ in {"NAType", "NaTType"}:
        return None
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return json_value(float(value))
    if isinstance(value, Mapping | list | tuple):  # the API reports their place
        return value
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind == "M":  # `item()` of a datetime in nanoseconds would be an integer
        return json_value(value.astype("datetime64[s]").item())
    if kind in {"b", "i", "u", "f", "U"}:
        return json_value(value.item())
    raise _UnsupportedValueError(
        f"must be a number, text, a boolean, a date or missing, not an object of the type {type(value).__name__}"
    )


def encode_rows(rows: Iterable[Row], first: int = 0) -> list[bytes]:
    """Return each row as JSON.

    Args:
        rows: objects by feature name, or lists in the order of the features.
        first: the number of the first row.

    Raises:
        ValidationError: a value has no form in JSON; `errors` names its row and column.
    """
    encoded, errors = [], []
    for number, row in enumerate(rows, first):
        try:
            encoded.append(_encode(row))
        except (TypeError, ValueError):
            errors += _errors_of(number, row)
            if len(errors) >= MAX_ERRORS:
                break
    if errors:
        shown = errors[:MAX_ERRORS]
        raise ValidationError("; ".join(error.message for error in shown), errors=shown)
    return encoded


def _encode(row: Row) -> bytes:
    if isinstance(row, Mapping) and not all(isinstance(name, str) for name in row):
        raise _UnsupportedValueError
    try:
        return _to_json(row).encode()
    except (TypeError, ValueError):  # a value needs a conversion
        values: Any = map(json_value, row.values() if isinstance(row, Mapping) else row)
        return _to_json(dict(zip(row, values, strict=True)) if isinstance(row, Mapping) else list(values)).encode()


def _errors_of(number: int, row: Row) -> list[InvalidValue]:
    """Return why a row cannot be encoded, one error per column."""
    errors = []
    named = row.items() if isinstance(row, Mapping) else enumerate(row)
    for name, value in named:
        column = name if isinstance(name, str) else None
        if column is None and isinstance(row, Mapping):
            errors.append(InvalidValue(f"names of features must be text, got {name!r}", number))
            continue
        try:
            _to_json(json_value(value)).encode()
        except (TypeError, ValueError) as error:
            reason = str(error) if isinstance(error, _UnsupportedValueError) else "cannot be written as JSON"
            errors.append(InvalidValue(f"{name!r} {reason}", number, column))
    return errors


def rows_of(data: Any) -> list[Row]:  # noqa: ANN401  # whatever a caller passes
    """Return the rows of data other than a DataFrame: one row, or a sequence of rows.

    Raises:
        TypeError: it is something else.
    """
    data = _plain(data)
    if isinstance(data, Mapping):
        return [data]
    if _is_sequence(data):
        rows = [_plain(row) for row in data]
        are_rows = [isinstance(row, Mapping) or _is_sequence(row) for row in rows]
        if rows and not any(are_rows):
            return [data]
        if all(are_rows):
            return rows
    raise TypeError("pass a DataFrame, a row (a dictionary or a list of values), or a list of rows")


def _plain(data: Any) -> Any:  # noqa: ANN401
    """Return an array of NumPy as a list, and a Series of pandas, such as `frame.iloc[0]`, as an object by name."""
    if not hasattr(data, "dtype") or not hasattr(data, "tolist"):
        return data
    index = getattr(data, "index", None)
    return data.tolist() if index is None else dict(zip(index.tolist(), data.tolist(), strict=True))


def _is_sequence(data: object) -> bool:
    return isinstance(data, Sequence) and not isinstance(data, str | bytes)
