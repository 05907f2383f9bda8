"""Write prediction records from a worker to its journal on the local disk, through a list and a thread.

The event loop encodes records in batches, 10 ms after the first, and a separate thread writes them, so that no request
waits for a disk. A killed process only loses what it had not yet passed to the system. Encoding in a thread would cost
several times as much, because it competes with the loop for the interpreter. The shipper loads the journal into the
database.
"""

import json
import queue
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import orjson
from numpy.typing import NDArray

from slipway_api.prediction_log.journal import Columns, Version, encode_records, encode_version
from slipway_api.prediction_log.metrics import PredictionLogMetrics
from slipway_api.prediction_log.segments import SegmentWriter
from slipway_api.serving.served_model import ServedModel
from slipway_core.graph import Outputs
from slipway_core.logging import get_logger
from slipway_core.rows import FloatMatrix, Rows, Table

FLUSH_SECONDS = 0.01
# After a failed write, records are dropped for this long before the next attempt.
RETRY_SECONDS = 1.0
# The limit of records waiting in memory while a disk does not respond.
MAX_WAITING_BYTES = 64 * 1024 * 1024
# The size of a record without its values.
RECORD_BYTES = 400
ALL_FEATURES = "*"
# What a table stores in place of a redacted value, because null is a missing one.
REDACTED = {"redacted": True}

log = get_logger("slipway.predictions")


class _Entry(NamedTuple):
    model: ServedModel
    id: uuid.UUID | bytes
    at_ns: int
    user_id: uuid.UUID
    rows: Rows
    outputs: Outputs
    latency_seconds: float
    request_id: str


class _Batch(NamedTuple):
    """Encoded records for the writer thread; a batch without parts asks the thread to signal when it reaches it."""

    parts: "list[tuple[object, _Describe, bytes]]"
    records: int
    size_bytes: int
    written: threading.Event | None = None


