"""Real servers for tests, each on a separate port, ended with all their child processes."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from support.waiting import wait_for


def free_port() -> int:
    """Return an unused port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    command: Sequence[str], *, folder: Path, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in a separate process group with its output in a log, and end the group after the block."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end_group(process)


def end_group(process: subprocess.Popen[Any], seconds: float = 15.0) -> None:
    """Terminate a process group; kill it if it does not end."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(seconds)
    except ProcessLookupError:
        pass
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(seconds)


def answers(url: str) -> bool:
    """Return whether a GET of a URL succeeds."""
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.HTTPError:
        return False


def wait_until_ready(
    process: subprocess.Popen[bytes], ready: str | Callable[[], bool], *, log: Path, seconds: float, what: str
) -> None:
    """Wait until a server is ready; fail with its log if it ends before, or takes longer.

    Args:
        process: the server.
        ready: a URL that succeeds once the server is ready, or a function that returns whether it is.
        log: where it writes its output.
        seconds: the time limit.
        what: its name in a failure message.
    """

    def is_ready() -> bool:
        assert process.poll() is None, f"{what} ended with {process.returncode}"
        return answers(ready) if isinstance(ready, str) else ready()

    try:
        wait_for(is_ready, seconds=seconds, what=what)
    except AssertionError as error:
        raise AssertionError(f"{error}; it said:\n{log.read_text(encoding='utf-8')}") from error


@contextmanager
def mlflow_server(folder: Path, port: int | None = None) -> Iterator[str]:
    """Run a real MLflow server with SQLite and local artifacts in a folder; yield its address."""
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        sys.executable,
        "-m",
        "slipway_cli.embedded.mlflow_server",
        f"--port={port}",
    ]
    environment = {
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "MLFLOW_ARTIFACTS_DESTINATION": str(folder / "artifacts"),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    log = folder / "mlflow.log"
    with running(command, folder=folder, log=log, environment=environment) as process:
        wait_until_ready(process, f"{url}/health", log=log, seconds=90, what="MLflow")
        yield url
