"""Paginate lists, with opaque cursors."""

import base64
import binascii
from typing import Annotated

from fastapi import Query

from slipway_api.errors import InvalidInputError
from slipway_core.errors import Problem

Limit = Annotated[int, Query(ge=1, le=200, description="Maximum entries per page.")]
Cursor = Annotated[
    str | None, Query(max_length=200, description="`next_cursor` of the previous page; omit it for the first page.")
]


def cursor_of(key: str) -> str:
    """Encode the key of an entry as a cursor."""
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def key_of(cursor: str) -> str:
    """Decode a cursor to the key of its entry.

    Raises:
        InvalidInputError: the cursor is invalid.
    """
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise bad_cursor() from error


def bad_cursor() -> InvalidInputError:
    """Return the error for an invalid cursor."""
    return InvalidInputError(
        [Problem(("query", "cursor"), "the cursor is invalid; send the unchanged `next_cursor` of the previous page")]
    )
