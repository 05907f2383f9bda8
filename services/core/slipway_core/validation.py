"""Describe pydantic's validation errors in plain words."""

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

SHOWN_CHARACTERS = 40
# Keys are prefixes of pydantic's error types.
_KINDS = {
    "int_": "must be an integer",
    "float_": "must be a number",
    "bool_": "must be true or false",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "tuple_type": "must be a tuple, such as (value,)",
    "list_type": "must be a list",
    "mapping_type": "must be a mapping by name",
    "dict_type": "must be a mapping by name",
    "callable_type": "must be a function",
    "literal_error": "must be one of {expected}",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be greater than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "too_short": "must have at least {min_length} {entries}",
    "finite_number": "must be a finite number",
    "is_instance_of": "must be a {class}",
    "model_type": "must be a {class_name}",
    "model_attributes_type": "must be a {class_name}",
    "missing": "is missing",
    "extra_forbidden": "is unknown",
}
_TYPES = frozenset({"constrained-str", "str", "int", "float", "bool"})
_PATTERNS = {
    r"^[a-z0-9][a-z0-9._-]*$": (
        "must begin with a lower-case letter or a digit, and hold only these, '.', '_' and '-', such as 'wine-quality'"
    ),
    r"^https?://": "must begin with http:// or https://",
}


def first_problem(error: ValidationError) -> tuple[str, str]:
    """Return the place of the first problem (keys and indices with dots; empty at the top) and its description."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    # Without the name of a type, which pydantic adds to the place of a value with several possible types.
    place = [str(part) for part in first["loc"] if part not in _TYPES and not str(part).startswith("tuple[")]
    return ".".join(place), first["msg"].removeprefix("Value error, ")


def words_of(problem: Mapping[str, Any]) -> str:
    """Describe one of pydantic's problems as a requirement on the value, such as `must be at least 2`.

    Args:
        problem: an entry of `ValidationError.errors()`; the invalid value is not repeated.
    """
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(context["pattern"], f"must match the regular expression {context['pattern']}")
    for beginning, words in _KINDS.items():
        if kind.startswith(beginning):
            plain = {key: _plain(value) for key, value in context.items()}
            return words.format(**plain, entries="entry" if context.get("min_length") == 1 else "entries")
    message: str = problem["msg"].removeprefix("Value error, ")
    return re.sub(r"^\w+ should\b", "must", message)


def _plain(limit: Any) -> Any:  # noqa: ANN401  # a number or text
    return int(limit) if isinstance(limit, float) and limit.is_integer() else limit


def given(problem: Mapping[str, Any]) -> str:
    """Return `, got VALUE` for a problem with one scalar value; an empty text for others."""
    value = problem.get("input")
    if problem["type"] in {"missing", "extra_forbidden", "value_error"} or not isinstance(value, str | int | float):
        return ""
    shown = repr(value)
    return f", got {shown if len(shown) <= SHOWN_CHARACTERS else shown[: SHOWN_CHARACTERS - 1] + '…'}"


def did_you_mean(name: str, known: Collection[str]) -> str:
    """Return a suggestion such as `; did you mean 'split'?`; an empty text if no known name is similar."""
    folded = {one.casefold(): one for one in known}
    near = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f"; did you mean {folded[near[0]]!r}?" if near else ""
