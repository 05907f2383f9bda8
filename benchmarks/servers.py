"""Processes that a benchmark measures or needs, and how it waits for them."""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx


def free_port() -> int:
    """Return a port on loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], seconds: float = 120.0) -> float:
    """Return after how many seconds a condition came about."""
    began = time.perf_counter()
    while not condition():
        if time.perf_counter() - began > seconds:
            raise SystemExit("a condition did not come about in time; the figures end here")
        time.sleep(0.01)
    return time.perf_counter() - began


@contextmanager
def process(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str] | None = None,
    cores: set[int] | None = None,
) -> Iterator[int]:
    """Run a command, yield its process id, and ask it to end after the block.

    Args:
        command: the program and its arguments.
        log: what it prints is added to this file.
        environment: variables beside those of this process.
        cores: where it may run, where the system can say so; None for anywhere.
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
    """Tell whether a GET of a URL succeeds."""
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False


def report(name: str, value: float | None, unit: str) -> None:
    """Print one figure."""
    print(f"{name:<66} {'not told here' if value is None else f'{value:10.2f} {unit}'}", flush=True)
