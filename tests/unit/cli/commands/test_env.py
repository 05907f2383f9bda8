"""`slipway env`: random secrets that pass the policy, in a file that is never overwritten."""

import re
from pathlib import Path

import pytest

from slipway_cli.cli import main
from slipway_core.policy import why_key_is_unsafe, why_password_is_unsafe
from support.command import run

LINES = re.compile(r"SECRET_KEY=(\S+)\nSLIPWAY_ADMIN_PASSWORD=(\S+)\n")


def secrets_in(text: str) -> tuple[str, str]:
    match = LINES.fullmatch(text)
    assert match, text
    return match[1], match[2]


def test_only_secrets_that_pass_the_policy_are_printed() -> None:
    ended = run(main, "env")

    assert (ended.exit_code, ended.error) == (0, "")
    key, password = secrets_in(ended.output)
    assert why_key_is_unsafe(key) is None
    assert why_password_is_unsafe(password, "admin") is None


def test_every_call_creates_new_secrets() -> None:
    first, second = secrets_in(run(main, "env").output), secrets_in(run(main, "env").output)

    assert not set(first) & set(second)


@pytest.mark.parametrize("option", ["--output", "-o"])
def test_file_is_readable_by_its_owner_only(tmp_path: Path, option: str) -> None:
    path = tmp_path / ".env"

    ended = run(main, "env", option, str(path))

    assert ended.exit_code == 0
    assert path.stat().st_mode & 0o777 == 0o600
    secrets_in(path.read_text())


def test_secrets_written_to_a_file_are_not_printed(tmp_path: Path) -> None:
    path = tmp_path / ".env"

    ended = run(main, "env", "--output", str(path))

    assert str(path) in ended.output
    assert not any(secret in ended.output for secret in secrets_in(path.read_text()))


def test_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("SECRET_KEY=in use\n")

    ended = run(main, "env", "--output", str(path))

    assert ended.exit_code == 1
    assert ended.error == (
        f"Error: {path} already exists and may hold secrets in use: name another file with --output\n"
    )
    assert path.read_text() == "SECRET_KEY=in use\n"


def test_dangling_link_is_not_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / ".env"
    link.symlink_to(target)

    assert run(main, "env", "--output", str(link)).exit_code == 1
    assert not target.exists()


def test_missing_folder_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "missing" / ".env"

    ended = run(main, "env", "--output", str(path))

    assert ended.exit_code == 1
    assert ended.error == f"Error: {path} cannot be written: No such file or directory\n"
