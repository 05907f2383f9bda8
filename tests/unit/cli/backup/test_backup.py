"""Input that `slipway backup` and `slipway restore` reject, and their error messages."""

import errno
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from slipway_cli.cli import main
from slipway_cli.embedded.home import Home
from support.backups import write_backup
from support.command import Ended, run
from support.docker import CONFIG, FakeDocker, program

START = "start the stack with `docker compose up --detach --wait`"
FILE = Path("backup.tar.gz")
# The calls of Docker that change nothing.
HARMLESS = {"config", "ps"}


def verbs(docker: FakeDocker) -> set[str]:
    return {call.split()[0] for call in docker.calls()}


def told(ended: Ended) -> str:
    """Return the error of a command, which must be one sentence."""
    assert ended.exit_code == 1
    assert len(ended.error.splitlines()) == 1
    return ended.error.removeprefix("Error: ").removesuffix("\n")


def test_existing_file_is_not_overwritten(docker: FakeDocker) -> None:
    FILE.write_text("the one before")

    ended = run(main, "backup", str(FILE))

    assert told(ended) == ("backup.tar.gz already exists: choose another name, or replace it with --force")
    assert FILE.read_text() == "the one before"
    assert docker.calls() == []


def test_failed_backup_keeps_the_previous_file(docker: FakeDocker) -> None:
    FILE.write_text("the one before")
    docker.fail("exec", "pg_dump: error: out of memory")

    ended = run(main, "backup", "--force", str(FILE))

    assert told(ended) == "`docker compose exec` failed: pg_dump: error: out of memory"
    assert [path.name for path in sorted(docker.project.iterdir())] == ["backup.tar.gz", "docker-compose.yml"]
    assert FILE.read_text() == "the one before"


def test_truncated_dump_is_reported(docker: FakeDocker, tmp_path: Path) -> None:
    program(tmp_path / "bin", "pg_dump", "echo", "CREATE TABLE users ();")

    assert told(run(main, "backup", str(FILE))) == "the dump of the database slipway is incomplete: try again"
    assert not FILE.exists()


def test_folder_in_place_of_a_file_is_rejected(docker: FakeDocker) -> None:
    assert told(run(main, "backup", "--force", ".")) == ". is a folder: name a file in it"


@pytest.mark.parametrize(
    "file", ["missing/backup.tar.gz", "missing/folder/backup.tar.gz", "docker-compose.yml/b.tar.gz"]
)
def test_missing_folder_is_rejected_and_not_created(docker: FakeDocker, file: str) -> None:
    assert told(run(main, "backup", "--force", file)) == (
        f"the folder {Path(file).parent} does not exist: create it, or choose another folder"
    )
    assert [path.name for path in docker.project.iterdir()] == ["docker-compose.yml"]
    assert docker.calls() == []


@pytest.mark.parametrize("name", ["slipway.tar.gz", "slipway-2026-11-20.tar.gz", "below/nightly.tar.gz", "backup.tgz"])
def test_git_ignores_a_backup(name: str) -> None:
    root = Path(__file__).parents[4]

    assert subprocess.run(["git", "-C", str(root), "check-ignore", "--quiet", name], check=False).returncode == 0


@pytest.mark.parametrize("service", ["postgres", "minio"])
def test_stopped_service_is_reported(docker: FakeDocker, service: str) -> None:
    docker.run_services(*{"api", "mlflow", "postgres", "minio"} - {service})

    assert told(run(main, "backup", str(FILE))) == f"the service {service} is not running: {START}"


def test_external_object_store_need_not_run_here(docker: FakeDocker) -> None:
    docker.configure({"services": {name: service for name, service in CONFIG["services"].items() if name != "minio"}})
    docker.run_services("postgres")
    docker.fail("exec", "reached")

    assert told(run(main, "backup", str(FILE))) == "`docker compose exec` failed: reached"


COMMANDS = pytest.mark.parametrize("command", [("backup", "new.tar.gz"), ("restore", "--yes", str(FILE))])


@COMMANDS
@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", "Docker does not respond: start it"),
        ("permission denied while trying to connect to the Docker daemon socket", "this account may not use Docker"),
        ("docker: 'compose' is not a docker command.", "Docker with Compose is not installed"),
        ("unknown flag: --progress", "Docker Compose is too old for Slipway"),
        ("services.api.ports: invalid proto", "`docker compose config` failed: services.api.ports: invalid proto"),
        ("", "`docker compose config` failed: no error message"),
    ],
)
def test_docker_error_becomes_a_sentence(
    docker: FakeDocker, command: tuple[str, ...], said: str, sentence: str
) -> None:
    write_backup(FILE)
    docker.fail("config", said)

    assert sentence in told(run(main, *command))


@COMMANDS
def test_missing_docker_is_reported(
    docker: FakeDocker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: tuple[str, ...]
) -> None:
    write_backup(FILE)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert told(run(main, *command)).startswith("Docker with Compose is not installed, or not on the PATH")


