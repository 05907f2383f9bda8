"""`slipway up`: errors before anything starts. tests/integration tests a whole start."""

import json
import os
import shlex
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slipway_cli.cli import main
from slipway_cli.commands.up import example_row
from slipway_cli.embedded.home import Home
from slipway_core.bundle import Golden, GoldenOutputs
from slipway_core.manifest import GOLDEN_FILE
from support.command import Ended, run


class Up:
    """Runs `slipway up` on a folder; it ends because the port of MLflow is taken."""

    def __init__(self, folder: Path, port: int) -> None:
        self._options = (f"--home={folder}", f"--mlflow-port={port}")

    def __call__(self, *options: str, password: str | None = None) -> Ended:
        if password is not None:
            options = (*options, "--admin-password-file=-")
        ended = run(main, "up", *self._options, *options, given=f"{password}\n")
        assert ended.exit_code == 1
        assert ended.error.startswith("Error: ")
        assert len(ended.error.splitlines()) == 1
        return ended


@pytest.fixture
def up(folder: Path) -> Iterator[Up]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield Up(folder, listener.getsockname()[1])


def test_taken_port_is_reported_with_its_option(up: Up) -> None:
    assert "choose another with --mlflow-port" in up().error


@pytest.mark.parametrize("recipe", ["./wine.py", "wine.py", "recipes/wine", "/srv/my recipes/wine.py"])
def test_recipe_path_is_rejected_with_the_train_command(folder: Path, recipe: str) -> None:
    ended = run(main, "up", f"--home={folder}", "--recipe=iris", f"--recipe={recipe}")

    assert ended.exit_code == 2
    assert "`slipway up` accepts recipes by name only" in ended.error
    assert f"`slipway train {shlex.quote(recipe)}` once the stack runs" in ended.error
    assert not folder.exists()


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short", "must have 8 to 128 characters"),
        ("password1", "is too easy to guess (this is a very common password)"),
    ],
)
def test_weak_password_is_rejected_before_any_write(up: Up, folder: Path, password: str, why: str) -> None:
    assert f"Error: the administrator's password {why}" in up(password=password).error
    assert not folder.exists()


def test_weak_password_after_the_first_start_is_only_unused(up: Up) -> None:
    up(password="correct horse")

    assert "The given password is ignored" in up(password="password1").output


def test_administrator_name_is_rejected_as_password(up: Up, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_ADMIN_USERNAME", "ada-lovelace")

    assert "is too easy to guess" in up(password="Ada-Lovelace").error


def test_password_after_the_first_start_is_reported_as_unused(up: Up) -> None:
    up(password="correct horse")

    ended = up(password="another horse")

    assert "The given password is ignored, because the account already exists" in ended.output
    assert "horse" not in ended.output


def test_same_password_again_is_not_reported(up: Up) -> None:
    up(password="correct horse")

    assert "not used" not in up(password="correct horse").output


@pytest.mark.parametrize("password", [None, "another horse"])
def test_password_option_wins_over_the_environment(
    up: Up, folder: Path, monkeypatch: pytest.MonkeyPatch, password: str | None
) -> None:
    monkeypatch.setenv("SLIPWAY_ADMIN_PASSWORD", "correct horse")

    up(password=password)

    assert Home(folder).password_file.read_text() == f"{password or 'correct horse'}\n"


@pytest.mark.parametrize("arguments", [["--admin-password", "hunter2-horse"], ["--admin-password=hunter2-horse"]])
def test_a_password_on_the_command_line_is_rejected(folder: Path, arguments: list[str]) -> None:
    ended = run(main, "up", f"--home={folder}", *arguments)

    assert ended.exit_code == 2
    assert "--admin-password-file PATH" in ended.error
    assert "hunter2" not in ended.error + ended.output
    assert not folder.exists()


@pytest.mark.parametrize("content", ["correct horse", "correct horse\n", "correct horse\r\n", "correct horse\nmore\n"])
def test_password_is_the_first_line_of_the_file(up: Up, folder: Path, tmp_path: Path, content: str) -> None:
    file = tmp_path / "password"
    file.write_bytes(content.encode())

    up(f"--admin-password-file={file}")

    assert Home(folder).password_file.read_text() == "correct horse\n"


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "cannot be read"), (b"", "is empty"), (b"\nsecond", "is empty"), (b"\xff\n", "not UTF-8")],
)
def test_an_unusable_password_file_is_rejected(folder: Path, tmp_path: Path, content: bytes | None, why: str) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)

    ended = run(main, "up", f"--home={folder}", f"--admin-password-file={file}")

    assert ended.exit_code == 2
    assert why in ended.error
    assert not folder.exists()


def test_every_file_of_a_start_is_private(up: Up, folder: Path) -> None:
    before = os.umask(0o022)
    try:
        up()
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)

    assert [path for path in folder.rglob("*") if path.stat().st_mode & 0o077] == []


def test_key_is_stored_only_if_the_environment_has_none(up: Up, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("SECRET_KEY", "k" * 48)
        up()
    assert not (folder / "secret-key").exists()

    up()

    assert (folder / "secret-key").stat().st_mode & 0o777 == 0o600


def test_locked_folder_is_reported(up: Up, folder: Path) -> None:
    home = Home(folder)
    home.make()

    with home.locked():
        assert up().error.startswith(f"Error: a stack is already running in {folder}")


def test_folder_that_cannot_be_created_is_reported(up: Up, folder: Path) -> None:
    folder.touch()

    assert up().error.startswith(f"Error: the folder {folder} cannot be written")


@pytest.mark.parametrize(
    ("module", "extra"), [("mlflow", "trainer"), ("sklearn", "trainer"), ("slipway_api", "api"), ("fastapi", "api")]
)
def test_missing_service_is_reported(
    up: Up, folder: Path, monkeypatch: pytest.MonkeyPatch, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)

    assert up().error.endswith(f"is not installed here: run `pip install 'slipway[{extra}]'`\n")
    assert not folder.exists()


def test_shared_database_is_rejected_before_any_write(up: Up, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("MLFLOW_BACKEND_STORE_URI", "DATABASE_URL"):
        monkeypatch.setenv(variable, "postgresql://u:hunter2@db.invalid/one")

    ended = up()

    assert "MLFLOW_BACKEND_STORE_URI and DATABASE_URL name the same database" in ended.error
    assert "hunter2" not in ended.error
    assert not folder.exists()


def test_several_workers_need_a_database_server(up: Up, folder: Path) -> None:
    ended = up("--workers=2")

    assert "2 workers need a database that several processes can write: set DATABASE_URL" in ended.error
    assert not folder.exists()


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        ((5.099999904632568, 3.5, 1.0), [5.1, 3.5, 1.0]),
        (("Biscoe", 39.1, None, True, 7), ["Biscoe", 39.1, None, True, 7]),
    ],
)
def test_example_row_shortens_numbers_and_keeps_other_values(
    tmp_path: Path, row: tuple[Any, ...], shown: list[Any]
) -> None:
    golden = Golden(rows=(row,), outputs=GoldenOutputs(prediction=(0,)), rtol=0, atol=0)
    home = Home(tmp_path)
    (home.cache / "birds" / "1").mkdir(parents=True)
    (home.cache / "birds" / "1" / GOLDEN_FILE).write_text(golden.model_dump_json())

    assert json.loads(example_row(home, "birds")) == shown
