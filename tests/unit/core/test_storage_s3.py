"""Files in an S3 bucket: how the server is found, and the errors that it returns."""

import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError, SSLError
from botocore.stub import Stubber

from slipway_core.errors import ConfigurationError, StorageError, StorageNotFoundError, StorageUnavailableError
from slipway_core.storage import Storage, StoredFile, open_storage
from slipway_core.storage.s3 import S3Storage
from slipway_core.storage.s3_errors import translated_errors
from support.s3 import S3Server, s3_server
from support.servers import free_port

# S3 lists 1,000 keys in one answer.
MORE_THAN_A_PAGE = 1_003

Calls = dict[str, Callable[[Storage, Path], Any]]
CALLS: Calls = {
    "list": lambda storage, _: storage.list(),
    "fetch": lambda storage, file: storage.fetch("iris.csv", file.with_name("back.csv")),
    "put": lambda storage, file: storage.put("iris.csv", file),
    "delete": lambda storage, _: storage.delete("iris.csv"),
    "exists": lambda storage, _: storage.exists("iris.csv"),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@pytest.fixture
def server(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The S3 server, with its address and keys in the environment."""
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    return s3


@pytest.fixture
def bucket(server: S3Server) -> str:
    """The name of a bucket that holds `iris.csv`."""
    name = uuid.uuid4().hex
    server.make_bucket(name)
    boto3.client("s3").put_object(Bucket=name, Key="iris.csv", Body=b"1,2")
    return name


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "given.csv"
    path.write_bytes(b"1,2")
    return path


def paths(location: str) -> list[str]:
    return [file.path for file in open_storage(location).list()]


@pytest.mark.parametrize(
    ("removed", "changes"),
    [
        *(
            (("AWS_ENDPOINT_URL", "MLFLOW_S3_ENDPOINT_URL", "AWS_DEFAULT_REGION"), {variable: "{url}"})
            for variable in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "MLFLOW_S3_ENDPOINT_URL")
        ),
        ((), {"MLFLOW_S3_ENDPOINT_URL": "http://127.0.0.1:9"}),
        ((), dict.fromkeys(("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"), "")),
    ],
    ids=["S3's", "AWS's", "MLflow's", "AWS's before MLflow's", "empty"],
)
def test_server_is_found_by_each_endpoint_variable(
    server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch, removed: tuple[str, ...], changes: dict[str, str]
) -> None:
    for name in removed:
        monkeypatch.delenv(name)
    for name, value in changes.items():
        monkeypatch.setenv(name, value.format(url=server.url))

    assert paths(f"s3://{bucket}") == ["iris.csv"]


def test_files_of_several_pages_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "buckets/large/many"
    folder.mkdir(parents=True)
    names = [f"{number:04}" for number in range(MORE_THAN_A_PAGE)]
    for name in names:
        (folder / name).touch()

    with s3_server(tmp_path) as server:
        for variable, value in server.environment().items():
            monkeypatch.setenv(variable, value)
        found = [file.path for file in open_storage("s3://large").list("many/")]

    assert found == [f"many/{name}" for name in names]


def test_folder_marker_object_is_not_listed(server: S3Server) -> None:
    storage = S3Storage("bucket", "data")
    marked = {"Contents": [{"Key": "data/", "Size": 0}, {"Key": "data/iris.csv", "Size": 3}]}

    # An answer of Amazon's: the test's server knows no such keys.
    with Stubber(storage._client) as stub:
        stub.add_response("list_objects_v2", marked)
        found = storage.list()

    assert found == [StoredFile("iris.csv", 3)]


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("s3://", "names no bucket: write s3://bucket/prefix"),
        ("s3:///data", "names no bucket"),
        ("s3://a bucket/data", "names no bucket"),
        ("s3://bucket/../other", "the prefix after the bucket bucket is invalid"),
        ("s3://bucket//data", "the prefix after the bucket bucket is invalid"),
    ],
)
def test_invalid_location_is_reported_with_an_example(location: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        open_storage(location)


@every_call
def test_missing_bucket_is_reported_by_its_name(
    server: S3Server, file: Path, call: Callable[[Storage, Path], object]
) -> None:
    with pytest.raises(StorageNotFoundError, match=r"^bucket nowhere does not exist: create it, or check its name"):
        call(open_storage("s3://nowhere/data"), file)


@every_call
@pytest.mark.parametrize("variable", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_keys_are_reported_by_variable_without_values(
    bucket: str, file: Path, monkeypatch: pytest.MonkeyPatch, variable: str, call: Callable[[Storage, Path], object]
) -> None:
    monkeypatch.setenv(variable, "wrong-horse-battery")

    with pytest.raises(StorageError, match="check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") as caught:
        call(open_storage(f"s3://{bucket}"), file)

    assert not isinstance(caught.value, StorageNotFoundError | StorageUnavailableError)
    assert "horse" not in str(caught.value)


@pytest.mark.parametrize("call", ["list", "fetch"])
def test_stopped_server_is_reported_with_its_address_variable(
    bucket: str, file: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")

    with pytest.raises(StorageUnavailableError, match="check that it runs, and its address in AWS_ENDPOINT_URL"):
        CALLS[call](open_storage(f"s3://{bucket}"), file)


@every_call
def test_missing_keys_are_reported_with_their_variables(
    bucket: str, file: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[[Storage, Path], object]
) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable)

    with pytest.raises(StorageError, match=r"^no keys for S3 are set: set AWS_ACCESS_KEY_ID"):
        call(open_storage(f"s3://{bucket}"), file)


def test_incomplete_key_pair_is_reported(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    with pytest.raises(ConfigurationError, match=r"^no keys for S3 are set"):
        open_storage(f"s3://{bucket}")


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("AWS_ENDPOINT_URL", "storage.example", "the endpoint of S3 is not an address: write http://host:9000"),
        ("AWS_PROFILE", "missing-profile", "check AWS_PROFILE"),
        ("AWS_DEFAULT_REGION", "no region!", "check AWS_PROFILE and AWS_DEFAULT_REGION"),
    ],
)
def test_wrong_variable_is_reported_when_the_storage_opens(
    server: S3Server, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(ConfigurationError, match=words):
        open_storage("s3://bucket")


def answer(code: str, status: int) -> ClientError:
    """An error answer of S3, as botocore parses it."""
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "GetObject")


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        (answer("ExpiredToken", 400), StorageError, "log in to AWS again, or renew AWS_SESSION_TOKEN"),
        (answer("PermanentRedirect", 301), StorageError, "in another region: set AWS_DEFAULT_REGION to it"),
        (answer("RequestTimeTooSkewed", 403), StorageError, "set the clock"),
        (answer("SlowDown", 503), StorageUnavailableError, r"busy \(SlowDown\): try again later"),
        (answer("", 502), StorageUnavailableError, r"busy \(502\): try again later"),
        (answer("InvalidObjectState", 403), StorageError, r"\(InvalidObjectState\): check the bucket's policy"),
        (ReadTimeoutError(endpoint_url="http://s3"), StorageUnavailableError, "check that it runs"),
        (SSLError(endpoint_url="https://s3", error="x"), StorageUnavailableError, "AWS_CA_BUNDLE"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, Exception) else "",
)
def test_s3_error_becomes_a_sentence_with_advice(raised: Exception, kind: type[StorageError], words: str) -> None:
    with pytest.raises(StorageError, match=words) as caught, translated_errors("bucket", "iris.csv"):
        raise raised

    assert type(caught.value) is kind


@pytest.mark.parametrize("missing", ["boto3", "botocore.config"])
def test_missing_boto3_is_reported_when_a_bucket_is_opened(missing: str) -> None:
    program = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "import slipway_core.storage.s3\n"
        "from slipway_core.storage import open_storage\n"
        "try: open_storage('s3://bucket')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert ended.stdout == ("ConfigurationError the S3 client is not installed: run `pip install 'slipway[trainer]'`\n")


def test_opening_a_folder_does_not_import_boto3() -> None:
    program = (
        "import sys; from slipway_core.storage import open_storage; open_storage('/x'); print('boto3' in sys.modules)"
    )

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert ended.stdout == "False\n"


def test_content_is_streamed_without_a_file(bucket: str) -> None:
    storage = S3Storage(bucket)

    with storage.reading("iris.csv") as (size_bytes, content):
        storage.put_content("copy.csv", content)

    assert size_bytes == 3
    with storage.reading("copy.csv") as (_, copied):
        assert [copied.read(2), copied.read(2), copied.read(2)] == [b"1,", b"2", b""]


@pytest.mark.parametrize(("name", "words"), [("iris.csv", "bucket .* does not exist"), ("../x", "is not a valid path")])
def test_content_that_cannot_be_read_is_reported(server: S3Server, name: str, words: str) -> None:
    def read() -> None:
        with S3Storage(uuid.uuid4().hex).reading(name):
            pass

    with pytest.raises(StorageError, match=words):
        read()


def test_content_that_breaks_off_is_not_stored(bucket: str) -> None:
    class Broken:
        """A stream that fails after its first part."""

        given = False

        def read(self, size: int = -1, /) -> bytes:
            if self.given:
                raise EOFError
            self.given = True
            return b"half"

    storage = S3Storage(bucket)

    with pytest.raises(EOFError):
        storage.put_content("broken.csv", Broken())

    assert not storage.exists("broken.csv")
