"""`slipway backup` and `slipway restore` on a real PostgreSQL and a real S3 server; Docker alone is a fake."""

import os
import signal
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, make_url, text

from slipway_cli.cli import main
from slipway_core.migrations import upgrade
from support.command import run
from support.docker import CONFIG, FakeDocker, fake_docker, program
from support.postgres import programs
from support.s3 import S3Server
from support.servers import end_group
from support.waiting import wait_for

pytestmark = pytest.mark.slow

FILE = "backup.tar.gz"


@dataclass(frozen=True)
class Stack:
    """The stack of a backup.

    Attributes:
        engines: the engines of the databases, by name.
        bucket: the folder of MLflow's bucket.
    """

    docker: FakeDocker
    engines: dict[str, Engine]
    bucket: Path

    def query(self, database: str, statement: str) -> list[object]:
        with self.engines[database].begin() as connection:
            return list(connection.execute(text(statement)).scalars())

    def change(self, database: str, *statements: str) -> None:
        with self.engines[database].begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def objects(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.bucket.rglob("*") if path.is_file()}


@pytest.fixture
def stack(postgres_address: str, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """A stack with an account, a run and an object."""
    docker = fake_docker(tmp_path, monkeypatch)
    for name in ("pg_dump", "psql"):
        program(tmp_path / "bin", name, str(programs() / name))
    server = make_url(f"{postgres_address}/postgres")
    for name, value in {"PGHOST": server.host, "PGPORT": str(server.port), **s3.environment()}.items():
        monkeypatch.setenv(name, value or "")
    bucket = f"mlflow-{uuid.uuid4().hex}"
    init = {"command": ["init", f"--bucket={bucket}"]}
    mlflow = {"environment": {"MLFLOW_ARTIFACTS_DESTINATION": f"s3://{bucket}/artifacts"}}
    docker.configure({"services": {**CONFIG["services"], "init": init, "mlflow": mlflow}})
    admin = create_engine(server.set(drivername="postgresql+psycopg2"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        for statement in ("CREATE ROLE mlflow LOGIN", "CREATE DATABASE slipway", "CREATE DATABASE mlflow OWNER mlflow"):
            connection.execute(text(statement))
    urls = {name: server.set(drivername="postgresql+psycopg2", database=name) for name in ("slipway", "mlflow")}
    engines = {name: create_engine(url.set(username=name)) for name, url in urls.items()}
    stack = Stack(docker, engines, s3.make_bucket(bucket))
    upgrade(urls["slipway"].render_as_string(hide_password=False))
    stack.change(
        "slipway", "CREATE TABLE notes (id serial PRIMARY KEY, note text)", "INSERT INTO notes (note) VALUES ('ada')"
    )
    stack.change("mlflow", "CREATE TABLE runs (name text)", "INSERT INTO runs VALUES ('first'), ('a\tb\\\\c')")
    (stack.bucket / "artifacts").mkdir()
    (stack.bucket / "artifacts/model.onnx").write_bytes(os.urandom(3_000_000))
    try:
        yield stack
    finally:
        for engine in engines.values():
            engine.dispose()
        with admin.connect() as connection:
            for statement in ("DROP DATABASE slipway", "DROP DATABASE mlflow", "DROP ROLE mlflow"):
                connection.execute(text(statement))
        admin.dispose()


@pytest.fixture
def changed(stack: Stack) -> Stack:
    """The stack with a backup and later changes."""
    ended = run(main, "backup", FILE)
    assert (ended.exit_code, ended.error) == (0, ""), ended.error
    (stack.docker.state / "calls").unlink()
    stack.change("slipway", "DELETE FROM notes", "CREATE TABLE newer ()")
    stack.change("mlflow", "INSERT INTO runs VALUES ('second')")
    (stack.bucket / "artifacts/model.onnx").unlink()
    (stack.bucket / "artifacts/new.onnx").write_bytes(b"new")
    return stack


def restore() -> tuple[int, str]:
    ended = run(main, "restore", "--yes", FILE)
    return ended.exit_code, ended.error


def test_restore_replaces_data_with_the_backup(stack: Stack) -> None:
    graph = stack.objects()["model.onnx"]
    run(main, "backup", FILE)
    stack.change("slipway", "DELETE FROM notes", "CREATE TABLE newer ()")
    stack.change("mlflow", "DROP TABLE runs")
    (stack.bucket / "artifacts/model.onnx").unlink()
    (stack.bucket / "artifacts/new.onnx").write_bytes(b"new")

    ended = run(main, "restore", "--yes", FILE)

    assert (ended.exit_code, ended.error) == (0, "")
    assert stack.query("slipway", "SELECT note FROM notes") == ["ada"]
    assert stack.query("slipway", "SELECT 1 FROM pg_tables WHERE tablename = 'newer'") == []
    assert stack.query("mlflow", "SELECT name FROM runs") == ["first", "a\tb\\\\c"]
    assert stack.objects() == {"model.onnx": graph, "new.onnx": b"new"}


def test_restored_data_works_as_before(changed: Stack) -> None:
    restore()

    changed.change("slipway", "INSERT INTO notes (note) VALUES ('bob')")
    assert changed.query("slipway", "SELECT id FROM notes") == [1, 2]
    assert changed.query("mlflow", "SELECT tableowner FROM pg_tables WHERE tablename = 'runs'") == ["mlflow"]
    owner = "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'public'"
    assert changed.query("mlflow", owner) == ["pg_database_owner"]


def test_backup_of_restored_data_is_equal(changed: Stack) -> None:
    restore()

    run(main, "backup", "again.tar.gz")

    def dump(path: str) -> list[bytes]:
        with tarfile.open(path) as tar:
            content = tar.extractfile("slipway.sql").read()  # type: ignore[union-attr]
        # Each dump has a random word in its \\restrict lines.
        return [line for line in content.splitlines() if b"restrict" not in line]

    assert dump(FILE) == dump("again.tar.gz")


def test_writers_stop_during_restore_and_restart_in_order(changed: Stack) -> None:
    restore()

    calls = [call for call in changed.docker.calls() if call.split()[0] in {"up", "stop", "exec", "run"}]
    assert [call.partition(" objects-in")[0].partition(" --no-psqlrc")[0] for call in calls] == [
        "up --detach --no-recreate --wait postgres minio",
        "stop mlflow api",
        "exec -T postgres psql",
        "exec -T postgres psql",
        "run --rm --no-deps -T objects",
        'run --rm --no-deps -T mlflow sh -c exec mlflow db upgrade "$MLFLOW_BACKEND_STORE_URI"',
        "up --detach --no-recreate --wait --no-deps mlflow",
        "run --rm --no-deps -T init",
        "run --rm --no-deps -T init sign-existing --unsigned",
        "up --detach --no-recreate --wait --no-deps api",
    ]
    assert changed.docker.running() == {"api", "minio", "mlflow", "postgres"}


def test_stopped_api_is_not_started_by_a_restore(changed: Stack) -> None:
    changed.docker.run_services()

    ended = run(main, "restore", "--yes", FILE)

    assert changed.docker.running() == {"minio", "mlflow", "postgres"}
    assert "`docker compose up --detach --wait` starts the whole stack" in ended.output


def is_unchanged(stack: Stack) -> bool:
    """Return whether the databases are unchanged and the services run."""
    return (
        stack.query("slipway", "SELECT note FROM notes") == []
        and stack.query("slipway", "SELECT tablename FROM pg_tables WHERE tablename = 'newer'") == ["newer"]
        and stack.query("mlflow", "SELECT count(*) FROM runs") == [3]
        and stack.docker.running() == {"api", "minio", "mlflow", "postgres"}
    )


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("stop", "`docker compose stop` failed: Error response from daemon: no"),
        ("exec -T postgres psql", "`docker compose exec` failed: Error response from daemon: no"),
        ("run --rm --no-deps -T objects objects-in", "`docker compose run` failed: Error response from daemon: no"),
    ],
)
def test_failed_restore_leaves_the_databases_unchanged(changed: Stack, call: str, told: str) -> None:
    changed.docker.fail(call, "noise\nError response from daemon: no")

    assert restore() == (1, f"Error: {told}; the databases are unchanged\n")
    assert is_unchanged(changed)


SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda one: one.name)


