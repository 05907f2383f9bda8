"""Clients that predict without pauses, each over its own connection, and record the result of every request."""

import http.client
import itertools
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from support.waiting import wait_for

CLIENTS = 4
TIMEOUT_SECONDS = 40.0
SETOSA = [5.1, 3.5, 1.4, 0.2]
# The wait before the next attempt after a refused connection.
PAUSE_SECONDS = 0.02


class Answer(NamedTuple):
    """A prediction that a client received.

    Attributes:
        request_id: the client's request id, which the log stores.
        rows: the number of rows in the request.
        at: when the client had read the response, in seconds since 1970.
        seconds: how long the client waited for it.
    """

    id: uuid.UUID
    request_id: str
    rows: int
    at: float
    seconds: float


class Broken(NamedTuple):
    """A request without a response: its prediction may or may not be logged.

    Attributes:
        at: when the client detected it, in seconds since 1970.
        seconds: how long the client waited.
    """

    request_id: str
    at: float
    seconds: float
    reason: str


class _Call(NamedTuple):
    path: str
    body: bytes
    rows: int
    id_of: Callable[[Any], str]


def _native(*rows: list[float]) -> _Call:
    features = {"features": rows[0] if len(rows) == 1 else rows}
    return _Call("/predict", json.dumps(features).encode(), len(rows), lambda told: str(told["id"]))


def _open_inference(*rows: list[float]) -> _Call:
    tensor = {"name": "X", "datatype": "FP32", "shape": [len(rows), len(rows[0])], "data": [*itertools.chain(*rows)]}
    body = json.dumps({"inputs": [tensor]}).encode()
    return _Call("/v2/models/iris/infer", body, len(rows), lambda told: str(told["parameters"]["prediction_id"]))


_OFTEN = (*[_native(SETOSA)] * 8, _native(SETOSA, SETOSA, SETOSA), _open_inference(SETOSA, SETOSA))
# Occasionally, a body is large enough for a thread of the pool.
CALLS = (*_OFTEN * 5, _native(*[SETOSA] * 500))


class Load:
    """The results of all clients. Each list may be read while it grows.

    Attributes:
        answers: the acknowledged predictions.
        failures: responses with a status other than 200.
        broken: requests without a response.
        refused: the number of refused connections.
    """

    def __init__(self, host: str, port: int, token: str) -> None:
        self.answers: list[Answer] = []
        self.failures: list[str] = []
        self.broken: list[Broken] = []
        self.refused = 0
        self._host, self._port = host, port
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._stopping = threading.Event()

    @property
    def acknowledged(self) -> dict[uuid.UUID, Answer]:
        """The acknowledged predictions by their ids."""
        return {answer.id: answer for answer in self.answers}

    @property
    def sent(self) -> set[str]:
        """The ids of all requests that may have been answered."""
        return {one.request_id for one in self.answers} | {one.request_id for one in self.broken}

    @property
    def longest_seconds(self) -> float:
        """The time of the slowest response."""
        return max((answer.seconds for answer in self.answers), default=0.0)

    def wait_for_more(self, count: int) -> None:
        """Wait until this many more predictions are acknowledged."""
        wanted = len(self.answers) + count
        wait_for(lambda: len(self.answers) >= wanted, seconds=30, what="the load")

    def stop(self) -> None:
        """Stop each client after its current request."""
        self._stopping.set()

    def run_client(self, name: str) -> None:
        """Predict until stopped."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_SECONDS)
        for number, call in enumerate(itertools.cycle(CALLS)):
            if self._stopping.is_set():
                break
            try:
                if connection.sock is None:
                    connection.connect()
            except OSError:
                self.refused += 1
                self._stopping.wait(PAUSE_SECONDS)
                continue
            self._ask(connection, call, f"{name}-{number}")
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection, call: _Call, request_id: str) -> None:
        began = time.monotonic()
        try:
            connection.request("POST", call.path, call.body, {**self._headers, "X-Request-ID": request_id})
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.broken.append(Broken(request_id, time.time(), time.monotonic() - began, repr(error)))
            connection.close()
            return
        at, seconds = time.time(), time.monotonic() - began
        if response.status != http.client.OK:
            self.failures.append(f"{response.status} after {seconds:.1f} s: {content.decode(errors='replace')[:300]}")
            return
        identity = uuid.UUID(call.id_of(json.loads(content)))
        self.answers.append(Answer(identity, request_id, call.rows, at, seconds))


@contextmanager
def load(host: str, port: int, token: str, clients: int = CLIENTS) -> Iterator[Load]:
    """Run clients in the background until the block ends, or until all have ended after `stop`."""
    running = Load(host, port, token)
    prefix = uuid.uuid4().hex[:8]
    threads = [threading.Thread(target=running.run_client, args=(f"{prefix}-{n}",)) for n in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield running
    finally:
        running.stop()
        _join(threads)


def _join(threads: Sequence[threading.Thread]) -> None:
    for thread in threads:
        thread.join(TIMEOUT_SECONDS)
    assert not any(thread.is_alive() for thread in threads), "a client is still waiting for its answer"
