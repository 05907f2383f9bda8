"""Endless requests: each flood has a beginning, and a part that its client repeats."""

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

HOST = b"Host: slipway\r\n"
CHUNKED = b"POST /token HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
SENT_AT_ONCE = 64 * 1024
RECONNECT_SECONDS = 0.5


class Flood(NamedTuple):
    """The part that a client sends once, and the part that it repeats."""

    begin: bytes
    again: bytes


FLOODS: Mapping[str, Flood] = {
    "request line": Flood(b"GET /", b"x"),
    "query": Flood(b"GET /?", b"x"),
    "method": Flood(b"", b"G"),
    "header name": Flood(b"GET / HTTP/1.1\r\n", b"x"),
    "header value": Flood(b"GET / HTTP/1.1\r\nX: ", b"x"),
    "folded header": Flood(b"GET / HTTP/1.1\r\nX: x", b"\r\n x"),
    "header fields": Flood(b"GET / HTTP/1.1\r\n", b"a:\r\n"),
    "HTTP/1.0 header fields": Flood(b"GET / HTTP/1.0\r\n", b"a: b\r\n"),
    "cookies": Flood(b"GET / HTTP/1.1\r\n", b"Cookie: a=b\r\n"),
    "trailers": Flood(CHUNKED + b"1\r\na\r\n0\r\n", b"a: b\r\n"),
    "trailer value": Flood(CHUNKED + b"0\r\nX: ", b"x"),
    "chunk extension": Flood(CHUNKED + b"5;x=", b"x"),
    "chunk size": Flood(CHUNKED, b"0"),
    "tiny chunks": Flood(CHUNKED, b"1\r\na\r\n"),
    "tiny chunks with extensions": Flood(CHUNKED, b"1;" + b"x" * 100 + b"\r\na\r\n"),
    "empty lines": Flood(b"", b"\r\n"),
    "empty lines after a request": Flood(GET, b"\r\n"),
    "pipelined GET": Flood(b"", b"GET / HTTP/1.1\r\n\r\n"),
    "pipelined HEAD": Flood(b"", b"HEAD /health/live HTTP/1.1\r\n" + HOST + b"\r\n"),
    "pipelined POST": Flood(b"", b"POST /predict HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"),
    "pipelined behind a slow request": Flood(GET.replace(b"/", b"/health/ready", 1), GET),
    "pipelined after close": Flood(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), GET),
    "pipelined upgrades": Flood(b"", b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"),
    "bytes after an upgrade": Flood(b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", b"\x00"),
    "expectations": Flood(b"", b"POST /token HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n"),
    "no HTTP": Flood(b"", b"\x16\x03\x01\x02\x00"),
    "large answers": Flood(b"", b"GET /openapi.json HTTP/1.1\r\n" + HOST + b"\r\n"),
}


def send(address: tuple[str, int], flood: Flood, seconds: float, *, is_reading: bool = True) -> bytes | None:
    """Send a flood over one connection until the server closes it.

    Args:
        address: the host and port of a server on loopback.
        flood: the bytes to send.
        seconds: the time limit.
        is_reading: whether to read the server's responses.

    Returns:
        The last bytes of the response; None if the server read until the time limit.
    """
    deadline = time.monotonic() + seconds
    part = flood.again * max(1, SENT_AT_ONCE // len(flood.again))
    answer = b""
    with socket.create_connection(address, timeout=seconds) as connection:
        try:
            if flood.begin:
                connection.sendall(flood.begin)
            connection.settimeout(0.05)
            while time.monotonic() < deadline:
                with contextlib.suppress(TimeoutError):
                    # A partly sent part starts again, which makes no difference to a flood.
                    connection.send(part)
                if is_reading:
                    connection.setblocking(False)
                    with contextlib.suppress(BlockingIOError):
                        received = connection.recv(SENT_AT_ONCE)
                        if not received:
                            return answer
                        answer = (answer + received)[-SENT_AT_ONCE:]
                    connection.settimeout(0.05)
        except (ConnectionError, BrokenPipeError):
            with contextlib.suppress(OSError):
                connection.setblocking(False)
                answer += connection.recv(SENT_AT_ONCE)
            return answer
    return None


@contextmanager
def all_floods(address: tuple[str, int], seconds: float) -> Iterator[None]:
    """Send every flood at once until the block ends, and reconnect each after a pause."""
    is_over = threading.Event()

    def repeat(flood: Flood, *, is_reading: bool) -> None:
        deadline = time.monotonic() + seconds
        while not is_over.is_set() and (left := deadline - time.monotonic()) > 0:
            with contextlib.suppress(OSError):
                send(address, flood, min(left, 1.0), is_reading=is_reading)
            is_over.wait(RECONNECT_SECONDS)

    threads = [
        threading.Thread(target=repeat, args=(flood,), kwargs={"is_reading": number % 2 == 0})
        for number, flood in enumerate(FLOODS.values())
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join(seconds + 5)


if __name__ == "__main__":  # a separate process, so that it does not slow down the measurements
    with all_floods(("127.0.0.1", int(sys.argv[1])), float(sys.argv[2])):
        time.sleep(float(sys.argv[2]))
