"""The API as a process with few file descriptors."""

import http.client
import socket
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest

from support import api_process as processes
from support.api_process import PROGRAM, api_process

DESCRIPTORS = 256
IDLE = 600
PREDICTIONS = 100
WITH_FEW_DESCRIPTORS = ["sh", "-c", f'ulimit -S -n 128; ulimit -H -n {DESCRIPTORS}; exec "$@"', "sh"]


@pytest.mark.slow
def test_idle_connections_block_no_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "PROGRAM", [*WITH_FEW_DESCRIPTORS, *PROGRAM])
    with api_process(tmp_path) as api, ExitStack() as stack:
        open_already = stack.enter_context(closing(http.client.HTTPConnection("127.0.0.1", api.port, timeout=10)))

        def predict() -> int:
            headers = {**api.headers, "Content-Type": "application/json"}
            open_already.request("POST", "/predict", b'{"features": [5.1, 3.5, 1.4, 0.2]}', headers)
            response = open_already.getresponse()
            response.read()
            return response.status

        predict()
        for number in range(IDLE):
            stack.enter_context(socket.create_connection(("127.0.0.1", api.port), timeout=10))
            if number % (IDLE // PREDICTIONS) == 0:
                assert predict() == 200
        token = api.log_in()
        page = httpx.get(f"{api.url}/metrics").text
        log = api.log.read_text()

    assert token
    assert "slipway_prediction_log_dropped_records_total 0.0" in page
    assert "Too many open files" not in log
