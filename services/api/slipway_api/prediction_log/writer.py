"""The prediction log's way out of a worker: a list, a thread, and a journal on the local disk.

What is appended is encoded 10 ms later by the event loop, a batch at a time, and written by a thread of its own, so
that no request waits for a disk, and only what a killed process had not yet handed to the system is lost. The loop
encodes, as a thread that did would fight with it for the interpreter, at several times the cost. The shipper takes it
from there to the database.
"""

import queue
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from slipway_api.metrics import Metrics
from slipway_api.prediction_log.journal import Columns, Version, encode_records, encode_version
from slipway_api.prediction_log.segments import SegmentWriter
from slipway_api.serving.served_model import ServedModel
from slipway_core.graph import Outputs
from slipway_core.logging import get_logger
from slipway_core.signature import FloatMatrix

FLUSH_SECONDS = 0.01
# After a write that failed, what comes is dropped for so long before the next is tried.
RETRY_SECONDS = 1.0
# What may wait in memory while a disk does not answer.
MAX_WAITING_BYTES = 64 * 1024 * 1024
# What a record takes beside its values.
RECORD_BYTES = 400
ALL_FEATURES = "*"

log = get_logger("slipway.predictions")


class _Entry(NamedTuple):
    model: ServedModel
    id: uuid.UUID | bytes
    at_ns: int
    user_id: uuid.UUID
    matrix: FloatMatrix
    outputs: Outputs
    latency_seconds: float
    request_id: str


class _Batch(NamedTuple):
    """Encoded records on their way to the disk; without parts it asks the thread to tell when it gets there."""

    parts: "list[tuple[object, _Describe, bytes]]"
    records: int
    size_bytes: int
    written: threading.Event | None = None


class PredictionLog:
    """Takes a record of every answered request and writes it to this worker's journal."""

    def __init__(
        self,
        folder: Path,
        metrics: Metrics,
        *,
        later: Callable[[float, Callable[[], None]], object],
        max_bytes: int,
        enabled: bool = True,
        redacted: Sequence[str] = (),
    ) -> None:
        """Prepare a log; nothing is written and no thread runs before the first record.

        Args:
            folder: the journal's.
            metrics: counts what is dropped.
            later: calls a function after some seconds, on the thread that appends.
            max_bytes: how much all files of the folder may hold.
            enabled: False keeps nothing.
            redacted: names of features whose values are not kept; `*` for all.
        """
        self._metrics = metrics
        self._later = later
        self._enabled = enabled
        self._redacted = frozenset(redacted)
        self._writer = SegmentWriter(folder, max_bytes)
        self._waiting: list[_Entry] = []
        self._is_due = False
        self._encoding = threading.Lock()
        # Each is counted by one thread alone; the difference is what waits in memory.
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
        matrix: FloatMatrix,
        outputs: Outputs,
        latency_seconds: float,
        request_id: str,
    ) -> None:
        """Note an answered request. It costs a microsecond or two, and never fails.

        Args:
            model: the version that answered.
            id: the prediction's id, or its 16 bytes.
            at_ns: when, in nanoseconds of Unix time.
            user_id: the caller.
            matrix: (n_rows, n_features) float32. It is read later: it must not change.
            outputs: what the model answered; the same holds.
            latency_seconds: from the request's head until now.
            request_id: the request's.
        """
        if not self._enabled:
            return
        if self._appended_bytes - self._written_bytes > MAX_WAITING_BYTES:
            self._metrics.prediction_log_dropped.inc()
            return
        self._appended_bytes += matrix.nbytes + RECORD_BYTES
        self._waiting.append(_Entry(model, id, at_ns, user_id, matrix, outputs, latency_seconds, request_id))
        if not self._is_due:
            self._is_due = True
            self._later(FLUSH_SECONDS, self._hand_over)

    def flush(self) -> None:
        """Write what was appended until now. Blocks."""
        self._hand_over()
        if self._thread is not None:
            written = threading.Event()
            self._queue.put(_Batch([], 0, 0, written))
            written.wait()

    def close(self) -> None:
        """Write what there is and end. Blocks; call it after the last request."""
        self._closing = True
        self._hand_over()
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _hand_over(self) -> None:
        """Encode what was appended and give it to the thread."""
        self._is_due = False
        with self._encoding:
            # Others may append meanwhile, at the end: each of these is one step to the interpreter.
            batch = self._waiting[:]
            del self._waiting[: len(batch)]
            if not batch:
                return
            parts = [part for group in _by_model(batch) for part in self._encode(group)]
            size_bytes = sum(entry.matrix.nbytes + RECORD_BYTES for entry in batch)
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
            self._metrics.prediction_log_dropped.inc(batch.records)
            return
        try:
            self._writer.write(batch.parts)
        except OSError as error:
            self._metrics.prediction_log_dropped.inc(batch.records)
            self._retry_at = time.monotonic() + RETRY_SECONDS
            if not self._failing:
                log.warning("prediction_log_dropping", reason=error.strerror or str(error))
            self._failing = True
            return
        except Exception:  # a fault of ours must end neither the thread nor the predictions
            self._metrics.prediction_log_dropped.inc(batch.records)
            log.exception("prediction_log_crashed")
            return
        if self._failing:
            log.info("prediction_log_resumed")
        self._failing = False

    def _encode(self, group: Sequence[_Entry]) -> "list[tuple[object, _Describe, bytes]]":
        """Return the payload of records of one model; of each alone, if they do not go together."""
        model = group[0].model
        try:
            payload = encode_records(model.name, model.version, model.manifest_sha256, self._columns(group))
        except Exception:  # whatever it is, it is a fault of one record and must not take the others along
            if len(group) == 1:
                self._metrics.prediction_log_dropped.inc()
                log.exception("prediction_not_logged", model=model.name, version=model.version)
                return []
            return [part for entry in group for part in self._encode([entry])]
        key = (model.name, model.version, model.manifest_sha256)
        return [(key, _Describe(model), payload)]

    def _columns(self, group: Sequence[_Entry]) -> Columns:
        models, ids, at, users, matrices, outputs, latencies, request_ids = zip(*group, strict=True)
        inputs = np.concatenate(matrices, dtype=np.float32)
        if self._redacted:
            for index, name in enumerate(models[0].signature.names):
                if name in self._redacted or ALL_FEATURES in self._redacted:
                    inputs[:, index] = np.nan
        has_scores = outputs[0].scores is not None
        return Columns(
            b"".join([one if type(one) is bytes else one.bytes for one in ids]),
            at,
            b"".join([one.bytes for one in users]),
            latencies,
            [len(matrix) for matrix in matrices],
            request_ids,
            inputs,
            np.concatenate([one.prediction for one in outputs]),
            np.concatenate([one.scores for one in outputs], dtype=np.float32) if has_scores else None,
        )


class _Describe:
    """Tells of a model version, when a segment first has records of it."""

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
