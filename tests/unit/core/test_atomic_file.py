"""Atomic writes: the old content or the new, and the permissions of secrets."""

from pathlib import Path

import pytest

from slipway_core.atomic_file import atomic_file, write_secret


def test_atomic_file_replaces_the_destination_at_the_end(tmp_path: Path) -> None:
    destination = tmp_path / "folder" / "file"

    with atomic_file(destination) as out:
        out.write(b"new")
        assert not destination.exists()

    assert destination.read_bytes() == b"new"
    assert [path.name for path in destination.parent.iterdir()] == ["file"]


def test_atomic_file_keeps_the_old_content_on_failure(tmp_path: Path) -> None:
    destination = tmp_path / "file"
    destination.write_bytes(b"old")

    with pytest.raises(ZeroDivisionError), atomic_file(destination) as out:
        out.write(bytes([1 // 0]))

    assert destination.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_secret_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)

    write_secret(path, "new")

    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o600)


def test_secret_replaces_the_part_that_a_killed_writer_left(tmp_path: Path) -> None:
    (tmp_path / "secret.partial").write_text("half a s")

    write_secret(tmp_path / "secret", "whole")

    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
