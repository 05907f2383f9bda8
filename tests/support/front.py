"""A small HTTP proxy in front of a real server: it may require an account, and may have its own clock."""

import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

PASSED_ON = ("content-type",)


@contextmanager
def front_of(url: str, *, account: tuple[str, str] | None = None, date: float | None = None) -> Iterator[str]:
    """Forward requests to a server; yield the address to send them to.

    Args:
        url: the server behind the proxy.
        account: the name and password that it requires, as basic authentication.
        date: the time of its clock, in seconds since the epoch; by default the current time.
    """
    wanted = None if account is None else "Basic " + b64encode(":".join(account).encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if wanted is not None and self.headers.get("Authorization") != wanted:
                self._answer(401, b"an account is needed", {"WWW-Authenticate": 'Basic realm="front"'})
                return
            answer = httpx.request(self.command, url + self.path, content=body, timeout=30)
            self._answer(
                answer.status_code, answer.content, {k: v for k, v in answer.headers.items() if k in PASSED_ON}
            )

        def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815  # names that http.server looks for

        def date_time_string(self, timestamp: float | None = None) -> str:
            return formatdate(timestamp if date is None else date, usegmt=True)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
