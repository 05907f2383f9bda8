"""Load the journal's segments into the database, in one process for all workers of a journal.

It reads open and finished segments, commits in batches, and deletes a segment when it is finished and fully committed.
Records committed before a crash may be sent again; the insert skips existing ids.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

from slipway_api.prediction_log.journal import (
    HEAD_BYTES,
    NEW_SUFFIX,
    SUFFIX,
    FormatError,
    Record,
    Version,
    decode,
    marker_of,
    scan,
)
from slipway_api.prediction_log.loading import LoadingStore, RejectedRecordsError
from slipway_core.logging import get_logger

BATCH_RECORDS = 1_000
# A batch ends early if it would exceed this number of values.
BATCH_VALUES = 500_000
# A segment that was never renamed because its writer was killed.
FORGOTTEN_SECONDS = 60.0
RETENTION_SECONDS = 3_600.0
RETENTION_BATCH = 1_000
REJECTED = "rejected"

log = get_logger("slipway.shipper")


class Shipper:
    """Ship a journal in rounds. Not thread-safe; hold the journal's lock meanwhile."""

    def __init__(
        self,
        folder: Path,
        store: LoadingStore,
        *,
        retention_days: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._store = store
        self._retention_days = retention_days
        self._clock = clock
        # Committed bytes of each segment.
        self._committed: dict[str, int] = {}
        self._trim_at = 0.0

    def ship_once(self) -> int:
        """Ship the present records, oldest first.

        Returns:
            How many records were processed.

        Raises:
            NotReadyError: the database is unavailable; the next round continues with the uncommitted records.
            OSError: a segment cannot be read; the others were shipped.
        """
        names = self._segments()
        self._committed = {name: self._committed[name] for name in names if name in self._committed}
        shipped, unreadable = 0, None
        for name in names:
            try:
                shipped += self._ship(self._folder / name)
            except OSError as error:  # continue with the other files
                unreadable = error
        self._trim()
        if unreadable is not None:
            raise unreadable
        return shipped

    def is_drained(self) -> bool:
        """Return whether no segment is left."""
        return not self._segments()

    def _segments(self) -> list[str]:
        try:
            with os.scandir(self._folder) as entries:
                # Names sort by creation time.
                names = sorted(entry.name for entry in entries if entry.name.endswith((SUFFIX, NEW_SUFFIX)))
        except FileNotFoundError:
            return []
        for name in [name for name in names if name.endswith(NEW_SUFFIX)]:
            self._forget(self._folder / name)
        return [name for name in names if name.endswith(SUFFIX)]

    def _forget(self, path: Path) -> None:
        try:
            if self._clock() - path.stat().st_mtime > FORGOTTEN_SECONDS:
                with path.open("rb") as file:
                    if _is_unlocked(file.fileno()):  # a locked one is its writer's next segment
                        path.unlink()
        except FileNotFoundError:  # it was renamed meanwhile
            return

    def _ship(self, path: Path) -> int:
        committed = self._committed.get(path.name, HEAD_BYTES)
        with path.open("rb") as file:
            # Check the lock before reading: the content of a finished segment is then complete.
            is_finished = _is_unlocked(file.fileno())
            if not is_finished and os.fstat(file.fileno()).st_size <= committed:
                return 0
            marker = marker_of(file.read(HEAD_BYTES))
            file.seek(committed)
            content = file.read()
        if marker is None:
            log.error("journal_segment_unreadable", segment=path.name)
            self._put_aside(path)
            return 0
        found = scan(marker, content)
        shipped = self._load(path, found.payloads)
        self._committed[path.name] = committed + found.end
        damaged = found.damaged_bytes + (len(content) - found.end if is_finished else 0)
        if damaged:
            log.warning("journal_damaged", segment=path.name, skipped_bytes=damaged)
        if is_finished:
            path.unlink()
            del self._committed[path.name]
        return shipped

    def _load(self, path: Path, payloads: Sequence[bytes]) -> int:
        versions: list[Version] = []
        shipped = 0
        for batch in _batches(self._records(path, payloads, versions)):
            # The batch's versions were read before it.
            self._load_batch(versions[:], batch)
            versions.clear()
            shipped += len(batch)
        if versions:  # without records so far
            self._load_batch(versions, ())
        return shipped

    def _records(self, path: Path, payloads: Sequence[bytes], versions: list[Version]) -> Iterator[Record]:
        for index, payload in enumerate(payloads):
            try:
                content = decode(payload)
            except FormatError as error:
                log.warning("journal_frame_unreadable", segment=path.name, reason=str(error)[:200])
                name = f"{path.stem}-{self._committed.get(path.name, HEAD_BYTES)}-{index}.frame"
                self._reject(name, payload)
                continue
            if isinstance(content, Version):
                versions.append(content)
            else:
                yield from content

    def _load_batch(self, versions: Sequence[Version], records: Sequence[Record]) -> None:
        """Load records; halve a rejected batch until the offending records are found."""
        try:
            self._store.load(versions, records)
        except RejectedRecordsError as error:
            if len(records) > 1:
                middle = len(records) // 2
                self._load_batch(versions, records[:middle])
                self._load_batch(versions, records[middle:])
            elif records and versions:
                # The lineage may be the rejected part; keep the prediction without it.
                self._load_batch((), records)
                self._load_batch(versions, ())
            elif records:
                record = records[0]
                log.warning("record_rejected", prediction_id=str(record.id), model=record.model, reason=str(error))
                content = record._asdict() | {"scores": None if record.scores is None else record.scores.tolist()}
                inputs = record.inputs if isinstance(record.inputs, bytes) else orjson.dumps(record.inputs.tolist())
                content |= {"inputs": orjson.Fragment(inputs), "prediction": record.prediction.tolist()}
                self._reject(f"{record.id}.json", orjson.dumps(content))
            else:
                log.warning("lineage_rejected", models=[one.model for one in versions], reason=str(error))

    def _reject(self, name: str, content: bytes) -> None:
        folder = self._folder / REJECTED
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            # The name is a digest of the content, so that a retry writes no second file.
            (folder / name).write_bytes(content)
        except OSError as error:  # continue even if the disk is full
            log.warning("rejected_record_lost", file=name, reason=error.strerror)

    def _put_aside(self, path: Path) -> None:
        folder = self._folder / REJECTED
        folder.mkdir(mode=0o700, exist_ok=True)
        path.rename(folder / path.name)

    def _trim(self) -> None:
        """Delete a batch of the predictions that are older than the retention period."""
        now = self._clock()
        if self._retention_days == 0 or now < self._trim_at:
            return
        oldest = datetime.fromtimestamp(now, UTC) - timedelta(days=self._retention_days)
        deleted = self._store.delete_older(oldest, RETENTION_BATCH)
        if deleted:
            log.info("predictions_deleted", count=deleted, older_than_days=self._retention_days)
        if deleted < RETENTION_BATCH:
            self._trim_at = now + RETENTION_SECONDS


def _batches(records: Iterator[Record]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    values = 0
    for record in records:
        batch.append(record)
        # About 4 characters of JSON for a value.
        n_inputs = len(record.inputs) // 4 if isinstance(record.inputs, bytes) else record.inputs.size
        values += n_inputs + record.prediction.size + (0 if record.scores is None else record.scores.size)
        if len(batch) >= BATCH_RECORDS or values >= BATCH_VALUES:
            yield batch
            batch, values = [], 0
    if batch:
        yield batch


def _is_unlocked(file: int) -> bool:
    """Return whether a segment's writer has finished it or has ended."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
