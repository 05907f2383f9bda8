"""Content that passes through: counted, hashed, and never whole in memory."""

import hashlib
from collections.abc import Callable
from typing import Protocol

from slipway_core.storage.base import Readable

CHUNK_BYTES = 1 << 18


class Writable(Protocol):
    """What takes bytes."""

    def write(self, content: bytes, /) -> object:
        """Take all of the bytes."""
        ...


def read_fully(content: Readable, size: int) -> bytes:
    """Return the next `size` bytes, less at the end alone, or all that are left if it is negative."""
    chunk = content.read(size)
    # A network gives what it has, and a tar's writer takes less for the end.
    while chunk and len(chunk) < size and (more := content.read(size - len(chunk))):
        chunk += more
    return chunk


class Counted:
    """Content, and what was read of it.

    Attributes:
        size_bytes: how much was read.
    """

    def __init__(self, content: Readable, progress: Callable[[int], None] = lambda _: None) -> None:
        """Read nothing yet.

        Args:
            content: what is read.
            progress: told after each read how many bytes were read by now.
        """
        self._content = content
        self._progress = progress
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    def read(self, size: int = -1, /) -> bytes:
        """Return the next `size` bytes, less at the end alone, or all that are left."""
        chunk = read_fully(self._content, size)
        self._hash.update(chunk)
        self.size_bytes += len(chunk)
        self._progress(self.size_bytes)
        return chunk

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was read, in hexadecimal digits."""
        return self._hash.hexdigest()


def copy(content: Readable, out: Writable) -> None:
    """Write all that is left of the content."""
    while chunk := content.read(CHUNK_BYTES):
        out.write(chunk)


def drain(content: Readable) -> None:
    """Read all that is left of the content."""
    while content.read(CHUNK_BYTES):
        pass
