"""Connections with slow requests, and connections through a trusted proxy."""

import socket
from collections.abc import Iterator

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from slipway_api.web.connections import Connection
from support.http_servers import serving

HERE = PlainTextResponse("here")
REQUEST = b"GET / HTTP/1.1\r\nHost: slipway\r\n\r\n"


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Connect to a server with short timeouts."""
    monkeypatch.setattr(Connection, "head_seconds", 0.1)
    with serving(HERE) as address, socket.create_connection(address, timeout=10) as connection:
        yield connection


@pytest.mark.parametrize("begun", [b"", REQUEST[:20], b"\r\n"], ids=["nothing", "partial header", "empty line"])
def test_connection_without_a_complete_request_is_closed(connection: socket.socket, begun: bytes) -> None:
    connection.sendall(begun)

    assert connection.recv(1_000) == b""


@pytest.mark.parametrize("begun", [REQUEST[:20], b"\r\n"], ids=["partial header", "empty line"])
def test_slow_second_request_is_closed(connection: socket.socket, begun: bytes) -> None:
    connection.sendall(REQUEST)
    answer = connection.recv(1_000)
    connection.sendall(begun)

    assert answer.endswith(b"here")
    assert connection.recv(1_000) == b""


def test_requests_sent_in_time_are_answered(connection: socket.socket) -> None:
    for _ in range(3):
        connection.sendall(REQUEST[:20])
        connection.sendall(REQUEST[20:])
        assert connection.recv(1_000).endswith(b"here")


async def tell_the_client(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(f"{scope['scheme']} {scope['client'][0]}")(scope, receive, send)


WITHOUT_IPV6 = pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::", marks=WITHOUT_IPV6)])
def test_proxy_is_trusted_on_every_listening_address(host: str) -> None:
    headers = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}

    with serving(tell_the_client, host) as (address, port):
        proxied = httpx.get(f"http://{address}:{port}", headers=headers)
        direct = httpx.get(f"http://{address}:{port}")

    assert (proxied.text, direct.text) == ("https 203.0.113.7", "http 127.0.0.1")
