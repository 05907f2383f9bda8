"""How commands print: tables for people, JSON for programs."""

import json
from typing import Any

from rich.console import Console


def console() -> Console:
    """Return a console on standard output; colours go where nobody sees them."""
    # What a registry or an API says may hold brackets, which are no markup.
    return Console(highlight=False, markup=False, emoji=False)


def print_json(value: Any) -> None:  # noqa: ANN401  # anything that JSON can say
    """Print a value as indented JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))
