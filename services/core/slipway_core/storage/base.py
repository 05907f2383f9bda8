"""The interface of a storage for files, and the rule for their paths."""

import builtins
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from slipway_core.errors import StorageError

# Control characters, and lone surrogates, which cannot be encoded.
CONTROLS = frozenset({"Cc", "Cs"})


@dataclass(frozen=True, order=True)
class StoredFile:
    """A file of a storage.

    Attributes:
        path: relative to the storage's root, its parts separated by `/`.
    """

    path: str
    size_bytes: int


class Readable(Protocol):
    """Content that can be read once, from beginning to end."""

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes: at most `size`, or all remaining bytes; empty at the end."""
        ...


class Storage(Protocol):
    """The operations of a storage for files. Implementations are thread-safe.

    A path is relative to the root, with parts separated by `/`. Folders exist only as parts of paths, and a new root is
    empty. Every method raises StorageUnavailableError if the storage cannot be reached, StorageNotFoundError if the
    file or bucket does not exist, and StorageError if the path leaves the root or the storage rejects the call.
    """

    @property
    def location(self) -> str:
        """The root, as `open_storage` accepts it."""
        ...

    def list(self, prefix: str = "") -> builtins.list[StoredFile]:
        """Return the files whose path begins with `prefix`, sorted by path."""
        ...

    def fetch(self, path: str, destination: Path) -> None:
        """Write a file to `destination` completely or not at all, streamed. Missing folders are created."""
        ...

    def put(self, path: str, source: Path) -> None:
        """Store a local file under a path completely or not at all, streamed. An existing file is replaced."""
        ...

    def delete(self, path: str) -> None:
        """Remove a file if it exists."""
        ...

    def exists(self, path: str) -> bool:
        """Return whether the path is a file; False for a folder."""
        ...


def checked_path(path: str) -> str:
    """Return a file's path unchanged if it stays inside the root.

    Raises:
        StorageError: the path is absolute, has a part that is empty, `.` or `..`, or has a control character.
    """
    unspeakable = any(unicodedata.category(character) in CONTROLS for character in path)
    if unspeakable or any(part in {"", ".", ".."} for part in path.split("/")):
        raise StorageError(f"{path!r} is not a valid path: write it relative to the storage's root, like iris/iris.csv")
    return path


def checked_prefix(prefix: str) -> str:
    """Return a prefix of paths unchanged if it stays inside the root; `folder/` and an empty prefix are valid.

    Raises:
        StorageError: as `checked_path`.
    """
    if prefix:
        checked_path(prefix.removesuffix("/"))
    return prefix
