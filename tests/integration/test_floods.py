"""The API as a process under every endless request at once: its memory, its health, and those it answers meanwhile."""

import http.client
import statistics
import time
from pathlib import Path

import pytest

from support.api_process import api_process
from support.floods import all_floods

SECONDS = 5.0
# On a machine that does nothing else it is a few milliseconds.
MEDIAN_SECONDS = 0.25


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
        with all_floods(("127.0.0.1", api.port), SECONDS):
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

    assert highest < 1.5 * idle
    assert statistics.median(times) < MEDIAN_SECONDS
