"""Pages of a list: how long they are, and the opaque cursor that the next one begins after."""

import base64
import binascii
from typing import Annotated

from fastapi import Query

from slipway_api.errors import InvalidInputError
from slipway_core.errors import Problem

Limit = Annotated[int, Query(ge=1, le=200, description="The most entries of a page.")]
Cursor = Annotated[
    str | None, Query(max_length=200, description="`next_cursor` of the page before; the first page has none.")
]


def cursor_of(key: str) -> str:
    """Return the cursor of an entry with a key."""
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def key_of(cursor: str) -> str:
    """Return the key of the entry that a cursor stands for.

    Raises:
        InvalidInputError: it is no cursor.
    """
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise bad_cursor() from error


def bad_cursor() -> InvalidInputError:
    """Return the error for what is no cursor of this list."""
    return InvalidInputError(
        [Problem(("query", "cursor"), "the cursor is not one of this list; send `next_cursor` as it was answered")]
    )
