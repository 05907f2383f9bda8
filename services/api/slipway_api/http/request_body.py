"""Bodies and their limit: over it, a body is refused unread by its declared length, else as soon as it is seen."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slipway_api.errors import NotReadyError, TooLargeError
from slipway_api.http.content_types import check_encoding
from slipway_api.http.slow_bodies import Arrival, Arrivals

# Forms and accounts are small, and some of them are read of callers whom nobody knows yet.
SMALL_BODY_BYTES: Final = 64 * 1024
LARGE_BODY_BYTES: Final = 64 * 1024
# More digits than any limit has.
MAX_LENGTH_DIGITS: Final = 19
# In the state of a request's scope: its time was over while its body was awaited.
BODY_IS_LATE: Final = "body_is_late"


class BodyLimit:
    """Holds the limits for everything behind it, which takes small bodies only: it answers all but predictions."""

    def __init__(self, app: ASGIApp, max_bytes: int, is_known: Callable[[Scope], bool] = lambda _scope: False) -> None:
        """Wrap an app.

        Args:
            app: what is behind the limits.
            max_bytes: the setting for predictions; other bodies take less.
            is_known: returns whether a request comes from a known caller, whose body may wait at a place of its own.
        """
        self._app = app
        self._max_bytes = min(max_bytes, SMALL_BODY_BYTES)
        self._arrivals = Arrivals(is_known)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = header(scope, b"content-length")
        arrival: Arrival | None = None
        received = 0

        async def receive_limited() -> Message:
            nonlocal arrival, received
            # Not before the router has found who takes the body: the metrics are labelled by that.
            check_declared_length(declared, self._max_bytes)
            check_encoding(header(scope, b"content-encoding"))
            arrival = arrival or Arrival(scope)
            try:
                part = await self._arrivals.next_part(arrival, scope, receive)
            except asyncio.CancelledError:
                scope["state"][BODY_IS_LATE] = True
                raise
            received += len(part.get("body", b""))
            if received > self._max_bytes:
                raise _too_large(self._max_bytes)
            return part

        await self._app(scope, receive_limited, send)


class LargeBodies:
    """Counts the memory of large bodies, so that they cannot take all there is."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held_bytes = 0

    @contextmanager
    def holding(self) -> Iterator[Callable[[int], None]]:
        """Yield a function that takes so many bytes more; all are given back after the block.

        It raises NotReadyError if they would be too many.
        """
        taken = 0

        def take(more: int) -> None:
            nonlocal taken
            if self._held_bytes + more > self._max_bytes:
                raise NotReadyError("too many large requests are under way; try again in a moment", 1)
            self._held_bytes += more
            taken += more

        try:
            yield take
        finally:
            self._held_bytes -= taken


async def read_body(scope: Scope, receive: Receive, max_bytes: int, take: Callable[[int], None] | None = None) -> bytes:
    """Read a whole body.

    Args:
        scope: the request's ASGI scope.
        receive: the request's messages.
        max_bytes: its limit.
        take: is told of each part that came, and may refuse it.

    Raises:
        TooLargeError: it is over the limit.
        ClientDisconnect: the client went away before its end.
    """
    check_declared_length(header(scope, b"content-length"), max_bytes)
    parts: list[bytes] = []
    size = 0
    while True:
        try:
            message = await receive()
        except asyncio.CancelledError:
            scope["state"][BODY_IS_LATE] = True
            raise
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part: bytes = message.get("body", b"")
        if not parts and not message.get("more_body", False):
            size = len(part)
        else:
            parts.append(part)
            size += len(part)
        if size > max_bytes:
            raise _too_large(max_bytes)
        if take is not None:
            take(len(part))
        if not message.get("more_body", False):
            return b"".join(parts) if parts else part


def expected_bytes(scope: Scope, max_bytes: int) -> int:
    """Return how large a body will be: what its head declares, or the limit where it declares nothing."""
    declared = _declared_bytes(header(scope, b"content-length"))
    return max_bytes if declared is None else declared


def check_declared_length(declared: bytes, max_bytes: int) -> None:
    """Raise TooLargeError if a `Content-Length` is over a limit."""
    size = _declared_bytes(declared)
    if size is not None and size > max_bytes:
        raise _too_large(max_bytes)


def _declared_bytes(declared: bytes) -> int | None:
    """Return the number of a `Content-Length`; None without one. It may have any number of digits, unlike `int`."""
    return int(declared.lstrip(b"0")[:MAX_LENGTH_DIGITS] or b"0") if declared.isdigit() else None


def header(scope: Scope, name: bytes) -> bytes:
    """Return a header's first value; empty if there is none.

    Args:
        scope: the request's ASGI scope.
        name: in lower case.
    """
    for key, value in scope["headers"]:
        if key == name:
            found: bytes = value
            return found
    return b""


def _too_large(max_bytes: int) -> TooLargeError:
    return TooLargeError(f"the body is over the limit of {max_bytes} bytes; send it in parts")
