"""How commands print: tables for people, JSON for programs."""

import json
from typing import Any

from rich.console import Console
from rich.table import Table

UNCUT_WIDTH = 1_000


def console() -> Console:
    """Return a console on standard output; colours go where nobody sees them."""
    # What a registry or an API says may hold brackets, which are no markup.
    return Console(highlight=False, markup=False, emoji=False)


def print_table(table: Table | str) -> None:
    """Print a table, or a sentence in its place: fitted to a terminal, and elsewhere as wide as it is, nothing cut."""
    out = console()
    for column in table.columns if isinstance(table, Table) else ():
        column.overflow = "fold"  # a name that is cut cannot be copied
    if not out.is_terminal:
        out.width = max(out.width, UNCUT_WIDTH)
    out.print(table)


def print_json(value: Any) -> None:  # noqa: ANN401  # anything that JSON can say
    """Print a value as indented JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))
