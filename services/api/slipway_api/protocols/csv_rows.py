"""Parse rows of CSV (RFC 4180), with or without a header."""

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from slipway_api.errors import InvalidInputError, TooLargeError
from slipway_core.errors import Problem

# Longer than any number that a program writes. The time to parse a number grows with the square of its length.
MAX_DIGITS = 400


def named_rows(body: bytes, names: Sequence[str], max_rows: int) -> list[Any]:
    """Return the rows of a CSV body: objects keyed by the header's names, or lists if the body has no header.

    The first line is a header if it has the features' names, or text and no number; otherwise it is a row.
    Numbers become floats, including NaN and infinities; other fields stay text, which the signature rejects.

    Args:
        body: UTF-8, with or without a byte order mark; lines end with LF or CRLF.
        names: the features' names.
        max_rows: the maximum number of rows.

    Raises:
        InvalidInputError: it is not CSV, has no rows, a header without the features' names, or a line with a wrong
            number of fields.
        TooLargeError: there are too many rows.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _wrong("the CSV is not UTF-8; encode it as UTF-8", "body") from error
    lines = _lines(text)
    first = next(lines, None)
    if first is None:
        raise _wrong("the CSV is empty: send at least one row", "body")
    _check_width(first, names, "the CSV's first line has", "body")
    header = first if _is_header(first, names) else None
    if header is not None and len(set(header)) != len(header):
        raise _wrong("the CSV's header names a feature twice; remove one of the columns", "body")
    if header is not None and set(header) != set(names):
        message = f"the CSV's header must name the features ({', '.join(names)}), in any order; correct or omit it"
        raise _wrong(message, "body")
    rows: list[Any] = []
    for line in lines if header is not None else chain((first,), lines):
        if len(rows) == max_rows:
            raise TooLargeError(f"the CSV has more than {max_rows} rows, which is the limit; send them in parts")
        _check_width(line, names, "this row has", "rows", len(rows))
        values = [_number(field) for field in line]
        rows.append(values if header is None else dict(zip(header, values, strict=True)))
    if not rows:
        raise _wrong("the CSV has a header and no rows: send at least one row", "body")
    return rows


def _lines(text: str) -> Iterator[list[str]]:
    """Yield the fields of each line that is not empty."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        yield from (line for line in reader if line)
    except csv.Error as error:
        what = "is not CSV: check for an unclosed quote"
        if "field limit" in str(error):  # an unclosed quote makes the rest one field
            what = f"has a field of over {csv.field_size_limit()} characters; check for an unclosed quote"
        message = f"line {reader.line_num} {what}"
        raise _wrong(message, "body") from error


def _check_width(fields: Sequence[str], names: Sequence[str], what: str, *loc: str | int) -> None:
    # Check the number before creating anything: a line may have millions of fields.
    if len(fields) != len(names):
        raise _wrong(f"{what} {len(fields)} fields; expected {len(names)} ({', '.join(names)})", *loc)


def _is_header(fields: Sequence[str], names: Sequence[str]) -> bool:
    if sorted(fields) == sorted(names):
        return True
    return any(field.strip() for field in fields) and all(isinstance(_number(field), str) for field in fields)


def _number(field: str) -> float | str:
    # `float` alone accepts digits of every script, and underscores between them.
    if not field.isascii() or "_" in field or len(field) > MAX_DIGITS:
        return field
    try:
        return float(field)
    except ValueError:
        return field


def _wrong(message: str, *loc: str | int) -> InvalidInputError:
    return InvalidInputError([Problem(loc, message)])
