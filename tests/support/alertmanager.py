"""A real Alertmanager for tests, and its receivers: a web server and a mail server on loopback."""

import json
import shutil
import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_string, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from slipway_cli.stack_jobs.alerting import render
from slipway_cli.stack_jobs.settings import AlertSettings
from support.servers import free_port, running, wait_until_ready


@dataclass
class Inbox:
    """Received messages, in order."""

    address: str
    posted: list[tuple[str, Any]] = field(default_factory=list)
    mails: list[EmailMessage] = field(default_factory=list)

    def of(self, path: str) -> list[Any]:
        """Return the bodies that were posted to a path."""
        return [body for posted_to, body in self.posted if posted_to == path]

    def alerts(self, path: str, status: str) -> list[dict[str, Any]]:
        """Return the alerts with a status in all of Alertmanager's messages to a path."""
        return [alert for body in self.of(path) for alert in body["alerts"] if alert["status"] == status]


@contextmanager
def web_inbox() -> Iterator[Inbox]:
    """Run a web server that stores every posted JSON body, and responds like Slack."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            inbox.posted.append((self.path, json.loads(body)))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the signature is the library's
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, _serving(server):
        inbox = Inbox(f"http://127.0.0.1:{server.server_address[1]}")
        yield inbox


@contextmanager
def mail_inbox() -> Iterator[Inbox]:
    """Run a minimal mail server (RFC 5321) that stores every message."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 test")
            while line := self.rfile.readline().decode().strip():
                command = line.split()[0].upper()
                if command == "DATA":
                    self._say("354 go on")
                    inbox.mails.append(self._message())
                self._say("221 bye" if command == "QUIT" else "250 ok")
                if command == "QUIT":
                    return

        def _say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

        def _message(self) -> EmailMessage:
            lines = []
            while (line := self.rfile.readline().decode()) != ".\r\n":
                lines.append(line.removeprefix("."))
            return message_from_string("".join(lines), policy=policy.default)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server, _serving(server):
        inbox = Inbox(f"127.0.0.1:{server.server_address[1]}")
        yield inbox


@contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


@dataclass(frozen=True)
class Alertmanager:
    """A running Alertmanager."""

    url: str

    def tell(self, labels: Mapping[str, str], *, resolved: bool = False) -> None:
        """Send an alert that fires or has ended, as Prometheus does."""
        now = datetime.now(UTC)
        alert = {
            "labels": dict(labels),
            "annotations": {
                "summary": f"{labels['alertname']} in one sentence.",
                "description": "What it means.",
                "runbook": f"docs/monitoring.md#{labels['alertname'].lower()}",
            },
            # An alert that started longer ago than the group wait would not wait for the others.
            "startsAt": now.isoformat(),
            "endsAt": (now if resolved else now + timedelta(minutes=5)).isoformat(),
        }
        httpx.post(f"{self.url}/api/v2/alerts", json=[alert], timeout=10).raise_for_status()


@contextmanager
def alertmanager(folder: Path, settings: AlertSettings) -> Iterator[Alertmanager]:
    """Run Alertmanager with a configuration built from the settings; skip the test if it is not installed."""
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if program is None:
        pytest.skip("Alertmanager is not installed (Debian: prometheus-alertmanager)")
    configuration, log, port = folder / "alertmanager.yml", folder / "alertmanager.log", free_port()
    configuration.write_text(render(settings), encoding="utf-8")
    command = [
        program,
        f"--config.file={configuration}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",  # without a cluster
    ]
    url = f"http://127.0.0.1:{port}"
    with running(command, folder=folder, log=log) as process:
        wait_until_ready(process, f"{url}/-/ready", log=log, seconds=30, what="Alertmanager")
        yield Alertmanager(url)
