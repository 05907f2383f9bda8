"""Limits of time and size for what a registry sends: no answer may hold a thread for good, or fill memory or a disk."""

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

from slipway_core.bundle import GOLDEN_FILE, MANIFEST_FILE, MLMODEL_FILE
from slipway_core.errors import RegistryError

MIB = 1024 * 1024
# They are parsed at once, which holds up all other threads.
SMALL_FILE_MAX_BYTES = 4 * MIB
# Half of what Protocol Buffers can hold; the graph of a large ResNet has a tenth of it.
FILE_MAX_BYTES = 1024 * MIB
SMALL_FILES = (MANIFEST_FILE, GOLDEN_FILE, MLMODEL_FILE)
SPACE_CHECK_BYTES = 16 * MIB
# Python converts no number of many thousand digits.
MAX_DIGITS = 18


@dataclass(frozen=True)
class Limits:
    """What one answer of the registry may take.

    Attributes:
        answer_bytes: the size of a JSON answer.
        answer_seconds: the time for a JSON answer.
        pages: the pages of a list.
        list_seconds: the time for all pages of a list.
        file_bytes: the size of a file, by its name in the bundle.
        other_file_bytes: the size of any other file.
        fetch_seconds: the time for a file, whatever its size.
        grace_seconds: after this time, a file must have arrived at `least_rate` or faster.
        least_rate: bytes a second.
        free_bytes: what a fetch leaves free on the disk.
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
        """Return how large a file of a bundle may be."""
        return self.file_bytes.get(file, self.other_file_bytes)


_current = threading.local()


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Let no read from a registry's connection in this thread go on beyond a time from now.

    httpx limits each read alone: a server that sends a byte now and then never runs into that.
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
    """Make a client's connections end at `deadline`. httpx has no public way to set the backend of its pools."""
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001
        pool = getattr(transport, "_pool", None)
        if pool is not None:
            pool._network_backend = _Backend()  # noqa: SLF001


def read_response(response: httpx.Response, limit: int) -> bytes:
    """Read a streamed JSON answer.

    Raises:
        RegistryError: it is longer than the limit, or compressed: a small answer could then fill the memory.
    """
    content = bytearray()
    for chunk in _chunks(response):
        content += chunk
        if len(content) > limit:
            raise RegistryError(
                f"the model registry sent an answer of more than {limit} bytes: check MLFLOW_TRACKING_URI"
            )
    return bytes(content)


def write_file(response: httpx.Response, file: str, destination: Path, limits: Limits) -> None:
    """Write a streamed file of a bundle to a path.

    Raises:
        RegistryError: it is too large, or arrives too slowly.
        OSError: the disk is almost full, or cannot be written.
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
                    f"the model registry sends {file} at less than {limits.least_rate} bytes a second: "
                    "check the registry, its artifact store and the network"
                )
            if unchecked > SPACE_CHECK_BYTES:
                _check_space(destination, limits.free_bytes)
                unchecked = 0
            out.write(chunk)


def _chunks(response: httpx.Response) -> Iterable[bytes]:
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise RegistryError("the model registry sent a compressed answer, which was not requested: check the proxy")
    return response.iter_bytes()


def _check_space(destination: Path, free_bytes: int) -> None:
    if shutil.disk_usage(destination.parent).free < free_bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
