"""Dump each of the stack's two databases consistently, and load each in one transaction."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from slipway_cli.docker.compose_project import Call, ComposeProject
from slipway_cli.errors import StackError
from slipway_cli.tar_streams.streams import copy
from slipway_core.storage import Readable

SERVICE = "postgres"
# pg_dump writes this line at the end, followed by at most a few lines.
TRAILER, TRAILER_WITHIN_BYTES = b"PostgreSQL database dump complete", 1024
LOADED = b"slipway: loaded"

# Reset the database to its initial state: an empty schema that belongs to the owner of the database. The query output
# of the dump is discarded.
BEGIN = b"""\\o /dev/null
BEGIN;
SET lock_timeout = '60s';
SET client_min_messages = warning;
DROP SCHEMA public CASCADE;
CREATE SCHEMA public AUTHORIZATION pg_database_owner;
COMMENT ON SCHEMA public IS 'standard public schema';
GRANT USAGE ON SCHEMA public TO PUBLIC;
"""


def dump(project: ComposeProject, database: str, out: IO[bytes]) -> int:
    """Write a database to a file as SQL that any account can load, and return its size in bytes.

    Raises:
        StackError: pg_dump failed, or its output is incomplete.
    """
    role = ("--username", database, "--dbname", database)
    with project.calling("exec", "-T", SERVICE, "pg_dump", *role, "--no-owner", "--no-privileges") as call:
        copy(call.stdout, out)
    size_bytes = out.tell()
    out.seek(max(0, size_bytes - TRAILER_WITHIN_BYTES))
    if TRAILER not in out.read():
        raise StackError(f"the dump of the database {database} is incomplete: try again")
    return size_bytes


class Loading:
    """A database whose content is replaced in a transaction; other sessions see the change after `commit`."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def load(self, content: Readable) -> None:
        """Replace the content of the database with that of a dump.

        Raises:
            StackError: the database rejects the dump.
        """
        with self._broken_pipe_as_failure():
            self._call.stdin.write(BEGIN)
            copy(content, self._call.stdin)
            self._call.stdin.write(b"\n\\o\n\\echo " + LOADED + b"\n")
            self._call.stdin.flush()
        while (line := self._call.stdout.readline()).strip() != LOADED:
            if not line:
                raise self._call.failure()

    def commit(self) -> None:
        """Make the new content visible to other sessions.

        Raises:
            StackError: the database failed.
        """
        with self._broken_pipe_as_failure():
            self._call.stdin.write(b"COMMIT;\n")
            self._call.finish()

    @contextmanager
    def _broken_pipe_as_failure(self) -> Iterator[None]:
        """Raise the error of this database's command for a broken pipe; another command may run in the same block."""
        try:
            yield
        except BrokenPipeError as error:
            raise self._call.failure() from error


@contextmanager
def loading(project: ComposeProject, database: str) -> Iterator[Loading]:
    """Open a session that replaces a database's content. Without `commit`, nothing changes.

    It uses the database's own role, which has no other privileges.

    Raises:
        StackError: the database rejects the session, or cannot be reached.
    """
    role = ("--username", database, "--dbname", database)
    psql = ("psql", "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", *role, "--file=-")
    with project.calling("exec", "-T", SERVICE, *psql) as call:
        yield Loading(call)
