"""Start the processes of a benchmark, and wait for them."""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx


def free_port() -> int:
    """Return an unused port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], seconds: float = 120.0) -> float:
    """Wait for a condition; return the seconds that it took."""
    began = time.perf_counter()
    while not condition():
        if time.perf_counter() - began > seconds:
            raise SystemExit(f"timed out after {seconds:.0f} s; the remaining figures are missing")
        time.sleep(0.01)
    return time.perf_counter() - began


@contextmanager
def process(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str] | None = None,
    cores: set[int] | None = None,
) -> Iterator[int]:
    """Run a command, yield its process id, and terminate it after the block.

    Args:
        command: the program and its arguments.
        log: the file to append its output to.
        environment: variables in addition to those of this process.
        cores: the cores that it may use, if the system supports this; None for all.
    """
    with log.open("ab") as output:
        running = subprocess.Popen(  # noqa: S603  # our own commands
            command, env={**os.environ, **(environment or {})}, stdout=output, stderr=subprocess.STDOUT
        )
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(running.pid, cores)
    try:
        yield running.pid
    finally:
        running.terminate()
        running.wait(30)


def is_up(url: str) -> bool:
    """Return whether a GET of a URL succeeds."""
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False


def report(name: str, value: float | None, unit: str) -> None:
    """Print one figure."""
    print(f"{name:<66} {'not available' if value is None else f'{value:10.2f} {unit}'}", flush=True)
