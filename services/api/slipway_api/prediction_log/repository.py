"""Read the prediction log from the database, store feedback, and erase users' predictions."""

import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import (
    Connection,
    Engine,
    Float,
    Row,
    Select,
    Text,
    case,
    cast,
    delete,
    func,
    insert,
    select,
    text,
    tuple_,
)
from sqlalchemy.exc import IntegrityError

from slipway_api.database.errors import translated_errors
from slipway_api.errors import ConflictError, NotFoundError
from slipway_api.prediction_log.queries import (
    DATABASE_AWAY,
    Feedback,
    LiveFigures,
    LoggedPrediction,
    Origin,
    Page,
    Position,
    PredictionQuery,
)
from slipway_core.database import allow
from slipway_core.tables import erasures, feedback, predictions, served_versions

# Timeout of statements that read or delete many rows.
SLOW_SECONDS = 25.0
# Makes erasing and loading wait for each other: see `begin_loading`.
LOADING_LOCK = 0x51195A1

_COLUMNS = (
    predictions.c.id,
    predictions.c.at,
    predictions.c.user_id,
    predictions.c.model,
    predictions.c.version,
    predictions.c.manifest_sha256,
    # JSON that is returned unchanged is not parsed.
    cast(predictions.c.inputs, Text).label("inputs"),
    cast(predictions.c.prediction, Text).label("prediction"),
    cast(predictions.c.scores, Text).label("scores"),
    predictions.c.latency_seconds,
    predictions.c.request_id,
)
_VersionKey = tuple[str, str, str]


def reaching(engine: Engine) -> AbstractContextManager[None]:
    """Convert a driver's errors for an unavailable or unmigrated database to NotReadyError."""
    return translated_errors(engine, frozenset({predictions.name}), DATABASE_AWAY)


def begin_loading(connection: Connection) -> None:
    """Begin a transaction that reads which users are erased and then writes predictions.

    An erasure during the load would miss the predictions being written. It therefore waits for running loads, and
    later loads see the erasure.
    """
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(text(f"SELECT pg_advisory_xact_lock_shared({LOADING_LOCK})"))


def erase(connection: Connection, user_id: uuid.UUID) -> int:
    """Mark a user as erased and delete the user's stored predictions and feedback, within a transaction.

    Records that are still in a journal are then not loaded.

    Args:
        connection: in a transaction, which on SQLite holds the write lock.
        user_id: the user to erase.

    Returns:
        The number of deleted predictions.
    """
    allow(connection, SLOW_SECONDS)
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({LOADING_LOCK})"))
    connection.execute(insert(erasures).values(user_id=user_id, at=datetime.now(UTC)))
    connection.execute(delete(feedback).where(feedback.c.by == user_id))
    # Their feedback is deleted by cascade.
    return connection.execute(delete(predictions).where(predictions.c.user_id == user_id)).rowcount


