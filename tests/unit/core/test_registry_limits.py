"""Limits of responses of a registry: none blocks a thread, or fills the memory or the disk."""

import gzip
import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from slipway_core.bundle import MANIFEST_FILE, MLMODEL_FILE
from slipway_core.errors import RegistryError, RegistryUnavailableError
from slipway_core.manifest import GOLDEN_FILE, MODEL_FILE
from slipway_core.registry import ModelVersion
from slipway_core.registry.limits import Limits
from slipway_core.registry.mlflow import MlflowRegistry

IRIS_1 = ModelVersion("iris", "1")
SMALL = Limits(
    answer_bytes=10_000,
    answer_seconds=0.5,
    pages=5,
    list_seconds=0.5,
    file_bytes={MANIFEST_FILE: 1_000},
    other_file_bytes=100_000,
    fetch_seconds=0.5,
    free_bytes=0,
)
OK = b"HTTP/1.1 200 OK\r\n"
UNENDING = OK + b"Transfer-Encoding: chunked\r\n\r\n"
DRIP_SECONDS = 0.01


@contextmanager
def sending(parts: Callable[[], Iterator[bytes]], pause: float = 0.0) -> Iterator[str]:
    """Run a server that answers each request with these bytes and then closes; yield its address."""
    stopped = threading.Event()
    server = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(65_536)
                for part in parts():
                    connection.sendall(part)
                    if stopped.wait(pause):
                        return
            except OSError:
                pass

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    finally:
        stopped.set()
        server.close()


def forever(start: bytes, part: bytes) -> Callable[[], Iterator[bytes]]:
    def parts() -> Iterator[bytes]:
        yield start
        while True:
            yield part

    return parts


class Call(NamedTuple):
    name: str
    make: Callable[[MlflowRegistry, Path], object]


CALLS = [
    Call("list", lambda registry, _: registry.list_models()),
    Call("get", lambda registry, _: registry.get_model("iris")),
    Call("fetch", lambda registry, file: registry.fetch(IRIS_1, MODEL_FILE, file)),
]
DRIPS = {
    "body": forever(UNENDING, b"1\r\nx\r\n"),
    "declared body": forever(OK + b"Content-Length: 90000\r\n\r\n", b"x"),
    "header": forever(OK + b"X-Slow: ", b"x"),
    "status": forever(b"HTTP/1.1 200 ", b"O"),
}


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
@pytest.mark.parametrize("drip", DRIPS.values(), ids=DRIPS)
def test_slow_response_ends_at_the_deadline(tmp_path: Path, call: Call, drip: Callable[[], Iterator[bytes]]) -> None:
    limits = Limits(answer_seconds=0.05, list_seconds=0.05, fetch_seconds=0.05, free_bytes=0)
    began = time.monotonic()
    with (
        sending(drip, DRIP_SECONDS) as url,
        MlflowRegistry(url, limits=limits) as registry,
        pytest.raises(RegistryUnavailableError, match="did not respond in time"),
    ):
        call.make(registry, tmp_path / "file")

    assert time.monotonic() - began < 3


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_endless_response_ends_at_the_size_limit(tmp_path: Path, call: Call) -> None:
    endless = forever(UNENDING, b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
    with (
        sending(endless) as url,
        MlflowRegistry(url, limits=SMALL) as registry,
        pytest.raises(RegistryError, match=r"more than 10000 bytes|larger than 100000 bytes"),
    ):
        call.make(registry, tmp_path / "file")

    assert not (tmp_path / "file").exists() or (tmp_path / "file").stat().st_size <= 100_000


def test_file_below_the_minimum_rate_is_abandoned(tmp_path: Path) -> None:
    limits = Limits(grace_seconds=0.1, least_rate=100_000, free_bytes=0)
    with (
        sending(DRIPS["body"], DRIP_SECONDS) as url,
        MlflowRegistry(url, limits=limits) as registry,
        pytest.raises(RegistryError, match="less than 100000 bytes per second"),
    ):
        registry.fetch(IRIS_1, MODEL_FILE, tmp_path / "file")


def fetched(answer: httpx.Response, tmp_path: Path, file: str = MODEL_FILE, limits: Limits = SMALL) -> None:
    transport = httpx.MockTransport(lambda _: answer)
    with MlflowRegistry("http://registry.example", transport=transport, limits=limits) as registry:
        registry.fetch(IRIS_1, file, tmp_path / "file")


@pytest.mark.parametrize("declared", ["100001", "9" * 5_000])
def test_declared_size_over_the_limit_is_rejected(tmp_path: Path, declared: str) -> None:
    def unread() -> Iterator[bytes]:
        raise AssertionError("it was read")
        yield b""

    with pytest.raises(RegistryError, match="is larger than 100000 bytes"):
        fetched(httpx.Response(200, headers={"Content-Length": declared}, content=unread()), tmp_path)

    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize(("file", "limit"), [(MANIFEST_FILE, 1_000), (MODEL_FILE, 100_000)])
def test_each_file_has_its_own_limit(tmp_path: Path, file: str, limit: int) -> None:
    fetched(httpx.Response(200, content=b"x" * limit), tmp_path, file)
    assert (tmp_path / "file").stat().st_size == limit

    with pytest.raises(RegistryError, match=f"{file} is larger than {limit} bytes"):
        fetched(httpx.Response(200, content=b"x" * (limit + 1)), tmp_path, file)


def test_limits_of_small_files_and_graphs() -> None:
    limits = Limits()

    assert {limits.bytes_of(file) for file in (MANIFEST_FILE, GOLDEN_FILE, MLMODEL_FILE)} == {4 * 1024 * 1024}
    # A ResNet has 45 to 240 MB.
    assert limits.bytes_of(MODEL_FILE) >= 512 * 1024 * 1024


def test_a_fetch_leaves_room_on_the_disk(tmp_path: Path) -> None:
    limits = Limits(free_bytes=shutil.disk_usage(tmp_path).total)

    with pytest.raises(OSError, match="No space left"):
        fetched(httpx.Response(200, content=b"x"), tmp_path, limits=limits)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_compressed_response_is_not_decompressed(tmp_path: Path, call: Call) -> None:
    bomb = gzip.compress(b" " * 1_000_000)
    answer = OK + f"Content-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode() + bomb
    with (
        sending(lambda: iter([answer])) as url,
        MlflowRegistry(url, limits=SMALL) as registry,
        pytest.raises(RegistryError, match="compressed"),
    ):
        call.make(registry, tmp_path / "file")


@pytest.mark.parametrize("status", [204, 206, 301, 302, 307])
def test_response_that_is_not_the_file_is_not_written(tmp_path: Path, status: int) -> None:
    answer = httpx.Response(status, headers={"Location": "http://elsewhere.example/"}, content=b"elsewhere")

    with pytest.raises(RegistryError, match=f"answered {status} instead of model.onnx"):
        fetched(answer, tmp_path)

    assert not (tmp_path / "file").exists()


def test_endless_pages_are_abandoned() -> None:
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, json={"registered_models": [], "next_page_token": "more"})

    with (
        MlflowRegistry("http://r.example", transport=httpx.MockTransport(handler), limits=SMALL) as registry,
        pytest.raises(RegistryError, match="more than 5 pages"),
    ):
        registry.list_models()

    assert len(asked) == 5


