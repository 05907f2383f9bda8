"""Load predictions into the database and delete old ones, for the shipper."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
import orjson
from sqlalchemy import Connection, Double, Engine, Integer, String, Text, Uuid, column, delete, select, table, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError

from slipway_api.prediction_log.journal import Record, Version
from slipway_api.prediction_log.repository import SLOW_SECONDS, begin_loading, reaching
from slipway_core.database import allow
from slipway_core.tables import erasures, predictions, served_versions

# PostgreSQL's error classes (appendix A) caused by the inserted data: data, constraints, limits.
REFUSED_CLASSES = ("22", "23", "54")

# PostgreSQL receives a batch as one JSON document: 5 µs per record here, instead of 75 with separate parameters, and
# a fifth of the server's time.
_INSERT_DOCUMENT = text("""
    INSERT INTO predictions (id, at, user_id, model, version, manifest_sha256, inputs, prediction, scores, rows,
        latency_seconds, request_id)
    SELECT id, at, user_id, model, version, manifest_sha256, inputs, prediction, scores, rows,
        latency_seconds, request_id
    FROM json_to_recordset(:document) AS batch (id uuid, at timestamptz, user_id uuid, model text, version text,
        manifest_sha256 text, inputs jsonb, prediction jsonb, scores jsonb, rows integer, latency_seconds float8,
        request_id text)
    ON CONFLICT (id) DO NOTHING
""")
_JSON_COLUMNS = ("inputs", "prediction", "scores")
# The table for inserts into SQLite, with its JSON columns as text.
_target = table(
    "predictions",
    column("id", Uuid),
    column("at", predictions.c.at.type),
    column("user_id", Uuid),
    column("model", String),
    column("version", String),
    column("manifest_sha256", String),
    column("inputs", Text),
    column("prediction", Text),
    column("scores", Text),
    column("rows", Integer),
    column("latency_seconds", Double),
    column("request_id", String),
)

_INSERT_ROWS = sqlite.insert(_target).on_conflict_do_nothing(index_elements=["id"])


class RejectedRecordsError(Exception):
    """The database permanently rejects some of these records."""


class LoadingStore(Protocol):
    """The shipper's database. Its calls raise NotReadyError while the database is unavailable."""

    def load(self, versions: Sequence[Version], records: Sequence[Record]) -> None:
        """Insert new records, all or none; raises RejectedRecordsError if the database permanently rejects one."""
        ...

    def delete_older(self, than: datetime, limit: int) -> int:
        """Delete some of the predictions that are older than a time; return the number deleted."""
        ...


class SqlLoadingStore:
    """Slipway's own database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._is_postgresql = engine.dialect.name == "postgresql"
        dialect = postgresql if self._is_postgresql else sqlite
        self._insert_version = dialect.insert(served_versions).on_conflict_do_nothing(
            index_elements=["manifest_sha256", "model", "version"]
        )

    def load(self, versions: Sequence[Version], records: Sequence[Record]) -> None:
        """Insert new records, except those of erased users.

        Raises:
            NotReadyError: the database is unavailable; nothing was inserted.
            RejectedRecordsError: the database permanently rejects some of the records; nothing was inserted.
        """
        users = {record.user_id for record in records}
        with reaching(self._engine):
            try:
                self._load(versions, records, users)
            except (SQLAlchemyError, ValueError, TypeError, OverflowError) as error:
                if is_data_error(error):
                    raise RejectedRecordsError(type(error).__name__) from error
                raise

    def _load(self, versions: Sequence[Version], records: Sequence[Record], users: set[uuid.UUID]) -> None:
        with self._engine.begin() as connection:
            begin_loading(connection)
            if versions:
                connection.execute(self._insert_version, [version._asdict() for version in versions])
            gone = set(connection.execute(select(erasures.c.user_id).where(erasures.c.user_id.in_(users))).scalars())
            if rows := [row_of(record) for record in records if record.user_id not in gone]:
                self.insert(connection, rows)

    def insert(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
        """Insert rows of `row_of`, except those whose id exists."""
        if not self._is_postgresql:
            connection.execute(_INSERT_ROWS, rows)
            return
        document = []
        for row in rows:
            texts = {name: row[name] for name in _JSON_COLUMNS if row[name] is not None}
            document.append(row | {name: orjson.Fragment(value) for name, value in texts.items()})
        connection.execute(_INSERT_DOCUMENT, {"document": orjson.dumps(document).decode()})

    def delete_older(self, than: datetime, limit: int) -> int:
        """Delete some of the predictions that are older than a time, with their feedback; return the number deleted."""
        oldest = select(predictions.c.id).where(predictions.c.at < than).order_by(predictions.c.at).limit(limit)
        with reaching(self._engine), self._engine.begin() as connection:
            allow(connection, SLOW_SECONDS)
            return connection.execute(delete(predictions).where(predictions.c.id.in_(oldest))).rowcount

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


def row_of(record: Record) -> dict[str, Any]:
    """Return a record as a row of the table, with each float32 as its shortest decimal."""
    return {
        "id": record.id,
        "at": datetime.fromtimestamp(record.at_ns // 1000 / 1e6, UTC),
        "user_id": record.user_id,
        "model": record.model,
        "version": record.version,
        "manifest_sha256": record.manifest_sha256,
        "inputs": record.inputs.decode() if isinstance(record.inputs, bytes) else _json(record.inputs),
        "prediction": _json(record.prediction),
        "scores": None if record.scores is None else _json(record.scores),
        "rows": len(record.prediction),
        "latency_seconds": record.latency_seconds,
        "request_id": record.request_id,
    }


def _json(values: "np.ndarray[Any, Any]") -> str:
    return orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY).decode()


def is_data_error(error: Exception) -> bool:
    """Return whether the inserted data caused an error, rather than the database's state."""
    if isinstance(error, DataError | IntegrityError):
        return True
    if isinstance(error, DBAPIError):
        return (getattr(error.orig, "pgcode", None) or "")[:2] in REFUSED_CLASSES
    # A value that the driver cannot send, such as text with a NUL.
    return isinstance(error, StatementError) or not isinstance(error, SQLAlchemyError)
