"""`slipway doctor`: find problems and report how to fix them."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from slipway_cli.output import console, print_json
from slipway_core.plurals import count_of
from slipway_core.terminal import SafeConsole

if TYPE_CHECKING:
    from slipway_cli.doctor.findings import Finding, Status
    from slipway_cli.doctor.runner import AreaReport

MARKS: "dict[Status, tuple[str, str]]" = {
    "ok": ("✓ ok", "green"),
    "warning": ("! warning", "yellow"),
    "broken": ("✗ broken", "bold red"),
}
STATUS_WIDTH = 9
# The longest name of a checked setting has 22 letters.
CHECK_WIDTH = 22
INDENT = "  "


def doctor(
    home: Annotated[
        Path | None, typer.Option(help="The folder of `slipway up` to check. Defaults to ~/.slipway.")
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="The address that the API listens on. Defaults to 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="The port that the API listens on. Defaults to 8000.", min=1, max=65535)
    ] = None,
    mlflow_port: Annotated[
        int | None, typer.Option(help="The port that MLflow listens on. Defaults to 5000.", min=1, max=65535)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check this machine, its settings and its servers, and report how to fix each problem.

    Checks the MLflow server of MLFLOW_TRACKING_URI. If this is not set: that of `slipway up` if it runs, otherwise that
    of the compose stack. Writes one small file to the artifact store and deletes it; changes nothing else. Exits with 1
    if a check finds something broken. Example: `slipway doctor`
    """
    # Imported here, as these modules would slow down every other command.
    from slipway_cli.doctor.context import read_context  # noqa: PLC0415
    from slipway_cli.doctor.runner import run_checks  # noqa: PLC0415

    given = {"home": home, "host": host, "port": port, "mlflow_port": mlflow_port}
    context = read_context({name: value for name, value in given.items() if value is not None})
    # Progress goes to the terminal only, never into the output.
    with SafeConsole(stderr=True).status("Checking …") as status:
        reports = run_checks(context, lambda names: status.update(f"Checking: {', '.join(names).lower()} …"))
    statuses = [finding.status for report in reports for finding in report.findings]
    if as_json:
        findings = [{"area": report.name, **asdict(finding)} for report in reports for finding in report.findings]
        print_json({"status": _worst(statuses), "findings": findings})
    else:
        _print(reports, statuses)
    if "broken" in statuses:
        raise typer.Exit(1)


def _worst(statuses: "Sequence[Status]") -> "Status":
    return "broken" if "broken" in statuses else "warning" if "warning" in statuses else "ok"


def _print(reports: "Sequence[AreaReport]", statuses: "Sequence[Status]") -> None:
    out = console()
    for report in reports:
        if report.findings:
            out.print(Text(report.name, style="bold"))
        for finding in report.findings:
            _print_finding(out, finding)
    found = [(statuses.count("broken"), "problem"), (statuses.count("warning"), "warning")]
    counts = " and ".join(count_of(number, noun) for number, noun in found if number)
    total = f"Found {counts}; each → shows what to do." if counts else "Found no problems."
    out.print(Text(f"\n{total}", style="bold"))


def _print_finding(out: Console, finding: "Finding") -> None:
    mark, style = MARKS[finding.status]
    row = Table.grid(padding=(0, 1))
    row.add_column(width=len(INDENT) - 1)
    row.add_column(width=STATUS_WIDTH)
    # Columns of a fixed width align although each finding is a table of its own.
    row.add_column(width=CHECK_WIDTH, overflow="fold")
    row.add_column(overflow="fold")
    row.add_row("", Text(mark, style=style), finding.check, finding.what)
    out.print(row)
    if finding.mend:
        # One line at any terminal width, so that a command can be copied whole.
        out.print(Text(f"{INDENT}{' ' * STATUS_WIDTH} → {finding.mend}", style="cyan"), soft_wrap=True)