@pytest.mark.parametrize("content", [b"[" * 9_000, b'{"a":' * 1_900, b'{"registered_models": ' + b"9" * 5_000 + b"}"])
@pytest.mark.parametrize("status", [200, 500])
def test_json_that_python_cannot_parse_is_an_error(content: bytes, status: int) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, content=content))
    with (
        MlflowRegistry("http://r.example", transport=transport, limits=SMALL) as registry,
        pytest.raises(RegistryError),
    ):
        registry.list_models()


def models(*items: object) -> dict[str, object]:
    return {"registered_models": list(items)}


IRIS = {"name": "iris"}
WRONG_LISTS = [
    {"status": "ok"},
    {"registered_models": None},
    {"registered_models": {}},
    {"registered_models": "iris"},
    {"registered_models": [IRIS], "next_page_token": 7},
    models(None),
    models("iris"),
    models([]),
    models({}),
    models({"name": None}),
    models({"name": 7}),
    models({"name": ""}),
    models({**IRIS, "aliases": {"Production": "1"}}),
    models({**IRIS, "aliases": None}),
    models({**IRIS, "aliases": ["Production"]}),
    models({**IRIS, "aliases": [{"alias": "Production"}]}),
    models({**IRIS, "aliases": [{"alias": 1, "version": "1"}]}),
    models({**IRIS, "aliases": [{"alias": "Production", "version": "../1"}]}),
    models({**IRIS, "aliases": [{"alias": "Production", "version": "one"}]}),
    models({**IRIS, "aliases": [{"alias": "Production", "version": 1.5}]}),
    models({**IRIS, "aliases": [{"alias": "Production", "version": True}]}),
    models({**IRIS, "aliases": [{"alias": "Production", "version": -1}]}),
    models({**IRIS, "aliases": [{"alias": "Production", "version": "9" * 30}]}),
    models({**IRIS, "aliases": [{"alias": "Production", "version": 10**300}]}),
    models({**IRIS, "tags": "x"}),
    models({**IRIS, "tags": [{"value": "x"}]}),
    models({**IRIS, "tags": [{"key": "a", "value": 1}]}),
    models({**IRIS, "description": 7}),
    models({**IRIS, "creation_timestamp": "soon"}),
    models({**IRIS, "creation_timestamp": None}),
    models({**IRIS, "creation_timestamp": float("nan")}),
    models({**IRIS, "creation_timestamp": float("inf")}),
    models({**IRIS, "creation_timestamp": -1}),
    models({**IRIS, "creation_timestamp": 10**400}),
    models({**IRIS, "creation_timestamp": True}),
    models({**IRIS, "latest_versions": [7]}),
    models({**IRIS, "latest_versions": [{"current_stage": ["Production"], "version": "1"}]}),
]


@pytest.mark.parametrize("answer", WRONG_LISTS, ids=lambda answer: json.dumps(answer)[:60])
def test_list_of_another_shape_is_a_registry_error(answer: dict[str, object]) -> None:
    content = json.dumps(answer).encode()
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=content))

    with MlflowRegistry("http://r.example", transport=transport) as registry, pytest.raises(RegistryError):
        registry.list_models()


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "rose", "version": "1"},
        {"name": "iris", "version": "2"},
        {"name": "iris"},
        {"name": "iris", "version": "1", "tags": [None]},
        {"name": "iris", "version": "1", "run_id": {}},
    ],
)
def test_another_version_than_the_requested_one_is_an_error(fields: dict[str, object]) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"model_version": fields}))

    with MlflowRegistry("http://r.example", transport=transport) as registry, pytest.raises(RegistryError):
        registry.get_version("iris", "1")
