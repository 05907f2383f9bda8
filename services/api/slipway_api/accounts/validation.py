"""Checks of the names and passwords that use cases receive."""

from slipway_api.accounts.passwords import Passwords
from slipway_api.errors import InvalidInputError, NotFoundError
from slipway_core.errors import Problem
from slipway_core.policy import NAME_PATTERN, RESERVED_NAMES


async def require_safe_password(passwords: Passwords, field: str, password: str, name: str) -> None:
    """Raise InvalidInputError, with the name of the input field, for an unsafe password of an account."""
    if why := await passwords.why_unsafe(password, name):
        raise InvalidInputError([Problem((field,), f"the password {why}")])


def lookup_name(name: str) -> str:
    """Return a name as stored. Raises NotFoundError for a text that cannot be the name of an account."""
    name = name.strip().lower()
    if name in RESERVED_NAMES:
        raise NotFoundError(f"no account is named {name}, which is a reserved name; GET /users lists all accounts")
    if not NAME_PATTERN.fullmatch(name):
        raise NotFoundError("no account has this name; GET /users lists all accounts")
    return name
