"""What pydantic says of a value, in a few words."""

from pydantic import ValidationError


def first_problem(error: ValidationError) -> tuple[str, str]:
    """Return the place of the first thing that is wrong (keys and indices, dotted; empty at the top) and what it is."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    return ".".join(str(part) for part in first["loc"]), first["msg"].removeprefix("Value error, ")
