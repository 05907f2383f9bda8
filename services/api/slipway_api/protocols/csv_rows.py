"""Parse rows of CSV (RFC 4180), with or without a header."""

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from slipway_api.errors import InvalidInputError, TooLargeError
from slipway_core.csv_cells import converter, number
from slipway_core.errors import Problem
from slipway_core.signature import Signature
from slipway_core.table_signature import AnySignature

_OTHER_MARKS = {";": "semicolons", "\t": "tabs"}


def named_rows(body: bytes, signature: AnySignature, max_rows: int) -> list[Any]:
    """Return the rows of a CSV body: objects keyed by the features' names, or lists if the body has no header.

    The first line is a header if it names a feature, or, for a matrix, has text and no number; otherwise it is a row.
    A line of as many fields as a table has features is a header if it names at least half of them.
    Columns of the header that are not features are ignored. Fields become the values of their column's type, empty
    ones None where the column takes missing values; other fields stay text, which the signature rejects.

    Args:
        body: UTF-8, with or without a byte order mark; lines end with LF or CRLF.
        signature: the model's signature.
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
    names = signature.names
    lines = _lines(text)
    first = next(lines, None)
    if first is None:
        raise _wrong("the CSV is empty: send at least one row", "body")
    header = first if _is_header(first, signature) else None
    if header is None:
        _check_width(first, names, "the CSV's first line has", "body")
    else:
        _check_header(header, names)
    converters = dict(zip(names, map(converter, signature.columns), strict=True))
    rows: list[Any] = []
    for line in lines if header is not None else chain((first,), lines):
        if len(rows) == max_rows:
            raise TooLargeError(f"the CSV has more than {max_rows} rows, which is the limit; send them in parts")
        _check_width(line, header or names, "this row has", "rows", len(rows))
        if header is None:
            rows.append([convert(field) for convert, field in zip(converters.values(), line, strict=True)])
        else:
            fields = zip(header, line, strict=True)
            rows.append({name: converters[name](field) for name, field in fields if name in converters})
    if not rows:
        raise _wrong("the CSV has a header and no rows: send at least one row", "body")
    return rows


def _check_header(header: Sequence[str], names: Sequence[str]) -> None:
    if any(header.count(name) > 1 for name in names):
        raise _wrong("the CSV's header names a feature twice; remove one of the columns", "body")
    if not set(names) <= set(header):
        message = f"the CSV's header must name the features ({', '.join(names)}), in any order; correct or omit it"
        raise _wrong(message, "body")


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
        separator = next((name for mark, name in _OTHER_MARKS.items() if mark in fields[0]), None)
        hint = f"; separate them with commas instead of {separator}" if len(fields) == 1 and separator else ""
        raise _wrong(f"{what} {len(fields)} fields; expected {len(names)} ({', '.join(names)}){hint}", *loc)


def _is_header(fields: Sequence[str], signature: AnySignature) -> bool:
    names = signature.names
    is_matrix = isinstance(signature, Signature)
    if n_named := len(set(names).intersection(fields)):
        # The text of a row may equal a name by chance.
        return is_matrix or len(fields) != len(names) or 2 * n_named >= len(names)
    # A row of a matrix has a number; one of a table may be text only.
    if not is_matrix or len(fields) != len(names):
        return False
    return any(field.strip() for field in fields) and all(isinstance(number(field), str) for field in fields)


def _wrong(message: str, *loc: str | int) -> InvalidInputError:
    return InvalidInputError([Problem(loc, message)])
