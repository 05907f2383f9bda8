"""`slipway predict`: a client of the API."""

import json
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from slipway_cli.api_client import Served, api_client, api_error, read_signature
from slipway_cli.csv_rows import CsvRows, read_row, read_rows, read_untyped_row
from slipway_cli.errors import ApiError
from slipway_cli.identity import identify
from slipway_cli.output import echo, print_json, print_table
from slipway_cli.predictions_csv import answer_columns, check_output, write_predictions
from slipway_cli.settings import ClientSettings
from slipway_client import Client, PermissionDeniedError, SlipwayError, ValidationError
from slipway_client.values import Row
from slipway_core.manifest import label_text
from slipway_core.plurals import count_of
from slipway_core.printable import printable
from slipway_core.settings import load_settings

ROWS_A_REQUEST = 1_000


class Stage(StrEnum):
    """An alias whose version is served."""

    PRODUCTION = "production"
    STAGING = "staging"


CandidateName = Annotated[
    str | None, typer.Option(help="Predict with this candidate of the model; `slipway models list` lists them.")
]
StageName = Annotated[
    Stage | None, typer.Option(case_sensitive=False, help="Predict with the version that has this alias.")
]


def predict(
    model: Annotated[str, typer.Argument(help="The model's name, such as `iris`.")],
    features: Annotated[
        str | None,
        typer.Option(
            help='One row as a line of CSV, in the order of the model\'s features: "5.1,3.5,1.4,0.2". '
            'An empty entry is a missing value: "Biscoe,39.1,,male".'
        ),
    ] = None,
    json_row: Annotated[
        str | None, typer.Option(help='One row as JSON, by name: \'{"island": "Biscoe", "body_mass_g": null}\'.')
    ] = None,
    csv_file: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            help="A CSV file with any number of rows; `-` is standard input. If its first line names the columns, "
            "they may have any order, and columns that the model does not use are skipped.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="With --csv: write the input's columns and the predictions to this CSV file; `-` is standard output.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace the file of --output if it exists.")] = False,
    candidate: CandidateName = None,
    stage: StageName = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print JSON: the API's response; with --csv, a list with one response for each 1,000 rows."
        ),
    ] = False,  # a flag
) -> None:
    """Predict one row or a CSV file with the API. If any row of the file is invalid, no row is predicted.

    Example: `slipway predict iris --csv flowers.csv --output answers.csv`
    """
    if [features, json_row, csv_file].count(None) != 2:  # noqa: PLR2004  # all but one
        raise typer.BadParameter("pass one of --features, --json-row and --csv")
    if output is not None and (csv_file is None or as_json):
        raise typer.BadParameter("requires --csv, and cannot be combined with --json", param_hint="--output")
    served = _served(model, candidate, stage)
    row = {} if json_row is None else _json_row(json_row)
    if output is not None:
        check_output(output, force=force)
    identity = identify(load_settings(ClientSettings))
    with api_client(identity.url, identity.token) as client:
        if csv_file is not None:
            _predict_file(client, served, csv_file, output, as_json=as_json)
            return
        answers = _responses(client, served, [row]) if features is None else _predict_line(client, served, features)
    if as_json:
        print_json(answers[0])
    else:
        _print_table(served, answers)


def _served(model: str, candidate: str | None, stage: Stage | None) -> Served:
    if candidate is not None and stage is not None:
        raise typer.BadParameter("pass either --candidate or --stage, not both")
    if candidate == "":
        raise typer.BadParameter("must be the name of a candidate, not empty", param_hint="--candidate")
    return Served(model, candidate, "Staging" if stage == Stage.STAGING else None)


def _predict_line(client: Client, served: Served, line: str) -> list[Mapping[str, Any]]:
    """Predict one line of CSV. A key that may only predict cannot read the types of the features."""
    try:
        inputs, _ = read_signature(client, served)
    except PermissionDeniedError:
        try:
            return _responses(client, served, [read_untyped_row(line)])
        except ValidationError as error:
            raise ApiError(
                f"{api_error(error)}; without the action read, the key cannot read the types of the features: use "
                "--json-row, or a key with the actions predict and read",
                error.status,
            ) from error
    return _responses(client, served, [read_row(line, inputs)])


