"""The limits of a connection: endless requests, pipelined requests, clients that do not read, and their number."""

import http.client
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from slipway_api.web import connections
from slipway_api.web.connections import MAX_FIELDS, MAX_PIPELINED, Connection
from support.floods import FLOODS, GET, Flood, send
from support.http_servers import serving
from support.waiting import wait_for

Address = tuple[str, int]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Return the length of the body, or a large response; `/wait` waits until the client disconnects."""
    if scope["path"] == "/wait":
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    size = len(await Request(scope, receive).body())
    content = "x" * 10_000_000 if scope["path"] == "/large" else str(size)
    await PlainTextResponse(content)(scope, receive, send)


@pytest.fixture(scope="module")
def server() -> Iterator[Address]:
    with serving(app) as address:
        yield address


def read_to_end(connection: socket.socket) -> bytes:
    """Return everything that the server sends until it closes the connection."""
    received = b""
    try:
        while part := connection.recv(65_536):
            received += part
    except ConnectionResetError:
        pass
    return received


@pytest.mark.parametrize("name", FLOODS)
def test_endless_request_is_closed(server: Address, name: str) -> None:
    assert send(server, FLOODS[name], 5) is not None


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("request line", 431),
        ("header name", 431),
        ("header value", 431),
        ("header fields", 431),
        ("HTTP/1.0 header fields", 431),
        ("trailers", 431),
        ("trailer value", 431),
        ("chunk extension", 431),
        ("chunk size", 431),
        ("tiny chunks", 431),
        ("empty lines", 431),
        ("folded header", 400),
        ("method", 400),
        ("no HTTP", 400),
    ],
)
def test_endless_request_is_answered_before_the_close(server: Address, name: str, status: int) -> None:
    flood = FLOODS[name]
    with socket.create_connection(server, timeout=5) as connection:
        # Few enough bytes for the server to read all of them, so that none resets the connection.
        connection.sendall(flood.begin + flood.again * (100_000 // len(flood.again)))
        answer = read_to_end(connection)

    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.count(b"content-length") == 1


@pytest.mark.parametrize("body", [b"", b"ab"])
def test_pipelined_requests_up_to_the_limit_are_answered(server: Address, body: bytes) -> None:
    request = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    with socket.create_connection(server, timeout=5) as connection:
        connection.sendall(request * (MAX_PIPELINED + 1))
        answers = read_to_end(connection)

    assert answers.count(b"HTTP/1.1 200") == answers.count(b"HTTP/1.1 ") == MAX_PIPELINED
    assert answers.count(b"connection: close") == 1


def test_sequential_requests_are_not_limited(server: Address) -> None:
    client = http.client.HTTPConnection(*server, timeout=5)
    for _ in range(100):
        client.request("POST", "/", b"x", {"X-Long": "x" * 2_000})
        assert client.getresponse().read() == b"1"
    client.close()


@pytest.mark.parametrize("size", [64, 1_000, 50_000])
def test_chunked_body_of_usual_chunks_is_accepted(server: Address, size: int) -> None:
    client = http.client.HTTPConnection(*server, timeout=5)
    client.request("POST", "/", iter([b"x" * size] * (2_000_000 // size)), encode_chunked=True)

    assert client.getresponse().read() == b"%d" % (2_000_000 // size * size)
    client.close()


@pytest.mark.parametrize("fields", [MAX_FIELDS - 1, MAX_FIELDS + 1])
def test_number_of_header_fields_is_limited(server: Address, fields: int) -> None:
    with socket.create_connection(server, timeout=5) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nConnection: close\r\n" + b"a: b\r\n" * (fields - 1) + b"\r\n")
        answer = read_to_end(connection)

    assert answer.startswith(b"HTTP/1.1 200 " if fields <= MAX_FIELDS else b"HTTP/1.1 431 ")


@pytest.mark.parametrize("wrong", [b"\x16\x03\x01", b"GET / HTTP/1.1\r\nno field\r\n\r\n", b"GET /" + b"x" * 100_000])
def test_request_before_a_rejected_one_is_answered(server: Address, wrong: bytes) -> None:
    with socket.create_connection(server, timeout=5) as connection:
        connection.sendall(GET + wrong)
        answers = read_to_end(connection)

    assert answers.startswith(b"HTTP/1.1 200 ")
    assert answers.count(b"HTTP/1.1 ") == 1


def test_application_sees_the_disconnect_of_a_rejected_client(server: Address) -> None:
    head = b"POST /wait HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0"

    assert send(server, Flood(head, b"0"), 5) is not None


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"TLS/1.2"])
def test_protocol_upgrade_is_ignored(server: Address, protocol: bytes) -> None:
    wish = b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: %b\r\n\r\n" % protocol
    with socket.create_connection(server, timeout=5) as connection:
        connection.sendall(wish + wish + GET.replace(b"Host: slipway", b"Connection: close"))
        answers = read_to_end(connection)

    assert answers.count(b"HTTP/1.1 200 ") == 3


def test_client_that_does_not_read_is_disconnected(server: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    lost: list[Connection] = []
    connection_lost = Connection.connection_lost

    def note(connection: Connection, error: Exception | None) -> None:
        connection_lost(connection, error)
        lost.append(connection)

    monkeypatch.setattr(Connection, "write_seconds", 0.1)
    monkeypatch.setattr(Connection, "connection_lost", note)
    with socket.create_connection(server, timeout=5) as connection:
        port = connection.getsockname()[1]
        connection.sendall(GET.replace(b"/", b"/large", 1))

        wait_for(lambda: any(one.client == ("127.0.0.1", port) for one in lost), what="the end of the connection")


def test_slow_reader_receives_the_whole_response(server: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "write_seconds", 0.05)
    client = http.client.HTTPConnection(*server, timeout=5)
    client.request("GET", "/large")

    assert len(client.getresponse().read()) == 10_000_000
    client.close()


def test_longest_idle_connection_makes_room_for_a_new_one(server: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "max_connections", lambda: 3)
    with ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection(server, timeout=5)) for _ in range(2)]
        used = stack.enter_context(socket.create_connection(server, timeout=5))
        idle[0].sendall(GET)
        assert idle[0].recv(1_000).startswith(b"HTTP/1.1 200 ")  # its idle time starts again here
        for connection in (used, stack.enter_context(socket.create_connection(server, timeout=5))):
            connection.sendall(GET)
            assert connection.recv(1_000).startswith(b"HTTP/1.1 200 ")

        assert read_to_end(idle[1]) == b""


def test_rejected_connections_make_room_for_new_ones(server: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "max_connections", lambda: 4)
    monkeypatch.setattr(connections, "LINGER_SECONDS", 60)
    with ExitStack() as stack:
        for _ in range(10):
            rejected = stack.enter_context(socket.create_connection(server, timeout=5))
            rejected.sendall(b"no HTTP\r\n\r\n")
            assert rejected.recv(1_000).startswith(b"HTTP/1.1 400 ")
            accepted = stack.enter_context(socket.create_connection(server, timeout=5))
            accepted.sendall(GET)
            assert accepted.recv(1_000).startswith(b"HTTP/1.1 200 ")


def test_connection_is_rejected_while_all_others_are_busy(server: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "max_connections", lambda: 2)
    with ExitStack() as stack:
        for _ in range(2):
            busy = stack.enter_context(socket.create_connection(server, timeout=5))
            busy.sendall(b"POST /wait HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n")
            assert busy.recv(1_000).startswith(b"HTTP/1.1 100 ")
        refused = stack.enter_context(socket.create_connection(server, timeout=5))
        answer = read_to_end(refused)

    assert answer.startswith(b"HTTP/1.1 503 ")
