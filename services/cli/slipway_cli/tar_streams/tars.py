"""Write and read tars as streams, one file at a time."""

import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from gzip import BadGzipFile
from typing import IO, cast

from slipway_cli.errors import BackupError
from slipway_cli.tar_streams.streams import CHUNK_BYTES, Counted, Writable, drain, read_fully
from slipway_core.storage import Readable

# The exceptions of Python's readers for bytes that are not a valid tar or gzip file.
DAMAGE = (tarfile.TarError, BadGzipFile, zlib.error, EOFError, ValueError, OverflowError, RecursionError)

# The name of an object has at most 1,024 bytes; a pax header contains little else.
MAX_HEADER_BYTES = 16_384
MAX_EXTENDED_HEADERS = 2


@dataclass(frozen=True)
class TarredFile:
    """A file of a tar; valid until the next one is read."""

    name: str
    size_bytes: int
    content: Readable


class TarOut:
    """A tar to write."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar

    def add(self, name: str, size_bytes: int, content: Readable, *, mtime: int = 0) -> None:
        """Add a file.

        Args:
            name: the path in the tar.
            size_bytes: the number of bytes to read from the content.
            content: the content of the file.
            mtime: the time of the last change, in seconds since the epoch.

        Raises:
            BackupError: the content is shorter than the size.
            OSError: the tar cannot be written.
        """
        header = tarfile.TarInfo(name)
        header.size, header.mode, header.mtime = size_bytes, 0o600, mtime
        try:
            self._tar.addfile(header, Counted(content))
        except OSError as error:
            # Errors of the operating system have a number.
            if error.errno is None:
                raise BackupError(f"{name} was changed while it was read: try again") from error
            raise
        # The tar would otherwise keep every added file in memory, possibly millions.
        self._tar.members.clear()  # type: ignore[attr-defined]


class _Content:
    """The content of a file in a tar."""

    def __init__(self, stream: Readable, size_bytes: int) -> None:
        self._stream = stream
        self.left = size_bytes

    def read(self, size: int = -1, /) -> bytes:
        """Return the next `size` bytes, fewer only at the end, or all remaining bytes.

        Raises:
            EOFError: the tar ends early.
        """
        wanted = self.left if size < 0 else min(size, self.left)
        chunk = read_fully(self._stream, wanted)
        if len(chunk) != wanted:
            raise EOFError
        self.left -= wanted
        return chunk


class TarIn:
    """A tar to read.

    `tarfile` reads any number of extended headers into memory, of any size. This reader accepts only plain files: one
    header per file, after at most two short extended headers.
    """

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._content = _Content(self._stream, 0)
        self._padding = 0

    def next(self) -> TarredFile:
        """Return the next file; the unread rest of the previous file is skipped.

        Raises:
            EOFError: the next entry is not a regular file, has too large headers, or is truncated.
            tarfile.TarError: the tar has no next entry, or its header is damaged.
        """
        drain(self._content)
        self._exactly(self._padding)
        name, size = None, None
        header = self._header()
        for _ in range(MAX_EXTENDED_HEADERS):
            if header.type == tarfile.XHDTYPE:
                records = _records(self._body(header.size))
                name, size = records.get("path", name), records.get("size", size)
            elif header.type == tarfile.GNUTYPE_LONGNAME:
                name = self._body(header.size).partition(b"\0")[0].decode()
            else:
                break
            header = self._header()
        size_bytes = header.size if size is None else int(size)
        if header.type not in {tarfile.REGTYPE, tarfile.AREGTYPE} or size_bytes < 0:
            raise EOFError
        self._content, self._padding = _Content(self._stream, size_bytes), -size_bytes % tarfile.BLOCKSIZE
        return TarredFile(header.name if name is None else name, size_bytes, self._content)

    def _header(self) -> tarfile.TarInfo:
        return tarfile.TarInfo.frombuf(self._exactly(tarfile.BLOCKSIZE), "utf-8", "surrogateescape")

    def _body(self, size: int) -> bytes:
        """Return the content of an extended header."""
        if not 0 <= size <= MAX_HEADER_BYTES:
            raise EOFError
        return self._exactly(size + -size % tarfile.BLOCKSIZE)[:size]

    def _exactly(self, size: int) -> bytes:
        found = read_fully(self._stream, size)
        if len(found) != size:
            raise EOFError
        return found


def _records(body: bytes) -> dict[str, str]:
    """Return the records of a pax header (POSIX.1-2008): `LENGTH KEYWORD=VALUE` and a line break each.

    Raises:
        EOFError: it is damaged, or describes a file with holes.
    """
    records: dict[str, str] = {}
    while body:
        length, _, rest = body.partition(b" ")
        end = int(length)
        keyword, equals, value = rest[: end - len(length) - 1].partition(b"=")
        if not (end > len(length) and equals and value.endswith(b"\n")) or keyword.startswith(b"GNU.sparse"):
            raise EOFError
        records[keyword.decode()] = value[:-1].decode()
        body = body[end:]
    return records


@contextmanager
def writing_tar(out: Writable) -> Iterator[TarOut]:
    """Open a tar that is written to a stream, and ends with the block."""
    with tarfile.open(fileobj=cast("IO[bytes]", out), mode="w|", bufsize=CHUNK_BYTES, format=tarfile.PAX_FORMAT) as tar:
        yield TarOut(tar)


@contextmanager
def reading_tar(stream: Readable) -> Iterator[TarIn]:
    """Open a tar that is read from a stream."""
    yield TarIn(stream)
