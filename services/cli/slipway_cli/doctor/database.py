"""Check Slipway's own database: its address, its driver, the connection, and its tables."""

import importlib.util
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from slipway_cli.doctor.connection_errors import explain_connection_error
from slipway_cli.doctor.context import DoctorContext
from slipway_cli.doctor.findings import Finding, broken, ok, warning
from slipway_core.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy import Connection

CHECK = "DATABASE_URL"
MIGRATE = "run `slipway-api migrate` with this DATABASE_URL"


def check_database(context: DoctorContext) -> Iterator[Finding]:
    """Check the database without changing it."""
    from slipway_core.database import database_url  # noqa: PLC0415  # SQLAlchemy would slow down every command

    secret = context.settings.database_url
    if secret is None:
        if not context.is_embedded:
            yield ok(CHECK, "skipped: it is not set, so `slipway-api serve` uses slipway.db in its working directory")
            return
        url = f"sqlite:///{context.home.slipway_database}"
    else:
        url = secret.get_secret_value()
    try:
        parsed = database_url(url)
    except ConfigurationError as error:
        what, _, hint = str(error).partition("; ")
        yield broken(CHECK, what, hint or "write postgresql://USER:PASSWORD@HOST/NAME or sqlite:///FILE")
        return
    scheme = url.partition("://")[0]
    if "+" in scheme and scheme != parsed.drivername:
        yield warning(
            CHECK,
            f"names the driver {scheme.partition('+')[2]}, which Slipway does not use",
            f"write {parsed.get_backend_name()}://…, without a driver",
        )
    if parsed.get_backend_name() == "postgresql":
        yield from _check_postgresql(context, url)
    elif not parsed.database or parsed.database == ":memory:":
        yield warning(CHECK, "stores accounts in memory only: a restart deletes them", "name a file: sqlite:///FILE")
    else:
        yield from _check_sqlite(context, Path(parsed.database).absolute())


def _check_postgresql(context: DoctorContext, url: str) -> Iterator[Finding]:
    if importlib.util.find_spec("psycopg2") is None:
        yield broken(CHECK, "the PostgreSQL driver is not installed", "run `pip install 'slipway[api]'`")
        return
    from sqlalchemy.exc import OperationalError  # noqa: PLC0415  # as above

    from slipway_core.database import connect  # noqa: PLC0415

    engine = connect(url)
    try:
        with engine.connect() as connection:
            yield ok(CHECK, "PostgreSQL accepts the connection")
            yield _check_tables(context, connection)
    except OperationalError as error:
        yield broken(CHECK, *explain_connection_error(str(error.orig), CHECK))
    finally:
        engine.dispose()


def _check_sqlite(context: DoctorContext, file: Path) -> Iterator[Finding]:
    from sqlalchemy import URL, create_engine  # noqa: PLC0415  # as above
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415

    from slipway_cli.doctor.machine import why_not_writable  # noqa: PLC0415

    folder = file.parent
    if not folder.exists() and context.settings.database_url is None:
        yield ok("database", "does not exist yet: `slipway up` creates it")
        return
    if why := why_not_writable(folder):
        yield broken(
            CHECK,
            f"the folder {folder} of its SQLite file cannot be written ({why})",
            f"create it with `mkdir -p {shlex.quote(str(folder))}`, make it writable, or name another file",
        )
        return
    if not file.exists():
        yield _tables_missing(context, "the SQLite file does not exist yet")
        return
    query = {"mode": "ro", "uri": "true"}
    if not file.with_name(f"{file.name}-wal").exists():
        # No process has the file open. A normal reader would create -wal and -shm files, owned by this account.
        query["immutable"] = "1"
    engine = create_engine(URL.create("sqlite", database=f"file:{quote(str(file))}", query=query))
    try:
        with engine.connect() as connection:
            yield _check_tables(context, connection)
    except DBAPIError:
        yield broken(
            CHECK,
            f"{file} cannot be read as an SQLite database",
            "name another file in DATABASE_URL, or restore the file from a backup",
        )
    finally:
        engine.dispose()


def _check_tables(context: DoctorContext, connection: "Connection") -> Finding:
    from slipway_core.migrations import state_of  # noqa: PLC0415  # Alembic would slow down every command

    state = state_of(connection)
    if state == "current":
        return ok("tables", "up to date")
    if state == "missing":
        return _tables_missing(context, "the database has no tables of Slipway")
    if state == "unknown":
        return broken(
            "tables",
            "they were created by a later release of Slipway",
            "run that release or a newer one, or name another database in DATABASE_URL",
        )
    return _tables_missing(context, "the tables are from an earlier release")


def _tables_missing(context: DoctorContext, what: str) -> Finding:
    if context.is_embedded:
        return ok("tables", f"{what}: `slipway up` creates or upgrades them")
    return broken("tables", what, MIGRATE)
