"""Read a model's input rows from CSV files of spreadsheets and databases."""

import csv
import difflib
import io
import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from slipway_core.errors import ConfigurationError
from slipway_core.plurals import count_of

STANDARD_INPUT = Path("-")
DELIMITERS = (",", ";", "\t")
DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
BYTE_ORDER_MARKS_16 = (b"\xff\xfe", b"\xfe\xff")
# The largest number that rounds to a finite float32.
FLOAT32_LIMIT = math.nextafter(2.0**128 - 2.0**103, 0.0)
SHOWN_LINES = 5
SHOWN_TEXT = 40

Record = tuple[int, list[str]]


@dataclass(frozen=True)
class CsvRows:
    """The rows of a CSV file.

    Attributes:
        header: the file's column names; the model's features if the file has none.
        records: each row's cells, unchanged.
        features: each row's values, in the order of the model's features.
        skipped: the columns that the model does not use.
        delimiter: the separator of the cells.
        has_decimal_comma: whether any number has a decimal comma.
    """

    header: Sequence[str]
    records: Sequence[Sequence[str]]
    features: Sequence[Sequence[float]]
    skipped: Sequence[str]
    delimiter: str
    has_decimal_comma: bool


@dataclass
class _Problems:
    """The lines of each kind of problem, with the first value of that kind."""

    found: dict[str, tuple[str, list[int]]] = field(default_factory=dict)

    def add(self, kind: str, line: int, cell: str = "") -> None:
        self.found.setdefault(kind, (cell, []))[1].append(line)

    def sentence(self, name: str) -> str:
        texts = []
        for kind, (cell, lines) in self.found.items():
            shown = cell if len(cell) <= SHOWN_TEXT else f"{cell[:SHOWN_TEXT]}…"
            texts.append(f"{_lines(lines)}: {kind}" + (f", got {shown!r}" if cell.strip() else ""))
        if len(texts) == 1:
            return f"{name}, {texts[0]}"
        return "\n  ".join([f"{name} has {len(texts)} kinds of problems:", *texts])


def read_rows(path: Path, model: str, names: Sequence[str]) -> CsvRows:
    """Read a CSV file, or standard input for `-`.

    Args:
        path: the file.
        model: the model's name, for messages.
        names: the model's features, in order.

    Raises:
        ConfigurationError: the file cannot be read, or rows do not match the model; the message lists all such lines.
    """
    name = "standard input" if path == STANDARD_INPUT else str(path)
    text = _text(path, name)
    delimiter = max(DELIMITERS, key=lambda delimiter: _fit(text, delimiter, names))
    records = _records(text, delimiter, name)
    header = None
    if records and _is_header(records[0][1], delimiter, names):
        header = [cell.strip() for cell in records.pop(0)[1]]
    if not records:
        raise ConfigurationError(f"{name} contains no rows: write one row per line")
    columns = range(len(names)) if header is None else _columns(header, model, names, name)
    width = len(names) if header is None else len(header)
    features, has_decimal_comma = _features(records, dict(zip(names, columns, strict=True)), width, delimiter, name)
    return CsvRows(
        header=header or names,
        records=[cells for _, cells in records],
        features=features,
        skipped=[column for column in header or () if column not in set(names)],
        delimiter=delimiter,
        has_decimal_comma=has_decimal_comma,
    )


def _text(path: Path, name: str) -> str:
    try:
        content = _standard_input() if path == STANDARD_INPUT else path.read_bytes()
        return content.decode("utf-16" if content.startswith(BYTE_ORDER_MARKS_16) else "utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path} does not exist: check the path of --csv") from error
    except OSError as error:
        raise ConfigurationError(f"{name} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{name} cannot be read as CSV: it is not UTF-8 text; save it as CSV in UTF-8"
        ) from error


def _standard_input() -> bytes:
    buffer = getattr(sys.stdin, "buffer", None)
    return sys.stdin.read().encode() if buffer is None else buffer.read()


