"""Inflate compressed request bodies (RFC 9110, section 8.4) in chunks, so that no body inflates beyond its limit."""

import asyncio
import sys
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

from starlette.types import Message, Receive, Scope

from slipway_api.errors import InvalidInputError, TooLargeError, UnsupportedEncodingError
from slipway_core.errors import Problem

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ACCEPTED: Final = "gzip, zstd"
# The event loop inflates the first chunk of a body, which takes about 0.1 ms: a switch to the thread takes as long.
FIRST_CHUNK_BYTES: Final = 64 * 1024
CHUNK_BYTES: Final = 256 * 1024
# A decoder copies the rest of its input for each chunk.
FEED_BYTES: Final = 64 * 1024
# Members of gzip, or frames of zstd. Each costs time even without content.
MAX_STREAMS: Final = 100
# zlib's code for the gzip format with the largest window.
GZIP_FORMAT: Final = 16 + zlib.MAX_WBITS
# RFC 9659: a window of up to 8 MiB.
MAX_WINDOW_LOG: Final = 23
# Incompressible content grows by less than this share, plus a constant.
GROWTH_SHARE: Final = 64
GROWTH_BYTES: Final = 1024

# Never waits for a model, as the pool of the models may.
_thread = ThreadPoolExecutor(1, thread_name_prefix="inflate")


def coding_of(scope: Scope) -> str | None:
    """Return the content coding of a request's body; None if it is not compressed.

    Raises:
        UnsupportedEncodingError: the coding is unknown, or there are several.
    """
    values = [value for name, value in scope["headers"] if name == b"content-encoding"]
    if not values:
        return None
    codings = [coding.strip().lower() for coding in b",".join(values).split(b",")]
    codings = [coding for coding in codings if coding not in {b"", b"identity"}]
    if not codings:
        return None
    if len(codings) > 1 or codings[0] not in _NAMES:
        raise UnsupportedEncodingError("send the body with one coding, gzip or zstd, or without Content-Encoding")
    return _NAMES[codings[0]]


def max_compressed_bytes(max_bytes: int) -> int:
    """Return the size limit of a compressed body whose content may have `max_bytes`."""
    return max_bytes + max_bytes // GROWTH_SHARE + GROWTH_BYTES


class InflatedBody:
    """The messages of a request with a compressed body (ASGI), with the content in place of the compressed bytes."""

    def __init__(self, coding: str, receive: Receive, max_bytes: int, *, in_thread: bool) -> None:
        """Receive nothing yet.

        Args:
            coding: the content coding.
            receive: receives the request's messages.
            max_bytes: the size limit of the content, which the caller enforces; limits the compressed bytes here.
            in_thread: whether to inflate in a thread after the first chunk.
        """
        self._receive = receive
        self._inflater = Inflater(coding)
        self._max_bytes = max_bytes
        self._in_thread = in_thread
        self._is_begun = False
        self._received = 0
        self._is_complete = False

    async def receive(self) -> Message:
        """Return the next message, with at most CHUNK_BYTES.

        Raises:
            InvalidInputError: the body is not valid in its coding.
            TooLargeError: the compressed bytes alone exceed the limit.
        """
        while True:
            if self._inflater.needs_input:
                if self._is_complete:
                    self._inflater.check_complete()
                    return {"type": "http.request", "body": b"", "more_body": False}
                message = await self._receive()
                if message["type"] != "http.request":
                    return message
                self._feed(message)
            elif chunk := await self._next_chunk():
                return {"type": "http.request", "body": chunk, "more_body": True}

    def _feed(self, message: Message) -> None:
        part = message.get("body", b"")
        self._is_complete = not message.get("more_body", False)
        self._received += len(part)
        if self._received > max_compressed_bytes(self._max_bytes):
            raise TooLargeError(f"the body exceeds the limit of {self._max_bytes} bytes; send it in parts")
        self._inflater.feed(part)

    async def _next_chunk(self) -> bytes:
        if not (self._in_thread and self._is_begun):
            self._is_begun = True
            return self._inflater.next_chunk(FIRST_CHUNK_BYTES)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(_thread, self._inflater.next_chunk, CHUNK_BYTES)


class _Decoder(Protocol):
    """A decoder of one gzip member or one zstd frame.

    It retains the input that exceeds the output limit. Without `needs_input`, call it with empty data.
    """

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes | memoryview, max_length: int) -> bytes: ...


class _GzipDecoder:
    """zlib's decoder with the interface of the other decoders of the standard library."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(GZIP_FORMAT)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes | memoryview, max_length: int) -> bytes:
        chunk = self._zlib.decompress(data or self._zlib.unconsumed_tail, max_length)
        # A full chunk may leave output in zlib's own state.
        self.needs_input = not self._zlib.unconsumed_tail and len(chunk) < max_length
        return chunk


def _zstd_decoder() -> _Decoder:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: MAX_WINDOW_LOG})


# RFC 9110, section 8.4.1.3: `x-gzip` is equivalent to `gzip`.
_NAMES: Final = {b"gzip": "gzip", b"x-gzip": "gzip", b"zstd": "zstd"}
_DECODERS: Final[Mapping[str, Callable[[], _Decoder]]] = {"gzip": _GzipDecoder, "zstd": _zstd_decoder}


class Inflater:
    """Inflate one body: one or more members of gzip (RFC 1952), or frames of zstd (RFC 8878)."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._decoder = _DECODERS[coding]()
        self._streams = 1
        self._input = memoryview(b"")
        self._is_empty = True

    @property
    def needs_input(self) -> bool:
        """Whether the content of all input is returned."""
        if self._input:
            return False
        return not self._decoder.unused_data if self._decoder.eof else self._decoder.needs_input

    def feed(self, part: bytes) -> None:
        """Add a part of the body, once the inflater needs input."""
        self._input = memoryview(part)
        self._is_empty = self._is_empty and not part

    def next_chunk(self, max_bytes: int) -> bytes:
        """Return the next bytes of the content, at most `max_bytes`; empty if there are none before the next part.

        Raises:
            InvalidInputError: the body is not valid in its coding.
        """
        while not self.needs_input:
            try:
                chunk = self._decode(max_bytes)
            except (zlib.error, zstd.ZstdError) as error:
                raise self._invalid() from error
            if chunk:
                return chunk
        return b""

    def check_complete(self) -> None:
        """Raise InvalidInputError if the body ends early."""
        if self._is_empty:
            raise _wrong(f"the body is empty; send {self._coding} data, or remove Content-Encoding")
        if not self._decoder.eof:
            raise _wrong(f"the {self._coding} data of the body ends early; send all of it")

    def _decode(self, max_bytes: int) -> bytes:
        data: bytes | memoryview = b""
        if self._decoder.eof:
            data = self._decoder.unused_data
            if self._streams == MAX_STREAMS:
                raise _wrong(f"the body has more than {MAX_STREAMS} parts of {self._coding} data; compress it as one")
            self._streams += 1
            self._decoder = _DECODERS[self._coding]()
        if not data and self._decoder.needs_input:
            data, self._input = self._input[:FEED_BYTES], self._input[FEED_BYTES:]
        return self._decoder.decompress(data, max_bytes)

    def _invalid(self) -> InvalidInputError:
        if self._streams > 1:
            return _wrong(f"the body has invalid bytes after its {self._coding} data; send only that data")
        window = " with a window of at most 8 MiB" if self._coding == "zstd" else ""
        return _wrong(f"the body is not valid {self._coding} data{window}; correct it, or remove Content-Encoding")


def _wrong(message: str) -> InvalidInputError:
    return InvalidInputError([Problem(("body",), message)])
