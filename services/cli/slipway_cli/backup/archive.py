"""Write, read and verify a backup: one gzip-compressed tar with the SHA-256 of each part.

    backup.json             format and origin: read first, so that other files and newer formats are rejected at once
    slipway.sql             the two databases, as pg_dump writes them
    mlflow.sql
    objects/BUCKET/KEY      the files of the object store, in any number
    digests.json            size and SHA-256 of all other parts: written last, so that a truncated file is detected

The archive is written and read as a stream; no part is held in memory as a whole. Paths in the archive are never used
as paths on disk.
"""

import gzip
import io
import json
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from slipway_cli.errors import BackupError
from slipway_cli.tar_streams.object_stream import OBJECTS
from slipway_cli.tar_streams.streams import Counted, drain
from slipway_cli.tar_streams.tars import DAMAGE, TarIn, TarOut, TarredFile, reading_tar, writing_tar
from slipway_core.atomic_file import atomic_file
from slipway_core.errors import StorageError
from slipway_core.storage import Readable
from slipway_core.storage.base import checked_path

FORMAT = 1
ABOUT_FILE, DIGESTS_FILE = "backup.json", "digests.json"
# The order in which the dumps are written and read.
DATABASES = ("slipway", "mlflow")
DUMPS = tuple(f"{database}.sql" for database in DATABASES)
# Slipway's own files are smaller; they are held in memory.
MAX_ABOUT_BYTES = 1 << 20
# The maximum JSON size of a part's digest: its size and SHA-256, and up to six bytes for each byte of its name.
MAX_DIGEST_BYTES, MAX_NAME_FACTOR = 200, 6
# Higher levels take several times as long and hardly make graphs and images smaller.
COMPRESSION_LEVEL = 3
SHOWN_NAME = 200

Progress = Callable[[int], None]


class About(BaseModel):
    """The content of `backup.json`: what the backup contains and where it comes from.

    Attributes:
        locations: the backed-up locations of the object store: buckets, or `bucket/prefix`.
    """

    model_config = ConfigDict(frozen=True)

    format: int = Field(default=FORMAT, ge=1)
    slipway_version: str = Field(max_length=50)
    created_at: AwareDatetime
    locations: tuple[str, ...] = Field(max_length=100)


class Digest(BaseModel):
    """The size of a part in bytes, and its SHA-256 in hexadecimal."""

    model_config = ConfigDict(frozen=True)

    size_bytes: int
    sha256: str


class Digests(BaseModel):
    """The digest of every part, by name."""

    parts: dict[str, Digest]


@dataclass(frozen=True)
class Part:
    """A database's dump or an object; valid until the next part is read.

    Attributes:
        name: its path in the archive.
        content: its bytes; unread bytes are skipped.
    """

    name: str
    size_bytes: int
    content: Readable


class Writer:
    """Writes the parts of a backup, in the order of the format."""

    def __init__(self, tar: TarOut, created_at: datetime) -> None:
        self._tar = tar
        self._mtime = int(created_at.timestamp())
        self._digests: dict[str, Digest] = {}

    def add(self, name: str, size_bytes: int, content: Readable) -> None:
        """Add a part of the given size.

        Raises:
            BackupError: the name is not allowed, or the content is shorter than the size.
            OSError: the file cannot be written.
        """
        if not _is_name(name):
            raise BackupError(f"{name!r} cannot be in a backup: rename that file of the object store")
        self._digests[name] = self._added(name, size_bytes, content)

    def end(self) -> None:
        """Add the digests, which complete the backup."""
        content = Digests(parts=self._digests).model_dump_json().encode()
        self._added(DIGESTS_FILE, len(content), io.BytesIO(content))

    def _added(self, name: str, size_bytes: int, content: Readable) -> Digest:
        counted = Counted(content)
        self._tar.add(name, size_bytes, counted, mtime=self._mtime)
        return Digest(size_bytes=size_bytes, sha256=counted.sha256)


@contextmanager
def new_backup(path: Path, about: About) -> Iterator[Writer]:
    """Open a new backup that replaces the file at `path` when the block ends. It is removed if the block fails.

    From the start, only its owner can read it.

    Raises:
        BackupError: the file cannot be written.
    """
    try:
        with atomic_file(path) as out:
            os.fchmod(out.fileno(), 0o600)
            with gzip.GzipFile("", "wb", COMPRESSION_LEVEL, out) as zipped, writing_tar(zipped) as tar:
                writer = Writer(tar, about.created_at)
                content = about.model_dump_json().encode()
                writer.add(ABOUT_FILE, len(content), io.BytesIO(content))
                yield writer
                writer.end()
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise BackupError(f"{path} cannot be written: {error.strerror}") from error


