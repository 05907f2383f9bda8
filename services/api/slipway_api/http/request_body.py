"""Limit request bodies by their declared length, and by the size of their content as it is received and inflated."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slipway_api.errors import NotReadyError, TooLargeError
from slipway_api.http.content_codings import InflatedBody, coding_of
from slipway_api.http.slow_bodies import Arrival, Arrivals

# The limit of all requests except predictions: enough for forms and accounts. Some of these bodies are read before the
# caller is authenticated.
SMALL_BODY_BYTES: Final = 64 * 1024
# All bodies of predictions above this size share a limit of memory.
LARGE_BODY_BYTES: Final = 64 * 1024
# More digits than any limit has.
MAX_LENGTH_DIGITS: Final = 19
# Key in the request's scope: the deadline passed while the body was awaited.
BODY_IS_LATE: Final = "body_is_late"


class BodyLimit:
    """Limit the bodies of all routes except predictions, which apply their own limit."""

    def __init__(self, app: ASGIApp, max_bytes: int, is_known: Callable[[Scope], bool] = lambda _scope: False) -> None:
        """Wrap an app.

        Args:
            app: the wrapped app.
            max_bytes: the limit for predictions; other bodies have a lower one.
            is_known: returns whether a request has a valid token, so that its body may use a reserved place.
        """
        self._app = app
        self._max_bytes = min(max_bytes, SMALL_BODY_BYTES)
        self._arrivals = Arrivals(is_known)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        arrival: Arrival | None = None
        next_part: Receive | None = None
        received = 0

        async def receive_arriving() -> Message:
            nonlocal arrival
            arrival = arrival or Arrival(scope)
            try:
                return await self._arrivals.next_part(arrival, scope, receive)
            except asyncio.CancelledError:
                scope["state"][BODY_IS_LATE] = True
                raise

        async def receive_limited() -> Message:
            nonlocal next_part, received
            # Only now, when the router has matched: the metrics are labelled with the route.
            expected_bytes(scope, self._max_bytes)
            if next_part is None:
                coding, next_part = coding_of(scope), receive_arriving
                if coding is not None:
                    next_part = InflatedBody(coding, receive_arriving, self._max_bytes, in_thread=False).receive
            part = await next_part()
            received += len(part.get("body", b""))
            if received > self._max_bytes:
                raise _too_large(self._max_bytes)
            return part

        await self._app(scope, receive_limited, send)


class LargeBodies:
    """Limit the total memory of large bodies."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held_bytes = 0

    @contextmanager
    def holding(self) -> Iterator[Callable[[int], None]]:
        """Yield a function that reserves bytes; leaving the block releases them.

        The function raises NotReadyError if the total would exceed the limit.
        """
        taken = 0

        def take(more: int) -> None:
            nonlocal taken
            if self._held_bytes + more > self._max_bytes:
                raise NotReadyError("too many large requests are in progress; try again in a moment", 1)
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
        receive: receives the request's messages.
        max_bytes: the size limit.
        take: called with the size of each received part; raises an error to reject the body.

    Raises:
        TooLargeError: the body exceeds the limit.
        ClientDisconnect: the client disconnected.
    """
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
    """Return the expected size of a body: the declared length, or the limit if none is declared.

    Raises:
        TooLargeError: the declared length exceeds the limit.
    """
    declared = header(scope, b"content-length")
    if not declared.isdigit():
        return max_bytes
    # It may have any number of digits, unlike the text of an `int`.
    size = int(declared.lstrip(b"0")[:MAX_LENGTH_DIGITS] or b"0")
    if size > max_bytes:
        raise _too_large(max_bytes)
    return size


def header(scope: Scope, name: bytes) -> bytes:
    """Return a header's first value; empty if missing.

    Args:
        scope: the request's ASGI scope.
        name: the header's name in lower case.
    """
    for key, value in scope["headers"]:
        if key == name:
            found: bytes = value
            return found
    return b""


def _too_large(max_bytes: int) -> TooLargeError:
    return TooLargeError(f"the body exceeds the limit of {max_bytes} bytes; split it into several requests")
