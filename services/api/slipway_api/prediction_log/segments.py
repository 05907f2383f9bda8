"""The journal's files: a writer appends to a segment, and starts a new one when it grows too large or too old.

A writer holds a lock (`flock`) on its segment for as long as it may write to it. The system releases it however the
process ends, so a reader that gets the lock knows that the segment is complete.
"""

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from uuid_utils.compat import uuid7

from slipway_api.prediction_log.journal import HEAD_BYTES, NEW_SUFFIX, SUFFIX, frame, marker_of, new_head

SEGMENT_BYTES = 4 * 1024 * 1024
SEGMENT_SECONDS = 5.0
# How long a measured folder size is reused; bytes written meanwhile are added to it.
MEASURE_SECONDS = 1.0
# How long an expired segment is reused if no file descriptor is free for the next one.
EXTENDED_SECONDS = 1.0
OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})


class JournalFullError(OSError):
    """The journal has reached its size limit."""


def folder_bytes(folder: Path) -> int:
    """Return the total size of a journal's files; 0 if the folder does not exist."""
    total = 0
    for path in (folder, folder / "rejected"):
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    try:
                        if entry.is_file(follow_symlinks=False):
                            total += entry.stat(follow_symlinks=False).st_size
                    except FileNotFoundError:  # shipped meanwhile
                        continue
        except FileNotFoundError:
            continue
    return total


class _Prepared(NamedTuple):
    """A segment that has its head but not its final name."""

    file: int
    path: Path
    marker: bytes


class SegmentWriter:
    """Append payloads to the segments of one process. Not thread-safe.

    The writer always holds a file descriptor: it opens the next segment before it closes the current one, so that it
    can write when the process has used up all descriptors.
    """

    def __init__(
        self,
        folder: Path,
        max_bytes: int,
        clock: Callable[[], float] = time.monotonic,
        *,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._clock = clock
        self._file: int | None = None
        self._next: _Prepared | None = None
        self._marker = b""
        self._size = 0
        self._opened_at = 0.0
        self._described: set[object] = set()
        self._used_bytes = 0
        self._measured_at: float | None = None

    def write(self, batches: Sequence[tuple[object, Callable[[], bytes], bytes]]) -> None:
        """Append payloads in one write, all or none.

        Args:
            batches: for each payload a hashable key of its model version, a function that returns the payload that
                describes that version, and the payload. Each segment contains each description once.

        Raises:
            OSError: the disk is full, the folder cannot be written, or the journal is at its limit.
        """
        if self._size >= self._segment_bytes or self.expires_in() <= 0:
            self.end_segment()
        self._check_space(sum(len(payload) for _, _, payload in batches))
        if self._file is None:
            self._begin_segment()
        described: set[object] = set()
        parts = []
        for key, describe, payload in batches:
            if key not in self._described and key not in described:
                described.add(key)
                parts.append(frame(self._marker, describe()))
            parts.append(frame(self._marker, payload))
        self._append(b"".join(parts))
        self._described |= described
        if self._next is None:
            with contextlib.suppress(OSError):  # the next rotation tries again
                self._next = self._prepare()

    def expires_in(self) -> float:
        """Return in how many seconds the open segment expires; infinity if no segment is open."""
        return float("inf") if self._file is None else self._opened_at + SEGMENT_SECONDS - self._clock()

    def end_segment(self) -> None:
        """End the open segment. Keep it for a second if no descriptor is free for the next one."""
        if self._file is not None and self._next is None:
            try:
                self._next = self._prepare()
            except OSError as error:
                if error.errno in OUT_OF_DESCRIPTORS:
                    self._opened_at = self._clock() - SEGMENT_SECONDS + EXTENDED_SECONDS
                    return
        self._close_segment()

    def close(self) -> None:
        """End the open segment and release all descriptors."""
        self._close_segment()
        if self._next is not None:
            self._next.path.unlink(missing_ok=True)
            os.close(self._next.file)
            self._next = None

    def _close_segment(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file, self._size = None, 0

    def _check_space(self, more: int) -> None:
        now = self._clock()
        if self._measured_at is None or now - self._measured_at > MEASURE_SECONDS:
            try:
                self._used_bytes = folder_bytes(self._folder)
            except OSError as error:
                if error.errno not in OUT_OF_DESCRIPTORS:
                    raise
            self._measured_at = now
        if self._used_bytes + more > self._max_bytes:
            raise JournalFullError("the journal has reached its size limit")

    def _begin_segment(self) -> None:
        prepared, self._next = self._next or self._prepare(), None
        try:
            prepared = self._named(prepared)
        except FileNotFoundError:  # the folder was emptied
            prepared = self._named(self._prepare())
        self._file, self._marker, self._size = prepared.file, prepared.marker, HEAD_BYTES
        self._described = set()
        self._opened_at = self._clock()

    def _named(self, prepared: "_Prepared") -> "_Prepared":
        """Give a prepared segment its final name; close it if that fails."""
        try:
            prepared.path.rename(self._folder / f"{uuid7()}{SUFFIX}")
        except OSError:
            os.close(prepared.file)
            prepared.path.unlink(missing_ok=True)
            raise
        return prepared

    def _prepare(self) -> "_Prepared":
        """Open the file of a new segment.

        Rename it only with its lock held: a reader would take an unlocked segment for a finished one.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self._folder / f"{uuid7()}{NEW_SUFFIX}"
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            head = new_head()
            if os.write(file, head) != len(head):
                raise JournalFullError("the disk is full")
        except OSError:
            os.close(file)
            new.unlink(missing_ok=True)
            raise
        return _Prepared(file, new, marker_of(head) or b"")

    def _append(self, content: bytes) -> None:
        if self._file is None:
            raise JournalFullError("no segment is open")
        try:
            written = os.write(self._file, content)
            if written < len(content):  # the second write fails if the disk is full
                written += os.write(self._file, content[written:])
            if written < len(content):
                raise JournalFullError("the disk is full")
        except OSError:
            # Remove the partial frame; a reader would wait for its end.
            os.ftruncate(self._file, self._size)
            self._close_segment()
            raise
        self._size += len(content)
        self._used_bytes += len(content)
