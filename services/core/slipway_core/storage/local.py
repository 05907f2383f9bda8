"""Files in a folder of this machine."""

import builtins
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slipway_core.atomic_file import atomic_file, is_part
from slipway_core.errors import StorageError, StorageNotFoundError
from slipway_core.storage.base import StoredFile, checked_path, checked_prefix


class LocalStorage:
    """A storage whose root is a folder. The first `put` creates the folder.

    Symbolic links to files are followed. Links to folders are not listed, because they may form a cycle.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.expanduser().absolute()

    @property
    def location(self) -> str:
        """The folder's absolute path."""
        return str(self._root)

    def list(self, prefix: str = "") -> builtins.list[StoredFile]:
        """Return the files whose path begins with `prefix`, sorted by path."""
        folder = self._root / checked_prefix(prefix).rpartition("/")[0]
        found = []
        with _translated_errors(prefix or "the storage's folder"):
            for parent, _, names in os.walk(folder, onerror=_raise_unless_missing):
                for name in names:
                    file = Path(parent, name)
                    path = file.relative_to(self._root).as_posix()
                    if is_part(name) or not path.startswith(prefix):
                        continue
                    try:
                        status = file.stat()
                    except FileNotFoundError:  # removed in the meantime, or a broken link
                        continue
                    if stat.S_ISREG(status.st_mode):
                        found.append(StoredFile(path, status.st_size))
        return sorted(found)

    def fetch(self, path: str, destination: Path) -> None:
        """Copy a file to `destination`."""
        with (
            _translated_errors(path),
            self._file(path).open("rb") as stored,
            _translated_errors(destination.name),
            atomic_file(destination) as out,
        ):
            shutil.copyfileobj(stored, out)

    def put(self, path: str, source: Path) -> None:
        """Copy a local file to a path."""
        file = self._file(path)
        with (
            _translated_errors(source.name),
            source.open("rb") as given,
            _translated_errors(path),
            atomic_file(file) as out,
        ):
            shutil.copyfileobj(given, out)

    def delete(self, path: str) -> None:
        """Remove a file if it exists."""
        with _translated_errors(path):
            self._file(path).unlink(missing_ok=True)

    def exists(self, path: str) -> bool:
        """Return whether the path is a file."""
        with _translated_errors(path):
            return self._file(path).is_file()

    def _file(self, path: str) -> Path:
        return self._root / checked_path(path)


@contextmanager
def _translated_errors(what: str) -> Iterator[None]:
    """Raise Slipway's own error for an error of the operating system.

    Args:
        what: the file, as the caller named it.
        what: the file, as the person named it.
    """
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StorageNotFoundError(f"file {what} does not exist: check its name and the storage's location") from error
    except OSError as error:
        raise StorageError(f"{what} cannot be read or written: {error.strerror}") from error


def _raise_unless_missing(error: OSError) -> None:
    """Treat a folder that does not exist as empty."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return
    raise error
