"""HTTP connections with limits on their number, on time, on bytes outside of bodies, and on pipelined requests."""

import asyncio
from http import HTTPStatus
from typing import ClassVar, Final

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from slipway_api.web.descriptors import max_connections

# Time limit for a connection to send the head of a request.
HEAD_SECONDS: Final = 10.0
# Limit of a request's bytes outside of its body: request line, header fields, trailers, framing of chunks.
MAX_OUTSIDE_BYTES: Final = 64 * 1024
# Limit of header fields and trailers per request. Each takes a hundred bytes of memory in addition to its text.
MAX_FIELDS: Final = 256
# Limit of requests per connection that have arrived and have no response yet.
MAX_PIPELINED: Final = 16
# The parser gets this many bytes at once, so that the limits are checked within a large read.
FEED_BYTES: Final = 16 * 1024
# Framing of chunks does not count, unless the chunks are tiny: up to a quarter of the body's bytes are ignored.
CHUNK_FRAMING_BYTES: Final = 12
CHUNK_FRAMING_SHARE: Final = 4
# How long a client may stop reading a waiting response.
WRITE_SECONDS: Final = 30.0
# After a rejection the connection stays open for this long, and this many bytes, so that the client can read why.
LINGER_SECONDS: Final = 1.0
LINGER_BYTES: Final = 256 * 1024
# RFC 4291, section 2.5.5.2.
MAPPED_PREFIX: Final = "::ffff:"


