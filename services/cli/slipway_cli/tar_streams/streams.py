"""Streamed content: counted and hashed, without holding it in memory."""

import hashlib
from collections.abc import Callable
from typing import Protocol

from slipway_core.storage.base import Readable

CHUNK_BYTES = 1 << 18


class Writable(Protocol):
    """An output for bytes."""

    def write(self, content: bytes, /) -> object:
        """Write all of the bytes."""
        ...


def read_fully(content: Readable, size: int) -> bytes:
    """Return the next `size` bytes, fewer only at the end; all remaining bytes if `size` is negative."""
    chunk = content.read(size)
    # A network may return fewer bytes than requested, which a tar's writer would treat as the end.
    while chunk and len(chunk) < size and (more := content.read(size - len(chunk))):
        chunk += more
    return chunk


class Counted:
    """Content that counts and hashes the bytes that are read.

    Attributes:
        size_bytes: the number of bytes read so far.
    """

    def __init__(self, content: Readable, progress: Callable[[int], None] = lambda _: None) -> None:
        """Wrap content, without reading it.

        Args:
            content: the content to read.
            progress: called after each read with the number of bytes read so far.
        """
        self._content = content
        self._progress = progress
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    def read(self, size: int = -1, /) -> bytes:
        """Return the next `size` bytes, fewer only at the end, or all remaining bytes."""
        chunk = read_fully(self._content, size)
        self._hash.update(chunk)
        self.size_bytes += len(chunk)
        self._progress(self.size_bytes)
        return chunk

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes read so far, in hexadecimal."""
        return self._hash.hexdigest()


def copy(content: Readable, out: Writable) -> None:
    """Write the rest of the content."""
    while chunk := content.read(CHUNK_BYTES):
        out.write(chunk)


def drain(content: Readable) -> None:
    """Read the rest of the content."""
    while content.read(CHUNK_BYTES):
        pass