def read_about(path: Path) -> About:
    """Return the content of `backup.json`, without reading the rest of the archive.

    Raises:
        BackupError: the file is not a backup, cannot be read, or has a newer format.
    """
    with _opened(path) as (tar, _, _):
        return _about(path, tar.next(), {})


def verify(path: Path, progress: Progress = lambda _: None) -> About:
    """Verify every part of a backup, and return the content of `backup.json`.

    Args:
        path: the file.
        progress: called with the number of bytes read so far.

    Raises:
        BackupError: the file is not a backup, cannot be read, is damaged or truncated, has unexpected parts, or has a
            newer format.
    """
    about = read_about(path)
    for _ in parts(path, progress):
        pass
    return about


def parts(path: Path, progress: Progress = lambda _: None) -> Iterator[Part]:
    """Yield the parts of a backup in order: the dumps, then the objects.

    After the last part, the digests of all parts are checked.

    Raises:
        BackupError: as `verify`.
    """
    read: dict[str, Digest] = {}
    with _opened(path) as (tar, unzipped, file):
        about = _about(path, tar.next(), read)
        while (found := tar.next()).name != DIGESTS_FILE:
            _check_place(path, found.name, read, about.locations)
            counted = Counted(found.content, lambda _: progress(file.tell()))
            yield Part(found.name, found.size_bytes, counted)
            drain(counted)
            if counted.size_bytes != found.size_bytes:
                raise EOFError
            read[found.name] = Digest(size_bytes=found.size_bytes, sha256=counted.sha256)
        _check_digests(path, Digests.model_validate_json(_small(found, _most_digest_bytes(read))).parts, read)
        # The checksum of gzip follows the tar.
        drain(unzipped)
        progress(file.tell())


@contextmanager
def _opened(path: Path) -> Iterator[tuple[TarIn, Readable, BinaryIO]]:
    try:
        with (
            path.open("rb") as file,
            gzip.GzipFile(fileobj=file) as unzipped,
            reading_tar(unzipped) as tar,
        ):
            yield tar, unzipped, file
    except FileNotFoundError as error:
        raise BackupError(f"file {path} does not exist: check its name") from error
    except DAMAGE as error:
        raise BackupError(f"{path} is damaged, incomplete, or not a Slipway backup: use another file") from error
    except OSError as error:
        raise BackupError(f"{path} cannot be read: {error.strerror}") from error


def _small(found: TarredFile, limit: int) -> bytes:
    if found.size_bytes > limit:
        raise EOFError
    return found.content.read()


def _most_digest_bytes(read: Collection[str]) -> int:
    """Return the maximum size of the digests of these parts."""
    return MAX_DIGEST_BYTES + sum(MAX_DIGEST_BYTES + MAX_NAME_FACTOR * len(name.encode()) for name in read)


def _about(path: Path, found: TarredFile, read: dict[str, Digest]) -> About:
    if found.name != ABOUT_FILE:
        raise EOFError
    content = _small(found, MAX_ABOUT_BYTES)
    read[ABOUT_FILE] = Digest(size_bytes=len(content), sha256=sha256(content).hexdigest())
    content_json = json.loads(content)
    # Check the format first: a newer release may have changed all other fields.
    found_format = content_json.get("format") if isinstance(content_json, dict) else None
    if isinstance(found_format, int) and found_format > FORMAT:
        raise BackupError(f"{path} was created by a newer release of Slipway: restore it with that release")
    return About.model_validate(content_json)


def _is_name(name: str) -> bool:
    """Return whether a part can have this name."""
    try:
        checked_path(name)
    except StorageError:
        return False
    return name in {ABOUT_FILE, *DUMPS} or re.fullmatch(rf"{OBJECTS}[a-zA-Z0-9._-]+/.+", name) is not None


def _check_place(path: Path, name: str, read: Collection[str], locations: Collection[str]) -> None:
    """Raise BackupError unless a part with this name may follow the parts read so far."""
    # `backup.json` is the first part.
    expected = DUMPS[len(read) - 1] if len(read) <= len(DUMPS) else None
    is_expected = (
        name == expected if expected else any(name.startswith(f"{OBJECTS}{location}/") for location in locations)
    )
    if not (is_expected and _is_name(name) and name not in read):
        raise BackupError(f"{path} has an unexpected part {name[:SHOWN_NAME]!r}: do not use this file")


def _check_digests(path: Path, recorded: Mapping[str, Digest], read: Mapping[str, Digest]) -> None:
    """Raise BackupError if a part differs from the recorded digests."""
    wrong = [
        name
        for name in {**recorded, **read, **dict.fromkeys(DUMPS)}
        if name not in read or recorded.get(name) != read[name]
    ]
    if wrong:
        raise BackupError(f"{path} is damaged: its part {wrong[0]} does not match digests.json; use another file")
