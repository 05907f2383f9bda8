"""Parse rows of CSV (RFC 4180), with or without a header."""

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from slipway_api.errors import InvalidInputError, TooLargeError
from slipway_core.columns import MAX_FEATURES
from slipway_core.csv_cells import BOOLEANS, converter, number
from slipway_core.errors import Problem
from slipway_core.feature_values import MISSING_WORDS
from slipway_core.plurals import count_of
from slipway_core.printable import SHOWN
from slipway_core.signature import Signature
from slipway_core.table_signature import AnySignature

_OTHER_MARKS = {";": "semicolons", "\t": "tabs", "|": "bars"}
SHOWN_NAMES = 5


def named_rows(body: bytes, signature: AnySignature, max_rows: int) -> list[Any]:
    """Return the rows of a CSV body: objects keyed by the features' names, or lists if the body has no header.

    The first line is a header if it names a feature, or has words in each column of another type than text; otherwise
    it is a row. A line of as many fields as a table has features is a header if it names at least half of them.
    Columns of the header that are not features are ignored. Fields become the values of their column's type, empty
    ones None where the column takes missing values; the signature rejects other empty fields and other text.

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
    if lacking := [name for name in names if name not in header]:
        # The header is chosen by the client: limit the number and length of its names in the message.
        odd = [name[:SHOWN] for name in header if name not in names]
        found = f", and has {_listed(odd)}, which the model does not use" if odd else ""
        message = (
            f"the CSV's header must name the features ({', '.join(names)}), in any order; it lacks {_listed(lacking)}"
            f"{found}; correct or omit it"
        )
        raise _wrong(message, "body")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return f"{', '.join(map(repr, names[:SHOWN_NAMES]))}{more}"


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
        hint = ""
        if len(fields) <= MAX_FEATURES:
            marks = {name: sum(field.count(mark) for field in fields) for mark, name in _OTHER_MARKS.items()}
            separator = next((name for name, count in marks.items() if count + 1 >= max(len(names), 2)), None)
            points = " and write numbers with a decimal point" if len(fields) > 1 else ""
            hint = f"; separate them with commas instead of {separator}{points}" if separator else ""
        found = count_of(len(fields), "field")
        raise _wrong(f"{what} {found}; expected {len(names)} ({', '.join(names)}){hint}", *loc)


def _is_header(fields: Sequence[str], signature: AnySignature) -> bool:
    names = signature.names
    n_named = len(set(names).intersection(fields))
    # A text of a row of a table may equal a name by chance.
    if n_named and (isinstance(signature, Signature) or len(fields) != len(names) or 2 * n_named >= len(names)):
        return True
    if len(fields) != len(names):
        return False
    # A misspelled header has words where a row has numbers, booleans or dates; columns of text show no difference.
    cells = zip(fields, signature.columns, strict=True)
    words = [field.strip().lower() for field, column in cells if column.dtype != "string"]
    return any(words) and not any(word and _is_value(word) for word in words)


def _is_value(word: str) -> bool:
    """Return whether a word looks like a number, boolean, date or missing value."""
    return not isinstance(number(word), str) or word[0].isdigit() or word in BOOLEANS or word in MISSING_WORDS


def _wrong(message: str, *loc: str | int) -> InvalidInputError:
    return InvalidInputError([Problem(loc, message)])
