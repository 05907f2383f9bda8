"""A small HTTP server that sends a test's responses and records its requests."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Asked:
    """A received request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """A response: JSON, or raw bytes."""

    body: Any
    status: int = 200


@dataclass
class StubApi:
    """The running server.

    Attributes:
        answer: the function that returns the response to a request; a test may replace it.
        asked: every request, in order.
    """

    url: str
    answer: Callable[[Asked], Answer]
    asked: list[Asked] = field(default_factory=list)


def problem(status: int, detail: str) -> Answer:
    """Return an error in the API's format."""
    return Answer({"type": "about:blank", "title": "Refused", "status": status, "detail": detail}, status)


@contextmanager
def stub_api(answer: Callable[[Asked], Answer]) -> Iterator[StubApi]:
    """Run a server on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked = Asked(self.command, self.path, dict(self.headers.items()), body)
            api.asked.append(asked)
            given = api.answer(asked)
            content = given.body if isinstance(given.body, bytes) else json.dumps(given.body).encode()
            self.send_response(given.status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815  # names that http.server looks for

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        api = StubApi(f"http://127.0.0.1:{server.server_port}", answer)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()