class SqlPredictionStore:
    """The log in Slipway's own database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find(self, prediction_id: uuid.UUID, user_id: uuid.UUID | None) -> LoggedPrediction | None:
        """Return a prediction of a user, or of any user for None, with its feedback; None if it does not exist."""
        query = select(*_COLUMNS).where(predictions.c.id == prediction_id)
        if user_id is not None:
            query = query.where(predictions.c.user_id == user_id)
        with reaching(self._engine), self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
            if row is None:
                return None
            stored = connection.execute(
                select(feedback).where(feedback.c.prediction_id == prediction_id).order_by(feedback.c.row)
            ).all()
            origins = _origins(connection, [row])
        return _logged(row, origins, tuple(Feedback(**one._mapping) for one in stored))  # noqa: SLF001  # its public name

    def page(self, query: PredictionQuery) -> Page:
        """Return the page that a query selects."""
        if query.model is not None and "\x00" in query.model:  # PostgreSQL rejects NUL even in a parameter
            return Page((), None)
        with reaching(self._engine), self._engine.connect() as connection:
            heads = connection.execute(_heads(query)).all()
            chosen: list[Any] = []
            total = 0
            for head in heads[: query.limit]:
                total += head.rows
                if chosen and total > query.max_rows:
                    break
                chosen.append(head)
            rows = connection.execute(
                select(*_COLUMNS)
                .where(predictions.c.id.in_([head.id for head in chosen]))
                .order_by(predictions.c.at.desc(), predictions.c.id.desc())
            ).all()
            origins = _origins(connection, rows)
        there_is_more = len(heads) > len(chosen)
        last = Position(chosen[-1].at, chosen[-1].id) if there_is_more else None
        return Page(tuple(_logged(row, origins) for row in rows), last)

    def add_feedback(self, entry: Feedback) -> None:
        """Store feedback.

        Raises:
            ConflictError: the row has feedback.
            NotFoundError: the prediction was deleted.
        """
        values = {name: getattr(entry, name) for name in feedback.columns.keys()}  # noqa: SIM118  # not a dict
        try:
            with reaching(self._engine), self._engine.begin() as connection:
                connection.execute(insert(feedback).values(values))
        except IntegrityError as error:
            if self.find(entry.prediction_id, None) is None:
                raise NotFoundError(f"prediction {entry.prediction_id} was deleted") from error
            raise ConflictError(f"row {entry.row} of this prediction already has feedback") from error

    def live_figures(self, since: datetime) -> Sequence[LiveFigures]:
        """Return the live figures of each model version from the feedback since a time."""
        error, correct = feedback.c.error, feedback.c.correct
        query = (
            select(
                feedback.c.model,
                feedback.c.version,
                func.count().label("rows"),
                func.avg(case((correct.is_(True), 1.0), (correct.is_(False), 0.0))).label("accuracy"),
                func.avg(func.abs(error)).label("absolute"),
                func.avg(cast(error * error, Float)).label("squared"),
            )
            .where(feedback.c.at >= since)
            .group_by(feedback.c.model, feedback.c.version)
        )
        with reaching(self._engine), self._engine.connect() as connection:
            allow(connection, SLOW_SECONDS)
            rows = connection.execute(query).all()
        return [
            LiveFigures(
                row.model, row.version, row.rows, _number(row.accuracy), _number(row.absolute), _number(row.squared)
            )
            for row in rows
        ]


def _heads(query: PredictionQuery) -> Select[Any]:
    """Select what determines the size of a page before its content is read."""
    found = select(predictions.c.id, predictions.c.at, predictions.c.rows)
    if query.user_id is not None:
        found = found.where(predictions.c.user_id == query.user_id)
    if query.model is not None:
        found = found.where(predictions.c.model == query.model)
    if query.models is not None:
        found = found.where(predictions.c.model.in_(query.models))
    if query.since is not None:
        found = found.where(predictions.c.at >= query.since)
    if query.after is not None:
        found = found.where(tuple_(predictions.c.at, predictions.c.id) < tuple_(query.after.at, query.after.id))
    return found.order_by(predictions.c.at.desc(), predictions.c.id.desc()).limit(query.limit + 1)


def _origins(connection: Connection, rows: Sequence[Row[Any]]) -> dict[_VersionKey, Origin]:
    """Return the lineage of the model versions of some predictions."""
    wanted = {(row.manifest_sha256, row.model, row.version) for row in rows}
    key = (served_versions.c.manifest_sha256, served_versions.c.model, served_versions.c.version)
    found = {}
    digests = {digest for digest, _, _ in wanted}
    for row in connection.execute(select(served_versions).where(key[0].in_(digests))) if digests else ():
        found[row.manifest_sha256, row.model, row.version] = Origin(
            row.run_id,
            row.data_version,
            row.git_commit,
            row.task,
            tuple(row.features),
            None if row.classes is None else tuple(row.classes),
        )
    return found


def _logged(row: Row[Any], origins: dict[_VersionKey, Origin], entries: tuple[Feedback, ...] = ()) -> LoggedPrediction:
    return LoggedPrediction(
        id=row.id,
        at=row.at.astimezone(UTC),
        user_id=row.user_id,
        model=row.model,
        version=row.version,
        manifest_sha256=row.manifest_sha256,
        inputs=row.inputs,
        prediction=tuple(orjson.loads(row.prediction)),
        scores=row.scores,
        latency_seconds=row.latency_seconds,
        request_id=row.request_id,
        origin=origins.get((row.manifest_sha256, row.model, row.version)),
        feedback=entries,
    )


def _number(value: Any) -> float | None:  # noqa: ANN401  # PostgreSQL's averages are decimals
    return None if value is None else float(value)
