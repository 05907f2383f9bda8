"""The API as a process under every endless request at once: its memory, its health, and other clients."""

import http.client
import socket
import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlencode

import pytest

from support import floods
from support.api_process import PASSWORD, api_process
from support.servers import running

SECONDS = 5.0
# A few milliseconds on an idle machine; the floods and other tests share its processors with the API.
MEDIAN_SECONDS = 0.5


def resident_bytes(pid: int) -> int:
    """Return the memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


@pytest.mark.slow
def test_memory_and_health_under_all_floods(tmp_path: Path) -> None:
    with api_process(tmp_path) as api:
        idle = resident_bytes(api.process.pid)
        highest, times = idle, []
        flooding = [sys.executable, floods.__file__, str(api.port), str(SECONDS)]
        with running(flooding, folder=tmp_path, log=tmp_path / "floods.log"):
            deadline = time.monotonic() + SECONDS
            while time.monotonic() < deadline:
                began = time.monotonic()
                connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=SECONDS)
                connection.request("GET", "/health/live")
                assert connection.getresponse().status == 200
                connection.close()
                times.append(time.monotonic() - began)
                highest = max(highest, resident_bytes(api.process.pid))
        assert api.call("POST", "/predict", json={"features": [5.1, 3.5, 1.4, 0.2]}).status_code == 200

    assert (tmp_path / "floods.log").read_text() == ""
    assert highest < 1.5 * idle
    assert statistics.median(times) < MEDIAN_SECONDS


def log_in_from(address: str, port: int) -> int:
    """Log in from an address with a body that follows its head; return the status."""
    body = urlencode({"username": "admin", "password": PASSWORD})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10, source_address=(address, 0))
    connection.putrequest("POST", "/token")
    connection.putheader("Content-Type", "application/x-www-form-urlencoded")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders()
    connection.send(body[:10].encode())
    connection.send(body[10:].encode())
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.slow
def test_login_under_slow_bodies_from_hundreds_of_addresses(tmp_path: Path) -> None:
    head = b"POST /token HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 99\r\n\r\nu"
    with api_process(tmp_path) as api, ExitStack() as stack:
        for number in range(300):
            source = (f"127.1.{number // 100}.{number % 100 + 1}", 0)
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", api.port), 10, source_address=source))
            slow.sendall(head)
            if number % 30 == 0:
                assert log_in_from(f"127.2.0.{number // 30 + 1}", api.port) == 200
