"""Write predictions as CSV: the input's columns, then the predictions."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from slipway_cli.csv_rows import CsvRows
from slipway_core.atomic_file import atomic_file
from slipway_core.errors import ConfigurationError
from slipway_core.manifest import Label, label_text

STANDARD_OUTPUT = Path("-")
# Spreadsheets run such a cell as a formula. Class names come from the model and cannot be trusted.
_NUMBER = re.compile(r"[+-][0-9.]+")
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def check_output(path: Path, *, force: bool) -> None:
    """Check that the output file can be written, before any row is predicted.

    Raises:
        ConfigurationError: the file exists, or its folder does not.
    """
    if path == STANDARD_OUTPUT:
        return
    if path.is_dir():
        raise ConfigurationError(f"{path} is a folder: name a file in it with --output")
    if path.exists() and not force:
        raise ConfigurationError(f"{path} exists: name another file with --output, or replace it with --force")
    if not path.parent.is_dir():
        raise ConfigurationError(f"the folder {path.parent} does not exist: create it, or name another with --output")


def answer_columns(rows: CsvRows, classes: Sequence[Label] | None) -> list[str]:
    """Return the names of the added columns.

    Raises:
        ConfigurationError: the input already has such a column.
    """
    added = ["prediction"]
    if classes:
        added += ["label", *(f"probability_{label_text(name)}" for name in classes)]
    if taken := [name for name in added if name in rows.header]:
        raise ConfigurationError(
            f"the input already has a column {taken[0]!r}, which --output adds: rename or remove that column"
        )
    return added


def write_predictions(
    path: Path, rows: CsvRows, added: Sequence[str], answers: Sequence[Mapping[str, Any]]
) -> str | None:
    """Write the rows of the input with their predictions, in the same order and with the same separators.

    Returns:
        The text if the path is `-`. A file is written completely or not at all.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=rows.delimiter, lineterminator="\n")
    writer.writerow([*rows.header, *added])
    for cells, answer in zip(rows.records, _cells(answers, len(added)), strict=True):
        decimals = [_with_comma(cell) if rows.has_decimal_comma else cell for cell in answer]
        writer.writerow([*cells, *decimals])
    if path == STANDARD_OUTPUT:
        return text.getvalue()
    try:
        with atomic_file(path) as out:
            out.write(text.getvalue().encode())
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error
    return None


def _cells(answers: Sequence[Mapping[str, Any]], width: int) -> Iterator[list[object]]:
    """Yield the added cells of each row; a missing one is empty."""
    for answer in answers:
        predictions = answer["prediction"]
        labels = answer.get("label") or [None] * len(predictions)
        scores = answer.get("probabilities") or [[]] * len(predictions)
        for prediction, label, row in zip(predictions, labels, scores, strict=True):
            # Text; earlier APIs return the type of the classes.
            shown = None if label is None else without_formula(label_text(label))
            cells = [prediction, shown, *row][:width]
            yield [*cells, *[None] * (width - len(cells))]


def without_formula(text: str) -> str:
    """Return a name prefixed with `'` if a spreadsheet would run it as a formula. Numbers such as -1 stay."""
    is_formula = text.startswith(_FORMULAS) and not _NUMBER.fullmatch(text)
    return f"'{text}" if is_formula else text


def _with_comma(value: object) -> object:
    return str(value).replace(".", ",") if isinstance(value, float) else value
