"""Compressed request bodies: inflated exactly, within their limit, on every route that reads a body."""

import asyncio
import gzip
import json
import random
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from backports import zstd
from starlette.types import Message

from slipway_api.accounts.models import Role
from slipway_api.errors import InvalidInputError, TooLargeError
from slipway_api.http import content_codings
from slipway_api.http.content_codings import (
    CHUNK_BYTES,
    FIRST_CHUNK_BYTES,
    MAX_STREAMS,
    InflatedBody,
    Inflater,
    max_compressed_bytes,
)
from slipway_api.http.request_body import SMALL_BODY_BYTES, LargeBodies, read_body
from slipway_api.web import prediction_endpoint
from slipway_core.registry.memory import InMemoryRegistry
from support.api import PASSWORD, RunningApi, StartApi

MEBIBYTE = 1024 * 1024
LIMIT = 4 * MEBIBYTE
ROW = [5.1, 3.5, 1.4, 0.2]
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
COMPRESS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstd.compress}
every_coding = pytest.mark.parametrize("coding", COMPRESS)


def numbers(count: int) -> bytes:
    return json.dumps([random.Random(count).random() for _ in range(count)]).encode()  # noqa: S311


def split(body: bytes, size: int) -> list[bytes]:
    return [body[begin : begin + size] for begin in range(0, len(body), size)] or [b""]


def inflate(
    coding: str, parts: Sequence[bytes], max_bytes: int = LIMIT, take: Callable[[int], None] | None = None
) -> bytes:
    """Return the content of a body that arrives in parts."""
    rest = list(parts)

    async def receive() -> Message:
        body = rest.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(rest)}

    inflated = InflatedBody(coding, receive, max_bytes, in_thread=True)
    return asyncio.run(read_body({"state": {}}, inflated.receive, max_bytes, take))


def wrong(coding: str, body: bytes) -> str:
    with pytest.raises(InvalidInputError) as raised:
        inflate(coding, [body])
    return str(raised.value)


def streamed_zstd(content: bytes, window_log: int = 20) -> bytes:
    """Return a frame without the size of its content."""
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: window_log})
    return compressor.compress(content) + compressor.flush()


# Inflation


@every_coding
@pytest.mark.parametrize("size", [1, 7_777, 65_536, 10 * MEBIBYTE])
def test_body_is_inflated_exactly(coding: str, size: int) -> None:
    contents = [b"", b"x", b"x" * FIRST_CHUNK_BYTES, b"x" * (FIRST_CHUNK_BYTES + 1), b"\0" * (3 * CHUNK_BYTES)]
    contents += [numbers(50_000), random.Random(1).randbytes(300_000)]  # noqa: S311

    for content in contents if size > 1 else contents[:-2]:
        assert inflate(coding, split(COMPRESS[coding](content), size)) == content


@every_coding
def test_members_and_frames_are_concatenated(coding: str) -> None:
    compress, content = COMPRESS[coding], numbers(40_000)
    halves = compress(content[:99_999]) + compress(b"") + compress(content[99_999:])

    assert inflate(coding, [halves]) == content
    assert inflate(coding, split(halves, 1_000)) == content


@every_coding
def test_many_members_are_rejected(coding: str) -> None:
    empty = COMPRESS[coding](b"")

    assert inflate(coding, [empty * MAX_STREAMS]) == b""
    assert f"more than {MAX_STREAMS} parts of {coding} data" in wrong(coding, empty * (MAX_STREAMS + 1))


def test_zstd_frames_without_content_size_are_inflated() -> None:
    content = numbers(50_000)

    assert inflate("zstd", split(streamed_zstd(content), 10_000)) == content
    assert inflate("zstd", split(streamed_zstd(content, window_log=23), 10_000)) == content


def test_zstd_window_over_8_mib_is_rejected() -> None:
    assert "a window of at most 8 MiB" in wrong("zstd", streamed_zstd(b"x" * 100, window_log=24))


