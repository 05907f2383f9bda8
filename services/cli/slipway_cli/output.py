"""How commands print: tables for people, JSON for programs."""

import json
from typing import Any

from rich.console import Console


def console() -> Console:
    """Return a console on standard output; colours go where nobody sees them."""
    return Console(highlight=False)


def print_json(value: Any) -> None:  # noqa: ANN401  # anything that JSON can say
    """Print a value as indented JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))
