"""The seam to where files are kept, and the rule for their paths."""

import builtins
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from slipway_core.errors import StorageError

# Control characters, and halves of characters, which have no bytes to be sent as.
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
    """Content that is read from its beginning to its end, once."""

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes: at most `size` of them, or all that are left; none at the end."""
        ...


class Storage(Protocol):
    """What Slipway asks of a place that keeps files. Implementations are thread-safe.

    A path is relative to the root, its parts separated by `/`; folders exist only as parts of paths. A root that
    nothing was put to is empty. Every method raises StorageUnavailableError if the storage cannot be reached,
    StorageNotFoundError if what is named does not exist (the bucket, too), and StorageError if a path would leave the
    root, or the storage refuses.
    """

    @property
    def location(self) -> str:
        """The root, as `open_storage` takes it and people read it."""
        ...

    def list(self, prefix: str = "") -> builtins.list[StoredFile]:
        """Return the files whose path begins with `prefix`, in the order of their paths."""
        ...

    def fetch(self, path: str, destination: Path) -> None:
        """Write a file to `destination`, streamed: all of it or nothing. Its folder is made if it is new."""
        ...

    def put(self, path: str, source: Path) -> None:
        """Store a local file under a path, streamed: all of it or nothing. What was there is replaced."""
        ...

    def delete(self, path: str) -> None:
        """Remove a file if it exists."""
        ...

    def exists(self, path: str) -> bool:
        """Return whether the path is a file; False for a folder."""
        ...


def checked_path(path: str) -> str:
    """Return a file's path as it is, if it stays in the root.

    Raises:
        StorageError: it is absolute, has a part that is empty, `.` or `..`, or has a control character.
    """
    unspeakable = any(unicodedata.category(character) in CONTROLS for character in path)
    if unspeakable or any(part in {"", ".", ".."} for part in path.split("/")):
        raise StorageError(f"{path!r} is not a path of the storage: write it from the root on, like iris/iris.csv")
    return path


def checked_prefix(prefix: str) -> str:
    """Return the beginning of files' paths as it is, if it stays in the root; `folder/` is one, and so is nothing.

    Raises:
        StorageError: as `checked_path`.
    """
    if prefix:
        checked_path(prefix.removesuffix("/"))
    return prefix
