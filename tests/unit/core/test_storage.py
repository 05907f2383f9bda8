"""Every storage: a folder and a real S3 server behave alike."""

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from slipway_core.errors import StorageError, StorageNotFoundError
from slipway_core.storage import Storage, StoredFile, open_storage
from slipway_core.storage.base import checked_path
from support.s3 import S3Server


@pytest.fixture(params=["folder", "s3"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Storage, Path]:
    """An empty storage of each kind, and the folder of its files."""
    if request.param == "folder":
        return open_storage(str(tmp_path / "kept")), tmp_path / "kept"
    server: S3Server = request.getfixturevalue("s3")
    monkeypatch = request.getfixturevalue("monkeypatch")
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    bucket = uuid.uuid4().hex
    folder = server.make_bucket(bucket)
    return open_storage(f"s3://{bucket}/some/prefix/"), folder / "some/prefix"


@pytest.fixture
def storage(kept: tuple[Storage, Path]) -> Storage:
    return kept[0]


@pytest.fixture
def file_of(tmp_path: Path) -> Callable[[bytes], Path]:
    """A function that writes a local file."""

    def make(content: bytes) -> Path:
        path = tmp_path / f"{uuid.uuid4().hex}.bin"
        path.write_bytes(content)
        return path

    return make


FileOf = Callable[[bytes], Path]


def paths(storage: Storage, prefix: str = "") -> list[str]:
    return [file.path for file in storage.list(prefix)]


@pytest.mark.parametrize(
    "content",
    [bytes(range(256)) * 100, b"", bytes(range(251)) * (20 * 1024 * 1024 // 251)],
    ids=["small", "empty", "sent in parts"],
)
def test_stored_file_is_fetched_unchanged(storage: Storage, file_of: FileOf, tmp_path: Path, content: bytes) -> None:
    storage.put("iris/iris.csv", file_of(content))

    storage.fetch("iris/iris.csv", tmp_path / "back.csv")

    assert (tmp_path / "back.csv").read_bytes() == content
    assert storage.list() == [StoredFile("iris/iris.csv", len(content))]


def test_file_is_stored_under_its_path(kept: tuple[Storage, Path], file_of: FileOf) -> None:
    storage, folder = kept

    storage.put("iris/iris.csv", file_of(b"1,2"))

    assert [path for path in folder.rglob("*") if path.is_file()] == [folder / "iris/iris.csv"]
    assert (folder / "iris/iris.csv").read_bytes() == b"1,2"


def test_file_stored_by_another_client_is_listed_at_once(storage: Storage, file_of: FileOf) -> None:
    before = storage.list()

    open_storage(storage.location).put("new.csv", file_of(b"12345"))

    assert before == []
    assert storage.list() == [StoredFile("new.csv", 5)]
    assert storage.exists("new.csv")


def test_files_are_listed_in_order_of_their_paths(storage: Storage, file_of: FileOf) -> None:
    file = file_of(b"x")
    for path in ("b/2", "a", "b/1", "B", "a-b", "é/ü.csv", "with space + plus.csv"):
        storage.put(path, file)

    assert paths(storage) == ["B", "a", "a-b", "b/1", "b/2", "with space + plus.csv", "é/ü.csv"]


def test_a_prefix_is_the_beginning_of_paths(storage: Storage, file_of: FileOf) -> None:
    file = file_of(b"x")
    for path in ("data/a.csv", "data/b/c.csv", "database.csv", "other/d.csv"):
        storage.put(path, file)

    prefixes = ("data", "data/", "data/b", "data/a.csv", "other/d.csv/e", "missing/")

    assert {prefix: paths(storage, prefix) for prefix in prefixes} == {
        "data": ["data/a.csv", "data/b/c.csv", "database.csv"],
        "data/": ["data/a.csv", "data/b/c.csv"],
        "data/b": ["data/b/c.csv"],
        "data/a.csv": ["data/a.csv"],
        "other/d.csv/e": [],
        "missing/": [],
    }


def test_second_put_replaces_the_file(storage: Storage, file_of: FileOf, tmp_path: Path) -> None:
    storage.put("iris.csv", file_of(b"the first, which is longer"))
    storage.put("iris.csv", file_of(b"the second"))

    storage.fetch("iris.csv", tmp_path / "back")

    assert (tmp_path / "back").read_bytes() == b"the second"
    assert storage.list() == [StoredFile("iris.csv", 10)]


def test_file_exists_until_it_is_deleted(storage: Storage, file_of: FileOf) -> None:
    found = [storage.exists("data/iris.csv")]
    storage.put("data/iris.csv", file_of(b"x"))
    found.append(storage.exists("data/iris.csv"))
    storage.delete("data/iris.csv")
    found.append(storage.exists("data/iris.csv"))

    assert found == [False, True, False]
    assert storage.list() == []


def test_folder_in_place_of_a_file_is_rejected(storage: Storage, file_of: FileOf) -> None:
    storage.put("data/iris.csv", file_of(b"x"))

    assert not storage.exists("data")


def test_only_the_file_that_is_named_is_deleted(storage: Storage, file_of: FileOf) -> None:
    for path in ("data/a.csv", "data/a.csv.old", "data/b.csv"):
        storage.put(path, file_of(b"x"))

    storage.delete("data/a.csv")

    assert paths(storage) == ["data/a.csv.old", "data/b.csv"]


def test_deleting_a_missing_file_succeeds(storage: Storage, file_of: FileOf) -> None:
    storage.put("kept.csv", file_of(b"x"))

    storage.delete("missing.csv")
    storage.delete("missing/iris.csv")

    assert paths(storage) == ["kept.csv"]


def test_fetching_a_missing_file_raises_and_writes_nothing(storage: Storage, file_of: FileOf, tmp_path: Path) -> None:
    storage.put("data/iris.csv", file_of(b"x"))
    back = tmp_path / "back/iris.csv"
    back.parent.mkdir()
    back.write_bytes(b"what was here before")

    for path in ("missing.csv", "data/missing.csv", "data/iris.csv/below", "data"):
        with pytest.raises(StorageError):
            storage.fetch(path, back)

    assert [file.read_bytes() for file in back.parent.iterdir()] == [b"what was here before"]


def test_missing_file_is_reported_with_its_path(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(StorageNotFoundError) as caught:
        storage.fetch("data/missing.csv", tmp_path / "back")

    assert str(caught.value) == "file data/missing.csv does not exist: check its name and the storage's location"


def test_fetch_creates_the_destination_folder(storage: Storage, file_of: FileOf, tmp_path: Path) -> None:
    storage.put("iris.csv", file_of(b"x"))

    storage.fetch("iris.csv", tmp_path / "new/folder/iris.csv")

    assert (tmp_path / "new/folder/iris.csv").read_bytes() == b"x"


def test_unwritable_destination_is_reported(storage: Storage, file_of: FileOf, tmp_path: Path) -> None:
    storage.put("iris.csv", file_of(b"x"))
    (tmp_path / "file").touch()

    with pytest.raises(StorageError, match=r"back\.csv"):
        storage.fetch("iris.csv", tmp_path / "file/back.csv")


def test_putting_a_missing_file_raises_and_stores_nothing(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"nothing\.csv"):
        storage.put("iris.csv", tmp_path / "nothing.csv")

    assert storage.list() == []


@pytest.mark.parametrize("method", ["fetch", "put", "delete", "exists", "list"])
def test_no_method_accepts_a_path_outside_the_root(
    storage: Storage, file_of: FileOf, tmp_path: Path, method: str
) -> None:
    given = {"fetch": (tmp_path / "back",), "put": (file_of(b"x"),)}.get(method, ())

    with pytest.raises(StorageError, match="is not a valid path: write it relative to the storage's root"):
        getattr(storage, method)("data/../../other", *given)


@pytest.mark.parametrize(
    "path", ["", "/", "/etc/passwd", "..", "../other", "data/..", "./iris.csv", "data//iris.csv", "a\x00b", "a\ud800b"]
)
def test_path_must_start_at_the_root(path: str) -> None:
    with pytest.raises(StorageError, match="is not a valid path"):
        checked_path(path)


@pytest.mark.parametrize("path", ["iris.csv", "data/iris.csv", "..iris", "a b/c+d", "ü/…", "10\u202f000.csv"])
def test_path_may_have_any_file_name(path: str) -> None:
    assert checked_path(path) == path


def test_the_location_opens_the_same_storage_again(storage: Storage, file_of: FileOf) -> None:
    storage.put("iris.csv", file_of(b"x"))

    assert paths(open_storage(storage.location)) == ["iris.csv"]