def _predict_file(client: Client, served: Served, file: Path, output: Path | None, *, as_json: bool) -> None:
    try:
        inputs, classes = read_signature(client, served)
    except PermissionDeniedError as error:
        raise ApiError(f"--csv needs the features of {served.model}: {api_error(error)}", error.status) from error
    rows = read_rows(file, str(served), inputs)
    added = answer_columns(rows, classes) if output is not None else []
    if rows.skipped:
        _note(f"skipped columns that {served} does not use: {', '.join(rows.skipped)}")
    answers = _answers(client, served, [column.name for column in inputs], rows)
    if as_json:
        print_json(answers)
    elif output is None:
        _print_table(served, answers)
    elif (text := write_predictions(output, rows, added, answers)) is not None:
        # Keep data for other programs unchanged; escape control characters on a terminal.
        sys.stdout.write(printable(text) if sys.stdout.isatty() else text)
    else:
        count = count_of(len(rows.records), "row")
        echo(f"Wrote {count} with predictions of {served}, {_versions(answers)}, to {output}.")


def _answers(client: Client, served: Served, names: Sequence[str], rows: CsvRows) -> list[Mapping[str, Any]]:
    """Predict in requests of at most ROWS_A_REQUEST rows.

    Raises:
        ApiError: a request fails; the message names its rows.
    """
    answers: list[Mapping[str, Any]] = []
    for start in range(0, len(rows.features), ROWS_A_REQUEST):
        # By name: a version promoted meanwhile may expect the features in another order.
        part = [dict(zip(names, row, strict=True)) for row in rows.features[start : start + ROWS_A_REQUEST]]
        try:
            answers += _responses(client, served, part)
        except SlipwayError as error:
            rows_of_part = f"rows {start + 1} to {start + len(part)}"
            raise ApiError(f"{rows_of_part}: {api_error(error)}; no predictions were written") from error
    if len({answer["version"] for answer in answers}) > 1:
        _note(f"another version of {served} was loaded meanwhile: the predictions come from {_versions(answers)}")
    return answers


def _responses(client: Client, served: Served, rows: Sequence[Row]) -> list[Mapping[str, Any]]:
    result = client.predict(rows, served.model, candidate=served.candidate, stage=served.stage)
    return [batch.response for batch in result.batches]


def _versions(answers: Sequence[Mapping[str, Any]]) -> str:
    found = list(dict.fromkeys(answer["version"] for answer in answers))
    return f"version{'s'[: len(found) != 1]} {' and '.join(map(str, found))}"


def _note(sentence: str) -> None:
    echo(f"Note: {sentence}", err=True)


def _print_table(served: Served, answers: Sequence[Mapping[str, Any]]) -> None:
    table = Table("row", "prediction", "probability", title=f"{served}, {_versions(answers)}")
    for number, (prediction, probability) in enumerate(_lines(answers), start=1):
        table.add_row(str(number), prediction, probability)
    print_table(table)


def _lines(answers: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    for answer in answers:
        predictions = answer["prediction"]
        scores = answer.get("probabilities") or [None] * len(predictions)
        labels = answer.get("label")  # text; earlier APIs return the type of the classes
        shown = [f"{value:g}" for value in predictions] if labels is None else [label_text(label) for label in labels]
        # Not the largest one: a threshold may select another class.
        found = [f"{row[index]:.3f}" if row else "–" for row, index in zip(scores, predictions, strict=True)]
        lines += zip(shown, found, strict=True)
    return lines


def _json_row(text: str) -> dict[str, Any]:
    try:
        row = json.loads(text, parse_constant=_reject_constant)
        json.dumps(row, ensure_ascii=False, allow_nan=False).encode()  # as the client does
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"{text!r} is not JSON: {error}", param_hint="--json-row") from error
    if not isinstance(row, dict):
        message = f'{text!r} is not a JSON object; write it as {{"island": "Biscoe", "body_mass_g": null}}'
        raise typer.BadParameter(message, param_hint="--json-row")
    return row


def _reject_constant(name: str) -> None:
    raise ValueError(f"it has no {name}; write null for a missing value")
