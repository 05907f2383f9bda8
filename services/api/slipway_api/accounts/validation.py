"""Checks of the names that use cases receive."""

from slipway_api.errors import NotFoundError
from slipway_core.policy import NAME_PATTERN, RESERVED_NAMES


def lookup_name(name: str) -> str:
    """Return a name as stored. Raises NotFoundError for a text that cannot be the name of an account."""
    name = name.strip().lower()
    if name in RESERVED_NAMES:
        raise NotFoundError(f"no account is named {name}, which is a reserved name; GET /users lists all accounts")
    if not NAME_PATTERN.fullmatch(name):
        raise NotFoundError("no account has this name; GET /users lists all accounts")
    return name