@every_coding
def test_truncated_body_is_rejected(coding: str) -> None:
    body = COMPRESS[coding](numbers(30_000))

    for length in (1, 5, 12, len(body) // 2, len(body) - 1):
        assert f"the {coding} data of the body ends early" in wrong(coding, body[:length])


@every_coding
def test_empty_body_is_rejected(coding: str) -> None:
    assert wrong(coding, b"") == f"the body is empty; send {coding} data, or remove Content-Encoding"


@every_coding
@pytest.mark.parametrize("trailing", [b"\0", b"\0" * 512, b"garbage after the end", b"{}"])
def test_bytes_after_the_end_are_rejected(coding: str, trailing: bytes) -> None:
    assert any(
        text in wrong(coding, COMPRESS[coding](b"{}") + trailing) for text in ("invalid bytes after", "ends early")
    )


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", b"{}" * 20),
        ("gzip", zlib.compress(b"{}")),
        ("gzip", zstd.compress(b"{}")),
        ("gzip", gzip.compress(b"x" * 1_000)[:-8] + bytes(8)),
        ("gzip", gzip.compress(numbers(1_000)).replace(b"\0", b"\1")),
        ("zstd", b"{}" * 20),
        ("zstd", gzip.compress(b"{}")),
        ("zstd", streamed_zstd(b"x")[:6] + b"\xff" * 100),
    ],
    ids=["plain", "zlib", "zstd", "checksum", "damaged", "plain for zstd", "gzip for zstd", "damaged zstd"],
)
def test_invalid_body_is_rejected(coding: str, body: bytes) -> None:
    assert f"the body is not valid {coding} data" in wrong(coding, body)


# Limits


@every_coding
def test_limit_applies_to_the_content(coding: str) -> None:
    content = b"x" * LIMIT
    incompressible = random.Random(2).randbytes(LIMIT)  # noqa: S311

    assert inflate(coding, split(COMPRESS[coding](content), 65_536)) == content
    # Compression adds some bytes to it.
    assert inflate(coding, split(COMPRESS[coding](incompressible), 65_536)) == incompressible
    for one in (content, incompressible):
        with pytest.raises(TooLargeError, match=f"the body exceeds the limit of {LIMIT} bytes"):
            inflate(coding, [COMPRESS[coding](one + b"x")])


def test_compressed_bytes_without_content_are_limited() -> None:
    header = gzip.compress(b"")[:10]
    empty_blocks = b"\0\0\0\xff\xff" * 10_000
    parts = [header, *[empty_blocks] * (max_compressed_bytes(100_000) // len(empty_blocks) + 1), b""]

    with pytest.raises(TooLargeError):
        inflate("gzip", parts, max_bytes=100_000)


@every_coding
def test_bomb_is_rejected_before_it_fills_memory(coding: str) -> None:
    bomb = COMPRESS[coding](bytes(64 * MEBIBYTE))

    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError):
            inflate(coding, [bomb])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < LIMIT + 3 * CHUNK_BYTES


@every_coding
def test_held_memory_counts_inflated_bytes(coding: str) -> None:
    taken: list[int] = []
    content = b"x" * MEBIBYTE

    inflate(coding, [COMPRESS[coding](content)], take=taken.append)

    assert sum(taken) == len(content)
    assert max(taken) <= CHUNK_BYTES


@every_coding
def test_only_the_first_chunk_is_inflated_on_the_event_loop(coding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks: list[tuple[bool, int]] = []
    original = Inflater.next_chunk

    def next_chunk(inflater: Inflater, max_bytes: int) -> bytes:
        chunk = original(inflater, max_bytes)
        chunks.append((threading.current_thread() is threading.main_thread(), len(chunk)))
        return chunk

    monkeypatch.setattr(content_codings.Inflater, "next_chunk", next_chunk)
    inflate(coding, split(COMPRESS[coding](b"x" * MEBIBYTE), 65_536))
    on_loop = [size for is_on_loop, size in chunks if is_on_loop]

    assert len(on_loop) == 1
    assert on_loop[0] <= FIRST_CHUNK_BYTES
    assert sum(size for _, size in chunks) == MEBIBYTE


# Routes


def encoded(coding: str, content: bytes, **headers: str) -> dict[str, Any]:
    return {"content": COMPRESS[coding](content), "headers": {**JSON, **headers, "Content-Encoding": coding}}


@every_coding
@pytest.mark.parametrize("rows", [1, 900])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/predict", lambda rows: {"features": rows}),
        ("/models/iris/predict", lambda rows: {"features": rows}),
        ("/invocations", lambda rows: {"instances": rows}),
        ("/v1/models/iris:predict", lambda rows: {"instances": rows}),
        (
            "/v2/models/iris/infer",
            lambda rows: {"inputs": [{"name": "X", "shape": [len(rows), 4], "datatype": "FP32", "data": rows}]},
        ),
    ],
    ids=["predict", "named", "invocations", "v1", "v2"],
)
def test_compressed_predictions_match_plain_ones(
    api: RunningApi, coding: str, path: str, body: Callable[[list[list[float]]], Any], rows: int
) -> None:
    content = json.dumps(body([ROW] * rows)).encode()
    found = []

    for request in ({"content": content, "headers": JSON}, encoded(coding, content)):
        answer = api.post(path, role=Role.USER, **request)
        assert answer.status_code == 200, answer.text
        found.append({name: value for name, value in answer.json().items() if name not in {"id", "parameters"}})

    assert found[0] == found[1]


