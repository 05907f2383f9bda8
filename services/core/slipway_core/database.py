"""Connections to Slipway's own database, SQLite or PostgreSQL."""

import select
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from slipway_core.errors import ConfigurationError

# libpq's parameters. Without them, a call to a server that stops responding waits for a quarter of an hour.
# Parameters in the URL take precedence.
NETWORK_OPTIONS = {
    "connect_timeout": "3",
    "tcp_user_timeout": "10000",  # milliseconds
    "keepalives_idle": "5",
    "keepalives_interval": "2",
}
# The deadline of one statement. A stopped server keeps its connections open and acknowledges packets, so neither libpq
# nor TCP would time out.
ANSWER_SECONDS = 5.0


def database_url(url: str) -> URL:
    """Parse `DATABASE_URL`, naming the driver that Slipway installs.

    Raises:
        ConfigurationError: it is not a URL, or names a database other than SQLite and PostgreSQL.
    """
    parsed = with_installed_driver(url, "DATABASE_URL")
    if (backend := parsed.get_backend_name()) not in {"postgresql", "sqlite"}:
        raise ConfigurationError(f"DATABASE_URL names {backend}; Slipway keeps its tables in SQLite or PostgreSQL")
    return parsed


def with_installed_driver(url: str, variable: str) -> URL:
    """Parse a database's URL, naming the driver that Slipway installs for SQLite and PostgreSQL.

    Args:
        url: as people write it, such as `postgresql://user:password@host/name`.
        variable: the one that it comes from, for the error.

    Raises:
        ConfigurationError: it is not a URL.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise ConfigurationError(
            f"{variable} is not a database URL; write sqlite:///slipway.db or postgresql://user:password@host/slipway"
        ) from error
    backend = parsed.get_backend_name()
    if backend in {"postgresql", "postgres"}:
        # The plain form means psycopg 3 since SQLAlchemy 2.1; the driver that MLflow needs as well serves both.
        return parsed.set(drivername="postgresql+psycopg2")
    if backend == "sqlite":
        return parsed.set(drivername="sqlite")
    return parsed


def with_absolute_file(url: URL) -> URL:
    """Return the URL with SQLite's file named from the file system's root, for processes that run elsewhere."""
    file = url.database
    if url.get_backend_name() != "sqlite" or not file or file == ":memory:" or file.startswith("file:"):
        return url
    return url.set(database=str(Path(file).absolute()))


def connect(url: str, *, answer_seconds: float | None = ANSWER_SECONDS) -> Engine:
    """Return an engine; nothing is connected yet.

    Args:
        url: as `database_url` takes it.
        answer_seconds: how long PostgreSQL may take for a statement, or to let us in; None for as long as it likes.
    """
    parsed = database_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed)
        event.listen(engine, "connect", _prepare_sqlite)
        return engine
    engine = create_engine(
        parsed.set(query={**NETWORK_OPTIONS, **parsed.query}),
        pool_pre_ping=True,
        pool_size=4,
        max_overflow=4,
        connect_args={"connection_factory": _patient_connection(answer_seconds)},
    )
    event.listen(engine, "checkout", _reset_patience)
    return engine


def allow(connection: Connection, answer_seconds: float) -> None:
    """Let PostgreSQL take longer for the statements of a connection, until it goes back to its pool."""
    raw: Any = connection.connection.dbapi_connection
    if hasattr(raw, "answer_seconds"):
        raw.answer_seconds = answer_seconds


def _patient_connection(answer_seconds: float | None) -> Any:  # noqa: ANN401  # psycopg2 has no types
    """Return a class of connections that wait for their server with a deadline.

    psycopg2 asks one function for the whole process to wait ("Support for coroutine libraries"); ours asks the
    connection how long.
    """
    import psycopg2  # noqa: PLC0415  # only where the database is PostgreSQL
    from psycopg2 import extensions  # noqa: PLC0415

    events = {extensions.POLL_READ: select.POLLIN, extensions.POLL_WRITE: select.POLLOUT}

    def wait(connection: Any) -> None:  # noqa: ANN401
        seconds = getattr(connection, "answer_seconds", None)
        deadline = None if seconds is None else time.monotonic() + seconds
        while (state := connection.poll()) != extensions.POLL_OK:
            poll = select.poll()
            poll.register(connection.fileno(), events[state])
            left = None if deadline is None else max(deadline - time.monotonic(), 0) * 1000
            # An error here closes the connection, and its pool forgets it.
            if not poll.poll(left):
                raise psycopg2.OperationalError("the database did not answer in time")

    extensions.set_wait_callback(wait)
    return type("PatientConnection", (extensions.connection,), {"answer_seconds": answer_seconds})


def _reset_patience(connection: Any, _record: object, _proxy: object) -> None:  # noqa: ANN401
    connection.answer_seconds = type(connection).answer_seconds


def _prepare_sqlite(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]  # a DB-API connection
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA busy_timeout=5000")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()
