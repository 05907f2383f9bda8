"""The archive of a backup: it is read as written, and every other file is rejected."""

import errno
import gzip
import io
import json
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from slipway_cli.backup import archive
from slipway_cli.backup.archive import ABOUT_FILE, About, Writer, new_backup, parts, read_about, verify
from slipway_cli.errors import BackupError
from slipway_core.storage import Readable

ABOUT = About(slipway_version="0.1.0", created_at=datetime(2026, 11, 20, 12, tzinfo=UTC), locations=("data", "mlflow"))
CONTENT = {
    "slipway.sql": b"CREATE TABLE users ();",
    "mlflow.sql": b"CREATE TABLE runs ();" * 50_000,
    "objects/data/iris.csv": b"",
    "objects/mlflow/artifacts/1/m-1/model.onnx": bytes(range(256)) * 3_000,
    "objects/mlflow/a name with spaces, ümlauts & \\": b"x",
    f"objects/mlflow/{'long/' * 100}": b"y",
}
Members = list[tuple[tarfile.TarInfo, bytes]]


def write(path: Path, content: dict[str, bytes] = CONTENT, about: About = ABOUT) -> Path:
    content = {name.removesuffix("/"): value for name, value in content.items()}
    with new_backup(path, about) as writer:
        for name, value in content.items():
            writer.add(name, len(value), io.BytesIO(value))
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a complete backup."""
    return write(tmp_path_factory.mktemp("backup") / "whole.tar.gz").read_bytes()


def members(path: Path) -> Members:
    with tarfile.open(path) as tar:
        return [(member, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]


def rewrite(path: Path, changed: Members) -> None:
    """Write a tar of these members with correct digests."""
    told = {member.name: {"size_bytes": len(c), "sha256": sha256(c).hexdigest()} for member, c in changed[:-1]}
    digests, _ = changed[-1]
    content = json.dumps({"parts": told}).encode()
    digests.size = len(content)
    with tarfile.open(path, "w:gz") as tar:
        for member, given in [*changed[:-1], (digests, content)]:
            tar.addfile(member, io.BytesIO(given))


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE) -> tuple[tarfile.TarInfo, bytes]:
    header = tarfile.TarInfo(name)
    header.type, header.size, header.linkname = kind, len(content), "/etc/passwd"
    return header, content


def test_archive_reads_what_it_wrote(tmp_path: Path) -> None:
    path = write(tmp_path / "backup.tar.gz")

    read = {part.name: (part.size_bytes, part.content.read()) for part in parts(path)}

    assert read == {name.removesuffix("/"): (len(content), content) for name, content in CONTENT.items()}
    assert verify(path) == read_about(path) == ABOUT


def test_unread_part_is_skipped(tmp_path: Path) -> None:
    path = write(tmp_path / "backup.tar.gz")

    assert [part.name for part in parts(path)] == [name.removesuffix("/") for name in CONTENT]


def test_tar_itself_unpacks_it(tmp_path: Path) -> None:
    path = write(tmp_path / "backup.tar.gz")

    names = [member.name for member, _ in members(path)]

    assert names == ["backup.json", *(name.removesuffix("/") for name in CONTENT), "digests.json"]


def test_archive_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "backup.tar.gz"

    with new_backup(path, ABOUT):
        modes = [file.stat().st_mode & 0o777 for file in tmp_path.iterdir()]

    assert modes == [0o600]
    assert path.stat().st_mode & 0o777 == 0o600


def test_failed_archive_keeps_the_existing_file(tmp_path: Path) -> None:
    path = tmp_path / "backup.tar.gz"
    path.write_text("the one before")

    def fail() -> None:
        with new_backup(path, ABOUT) as writer:
            writer.add("slipway.sql", 3, io.BytesIO(b"abc"))
            raise BackupError("no more")

    with pytest.raises(BackupError, match="no more"):
        fail()

    assert [file.read_text() for file in tmp_path.iterdir()] == ["the one before"]


def test_content_that_ends_early_is_reported(tmp_path: Path) -> None:
    def fail() -> None:
        with new_backup(tmp_path / "backup.tar.gz", ABOUT) as writer:
            writer.add("slipway.sql", 4, io.BytesIO(b"abc"))

    with pytest.raises(BackupError, match=r"slipway\.sql was changed while it was read"):
        fail()


def test_full_disk_is_reported_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def full(path: Path) -> Iterator[None]:
        raise OSError(errno.ENOSPC, "No space left on device")
        yield

    monkeypatch.setattr(archive, "atomic_file", full)

    with pytest.raises(BackupError, match=r"backup\.tar\.gz cannot be written: No space left on device"):
        write(tmp_path / "backup.tar.gz")


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "objects/data/../../x", "objects/data", "objects/d:a/x", "x.sql"]
)
def test_invalid_name_of_a_part_is_rejected(tmp_path: Path, name: str) -> None:
    def fail() -> None:
        with new_backup(tmp_path / "backup.tar.gz", ABOUT) as writer:
            writer.add(name, 0, io.BytesIO())

    with pytest.raises(BackupError, match="cannot be in a backup"):
        fail()


def test_progress_ends_at_the_end_of_the_file(tmp_path: Path) -> None:
    path, seen = write(tmp_path / "backup.tar.gz"), [0]

    verify(path, seen.append)

    assert seen == sorted(seen)
    assert seen[-1] == path.stat().st_size


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True))
def test_truncated_archive_is_rejected(tmp_path: Path, whole: bytes, place: float) -> None:
    path = tmp_path / "backup.tar.gz"
    path.write_bytes(whole[: int(place * len(whole))])

    with pytest.raises(BackupError, match="is damaged, incomplete, or not a Slipway backup"):
        verify(path)


@pytest.mark.parametrize(
    "about",
    [
        b"[" * 400_000,
        b'{"a":' * 200_000,
        json.dumps({"slipway_version": "9" * 5_000, "created_at": "2026-11-28T12:00:00Z", "locations": []}).encode(),
        json.dumps({"slipway_version": "1.0", "created_at": "2026-11-28T12:00:00Z", "locations": ["a"] * 101}).encode(),
    ],
    ids=["nested lists", "nested objects", "long version", "many locations"],
)
def test_hostile_description_is_reported_as_damage(tmp_path: Path, about: bytes) -> None:
    path = tmp_path / "backup.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo(ABOUT_FILE)
        member.size = len(about)
        tar.addfile(member, io.BytesIO(about))

    with pytest.raises(BackupError, match="is damaged, incomplete, or not a Slipway backup"):
        verify(path)


def means_the_same(one: bytes, other: bytes) -> bool:
    """Return whether two gzip files have the same content; their headers and compression may differ."""
    try:
        return gzip.decompress(one) == gzip.decompress(other)
    except (OSError, EOFError, zlib.error):
        return False


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
def test_changed_byte_is_rejected(tmp_path: Path, whole: bytes, place: float, change: int) -> None:
    damaged, path = bytearray(whole), tmp_path / "backup.tar.gz"
    damaged[int(place * len(whole))] ^= change
    assume(not means_the_same(bytes(damaged), whole))
    path.write_bytes(damaged)

    with pytest.raises(BackupError):
        verify(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(place=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
def test_digests_detect_damage_that_gzip_misses(tmp_path: Path, whole: bytes, place: float, change: int) -> None:
    path, unzipped = tmp_path / "backup.tar.gz", bytearray(gzip.decompress(whole))
    with tarfile.open(fileobj=io.BytesIO(unzipped)) as tar:
        graph = tar.getmember("objects/mlflow/artifacts/1/m-1/model.onnx")
    unzipped[graph.offset_data + int(place * graph.size)] ^= change
    path.write_bytes(gzip.compress(bytes(unzipped), 1))

    with pytest.raises(BackupError, match=r"/model\.onnx does not match digests"):
        verify(path)


def without(name: str) -> Callable[[Members], Members]:
    return lambda all_: [(header, content) for header, content in all_ if header.name != name]


def beside(*more: tuple[tarfile.TarInfo, bytes]) -> Callable[[Members], Members]:
    return lambda all_: [*all_[:-1], *more, all_[-1]]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (beside(member("objects/data/../../etc/passwd")), "has an unexpected part"),
        (beside(member("objects/mlflow/../data/x")), "has an unexpected part"),
        (beside(member("/etc/passwd")), "has an unexpected part"),
        (beside(member("objects/elsewhere/x")), "has an unexpected part"),
        (beside(member("objects/data")), "has an unexpected part"),
        (beside(member("objects/data//x")), "has an unexpected part"),
        (beside(member("objects/data/x\ny")), "has an unexpected part"),
        (beside(member("notes.txt")), "has an unexpected part"),
        (beside(member("slipway.sql")), "has an unexpected part"),
        (beside(member("objects/data/iris.csv")), "has an unexpected part"),
        (beside(member("objects/data/x", kind=tarfile.SYMTYPE)), "or not a Slipway backup"),
        (beside(member("objects/data/x", kind=tarfile.LNKTYPE)), "or not a Slipway backup"),
        (beside(member("objects/data/x", kind=tarfile.DIRTYPE)), "or not a Slipway backup"),
        (beside(member("objects/data/x", kind=tarfile.FIFOTYPE)), "or not a Slipway backup"),
        (without("backup.json"), "or not a Slipway backup"),
        (without("slipway.sql"), "has an unexpected part"),
        (without("mlflow.sql"), "has an unexpected part"),
        (lambda all_: [*all_[:2], all_[-1]], "its part mlflow.sql does not match digests.json"),
        (lambda all_: [*all_[:1], all_[-1]], "its part slipway.sql does not match digests.json"),
        (lambda all_: [all_[0], all_[2], all_[1], *all_[3:]], "has an unexpected part"),
    ],
)
def test_foreign_part_with_a_correct_digest_is_rejected(
    tmp_path: Path, change: Callable[[Members], Members], told: str
) -> None:
    path = write(tmp_path / "backup.tar.gz")
    rewrite(path, change(members(path)))

    with pytest.raises(BackupError, match=told):
        verify(path)


def test_missing_object_is_reported(tmp_path: Path) -> None:
    path = write(tmp_path / "backup.tar.gz")
    kept = [(header, content) for header, content in members(path) if header.name != "objects/data/iris.csv"]
    with tarfile.open(path, "w:gz") as tar:
        for header, content in kept:
            tar.addfile(header, io.BytesIO(content))

    with pytest.raises(BackupError, match=r"its part objects/data/iris\.csv does not match digests\.json"):
        verify(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"\x1f\x8b", gzip.compress(b""), gzip.compress(b"x" * 10_000), b"PK\x03\x04" * 200],
    ids=["empty", "a letter", "the head of a gzip", "nothing, compressed", "letters, compressed", "a zip"],
)
def test_file_of_another_format_is_rejected(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)

    with pytest.raises(BackupError, match="not a Slipway backup"):
        verify(path)


@pytest.mark.parametrize("about", [b"", b"{", b"[]", b"3", b'{"format": 0}', b'{"format": "x"}', b"\xff"])
def test_tar_without_a_description_is_rejected(tmp_path: Path, about: bytes) -> None:
    path = write(tmp_path / "backup.tar.gz")
    rewrite(path, [member("backup.json", about), *members(path)[1:]])

    with pytest.raises(BackupError, match="not a Slipway backup"):
        read_about(path)


def test_newer_format_is_reported_first(tmp_path: Path) -> None:
    path = tmp_path / "backup.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        header, content = member("backup.json", b'{"format": 2, "compressed_by": "magic"}')
        tar.addfile(header, io.BytesIO(content))

    with pytest.raises(BackupError, match="was created by a newer release of Slipway: restore it with that release"):
        read_about(path)


def test_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match=r"file .*gone\.tar\.gz does not exist: check its name"):
        read_about(tmp_path / "gone.tar.gz")


def test_folder_in_place_of_a_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="cannot be read: Is a directory"):
        read_about(tmp_path)


def test_part_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    class Large:
        """A stream that records the largest requested read size."""

        left, most = 5_000_000, 0

        def read(self, size: int = -1, /) -> bytes:
            assert size > 0
            self.most = max(self.most, size)
            given = min(size, self.left)
            self.left -= given
            return bytes(given)

    large, path = Large(), tmp_path / "backup.tar.gz"

    with new_backup(path, ABOUT) as writer:
        fill(writer, large)

    assert large.most < 1 << 20


def fill(writer: Writer, content: Readable) -> None:
    writer.add("slipway.sql", 5_000_000, content)