@every_coding
def test_binary_tensor_length_refers_to_inflated_json(api: RunningApi, coding: str) -> None:
    tensor = {"name": "X", "shape": [1, 4], "datatype": "FP32", "parameters": {"binary_data_size": 16}}
    head = json.dumps({"inputs": [tensor]}).encode()
    content = head + zlib.decompress(zlib.compress(bytes(16)))
    length = {"Inference-Header-Content-Length": str(len(head))}

    plain = api.post("/v2/models/iris/infer", role=Role.USER, content=content, headers=length)
    answer = api.post("/v2/models/iris/infer", role=Role.USER, **encoded(coding, content, **length))

    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"] == plain.json()["outputs"]


@every_coding
def test_other_bodies_may_be_compressed(start_api: StartApi, registry: InMemoryRegistry, coding: str) -> None:
    api = start_api(registry)
    account = json.dumps({"username": "carol", "password": PASSWORD}).encode()
    change = json.dumps({"role": "viewer"}).encode()
    form = {**FORM, "Content-Encoding": coding}
    login = COMPRESS[coding](b"username=carol&password=correct+horse+battery")
    prediction = api.post("/predict", role=Role.ADMIN, json={"features": ROW}).json()["id"]
    api.ship()
    feedback = encoded(coding, b'{"label": "setosa"}')

    assert api.post("/users", role=Role.ADMIN, **encoded(coding, account)).status_code == 201
    assert api.request("PATCH", "/users/carol", role=Role.ADMIN, **encoded(coding, change)).json()["role"] == "viewer"
    assert api.post("/token", content=login, headers=form).status_code == 200
    assert api.post(f"/predictions/{prediction}/feedback", role=Role.ADMIN, **feedback).status_code == 201


@every_coding
def test_chunked_compressed_body_is_inflated(api: RunningApi, coding: str) -> None:
    content = json.dumps({"features": [ROW] * 900}).encode()
    headers = {**JSON, "Content-Encoding": coding}

    answer = api.post("/predict", role=Role.USER, chunks=split(COMPRESS[coding](content), 10), headers=headers)

    assert len(answer.json()["prediction"]) == 900


@pytest.mark.parametrize("coding", ["identity", "", "Identity", "identity, identity"])
def test_identity_needs_no_inflation(api: RunningApi, coding: str) -> None:
    answer = api.post("/predict", role=Role.USER, json={"features": ROW}, headers={"Content-Encoding": coding})

    assert answer.status_code == 200


