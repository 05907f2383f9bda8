"""Clients that predict without a pause, each over its own connection, and note what became of every request."""

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
# How long a client that found nobody waits before it tries again.
PAUSE_SECONDS = 0.02


class Answer(NamedTuple):
    """A prediction that a client was told of.

    Attributes:
        request_id: the client's own, which the log keeps.
        rows: how many it asked for.
        at: when the answer had been read, in seconds since 1970.
        seconds: how long the client waited for it.
    """

    id: uuid.UUID
    request_id: str
    rows: int
    at: float
    seconds: float


class Broken(NamedTuple):
    """A request that was sent and has no answer: its prediction may be logged, and need not be.

    Attributes:
        at: when the client knew, in seconds since 1970.
        seconds: how long it waited.
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
# Now and then a body that is large enough to be answered by a thread of the pool.
CALLS = (*_OFTEN * 5, _native(*[SETOSA] * 500))


class Load:
    """What some clients asked for and were told. Each list may be read while it grows.

    Attributes:
        answers: the predictions that were acknowledged.
        failures: what was answered with another status than 200, and by what.
        broken: what had no answer.
        refused: how often nobody listened.
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
        """The answers by their ids."""
        return {answer.id: answer for answer in self.answers}

    @property
    def sent(self) -> set[str]:
        """The ids of all requests that may have been answered."""
        return {one.request_id for one in self.answers} | {one.request_id for one in self.broken}

    @property
    def longest_seconds(self) -> float:
        """How long the slowest answer took."""
        return max((answer.seconds for answer in self.answers), default=0.0)

    def wait_for_more(self, count: int) -> None:
        """Wait until so many more predictions are acknowledged."""
        wanted = len(self.answers) + count
        wait_for(lambda: len(self.answers) >= wanted, seconds=30, what="the load")

    def stop(self) -> None:
        """Let each client end after the request that it has under way."""
        self._stopping.set()

    def run_client(self, name: str) -> None:
        """Predict until it is stopped."""
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
    """Predict from here on until the block ends, or the load is stopped and its clients have ended."""
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
