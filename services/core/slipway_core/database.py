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
# The deadline of one statement. A frozen server keeps its connections open and acknowledges packets, so neither libpq
# nor TCP times out.
ANSWER_SECONDS = 5.0


def database_url(url: str) -> URL:
    """Parse `DATABASE_URL` and select the driver that Slipway installs.

    Raises:
        ConfigurationError: it is not a URL, or names a database other than SQLite and PostgreSQL.
    """
    parsed = with_installed_driver(url, "DATABASE_URL")
    if (backend := parsed.get_backend_name()) not in {"postgresql", "sqlite"}:
        raise ConfigurationError(f"DATABASE_URL names {backend}; Slipway keeps its tables in SQLite or PostgreSQL")
    return parsed


def with_installed_driver(url: str, variable: str) -> URL:
    """Parse the URL of a database and select the driver that Slipway installs for SQLite or PostgreSQL.

    Args:
        url: such as `postgresql://user:password@host/name`.
        variable: the environment variable that the URL comes from, for the error.

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
        # Since SQLAlchemy 2.1, the plain form selects psycopg 3. MLflow needs psycopg2, so Slipway uses it too.
        return parsed.set(drivername="postgresql+psycopg2")
    if backend == "sqlite":
        return parsed.set(drivername="sqlite")
    return parsed


def with_absolute_file(url: URL) -> URL:
    """Return the URL with an absolute path of SQLite's file, for processes with another working directory."""
    file = url.database
    if url.get_backend_name() != "sqlite" or not file or file == ":memory:" or file.startswith("file:"):
        return url
    return url.set(database=str(Path(file).absolute()))


def connect(url: str, *, answer_seconds: float | None = ANSWER_SECONDS) -> Engine:
    """Return an engine, without connecting.

    Args:
        url: as `database_url` takes it.
        answer_seconds: the timeout of each statement and of the connection on PostgreSQL; None for no timeout.
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
        connect_args={"connection_factory": _connection_class(answer_seconds)},
    )
    event.listen(engine, "checkout", _reset_timeout)
    return engine


def allow(connection: Connection, answer_seconds: float) -> None:
    """Set the statement timeout of a PostgreSQL connection until the connection returns to its pool."""
    raw: Any = connection.connection.dbapi_connection
    if hasattr(raw, "answer_seconds"):
        raw.answer_seconds = answer_seconds


def _connection_class(answer_seconds: float | None) -> Any:  # noqa: ANN401  # psycopg2 has no types
    """Return a connection class of psycopg2 whose statements time out.

    psycopg2 has one wait callback per process ("Support for coroutine libraries"). This callback reads the timeout
    from the connection.
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
            # An error here closes the connection and removes it from its pool.
            if not poll.poll(left):
                raise psycopg2.OperationalError("the database did not respond in time")

    extensions.set_wait_callback(wait)
    return type("TimeoutConnection", (extensions.connection,), {"answer_seconds": answer_seconds})


def _reset_timeout(connection: Any, _record: object, _proxy: object) -> None:  # noqa: ANN401
    connection.answer_seconds = type(connection).answer_seconds


def _prepare_sqlite(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]  # a DB-API connection
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA busy_timeout=5000")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()
