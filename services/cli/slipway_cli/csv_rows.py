"""Read a model's input rows from CSV files of spreadsheets and databases, and from one line of CSV."""

import csv
import difflib
import io
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from slipway_cli.cells import CellReader, Value
from slipway_core.columns import InputColumn
from slipway_core.csv_cells import number
from slipway_core.errors import ConfigurationError
from slipway_core.plurals import count_of

STANDARD_INPUT = Path("-")
DELIMITERS = (",", ";", "\t")
BYTE_ORDER_MARKS_16 = (b"\xff\xfe", b"\xfe\xff")
SHOWN_LINES = 5
SHOWN_TEXT = 40

Record = tuple[int, list[str]]


@dataclass(frozen=True)
class CsvRows:
    """The rows of a CSV file.

    Attributes:
        header: the file's column names; the model's features if the file has none.
        records: each row's cells, unchanged.
        features: each row's values, in the order of the model's features; None for a missing one.
        skipped: the columns that the model does not use.
        delimiter: the separator of the cells.
        has_decimal_comma: whether any number has a decimal comma.
    """

    header: Sequence[str]
    records: Sequence[Sequence[str]]
    features: Sequence[Sequence[Value]]
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
            texts.append(f"{_lines(lines)}: {kind}{_got(cell)}")
        if len(texts) == 1:
            return f"{name}, {texts[0]}"
        return "\n  ".join([f"{name} has {len(texts)} kinds of problems:", *texts])


def read_rows(path: Path, model: str, inputs: Sequence[InputColumn]) -> CsvRows:
    """Read a CSV file, or standard input for `-`.

    Args:
        path: the file.
        model: the model's name, for messages.
        inputs: the model's features, in order.

    Raises:
        ConfigurationError: the file cannot be read, or rows do not match the model; the message lists all such lines.
    """
    name = "standard input" if path == STANDARD_INPUT else str(path)
    text = _text(path, name)
    names, readers = [column.name for column in inputs], [CellReader(column) for column in inputs]
    delimiter = max(DELIMITERS, key=lambda delimiter: _fit(text, delimiter, readers))
    records = _records(text, delimiter, name)
    header = None
    if records and _is_header(records[0][1], delimiter, readers):
        header = [cell.strip() for cell in records.pop(0)[1]]
    if not records:
        raise ConfigurationError(f"{name} contains no rows: write one row per line")
    columns = range(len(names)) if header is None else _columns(header, model, names, name)
    width = len(names) if header is None else len(header)
    features, has_decimal_comma = _features(records, list(zip(readers, columns, strict=True)), width, delimiter, name)
    return CsvRows(
        header=header or names,
        records=[cells for _, cells in records],
        features=features,
        skipped=[column for column in header or () if column not in set(names)],
        delimiter=delimiter,
        has_decimal_comma=has_decimal_comma,
    )


def read_row(line: str, inputs: Sequence[InputColumn]) -> dict[str, Value]:
    """Read one row from a line of CSV, and return its values by feature.

    Args:
        line: the values in the model's order, separated by commas; spaces after a comma are ignored.
        inputs: the model's features, in order.

    Raises:
        ConfigurationError: the line does not match the model; the message has all problems.
    """
    cells = _cells_of_line(line)
    if len(cells) != len(inputs):
        names = ", ".join(column.name for column in inputs)
        raise ConfigurationError(
            f"--features: expected {count_of(len(inputs), 'feature')} ({names}), separated by commas; got {len(cells)}"
        )
    row: dict[str, Value] = {}
    problems = []
    for reader, cell in zip(map(CellReader, inputs), cells, strict=True):
        try:
            row[reader.name] = reader.read(cell, decimal_comma=False)
        except ValueError as error:
            problems.append(f"{reader.name!r} {error}{_got(cell)}")
    if problems:
        raise ConfigurationError(f"--features: {'; '.join(problems)}")
    return row


def read_untyped_row(line: str) -> list[Value]:
    """Read one row of an unknown model from a line of CSV: numbers and booleans by their form, all else as text.

    Args:
        line: the values in the model's order; an empty one is a missing value.

    Raises:
        ConfigurationError: it is not a line of CSV.
    """
    return [_untyped(cell) for cell in _cells_of_line(line)]


