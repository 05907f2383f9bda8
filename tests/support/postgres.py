"""A real PostgreSQL server for a test run, on loopback, in a temporary folder."""

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from sqlalchemy import create_engine, text

from support.servers import free_port

ACCOUNT = "postgres"
# Durability that a temporary database does not need.
NOT_DURABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


@dataclass(frozen=True)
class PostgresServer:
    """A server that can be stopped and restarted.

    Attributes:
        address: the address, to which a database's name is appended.
        freeze: suspend all its processes: it listens, and does not respond.
        thaw: resume them.
    """

    address: str
    stop: Callable[[], None]
    start: Callable[[], None]
    freeze: Callable[[], None]
    thaw: Callable[[], None]


@contextmanager
def postgres_server() -> Iterator[str]:
    """Run a server that trusts all connections on loopback; yield its address, to which a database's name is appended.

    Skip the test if PostgreSQL is not installed.
    """
    with stoppable_postgres() as server:
        yield server.address


@contextmanager
def stoppable_postgres() -> Iterator[PostgresServer]:
    """Run a separate server for one test, like `postgres_server`."""
    binaries = programs()
    as_account = _account()
    folder = Path(tempfile.mkdtemp(prefix="slipway-postgres-"))
    data, log = folder / "data", folder / "log"
    try:
        if as_account:
            shutil.chown(folder, ACCOUNT)
        folder.chmod(0o755)

        def run(program: str, *arguments: str) -> None:
            command = [*as_account, str(binaries / program), *arguments]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
            told = log.read_text(errors="replace") if log.exists() else ""
            assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}{told}"

        run(
            "initdb",
            f"--pgdata={data}",
            "--username=slipway",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        )
        port = free_port()
        settings = ["listen_addresses=127.0.0.1", f"port={port}", f"unix_socket_directories={folder}", *NOT_DURABLE]
        options = " ".join(f"-c {setting}" for setting in settings)

        def start() -> None:
            run("pg_ctl", "start", f"--pgdata={data}", f"--log={log}", f"--options={options}", "--wait", "--silent")

        def stop(mode: str = "fast") -> None:
            # The server keeps committed data over a crash only if it writes it to disk.
            run("pg_ctl", "stop", f"--pgdata={data}", f"--mode={mode}", "--wait", "--silent")

        def processes() -> list[psutil.Process]:
            # The first line is the process id of the parent of all others.
            first = psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))
            return [first, *first.children()]

        def freeze() -> None:
            processes()[0].suspend()  # the parent first, so that it starts no more processes
            for process in processes()[1:]:
                process.suspend()

        def thaw() -> None:
            for process in processes():
                process.resume()

        start()
        try:
            yield PostgresServer(f"postgresql://slipway@127.0.0.1:{port}", stop, start, freeze, thaw)
        finally:
            if (data / "postmaster.pid").exists():
                thaw()
                stop("immediate")
    finally:
        shutil.rmtree(folder)


def new_database(server: str) -> str:
    """Create an empty database on a server and return its address in the format of `DATABASE_URL`."""
    name = f"slipway_{uuid.uuid4().hex}"
    address = server.replace("postgresql://", "postgresql+psycopg2://")
    engine = create_engine(f"{address}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return f"{server}/{name}"


def programs() -> Path:
    """Return the folder of `initdb` and `pg_ctl`; Debian keeps one per version, outside the PATH."""
    installed = sorted((found.parent for found in Path("/usr/lib/postgresql").glob("*/bin/initdb")), reverse=True)
    if on_path := shutil.which("initdb"):
        installed.append(Path(on_path).resolve().parent)
    for folder in installed:
        if (folder / "pg_ctl").exists():
            return folder
    pytest.skip("PostgreSQL is not installed: found no folder with initdb and pg_ctl")


def _account() -> Sequence[str]:
    """Return a prefix for commands, since PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return ()
    runuser = shutil.which("runuser")
    if runuser is None or ACCOUNT not in {entry.pw_name for entry in pwd.getpwall()}:
        pytest.skip(f"PostgreSQL refuses to run as root, and runuser or the account {ACCOUNT} is missing")
    return (runuser, "-u", ACCOUNT, "--")