@COMMANDS
def test_folder_without_a_stack_is_reported(
    docker: FakeDocker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_backup(FILE)

    assert told(run(main, *command)).startswith(
        "docker-compose.yml not found: change to Slipway's folder, or set it with --project-directory; "
    )


@COMMANDS
@pytest.mark.parametrize("lacking", ["compose file", "docker", "running service"])
def test_running_embedded_stack_is_named(
    docker: FakeDocker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: tuple[str, ...], lacking: str
) -> None:
    home = Home(tmp_path / "home")
    home.make()
    monkeypatch.setenv("SLIPWAY_HOME", str(home.root))
    write_backup(FILE)
    if lacking == "compose file":
        (docker.project / "docker-compose.yml").unlink()
    elif lacking == "docker":
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        docker.run_services()

    with home.locked():
        sentence = told(run(main, *command))

    assert sentence.startswith(f"`slipway {command[0]}` supports the stack of docker compose only, and the running ")
    assert str(home.root) in sentence


def test_compose_stack_is_backed_up_beside_an_embedded_one(
    docker: FakeDocker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = Home(tmp_path / "home")
    home.make()
    monkeypatch.setenv("SLIPWAY_HOME", str(home.root))

    with home.locked():
        run(main, "backup", str(FILE))

    assert "exec" in verbs(docker)


@COMMANDS
def test_another_stack_is_reported(docker: FakeDocker, command: tuple[str, ...]) -> None:
    write_backup(FILE)
    docker.configure({"services": {"web": {}}})

    assert "the compose project in this folder is not Slipway's" in told(run(main, *command))


@pytest.mark.parametrize(
    ("start", "options"), [("project/docs/decisions", ()), (".", ("--project-directory", "project"))]
)
def test_stack_is_found_from_a_subfolder_or_by_its_option(
    docker: FakeDocker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, start: str, options: tuple[str, ...]
) -> None:
    (tmp_path / start).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(tmp_path / start)
    docker.run_services()

    run(main, "backup", *options, str(FILE))

    assert (docker.state / "calls").read_text().startswith(f"{docker.project}: config")


def test_restore_without_a_terminal_needs_yes(docker: FakeDocker) -> None:
    write_backup(FILE)

    ended = run(main, "restore", str(FILE))

    assert ended.exit_code == 2
    assert "--yes" in ended.error
    assert docker.calls() == []


# The last is Ctrl-D.
@pytest.mark.parametrize("answer", [b"n\n", b"\n", b"\x04"])
def test_declined_restore_changes_nothing(docker: FakeDocker, answer: bytes) -> None:
    write_backup(FILE)
    person, terminal = pty.openpty()
    os.write(person, answer)

    ended = subprocess.run(
        [sys.executable, "-m", "slipway_cli.cli", "restore", str(FILE)],
        stdin=terminal,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    os.close(person)
    os.close(terminal)
    assert ended.returncode == 1
    assert "Replace all accounts, predictions, runs and models of the stack with those of 2026-11-20 12:00 UTC?" in (
        ended.stdout
    )
    assert verbs(docker) <= HARMLESS


def test_damaged_file_changes_nothing(docker: FakeDocker) -> None:
    write_backup(FILE)
    FILE.write_bytes(FILE.read_bytes()[:-9])

    assert told(run(main, "restore", "--yes", str(FILE))) == (
        "backup.tar.gz is damaged, incomplete, or not a Slipway backup: use another file"
    )
    assert verbs(docker) <= HARMLESS


def test_backup_of_a_newer_release_is_rejected(docker: FakeDocker) -> None:
    write_backup(FILE, version="99.0.1")

    sentence = told(run(main, "restore", "--yes", str(FILE)))

    assert re.match(
        r"the backup was created by Slipway 99\.0\.1, and this is .*: restore it with that release", sentence
    )
    assert verbs(docker) <= HARMLESS


def test_backup_with_other_locations_is_rejected(docker: FakeDocker) -> None:
    write_backup(FILE, locations=("data", "models/mlflow"))

    assert told(run(main, "restore", "--yes", str(FILE))) == (
        "the backup has objects of s3://models/mlflow, which this stack does not use: set MLFLOW_ARTIFACTS_DESTINATION "
        "to the value of the backed-up stack"
    )
    assert verbs(docker) <= HARMLESS


def test_services_that_cannot_restart_are_reported(docker: FakeDocker) -> None:
    write_backup(FILE)
    # The stores are started with `--wait postgres`, the others alone.
    docker.fail_all({"stop": "Error response from daemon: no", "up --detach --no-recreate --wait --no-deps": "no"})

    assert told(run(main, "restore", "--yes", str(FILE))) == (
        "`docker compose stop` failed: Error response from daemon: no; the databases are unchanged, and mlflow and "
        "api did not restart: run `docker compose up --detach --wait`"
    )


def test_missing_keys_of_an_older_stack_are_reported(docker: FakeDocker) -> None:
    docker.fail("exec", "Error response from daemon: cannot access path /volumes/secrets/objects: no such file")

    assert told(run(main, "backup", str(FILE))) == (
        "the stack was last started by an older release, which created no keys for this release's jobs: run "
        "`docker compose up --build --detach --wait`, then this command again"
    )


def test_local_failure_restarts_the_stopped_services(docker: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> None:
    write_backup(FILE)

    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("slipway_cli.docker.compose_project.tempfile.TemporaryFile", full)

    assert told(run(main, "restore", "--yes", str(FILE))) == (
        "[Errno 28] No space left on device; the databases are unchanged"
    )
    assert {"mlflow", "api"} <= docker.running()
