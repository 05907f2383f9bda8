"""Fixtures of the prediction log's tests: a served model, a log with its folder, a database, and a shipper."""

import itertools
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Engine, select
from uuid_utils.compat import uuid7

from slipway_api.metrics import Metrics
from slipway_api.prediction_log.journal import HEAD_BYTES, SUFFIX, Record, decode, marker_of, scan
from slipway_api.prediction_log.loading import SqlLoadingStore
from slipway_api.prediction_log.metrics import PredictionLogMetrics
from slipway_api.prediction_log.shipper import Shipper
from slipway_api.prediction_log.writer import PredictionLog
from slipway_api.serving.served_model import ServedModel
from slipway_core.rows import Table
from slipway_core.tables import predictions

USER = uuid.UUID("00000000-0000-4000-8000-000000000001")
# A time in November 2026, with microseconds.
AT_NS = 1_795_178_096_123_456_000
ROWS = [[5.1, 3.5, 1.4, 0.2]]


class Journal:
    """A log, the folder that it writes to, and the model whose predictions it records."""

    def __init__(self, folder: Path, model: ServedModel, **options: Any) -> None:
        self.folder = folder
        self.model = model
        self.metrics = Metrics()
        self._count = itertools.count()
        self.log = PredictionLog(
            folder, PredictionLogMetrics(self.metrics), **{"later": later, "max_bytes": 2**30, **options}
        )

    def add(self, rows: Any = ROWS, **changes: Any) -> uuid.UUID:
        """Append the response to some rows; return its id."""
        given = rows if isinstance(rows, Table) else np.array(rows, dtype=np.float32)
        fields: dict[str, Any] = {
            "model": self.model,
            "id": self._next_id(),
            "at_ns": AT_NS,
            "user_id": USER,
            "rows": given,
            "outputs": self.model.graph.run(given),
            "latency_seconds": 0.00125,
            "request_id": "r-1",
            **changes,
        }
        self.log.append(**fields)
        identity: uuid.UUID = fields["id"]
        return identity

    def _next_id(self) -> uuid.UUID:
        """Return an id of the current time that sorts after the previous one, which ids of one millisecond may not."""
        return uuid.UUID(int=uuid7().int >> 80 << 80 | 7 << 76 | 2 << 62 | next(self._count))

    def segments(self) -> list[Path]:
        return sorted(self.folder.glob(f"*{SUFFIX}"))

    def records(self) -> list[Record]:
        """Read the records of all segments."""
        return [record for path in self.segments() for record in records_in(path.read_bytes())]

    def dropped(self) -> float | None:
        return self.metrics.registry.get_sample_value("slipway_prediction_log_dropped_records_total")


def later(seconds: float, function: Callable[[], None]) -> None:
    """Call a function after some seconds, as an event loop would."""
    timer = threading.Timer(seconds, function)
    timer.daemon = True
    timer.start()


def records_in(content: bytes) -> list[Record]:
    """Read the complete records of a segment."""
    marker = marker_of(content)
    if marker is None:
        return []
    told = [decode(payload) for payload in scan(marker, content[HEAD_BYTES:]).payloads]
    return [record for part in told if isinstance(part, list) for record in part]


def matrix_of(record: Record) -> np.ndarray:
    """Return a record's inputs, which must be a matrix."""
    assert isinstance(record.inputs, np.ndarray)
    return record.inputs


def shipper_of(folder: Path, engine: Engine, **options: Any) -> Shipper:
    return Shipper(folder, SqlLoadingStore(engine), **options)


def ids_in(engine: Engine) -> list[uuid.UUID]:
    """Return the ids of the predictions in a database, oldest first."""
    with engine.connect() as connection:
        return list(connection.execute(select(predictions.c.id).order_by(predictions.c.id)).scalars())


@contextmanager
def closing(engine: Engine) -> Iterator[Engine]:
    try:
        yield engine
    finally:
        engine.dispose()
