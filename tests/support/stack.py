"""The embedded stack of `slipway up`, run as a user runs it."""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from support.servers import answers, free_port, running, wait_until_ready

PASSWORD = "correct-horse-7"


@dataclass
class RunningStack:
    """A running stack, with the information that a user has."""

    process: subprocess.Popen[bytes]
    home: Path
    url: str
    mlflow_url: str
    log: Path
    token: str = field(default="", repr=False)

    @property
    def output(self) -> str:
        """The output since this start."""
        return self.log.read_text(encoding="utf-8")

    @property
    def api_log(self) -> str:
        """The API's log since the folder was created."""
        return (self.home / "logs/api.log").read_text(encoding="utf-8")

    def processes(self) -> list[psutil.Process]:
        """Return the stack's process and all its descendants."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def log_in(self) -> None:
        """Get a token for the administrator."""
        answer = httpx.post(f"{self.url}/token", data={"username": "admin", "password": PASSWORD})
        self.token = answer.raise_for_status().json()["access_token"]

    def call(self, method: str, path: str, json: object = None) -> httpx.Response:
        """Send a request to the API as the administrator."""
        return httpx.request(
            method, self.url + path, json=json, headers={"Authorization": f"Bearer {self.token}"}, timeout=30
        )

    def status(self) -> dict[str, object]:
        """Return the API's description of the iris model."""
        status: dict[str, object] = self.call("GET", "/models/iris").raise_for_status().json()
        return status


@contextmanager
def slipway_up(
    home: Path,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    log: str = "up.log",
    password: str | None = None,
) -> Iterator[RunningStack]:
    """Run `slipway up` on a folder and free ports until it is ready; stop it after the block if it still runs."""
    port, mlflow_port = free_port(), free_port()
    command = [
        sys.executable,
        "-m",
        "slipway_cli.cli",
        "up",
        f"--home={home}",
        f"--port={port}",
        f"--mlflow-port={mlflow_port}",
        *arguments,
    ]
    output = home.parent / log
    given = {"SLIPWAY_ADMIN_PASSWORD": password} if password else {}
    with running(command, folder=home.parent, log=output, environment={**(environment or {}), **given}) as process:
        stack = RunningStack(process, home, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{mlflow_port}", output)

        def is_ready() -> bool:
            return "Slipway is ready" in stack.output and answers(f"{stack.url}/health/ready")

        wait_until_ready(process, is_ready, log=output, seconds=150, what="the stack")
        stack.log_in()
        yield stack


def printed_commands(output: str) -> str:
    """Return the two example commands that `slipway up` prints."""
    match = re.search(r"^  (TOKEN=.*?\n  curl .*?)\n\n", output, re.MULTILINE | re.DOTALL)
    assert match, output
    return match[1]


def bash(script: str, folder: Path) -> str:
    """Run a script in a folder and return its output; fail if it fails."""
    ended = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, f"{script}\n{ended.stdout}{ended.stderr}"
    return ended.stdout