class PredictionLog:
    """Record every prediction in this worker's journal."""

    def __init__(
        self,
        folder: Path,
        metrics: PredictionLogMetrics,
        *,
        later: Callable[[float, Callable[[], None]], object],
        max_bytes: int,
        enabled: bool = True,
        redacted: Sequence[str] = (),
    ) -> None:
        """Prepare a log; the first record starts the thread.

        Args:
            folder: the journal's folder.
            metrics: counts dropped records.
            later: calls a function after a delay in seconds, on the appending thread.
            max_bytes: size limit of all files in the folder.
            enabled: whether to store records.
            redacted: names of features whose values are not stored; `*` for all.
        """
        self._metrics = metrics
        self._later = later
        self._enabled = enabled
        self._redacted = frozenset(redacted)
        self._writer = SegmentWriter(folder, max_bytes)
        self._waiting: list[_Entry] = []
        self._is_due = False
        self._encoding = threading.Lock()
        # Each counter belongs to one thread; the difference is what waits in memory.
        self._appended_bytes = 0
        self._written_bytes = 0
        self._queue: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._failing = False
        self._retry_at = 0.0

    def append(
        self,
        model: ServedModel,
        id: uuid.UUID | bytes,  # noqa: A002  # the name that it has everywhere
        at_ns: int,
        user_id: uuid.UUID,
        rows: Rows,
        outputs: Outputs,
        latency_seconds: float,
        request_id: str,
    ) -> None:
        """Record a request with its response. It takes one or two microseconds and never fails.

        Args:
            model: the version that ran.
            id: the prediction's id, or its 16 bytes.
            at_ns: the time, in nanoseconds of Unix time.
            user_id: the caller.
            rows: as the model's signature returns them. They are read later and must not change.
            outputs: the model's outputs, which must not change either.
            latency_seconds: from the request's head until now.
            request_id: the request's id.
        """
        if not self._enabled:
            return
        if self._appended_bytes - self._written_bytes > MAX_WAITING_BYTES:
            self._metrics.dropped_records.inc()
            return
        self._appended_bytes += rows.nbytes + RECORD_BYTES
        self._waiting.append(_Entry(model, id, at_ns, user_id, rows, outputs, latency_seconds, request_id))
        if not self._is_due:
            self._is_due = True
            self._later(FLUSH_SECONDS, self._hand_over)

    def flush(self) -> None:
        """Write all appended records. Blocks."""
        self._hand_over()
        if self._thread is not None:
            written = threading.Event()
            self._queue.put(_Batch([], 0, 0, written))
            written.wait()

    def close(self) -> None:
        """Write the remaining records and end the thread. Blocks; call it after the last request."""
        self._closing = True
        self._hand_over()
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _hand_over(self) -> None:
        """Encode the appended records and pass them to the thread."""
        self._is_due = False
        with self._encoding:
            # Other threads may append meanwhile; each of these steps is atomic.
            batch = self._waiting[:]
            del self._waiting[: len(batch)]
            if not batch:
                return
            parts = [part for group in _by_model(batch) for part in self._encode(group)]
            size_bytes = sum(entry.rows.nbytes + RECORD_BYTES for entry in batch)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
                self._thread.start()
            self._queue.put(_Batch(parts, len(batch), size_bytes))

    def _run(self) -> None:
        while True:
            expires_in = self._writer.expires_in()
            try:
                batch = self._queue.get(timeout=None if expires_in == float("inf") else max(expires_in, 0.0))
            except queue.Empty:
                self._writer.end_segment()
                continue
            if batch is None:
                self._writer.close()
                return
            if batch.parts:
                self._write(batch)
            self._written_bytes += batch.size_bytes
            if batch.written is not None:
                batch.written.set()

    def _write(self, batch: _Batch) -> None:
        if self._failing and time.monotonic() < self._retry_at and not self._closing:
            self._metrics.dropped_records.inc(batch.records)
            return
        try:
            self._writer.write(batch.parts)
        except OSError as error:
            self._metrics.dropped_records.inc(batch.records)
            self._retry_at = time.monotonic() + RETRY_SECONDS
            if not self._failing:
                log.warning("prediction_log_dropping", reason=error.strerror or str(error))
            self._failing = True
            return
        except Exception:  # keep the thread and the predictions running
            self._metrics.dropped_records.inc(batch.records)
            log.exception("prediction_log_crashed")
            return
        if self._failing:
            log.info("prediction_log_resumed")
        self._failing = False

    def _encode(self, group: Sequence[_Entry]) -> "list[tuple[object, _Describe, bytes]]":
        """Return the payload of records of one version; one payload per record if the batch cannot be encoded."""
        model = group[0].model
        try:
            payload = encode_records(model.name, model.version, model.manifest_sha256, self._columns(group))
        except Exception:  # one bad record must not lose the others
            if len(group) == 1:
                self._metrics.dropped_records.inc()
                log.exception("prediction_not_logged", model=model.name, version=model.version)
                return []
            return [part for entry in group for part in self._encode([entry])]
        key = (model.name, model.version, model.manifest_sha256)
        return [(key, _Describe(model), payload)]

    def _columns(self, group: Sequence[_Entry]) -> Columns:
        models, ids, at, users, tables, outputs, latencies, request_ids = zip(*group, strict=True)
        has_scores = outputs[0].scores is not None
        return Columns(
            b"".join([one if type(one) is bytes else one.bytes for one in ids]),
            at,
            b"".join([one.bytes for one in users]),
            latencies,
            [len(rows) for rows in tables],
            request_ids,
            self._inputs(models[0], tables),
            np.concatenate([one.prediction for one in outputs]),
            np.concatenate([one.scores for one in outputs], dtype=np.float32) if has_scores else None,
        )

    def _inputs(self, model: ServedModel, tables: Sequence[Rows]) -> NDArray[np.float32] | list[bytes]:
        """Return the inputs of records for the journal, without the redacted values."""
        hidden = [
            index
            for index, name in enumerate(model.signature.names if self._redacted else ())
            if name in self._redacted or ALL_FEATURES in self._redacted
        ]
        # All are of one kind, that of their model.
        if isinstance(tables[0], Table):
            return [_json(cast("Table", rows), hidden) for rows in tables]
        inputs = np.concatenate(cast("Sequence[FloatMatrix]", tables), dtype=np.float32)
        if hidden:
            inputs[:, hidden] = np.nan
        return inputs


def _json(table: Table, hidden: Sequence[int]) -> bytes:
    columns = list(table.columns)
    for index in hidden:
        columns[index] = [REDACTED] * len(table)
    rows = list(zip(*columns, strict=True))
    try:
        return orjson.dumps(rows)
    except TypeError:  # an integer beyond 64 bits in a column of floats
        return json.dumps(rows).encode()


class _Describe:
    """Encode the description of a model version, for a segment's first records of it."""

    def __init__(self, model: ServedModel) -> None:
        self._model = model

    def __call__(self) -> bytes:
        model, manifest = self._model, self._model.manifest
        return encode_version(
            Version(
                model=model.name,
                version=model.version,
                manifest_sha256=model.manifest_sha256,
                run_id=model.run_id,
                data_version=manifest.data.version,
                git_commit=manifest.git_commit,
                task=manifest.task,
                features=list(model.signature.names),
                classes=None if manifest.classes is None else list(manifest.classes),
            )
        )


def _by_model(batch: Sequence[_Entry]) -> list[list[_Entry]]:
    groups: dict[int, list[_Entry]] = {}
    for entry in batch:
        groups.setdefault(id(entry.model), []).append(entry)
    return list(groups.values())
