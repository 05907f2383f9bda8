"""Paginate lists, with opaque cursors."""

import base64
from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import Query

from slipway_api.errors import InvalidInputError
from slipway_core.errors import Problem

Limit = Annotated[int, Query(ge=1, le=200, description="Maximum entries per page.")]
Cursor = Annotated[
    str | None, Query(max_length=200, description="`next_cursor` of the previous page; omit it for the first page.")
]

T = TypeVar("T")


def cursor_of(key: bytes) -> str:
    """Encode the key of a page's last entry as a cursor, which is safe in a URL."""
    return base64.urlsafe_b64encode(key).decode().rstrip("=")


def read_cursor(cursor: str | None, read_key: Callable[[bytes], T]) -> T | None:
    """Return what `read_key` returns for the key of a cursor; None without a cursor.

    Raises:
        InvalidInputError: the cursor is invalid, or `read_key` raises ValueError or OverflowError.
    """
    if cursor is None:
        return None
    try:
        return read_key(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, OverflowError) as error:
        message = "the cursor is invalid; send the unchanged `next_cursor` of the previous page"
        raise InvalidInputError([Problem(("query", "cursor"), message)]) from error
