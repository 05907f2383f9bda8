"""The files of the object store as a stream, sent and received with a real S3 server."""

import io
import os
import subprocess
import sys
import tarfile
import uuid
from pathlib import Path

import pytest

from slipway_cli.errors import BackupError
from slipway_cli.stack_jobs.objects import receive, send
from slipway_core.errors import StorageError, StorageNotFoundError
from support.s3 import S3Server

pytestmark = pytest.mark.slow

# More than S3's client sends in one request.
LARGE = os.urandom(1 << 20) * 9


@pytest.fixture(autouse=True)
def server(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The S3 server, with its address and keys in the environment."""
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    return s3


def new_bucket(server: S3Server, files: dict[str, bytes]) -> str:
    """Make a bucket with files; return its name."""
    name = uuid.uuid4().hex
    folder = server.make_bucket(name)
    for key, content in files.items():
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return name


def files_of(server: S3Server, bucket: str) -> dict[str, bytes]:
    folder = server.folder / bucket
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def sent(*locations: str) -> bytes:
    out = io.BytesIO()
    send(locations, out)
    return out.getvalue()


def without_total(stream: bytes) -> bytes:
    """Return a stream as the restore sends it: it has no total."""
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(stream)) as given, tarfile.open(fileobj=out, mode="w") as tar:
        for member in given.getmembers()[1:]:
            tar.addfile(member, given.extractfile(member))
    return out.getvalue()


def test_sent_objects_are_received_again(server: S3Server) -> None:
    content = {"iris.csv": b"1,2", "artifacts/1/model.onnx": LARGE, "artifacts/1/empty": b"", "ü & b/c.txt": b"c"}
    bucket = new_bucket(server, content)
    stream = without_total(sent(bucket))
    for file in (server.folder / bucket).rglob("*.*"):
        if file.is_file():
            file.unlink()
    (server.folder / bucket / "new.csv").write_bytes(b"made since")

    receive([bucket], io.BytesIO(stream))

    assert files_of(server, bucket) == {**content, "new.csv": b"made since"}


def test_changed_object_is_restored(server: S3Server) -> None:
    bucket = new_bucket(server, {"iris.csv": b"before"})
    stream = without_total(sent(bucket))
    (server.folder / bucket / "iris.csv").write_bytes(b"after, and longer")

    receive([bucket], io.BytesIO(stream))

    assert files_of(server, bucket) == {"iris.csv": b"before"}


def test_missing_bucket_is_created(server: S3Server) -> None:
    bucket = new_bucket(server, {"iris.csv": b"1,2"})
    stream = without_total(sent(bucket))
    for file in sorted((server.folder / bucket).rglob("*"), reverse=True):
        file.unlink()
    (server.folder / bucket).rmdir()

    receive([bucket], io.BytesIO(stream))

    assert files_of(server, bucket) == {"iris.csv": b"1,2"}


def test_location_with_a_prefix_limits_what_is_read(server: S3Server) -> None:
    bucket = new_bucket(server, {"mlflow/model.onnx": b"graph", "others/secret": b"x", "mlflow-2/y": b"y"})

    with tarfile.open(fileobj=io.BytesIO(sent(f"{bucket}/mlflow"))) as tar:
        names = tar.getnames()

    assert names == ["total.json", f"objects/{bucket}/mlflow/model.onnx", "end.json"]


def test_empty_bucket_gives_an_empty_stream(server: S3Server) -> None:
    bucket = new_bucket(server, {})

    receive([bucket], io.BytesIO(without_total(sent(bucket))))

    assert files_of(server, bucket) == {}


def test_missing_bucket_is_reported() -> None:
    with pytest.raises(StorageNotFoundError, match="bucket nowhere does not exist: create it"):
        sent("nowhere")


def test_a_file_for_another_bucket_is_refused(server: S3Server) -> None:
    one, other = new_bucket(server, {"x": b"x"}), new_bucket(server, {})
    stream = without_total(sent(one))

    with pytest.raises(BackupError, match="is outside the backup's locations"):
        receive([other], io.BytesIO(stream))


def test_a_path_that_leaves_the_bucket_is_refused(server: S3Server) -> None:
    bucket, out = new_bucket(server, {}), io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.addfile(tarfile.TarInfo(f"objects/{bucket}/../../x"))

    with pytest.raises(StorageError, match="is not a valid path"):
        receive([bucket], io.BytesIO(out.getvalue()))


@pytest.mark.parametrize("place", [0.0, 0.3, 0.9])
def test_truncated_stream_is_reported_and_leaves_no_partial_file(server: S3Server, place: float) -> None:
    bucket = new_bucket(server, {"a.onnx": LARGE, "b.onnx": LARGE})
    stream = without_total(sent(bucket))
    for name in ("a.onnx", "b.onnx"):
        (server.folder / bucket / name).unlink()

    with pytest.raises(BackupError, match="the stream of objects is incomplete"):
        receive([bucket], io.BytesIO(stream[: int(place * len(stream))]))

    assert set(files_of(server, bucket).values()) <= {LARGE}


def test_stream_that_ends_between_files_is_reported(server: S3Server) -> None:
    bucket, out = new_bucket(server, {"a": b"a", "b": b"b"}), io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(without_total(sent(bucket)))) as given,
        tarfile.open(fileobj=out, mode="w") as tar,
    ):
        first = given.getmembers()[0]
        tar.addfile(first, given.extractfile(first))

    with pytest.raises(BackupError, match="the stream of objects is incomplete"):
        receive([bucket], io.BytesIO(out.getvalue()))


def job(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "slipway_cli.stack_jobs", *arguments]
    return subprocess.run(command, input=given, capture_output=True, check=False, timeout=60)


def test_jobs_use_their_standard_streams(server: S3Server, tmp_path: Path) -> None:
    bucket = new_bucket(server, {"iris.csv": b"1,2"})

    out = job("objects-out", bucket)
    (server.folder / bucket / "iris.csv").unlink()
    back = job("objects-in", bucket, given=without_total(out.stdout))

    assert (out.returncode, out.stderr, back.returncode, back.stdout, back.stderr) == (0, b"", 0, b"", b"")
    assert files_of(server, bucket) == {"iris.csv": b"1,2"}


def test_failed_job_reports_one_sentence() -> None:
    ended = job("objects-out", "nowhere")

    assert ended.returncode == 1
    assert ended.stderr.decode().startswith("Error: bucket nowhere does not exist")
    assert len(ended.stderr.splitlines()) == 1