@pytest.mark.parametrize("coding", ["x-gzip", "GZIP", "identity, gzip", " gzip ,"])
def test_gzip_has_other_spellings(api: RunningApi, coding: str) -> None:
    content = gzip.compress(json.dumps({"features": ROW}).encode())

    assert api.post(
        "/predict", role=Role.USER, content=content, headers={**JSON, "Content-Encoding": coding}
    ).is_success


@pytest.mark.parametrize("path", ["/predict", "/invocations", "/v1/models/iris:predict", "/v2/models/iris/infer"])
@every_coding
def test_limits_of_a_prediction_apply_to_its_content(api: RunningApi, coding: str, path: str) -> None:
    at_limit = b" " * 200_000

    assert api.post(path, role=Role.USER, **encoded(coding, at_limit)).status_code == 422
    assert api.post(path, role=Role.USER, **encoded(coding, at_limit + b" ")).status_code == 413


@every_coding
def test_small_bodies_are_limited_by_their_content(api: RunningApi, coding: str) -> None:
    at_limit = b" " * SMALL_BODY_BYTES

    assert api.post("/users", role=Role.ADMIN, **encoded(coding, at_limit)).status_code == 422
    assert api.post("/users", role=Role.ADMIN, **encoded(coding, at_limit + b" ")).status_code == 413


@every_coding
def test_inflated_bodies_over_the_total_memory_are_rejected(
    start_api: StartApi, registry: InMemoryRegistry, monkeypatch: pytest.MonkeyPatch, coding: str
) -> None:
    monkeypatch.setattr(prediction_endpoint, "MAX_LARGE_BYTES", 500_000)
    api = start_api(registry)
    content = json.dumps({"features": [ROW] * 5_000}).encode()
    bodies: LargeBodies = api.gateway._dispatch._endpoint._large_bodies

    with bodies.holding() as take:
        take(450_000)
        refused = api.post("/predict", role=Role.USER, **encoded(coding, content))
    accepted = api.post("/predict", role=Role.USER, **encoded(coding, content))

    assert (refused.status_code, accepted.status_code) == (503, 200)
    assert bodies._held_bytes == 0


def test_browser_may_send_compressed_bodies(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, cors_origins=("https://app.example",))
    wish = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}

    answer = api.request("OPTIONS", "/predict", headers={**wish, "Access-Control-Request-Headers": "content-encoding"})

    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/predict", "/v1/models/iris:predict", "/v2/models/iris/infer", "/users"])
@pytest.mark.parametrize("coding", ["gzip, gzip", "br", "deflate", "zstd, gzip", "gzip;q=1", "*"])
def test_unsupported_coding_is_rejected_with_the_supported_ones(api: RunningApi, path: str, coding: str) -> None:
    answer = api.post(path, role=Role.ADMIN, content=b"x", headers={**JSON, "Content-Encoding": coding})

    assert answer.status_code == 415
    assert answer.headers["Accept-Encoding"] == "gzip, zstd"
    assert "gzip or zstd, or without Content-Encoding" in answer.text


def test_repeated_header_is_two_codings(api: RunningApi) -> None:
    async def ask() -> int:
        status = 0

        async def receive() -> Message:
            return {"type": "http.request", "body": gzip.compress(b"{}"), "more_body": False}

        async def send(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)

        headers = [(b"authorization", f"Bearer {api.token(Role.USER)}".encode()), (b"content-encoding", b"gzip")]
        scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b"", "client": ("::1", 1)}
        await api.gateway({**scope, "headers": [*headers, headers[1]]}, receive, send)
        return status

    assert api.portal.call(ask) == 415


def test_other_unsupported_types_name_no_coding(api: RunningApi) -> None:
    answer = api.post("/predict", role=Role.USER, content=b"x", headers={"Content-Type": "text/csv"})

    assert (answer.status_code, answer.headers.get("Accept-Encoding")) == (415, None)