def _read(text: str, delimiter: str) -> Iterator[Record]:
    """Yield the records that are not blank, each with the number of its first line."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    for cells in reader:
        if any(cell.strip() for cell in cells) or len(cells) > 1:
            yield line, cells
        line = reader.line_num + 1


def _records(text: str, delimiter: str, name: str) -> list[Record]:
    records: list[Record] = []
    try:
        records.extend(_read(text, delimiter))
    except csv.Error as error:
        after = f" after line {records[-1][0]}" if records else ""
        raise ConfigurationError(f"{name} cannot be read as CSV{after}: {error}; check the quotes there") from error
    return records


def _fit(text: str, delimiter: str, names: Sequence[str]) -> int:
    """Return how many cells of the first record match the model if split at this delimiter."""
    try:
        _, cells = next(_read(text, delimiter))
    except (StopIteration, csv.Error):
        return 0
    named = len({cell.strip() for cell in cells} & set(names))
    numbers = sum(_number(cell, delimiter) is not None for cell in cells) if len(cells) == len(names) else 0
    return max(named, numbers)


def _is_header(cells: Sequence[str], delimiter: str, names: Sequence[str]) -> bool:
    """Return whether the first record is a header: all of the model's names, or text without numbers."""
    stripped = {cell.strip() for cell in cells}
    return stripped >= set(names) or (
        any(stripped) and not any(_is_float(cell) or _number(cell, delimiter) is not None for cell in stripped)
    )


def _columns(header: Sequence[str], model: str, names: Sequence[str], name: str) -> list[int]:
    """Return the column of each feature."""
    twice = [feature for feature in names if header.count(feature) > 1]
    if twice:
        raise ConfigurationError(f"the first line of {name} names {_list(twice)} more than once: remove a column")
    missing = [feature for feature in names if feature not in header]
    if missing:
        others = {column.lower(): column for column in header if column not in names}
        near = {feature: difflib.get_close_matches(feature.lower(), others, n=1) for feature in missing}
        hint = ", ".join(f"{others[match[0]]!r} to {feature!r}" for feature, match in near.items() if match)
        advice = f"rename {hint}" if hint else _separators(header) or "add or rename these columns"
        raise ConfigurationError(
            f"the first line of {name} does not name {_list(missing)}, which {model} needs; {advice}"
        )
    return [header.index(feature) for feature in names]


def _separators(header: Sequence[str]) -> str:
    return "separate columns by commas, semicolons or tabs" if len(header) == 1 else ""


def _features(
    records: Iterable[Record], columns: Mapping[str, int], width: int, delimiter: str, name: str
) -> tuple[list[list[float]], bool]:
    """Return each row's values, and whether any number has a decimal comma."""
    problems, found, has_decimal_comma = _Problems(), [], False
    for line, cells in records:
        if len(cells) != width:
            problems.add(f"{count_of(len(cells), 'value')} instead of {width}", line)
            continue
        row = []
        for feature, column in columns.items():
            value = _number(cells[column], delimiter)
            if value is None:
                problems.add(_why(feature, cells[column]), line, cells[column])
                continue
            row.append(value)
            has_decimal_comma = has_decimal_comma or "," in cells[column]
        found.append(row)
    if problems.found:
        raise ConfigurationError(problems.sentence(name))
    return found, has_decimal_comma


def _number(cell: str, delimiter: str) -> float | None:
    """Return the number in a cell; None if it has no number that the model accepts."""
    text = cell.strip()
    if delimiter != "," and DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    return float(text) if _is_float(text) and abs(float(text)) <= FLOAT32_LIMIT else None


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    # Python accepts underscores between digits; the API does not.
    return "_" not in text


def _why(feature: str, cell: str) -> str:
    """Return the problem of a cell, in the same words for all cells with that problem."""
    if not cell.strip():
        return f"{feature!r} is empty and must be a number"
    if _is_float(cell):
        is_spelled_out = cell.strip().lstrip("+-").lower() in {"nan", "inf", "infinity"}
        return f"{feature!r} must be finite" if is_spelled_out else f"{feature!r} is too large for a 32-bit float"
    if DECIMAL_COMMA.fullmatch(cell.strip()):
        return f"{feature!r} has a decimal comma; write a decimal point, or separate columns by semicolons"
    return f"{feature!r} must be a number"


def _lines(lines: Sequence[int]) -> str:
    if len(lines) == 1:
        return f"line {lines[0]}"
    shown = ", ".join(map(str, lines[:SHOWN_LINES]))
    more = len(lines) - SHOWN_LINES
    return f"lines {shown}" + (f" and {more} more" if more > 0 else "")


def _list(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)