def restore_and_signal(stack: Stack, call: str, number: int) -> tuple[int, str]:
    """Restore, and send a signal once a call is made; a waiting call then continues."""
    command = [sys.executable, "-m", "slipway_cli.cli", "restore", "--yes", FILE]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            wait_for(lambda: any(one.startswith(call) for one in stack.docker.calls()), seconds=60, what=call)
            # To the whole group, as a terminal does; the second signal stands for that of the shell.
            os.killpg(process.pid, number)
            os.killpg(process.pid, number)
            if stack.docker.waits():
                stack.docker.open_gate()
            _, told = process.communicate(timeout=60)
        finally:
            end_group(process)
    return process.returncode, told


@SIGNALS
def test_interrupted_restore_leaves_the_databases_unchanged(changed: Stack, number: int) -> None:
    call = "run --rm --no-deps -T objects objects-in"
    changed.docker.fail(call, "hang")

    assert restore_and_signal(changed, call, number) == (
        128 + number,
        "Error: the restore was interrupted; the databases are unchanged\n",
    )
    assert is_unchanged(changed)


@SIGNALS
def test_restore_interrupted_too_late_is_completed(changed: Stack, number: int) -> None:
    call = "run --rm --no-deps -T mlflow"
    changed.docker.fail(call, "wait")

    assert restore_and_signal(changed, call, number) == (
        128 + number,
        "Error: the restore was interrupted; the interruption came too late, and the backup is restored\n",
    )
    assert changed.query("slipway", "SELECT note FROM notes") == ["ada"]
    assert changed.docker.running() == {"api", "minio", "mlflow", "postgres"}


