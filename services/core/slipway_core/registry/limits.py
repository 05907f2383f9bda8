"""Limits of time and size for responses of the registry, so that none blocks a thread or fills the memory or disk."""

import errno
import os
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpcore
import httpx

from slipway_core.bundle import MANIFEST_FILE, MLMODEL_FILE
from slipway_core.errors import RegistryError
from slipway_core.manifest import GOLDEN_FILE

MIB = 1024 * 1024
# These files are parsed in one call, which blocks all other threads.
SMALL_FILE_MAX_BYTES = 4 * MIB
# Half of the maximum size of a Protocol Buffers message; ten times the graph of a large ResNet.
FILE_MAX_BYTES = 1024 * MIB
SMALL_FILES = (MANIFEST_FILE, GOLDEN_FILE, MLMODEL_FILE)
SPACE_CHECK_BYTES = 16 * MIB
# Python refuses to parse integers of many thousand digits.
MAX_DIGITS = 18


@dataclass(frozen=True)
class Limits:
    """Limits of one response of the registry.

    Attributes:
        answer_bytes: the size of a JSON response.
        answer_seconds: the time for a JSON response.
        pages: the number of pages of a list.
        list_seconds: the time for all pages of a list.
        file_bytes: the size of a file, by its name in the bundle.
        other_file_bytes: the size of any other file.
        fetch_seconds: the time for a file of any size.
        grace_seconds: the time after which a file must have arrived at `least_rate` on average.
        least_rate: in bytes per second.
        free_bytes: the disk space that a fetch leaves free.
    """

    answer_bytes: int = 8 * MIB
    answer_seconds: float = 30.0
    pages: int = 1_000
    list_seconds: float = 60.0
    file_bytes: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(SMALL_FILES, SMALL_FILE_MAX_BYTES))
    other_file_bytes: int = FILE_MAX_BYTES
    fetch_seconds: float = 600.0
    grace_seconds: float = 30.0
    least_rate: int = 64 * 1024
    free_bytes: int = 256 * MIB

    def bytes_of(self, file: str) -> int:
        """Return the maximum size of a file of a bundle."""
        return self.file_bytes.get(file, self.other_file_bytes)


_current = threading.local()


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Limit the total time of all reads from the registry's connections in this thread.

    httpx limits each read separately, so a server that sends a byte now and then would never time out.
    """
    before = getattr(_current, "deadline", None)
    ends = time.monotonic() + seconds
    _current.deadline = ends if before is None else min(before, ends)
    try:
        yield
    finally:
        _current.deadline = before


def _remaining(timeout: float | None, error: type[Exception]) -> float | None:
    ends = getattr(_current, "deadline", None)
    if ends is None:
        return timeout
    remaining = float(ends - time.monotonic())
    if remaining <= 0:
        raise error("the deadline of the whole call has passed")
    return remaining if timeout is None else min(timeout, remaining)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _remaining(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _remaining(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(self, *args: Any, **options: Any) -> httpcore.NetworkStream:  # noqa: ANN401
        options["timeout"] = _remaining(options.get("timeout"), httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(*args, **options))

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401
        return self._stream.get_extra_info(info)


class _Backend(httpcore.SyncBackend):
    def connect_tcp(self, *args: Any, **options: Any) -> httpcore.NetworkStream:  # noqa: ANN401
        options["timeout"] = _remaining(options.get("timeout"), httpcore.ConnectTimeout)
        return _Stream(super().connect_tcp(*args, **options))


def enforce_deadlines(client: httpx.Client) -> None:
    """Apply `deadline` to a client's connections. httpx has no public way to set the backend of its pools."""
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001
        pool = getattr(transport, "_pool", None)
        if pool is not None:
            pool._network_backend = _Backend()  # noqa: SLF001


def read_response(response: httpx.Response, limit: int) -> bytes:
    """Read a streamed JSON response.

    Raises:
        RegistryError: the response is too long, or compressed: a small compressed response could fill the memory.
    """
    content = bytearray()
    for chunk in _chunks(response):
        content += chunk
        if len(content) > limit:
            raise RegistryError(
                f"the model registry sent a response of more than {limit} bytes: check MLFLOW_TRACKING_URI"
            )
    return bytes(content)


def write_file(response: httpx.Response, file: str, destination: Path, limits: Limits) -> None:
    """Write a streamed file of a bundle to a path.

    Raises:
        RegistryError: the file is too large, or arrives too slowly.
        OSError: the disk is almost full, or the file cannot be written.
    """
    limit, began, received, unchecked = limits.bytes_of(file), time.monotonic(), 0, 0
    too_large = f"{file} is larger than {limit} bytes: register the version again with a smaller file"
    declared = response.headers.get("Content-Length", "")
    if declared.isascii() and declared.isdecimal() and int(declared[:MAX_DIGITS]) > limit:
        raise RegistryError(too_large)
    _check_space(destination, limits.free_bytes)
    with destination.open("wb") as out:
        for chunk in _chunks(response):
            received += len(chunk)
            unchecked += len(chunk)
            if received > limit:
                raise RegistryError(too_large)
            elapsed = time.monotonic() - began - limits.grace_seconds
            if elapsed > 0 and received < elapsed * limits.least_rate:
                raise RegistryError(
                    f"the model registry sends {file} at less than {limits.least_rate} bytes per second: "
                    "check the registry, its artifact store and the network"
                )
            if unchecked > SPACE_CHECK_BYTES:
                _check_space(destination, limits.free_bytes)
                unchecked = 0
            out.write(chunk)


def _chunks(response: httpx.Response) -> Iterable[bytes]:
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise RegistryError("the model registry sent a compressed response, which was not requested: check the proxy")
    return response.iter_bytes()


def _check_space(destination: Path, free_bytes: int) -> None:
    if shutil.disk_usage(destination.parent).free < free_bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
