"""Files in a folder: locations, atomic writes, and errors of the system."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from slipway_core.errors import ConfigurationError, StorageError
from slipway_core.storage import open_storage


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A local file to be stored."""
    path = tmp_path / "given.csv"
    path.write_bytes(b"new content")
    return path


@pytest.mark.parametrize(
    ("given", "opened"),
    [
        ("{folder}", ""),
        ("data", "/data"),
        ("~/data", "/data"),
        ("file://{folder}/a%20b", "/a b"),
        ("file://localhost{folder}/a%20b", "/a b"),
    ],
)
def test_folder_is_opened_by_path_or_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, opened: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    storage = open_storage(given.format(folder=tmp_path))
    monkeypatch.chdir("/")

    assert storage.location == f"{tmp_path}{opened}"


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("", "the location is empty"),
        ("gs://bucket/data", "gs:// is not supported"),
        ("https://example.org/data", "https:// is not supported"),
        ("file://server/share", "write file:///folder"),
        ("file://", "write file:///folder"),
    ],
)
def test_invalid_location_is_reported_with_an_example(location: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        open_storage(location)


def test_failed_write_keeps_the_existing_file(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = open_storage(str(tmp_path / "kept"))
    storage.put("iris.csv", source)

    def disk_is_full(given: object, out: object) -> None:
        out.write(b"half")  # type: ignore[attr-defined]  # an open file
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfileobj", disk_is_full)
    with pytest.raises(StorageError) as caught:
        storage.put("iris.csv", source)

    assert str(caught.value) == "iris.csv cannot be read or written: No space left on device"
    assert {file.name: file.read_bytes() for file in (tmp_path / "kept").iterdir()} == {"iris.csv": b"new content"}


def test_unfinished_file_is_not_listed(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = open_storage(str(tmp_path / "kept"))
    copy, listed = shutil.copyfileobj, []

    def look_on(given: object, out: object) -> None:
        listed.append((storage.list(), list((tmp_path / "kept").iterdir())))
        copy(given, out)  # type: ignore[arg-type]  # open files

    monkeypatch.setattr(shutil, "copyfileobj", look_on)
    storage.put("iris.csv", source)

    [(seen, there)] = listed
    assert (seen, len(there)) == ([], 1)


def test_stored_file_has_the_default_permissions(tmp_path: Path, source: Path) -> None:
    storage = open_storage(str(tmp_path / "kept"))

    storage.put("iris.csv", source)

    assert (tmp_path / "kept/iris.csv").stat().st_mode == source.stat().st_mode


def test_folder_in_place_of_a_file_is_reported_without_its_path(tmp_path: Path, source: Path) -> None:
    storage = open_storage(str(tmp_path / "kept"))
    storage.put("data/iris.csv", source)

    with pytest.raises(StorageError) as caught:
        storage.put("data", source)

    assert str(caught.value) == "data cannot be read or written: Is a directory"


def test_linked_file_is_listed_and_a_broken_link_is_not(tmp_path: Path, source: Path) -> None:
    storage = open_storage(str(tmp_path / "kept"))
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/linked.csv").symlink_to(source)
    (tmp_path / "kept/broken.csv").symlink_to(tmp_path / "nowhere")

    storage.fetch("linked.csv", tmp_path / "back.csv")

    assert [(file.path, file.size_bytes) for file in storage.list()] == [("linked.csv", len(source.read_bytes()))]
    assert (tmp_path / "back.csv").read_bytes() == source.read_bytes()


def test_cyclic_link_does_not_make_the_list_endless(tmp_path: Path, source: Path) -> None:
    storage = open_storage(str(tmp_path / "kept"))
    storage.put("data/iris.csv", source)
    (tmp_path / "kept/data/round").symlink_to(tmp_path / "kept", target_is_directory=True)

    assert [file.path for file in storage.list()] == ["data/iris.csv"]