def test_dump_rejected_by_second_database_leaves_first_unchanged(stack: Stack) -> None:
    stack.change("mlflow", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT count(*)::int FROM runs'")
    stack.change("mlflow", "CREATE TABLE odd (x int CHECK (f() < 99))", "INSERT INTO odd VALUES (1)")
    run(main, "backup", FILE)
    stack.change("slipway", "DELETE FROM notes", "CREATE TABLE newer ()")
    stack.change("mlflow", "INSERT INTO runs VALUES ('second')")

    code, told = restore()

    # pg_dump loads with an empty search path, in which the function finds no table.
    assert code == 1
    assert told.startswith("Error: `docker compose exec` failed: psql:<stdin>:")
    assert 'relation "runs" does not exist; the databases are unchanged' in told
    assert is_unchanged(stack)


@pytest.mark.parametrize("call", ["run --rm --no-deps -T mlflow", "up --detach --no-recreate --wait --no-deps api"])
def test_stack_that_fails_to_start_after_restore_is_reported(changed: Stack, call: str) -> None:
    changed.docker.fail(call, "container is unhealthy")

    code, told = restore()

    assert code == 1
    assert "container is unhealthy; the backup is restored, but the stack did not start" in told
    assert changed.query("slipway", "SELECT note FROM notes") == ["ada"]


def test_unavailable_object_store_leaves_no_backup(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")

    ended = run(main, "backup", FILE)

    assert ended.exit_code == 1
    assert ended.error.startswith("Error: `docker compose run` failed: the S3 server of the bucket")
    assert sorted(os.listdir()) == ["docker-compose.yml"]  # noqa: PTH208


def test_database_that_cannot_be_dumped_is_reported(stack: Stack) -> None:
    stack.docker.fail("exec -T postgres pg_dump", "pg_dump: error: connection to server failed")

    ended = run(main, "backup", FILE)

    assert ended.error == "Error: `docker compose exec` failed: pg_dump: error: connection to server failed\n"
