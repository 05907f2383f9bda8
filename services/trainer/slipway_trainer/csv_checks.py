"""Reject a file that is not complete CSV; the error states its kind or the line, and what to do."""

import codecs
import csv
import io
from collections.abc import Sequence

from slipway_core.plurals import count_of
from slipway_trainer.errors import DataRefusedError, reason_of

NEWLINE = b"\n"
OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
AS_CSV = "save it as CSV in UTF-8, with commas between the values"
# The first bytes of other file formats.
OTHER_KINDS = {
    b"\x1f\x8b": "is compressed with gzip; decompress it first, such as with gunzip",
    b"BZh": "is compressed with bzip2; decompress it first, such as with bunzip2",
    b"\xfd7zXZ": "is compressed with xz; decompress it first, such as with unxz",
    b"\x28\xb5\x2f\xfd": "is compressed with Zstandard; decompress it first, such as with unzstd",
    b"\xd0\xcf\x11\xe0": f"is an Excel file; open it and {AS_CSV}",
    b"PAR1": f"is a Parquet file; read it with pandas and {AS_CSV}",
    b"SQLite format 3": f"is an SQLite database; export the table and {AS_CSV}",
    codecs.BOM_UTF16_LE: f"is UTF-16 text; {AS_CSV}",
    codecs.BOM_UTF16_BE: f"is UTF-16 text; {AS_CSV}",
}
ZIP = b"PK\x03\x04"
# A ZIP archive with this folder is an Excel workbook.
WORKBOOK = b"xl/"

# The number of a row's first line in the file, and the row's values; a blank line has none.
Row = tuple[int, list[str]]


def check_csv(content: bytes, source: str, names: Sequence[str]) -> list[int]:
    """Check that a file is CSV in UTF-8 and complete: pandas would fill a short row with missing values.

    Args:
        content: the file's bytes.
        source: the file's origin, for messages.
        names: the expected columns.

    Returns:
        The number of the first line of each row below the header, blank lines included; the header is in line 1.

    Raises:
        DataRefusedError: the file is invalid. The message states its kind or the line, and what to do.
    """
    text = _text(content, source)
    if text.startswith(("\n", "\r")):
        raise DataRefusedError([f"the first line of {source} is empty; remove the empty lines before the header"])
    found = _rows(text, source)
    rows = [(line, row) for line, row in found if row]
    (_, header), (_, last) = rows[0], rows[-1]
    _check_separator(text, header, source, names)
    if twice := [name for name in names if header.count(name) > 1]:
        raise DataRefusedError([f"the header of {source} has the column {twice[0]!r} twice; remove or rename one"])
    for line, row in rows:
        if len(row) > len(header):
            sentence = (
                f"line {line} of {source} has {count_of(len(row), 'value')}, but the first line has "
                f"{count_of(len(header), 'name')}; check "
                "that the first line names the columns, and write numbers with a decimal point and text that contains "
                "commas in double quotes"
            )
            raise DataRefusedError([sentence])
    if len(last) < len(header):
        line = content.rstrip().count(NEWLINE) + 1
        sentence = (
            f"{source} is truncated: its last line, {line}, has {count_of(len(last), 'value')}, but the first line has "
            f"{count_of(len(header), 'name')}; get the complete file"
        )
        raise DataRefusedError([sentence])
    if short := [(line, row) for line, row in rows if len(row) < len(header)]:
        line, row = short[0]
        others = f", the first of {len(short)} such rows," if len(short) > 1 else ""
        sentence = (
            f"line {line} of {source}{others} has {count_of(len(row), 'value')}, but the first line has "
            f"{count_of(len(header), 'name')}; add the missing values or commas"
        )
        raise DataRefusedError([sentence])
    if len(rows) > 1 and not content.endswith((NEWLINE, b"\r")) and last[-1][-1:].isdigit():
        # For example, 582.26 truncated to 58 is still a number.
        sentence = (
            f"{source} may be truncated in its last number: no line break follows {last[-1][:40]!r}; get the "
            "complete file, or add a line break if it is complete"
        )
        raise DataRefusedError([sentence])
    return [line for line, _ in found[1:]]


def _text(content: bytes, source: str) -> str:
    for beginning, kind in OTHER_KINDS.items():
        if content.startswith(beginning):
            raise DataRefusedError([f"{source} {kind}"])
    if content.startswith(ZIP):
        kind = f"an Excel file; open it and {AS_CSV}" if WORKBOOK in content else "a ZIP archive; extract the CSV file"
        raise DataRefusedError([f"{source} is {kind}"])
    if (place := content.find(b"\0")) >= 0:
        line = content.count(NEWLINE, 0, place) + 1
        raise DataRefusedError([f"{source} is not a text file in UTF-8: line {line} contains a zero byte; {AS_CSV}"])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        body = error.object
        line = body.count(NEWLINE, 0, error.start) + 1
        sentence = f"{source} is not UTF-8: line {line} contains the byte 0x{body[error.start]:02x}; save it as UTF-8"
        raise DataRefusedError([sentence]) from error
    first = text.lstrip()[:1]
    if not first:
        raise DataRefusedError([f"{source} is empty; provide a CSV file whose first line names the columns"])
    if markup := {"<": "HTML or XML", "{": "JSON", "[": "JSON"}.get(first):
        raise DataRefusedError([f"{source} is {markup}, not CSV; {AS_CSV}"])
    return text


def _rows(text: str, source: str) -> list[Row]:
    reader = csv.reader(io.StringIO(text, newline=""))
    rows: list[Row] = []
    line = 1
    try:
        for row in reader:
            rows.append((line, row))
            line = reader.line_num + 1
    except csv.Error as error:
        sentence = f"{source} cannot be read as CSV: {reason_of(error)} in line {reader.line_num}; correct that line"
        raise DataRefusedError([sentence]) from error
    return rows


def _check_separator(text: str, header: Sequence[str], source: str, names: Sequence[str]) -> None:
    first = text.lstrip("\r\n").partition("\n")[0].rstrip("\r")
    for separator, name in OTHER_SEPARATORS.items():
        cells = [cell.strip().strip('"') for cell in first.split(separator)]
        if len(cells) > 1 and (len(header) == 1 or _n_known(cells, names) > _n_known(header, names)):
            sentence = (
                f"the columns of {source} are separated by {name}; write commas between the columns, and numbers with "
                "a decimal point"
            )
            raise DataRefusedError([sentence])


def _n_known(cells: Sequence[str], names: Sequence[str]) -> int:
    return sum(cell in names for cell in cells)
