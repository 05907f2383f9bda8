"""`slipway predict`: a client of the API."""

import csv
import math
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from slipway_cli.client import ApiClient
from slipway_cli.identity import identify
from slipway_cli.output import print_json, print_table
from slipway_cli.settings import ClientSettings
from slipway_core.errors import ConfigurationError
from slipway_core.settings import load_settings

ROWS_A_REQUEST = 1_000


def predict(
    model: Annotated[str, typer.Argument(help="The model's name, such as `iris`.")],
    features: Annotated[str | None, typer.Option(help='One row, in the signature\'s order: "5.1,3.5,1.4,0.2".')] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Many rows; a first line of names may come in any order.")
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print JSON: the API's answer; of --csv a list of them, one for each 1,000 rows."),
    ] = False,  # a flag
) -> None:
    """Predict over the API, for one row or a CSV file.

    Example: `slipway predict iris --features "5.1,3.5,1.4,0.2"`
    """
    if (features is None) == (csv_file is None):
        raise typer.BadParameter("give either --features or --csv")
    rows = [_row(features)] if features is not None else _rows(csv_file or Path())
    answers = []
    with ApiClient.of(identify(load_settings(ClientSettings))) as client:
        remaining = iter(rows)
        while part := list(islice(remaining, ROWS_A_REQUEST)):
            answers.append(client.predict(model, part))
    if as_json:
        print_json(answers if csv_file is not None else answers[0])
        return
    version = answers[0]["version"]
    table = Table("row", "prediction", "probability", title=f"{model}, version {version}")
    for number, (prediction, probability) in enumerate(_lines(answers), start=1):
        table.add_row(str(number), prediction, probability)
    print_table(table)


def _lines(answers: list[dict[str, Any]]) -> list[tuple[str, str]]:
    lines = []
    for answer in answers:
        scores = answer.get("probabilities") or [None] * len(answer["prediction"])
        shown = answer.get("label") or [f"{value:g}" for value in answer["prediction"]]
        lines += [(text, f"{max(row):.3f}" if row else "–") for text, row in zip(shown, scores, strict=True)]
    return lines


def _row(text: str) -> list[float]:
    cells = text.split(",")
    if not all(_is_number(cell) for cell in cells):
        message = f'{text!r} is not a row of numbers; write them as "5.1,3.5,1.4,0.2"'
        raise typer.BadParameter(message, param_hint="--features")
    return [float(cell) for cell in cells]


def _rows(path: Path) -> list[Any]:
    """Read a CSV file as lists, or as objects if its first line has text and no number, as the API takes CSV."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            table = [(number, row) for number, row in enumerate(csv.reader(lines), start=1) if row]
    except FileNotFoundError as error:
        raise ConfigurationError(f"there is no file {path}") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"{path} cannot be read as CSV") from error
    names = None
    if table and any(cell.strip() for cell in table[0][1]) and not any(_is_float(cell) for cell in table[0][1]):
        names = [name.strip() for name in table.pop(0)[1]]
    if not table:
        raise ConfigurationError(f"{path} holds no rows")
    rows: list[Any] = []
    for number, row in table:
        if names is not None and len(row) != len(names):
            raise ConfigurationError(f"line {number} of {path} has {len(row)} values, the first line {len(names)}")
        bad = [cell for cell in row if not _is_number(cell)]
        if bad and not bad[0].strip():
            raise ConfigurationError(f"line {number} of {path} has an empty cell, and each must be a number")
        if bad:
            raise ConfigurationError(f"line {number} of {path} holds {bad[0]!r}, which is not a number")
        values = [float(cell) for cell in row]
        rows.append(values if names is None else dict(zip(names, values, strict=True)))
    return rows


def _is_number(text: str) -> bool:
    return _is_float(text) and math.isfinite(float(text))


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    # Python would take underscores between digits, which the API does not.
    return "_" not in text
