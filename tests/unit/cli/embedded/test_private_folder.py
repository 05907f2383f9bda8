"""The folder of the embedded stack is closed to other accounts."""

import os
from pathlib import Path

import pytest

from slipway_cli.embedded.home import Home
from slipway_cli.errors import StackError

FILES = ("lock", "secret-key", "slipway.db", "slipway.db-wal", "mlflow.db", "logs/api.log", "artifacts/1/model.onnx")


def made(root: Path, mode: int, *names: str) -> Home:
    """Return a folder with a mode and files that every account can read."""
    root.mkdir()
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.parent.chmod(0o755)
        file.write_text("content")
        file.chmod(0o644)
    root.chmod(mode)
    return Home(root)


def open_to_others(root: Path) -> list[Path]:
    """Return the paths that other accounts may access."""
    return [path for path in (root, *root.rglob("*")) if path.lstat().st_mode & 0o077]


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701, 0o777, 0o770])
@pytest.mark.parametrize("names", [(), FILES])
def test_an_open_folder_is_closed_with_a_note(tmp_path: Path, mode: int, names: tuple[str, ...]) -> None:
    home = made(tmp_path / "home", mode, *names)

    note = home.make()

    assert note is not None
    assert f"mode {mode:04o}" in note
    assert open_to_others(home.root) == []
    assert home.make() is None


def test_open_files_of_a_private_folder_are_closed(tmp_path: Path) -> None:
    home = made(tmp_path / "home", 0o700, "slipway.db", "slipway.db-wal", "journal/a/1.log")

    assert home.make() is None
    assert [path for path in open_to_others(home.root) if path.is_file()] == []


@pytest.mark.parametrize("mode", [0o755, 0o1777])
def test_an_open_folder_of_another_program_is_refused(tmp_path: Path, mode: int) -> None:
    home = made(tmp_path / "home", mode, "holiday.jpg")

    with pytest.raises(StackError, match="is not a folder of `slipway up`: choose a new or private folder with --home"):
        home.make()

    assert home.root.stat().st_mode & 0o7777 == mode
    assert not home.logs.exists()


def test_an_empty_shared_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="is accessible to other accounts"):
        made(tmp_path / "home", 0o1777).make()


def test_link_target_keeps_its_mode(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("content")
    outside.chmod(0o644)
    home = made(tmp_path / "home", 0o700)
    (home.root / "link").symlink_to(outside)

    home.make()

    assert outside.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", ["", "secret-key"])
def test_file_of_another_account_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    home = made(tmp_path / "home", 0o700, "secret-key")
    strange = home.root / name
    if os.geteuid() == 0:
        os.chown(strange, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

    with pytest.raises(StackError, match="belongs to another account"):
        home.make()
