"""Print tables for people and JSON for programs."""

import json
from typing import Any

import typer
from rich.table import Table

from slipway_core.printable import escape_json, printable
from slipway_core.terminal import SafeConsole

UNCUT_WIDTH = 1_000


def console() -> SafeConsole:
    """Return a console on standard output that removes escape sequences and markup from text."""
    return SafeConsole()


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print a text without escape sequences."""
    typer.echo(printable(text), err=err, nl=nl)


def print_table(table: Table | str) -> None:
    """Print a table or a sentence: fitted to a terminal, uncut elsewhere."""
    out = console()
    for column in table.columns if isinstance(table, Table) else ():
        column.overflow = "fold"  # a truncated name cannot be copied
    if not out.is_terminal:
        out.width = max(out.width, UNCUT_WIDTH)
    out.print(table)


def print_json(value: Any) -> None:  # noqa: ANN401  # any JSON value
    """Print a value as indented JSON."""
    print(escape_json(json.dumps(value, indent=2, ensure_ascii=False, default=str)))
