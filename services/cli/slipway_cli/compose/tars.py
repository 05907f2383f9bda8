"""Tars as streams: written and read from their beginning to their end, a file at a time."""

import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from gzip import BadGzipFile
from typing import IO, cast

from slipway_cli.compose.streams import CHUNK_BYTES, Counted, Writable
from slipway_cli.errors import BackupError
from slipway_core.storage import Readable

# What Python's readers raise at bytes that are no tar, or no gzip'd one.
DAMAGE = (tarfile.TarError, BadGzipFile, zlib.error, EOFError, ValueError, OverflowError)


@dataclass(frozen=True)
class TarredFile:
    """A file of a tar, until the next one is asked for."""

    name: str
    size_bytes: int
    content: Readable


class TarOut:
    """A tar that is being written."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar

    def add(self, name: str, size_bytes: int, content: Readable, *, mtime: int = 0) -> None:
        """Add a file.

        Args:
            name: its path in the tar.
            size_bytes: how much of the content is taken.
            content: its bytes.
            mtime: when it was changed last, seconds since the epoch.

        Raises:
            BackupError: there is less content than its size.
            OSError: the tar cannot be written.
        """
        header = tarfile.TarInfo(name)
        header.size, header.mode, header.mtime = size_bytes, 0o600, mtime
        try:
            self._tar.addfile(header, Counted(content))
        except OSError as error:
            # The system's own have a number.
            if error.errno is None:
                raise BackupError(f"{name} ended before its end: it was changed meanwhile, so try again") from error
            raise
        # It remembers every file that was added, and there may be millions.
        self._tar.members.clear()  # type: ignore[attr-defined]


class TarIn:
    """A tar that is being read."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar

    def next(self) -> TarredFile:
        """Return the next file; what was not read of the one before is passed over.

        Raises:
            EOFError: there is none, or it is a folder or a link.
            tarfile.TarError: it is damaged, or ends early.
        """
        header = self._tar.next()
        # As above.
        self._tar.members.clear()  # type: ignore[attr-defined]
        content = self._tar.extractfile(header) if header is not None and header.isreg() else None
        if header is None or content is None:
            raise EOFError
        return TarredFile(header.name, header.size, content)


@contextmanager
def writing_tar(out: Writable) -> Iterator[TarOut]:
    """Open a tar that is written to a stream, and ends with the block."""
    with tarfile.open(fileobj=cast("IO[bytes]", out), mode="w|", bufsize=CHUNK_BYTES, format=tarfile.PAX_FORMAT) as tar:
        yield TarOut(tar)


@contextmanager
def reading_tar(stream: Readable) -> Iterator[TarIn]:
    """Open a tar that is read from a stream."""
    with tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|", bufsize=CHUNK_BYTES) as tar:
        yield TarIn(tar)