class Connection(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 connection with the limits above.

    uvicorn itself only closes connections that stay idle after a response.
    """

    head_seconds = HEAD_SECONDS
    write_seconds = WRITE_SECONDS
    # Connections that wait for a request, oldest first; new connections evict them.
    _idle: ClassVar[dict["Connection", None]] = {}
    _head_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _linger_timer: asyncio.TimerHandle | None = None
    _is_ending = False
    _outside_bytes = 0
    _body_bytes = 0
    _framing_bytes = 0
    _is_complete = False
    _refusal: tuple[int, str] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Make room for the connection, and start to wait for its first head."""
        super().connection_made(transport)
        if self.client is not None and self.client[0].startswith(MAPPED_PREFIX):
            # A listener on `::` reports IPv4 clients as IPv6 addresses. Proxies, limits and the log use plain IPv4.
            self.client = (self.client[0].removeprefix(MAPPED_PREFIX), self.client[1])
        if len(self.connections) > max_connections() and not self._evict_idle():
            # Close at once: a flood of connections must not exhaust the descriptors.
            self._is_ending = True
            self._respond(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections are open; try again in a moment")
            transport.close()
            return
        self._idle[self] = None
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Parse the received bytes within the limits."""
        if self._is_ending:
            self._discard(data)
            return
        self._unset_keepalive_if_required()
        if len(data) <= FEED_BYTES:
            self._feed(data)
        else:
            view = memoryview(data)
            for begin in range(0, len(data), FEED_BYTES):
                self._feed(view[begin : begin + FEED_BYTES])
                if self._is_ending:
                    return
        is_idle = self.cycle is None or self.cycle.response_complete
        if is_idle and self._head_timer is None and self.timeout_keep_alive_task is None and not self._is_ending:
            self._await_head()

    def on_headers_complete(self) -> None:
        """Start the request, or reject it if it has too many fields or too many pipelined requests precede it."""
        if len(self.headers) > MAX_FIELDS:
            self._reject(*_FIELDS_REFUSAL)
        if len(self.pipeline) >= MAX_PIPELINED - 1:
            self._reject(HTTPStatus.TOO_MANY_REQUESTS, f"more than {MAX_PIPELINED} requests are pipelined")
        self._stop_waiting()
        self._idle.pop(self, None)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Append a part of a body like uvicorn, but without its check for an upgrade."""
        self._body_bytes += len(body)
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_chunk_complete(self) -> None:
        """Record the framing of a chunk."""
        self._framing_bytes += CHUNK_FRAMING_BYTES

    def on_message_complete(self) -> None:
        """Complete a request's body."""
        self._is_complete = True
        self.cycle.more_body = False  # uvicorn does not reset it after a complete response
        self.cycle.message_event.set()

    def on_response_complete(self) -> None:
        """Wait for the next request, or start a pipelined one."""
        if not self.pipeline and self.parser is not None:  # the parser is None once the connection is lost
            self._idle[self] = None
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Reject bytes that are not HTTP."""
        self._refuse(HTTPStatus.BAD_REQUEST, msg)

    def pause_writing(self) -> None:
        """Start the timeout for the client to read."""
        super().pause_writing()
        self._await_reader(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Stop the timeout, because the client reads again."""
        self._stop_waiting_for_reader()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        self._idle.pop(self, None)
        self._stop_waiting()
        self._stop_waiting_for_reader()
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        super().connection_lost(exc)

    def _should_upgrade(self) -> bool:
        """Return False: other protocols are not supported, and a server may ignore the request (RFC 9110, 7.8)."""
        return False

    def _feed(self, data: bytes | memoryview) -> None:
        self._body_bytes = self._framing_bytes = 0
        self._is_complete = False
        rest = data
        while rest and not self._is_ending:
            try:
                self.parser.feed_data(rest)
                break
            except httptools.HttpParserUpgrade as wish:
                rest = rest[wish.args[0] :]
            except httptools.HttpParserError:
                status, reason = self._refusal or (HTTPStatus.BAD_REQUEST, "this is not a valid HTTP/1.1 request")
                self._refuse(status, reason)
                return
        if self._is_complete:
            self._outside_bytes = 0
            return
        framing = min(self._framing_bytes, self._body_bytes // CHUNK_FRAMING_SHARE)
        self._outside_bytes += max(0, len(data) - self._body_bytes - framing)
        if self._outside_bytes > MAX_OUTSIDE_BYTES or (self.headers is not None and len(self.headers) > MAX_FIELDS):
            self._refuse(*_FIELDS_REFUSAL)

    def _reject(self, status: int, reason: str) -> None:
        """Stop the parser with an exception, which it reports as its own error."""
        self._refusal = status, reason
        raise ValueError(reason)

    def _refuse(self, status: int, reason: str) -> None:
        """Close the connection, after a response if the client can attribute it to the rejected request."""
        self._is_ending = True
        self._idle.pop(self, None)
        self._stop_waiting()
        self._unset_keepalive_if_required()
        self.logger.debug("Rejected a request: %s", reason)
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if not cycle.more_body:
                self._end_after_responses()
                return
            # The application is already handling the rejected request: report a disconnected client to it.
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started or self.pipeline:
                self.transport.close()
                return
        elif cycle is not None and cycle.more_body:
            self._linger()  # the response was already sent
            return
        self._respond(status, reason)
        self._linger()

    def _end_after_responses(self) -> None:
        """Finish the requests before the rejected one, then close."""
        self.flow.pause_reading()
        self.flow.read_paused = False  # prevents uvicorn from resuming it
        self.cycle.keep_alive = False

    def _respond(self, status: int, reason: str) -> None:
        content = reason.encode()
        head = b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[status] + head % len(content) + content)

    def _linger(self) -> None:
        """Close the connection with a delay, because an immediate close with unread bytes would lose the response."""
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._idle[self] = None
        self._linger_timer = self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def _discard(self, data: bytes) -> None:
        self._outside_bytes += len(data)
        if self._outside_bytes > MAX_OUTSIDE_BYTES + LINGER_BYTES:
            self.transport.abort()

    def _evict_idle(self) -> bool:
        """Close the connection that has waited longest for a request; return whether there was one."""
        longest = next(iter(self._idle), None)
        if longest is None:
            return False
        del self._idle[longest]
        longest.transport.abort()
        return True

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_seconds, self.timeout_keep_alive_handler)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _await_reader(self, waiting_bytes: int) -> None:
        self._write_timer = self.loop.call_later(self.write_seconds, self._check_reader, waiting_bytes)

    def _check_reader(self, waiting_bytes: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left >= waiting_bytes:
            self.transport.abort()
        else:
            self._await_reader(left)

    def _stop_waiting_for_reader(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None


_FIELDS_REFUSAL: Final = (
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    f"the request has more than {MAX_OUTSIDE_BYTES} bytes or {MAX_FIELDS} fields outside its body; send fewer",
)