def _untyped(cell: str) -> Value:
    stripped = cell.strip()
    if not stripped:
        return None
    if stripped.lower() in {"true", "false"}:
        return stripped.lower() == "true"
    value = number(stripped)
    if isinstance(value, str) or not math.isfinite(value):
        return cell
    return int(stripped) if stripped.lstrip("+-").isdigit() else value


def _cells_of_line(line: str) -> list[str]:
    try:
        return next(csv.reader([line], skipinitialspace=True, strict=True), []) or [""]
    except csv.Error as error:
        raise ConfigurationError(f"--features is not a line of CSV: {error}; check its quotes") from error


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
        # `""` is a row with one missing value; pandas writes it.
        if any(cell.strip() for cell in cells) or len(cells) > 1 or cells == [""]:
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


def _fit(text: str, delimiter: str, readers: Sequence[CellReader]) -> int:
    """Return how many cells of the first record match the model if split at this delimiter."""
    try:
        _, cells = next(_read(text, delimiter))
    except (StopIteration, csv.Error):
        return 0
    named = len({cell.strip() for cell in cells} & {reader.name for reader in readers})
    return max(named, sum(_accepted(cells, delimiter, readers)))


def _accepted(cells: Sequence[str], delimiter: str, readers: Sequence[CellReader]) -> list[bool]:
    """Return whether the model takes each cell of a record without names; nothing for a record of another length."""
    if len(cells) != len(readers):
        return []
    pairs = zip(readers, cells, strict=True)
    return [reader.accepts(cell, decimal_comma=delimiter != ",") for reader, cell in pairs]


def _is_header(cells: Sequence[str], delimiter: str, readers: Sequence[CellReader]) -> bool:
    """Return whether the first record is a header.

    It is one if it has all of the model's names, or one of them that is not a number. Without a name, it is one if it
    is text where the model has only other types, so that a misspelt header is not reported as a row of invalid values.
    """
    stripped, names = {cell.strip() for cell in cells}, {reader.name for reader in readers}
    words = {cell for cell in stripped if isinstance(number(cell), str)}
    if stripped >= names or words & names:
        return True
    if len(cells) != len(readers):
        return any(stripped) and words == stripped
    accepted = _accepted(cells, delimiter, readers)
    others = [(cell, fits) for cell, fits, reader in zip(cells, accepted, readers, strict=True) if not reader.is_text]
    return any(cell.strip() for cell, _ in others) and not any(
        fits or cell.strip() not in words for cell, fits in others
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
        if hint and not all(near.values()):
            advice += ", and add or rename the others"
        raise ConfigurationError(
            f"the first line of {name} does not name {_list(missing)}, which {model} needs; {advice}"
        )
    return [header.index(feature) for feature in names]


def _separators(header: Sequence[str]) -> str:
    return "separate columns by commas, semicolons or tabs" if len(header) == 1 else ""


def _features(
    records: Iterable[Record], columns: Sequence[tuple[CellReader, int]], width: int, delimiter: str, name: str
) -> tuple[list[list[Value]], bool]:
    """Return each row's values, and whether any number has a decimal comma."""
    problems, found, has_decimal_comma = _Problems(), [], False
    for line, cells in records:
        if len(cells) != width:
            problems.add(f"{count_of(len(cells), 'value')} instead of {width}", line)
            continue
        row: list[Value] = []
        for reader, column in columns:
            cell = cells[column]
            try:
                row.append(reader.read(cell, decimal_comma=delimiter != ","))
            except ValueError as error:
                problems.add(f"{reader.name!r} {error}", line, cell)
                continue
            has_decimal_comma = has_decimal_comma or (reader.is_number and "," in cell)
        found.append(row)
    if problems.found:
        raise ConfigurationError(problems.sentence(name))
    return found, has_decimal_comma


def _got(cell: str) -> str:
    shown = cell if len(cell) <= SHOWN_TEXT else f"{cell[:SHOWN_TEXT]}…"
    return f", got {shown!r}" if cell.strip() else ""


def _lines(lines: Sequence[int]) -> str:
    if len(lines) == 1:
        return f"line {lines[0]}"
    shown = ", ".join(map(str, lines[:SHOWN_LINES]))
    more = len(lines) - SHOWN_LINES
    return f"lines {shown}" + (f" and {more} more" if more > 0 else "")


def _list(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)
