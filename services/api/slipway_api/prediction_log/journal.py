"""The journal's file format, which workers write and the shipper reads.

A segment is a file of one writer: a head, then frames. The head is a line of text and a random marker of 8 bytes. Each
frame is

    marker (8 bytes) · length of the payload (u32) · CRC-32 of the payload (u32) · payload

with little-endian numbers. A payload is a kind (one byte), the length of a JSON object (u32), that object, and columns
of raw numbers. There are three kinds: `V` describes a model version, `R` holds a batch of records of one version whose
rows are a matrix, and `T` one whose rows are a table, as JSON.
The marker differs from segment to segment and never leaves the machine, so a client cannot send values that look like
a frame where a real one is damaged.

The CRC detects damaged frames; reading continues at the next marker.
"""

import os
import struct
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

HEAD_LINE = b"slipway journal 1\n"
MARKER_BYTES = 8
HEAD_BYTES = len(HEAD_LINE) + MARKER_BYTES
SUFFIX = ".journal"
# A prepared segment without frames; readers ignore it.
NEW_SUFFIX = ".new"

_FRAME = struct.Struct("<II")
_META_LENGTH = struct.Struct("<I")
_VERSION, _MATRICES, _TABLES = b"V", b"R", b"T"
_TYPES = {"<i8", "<f4", "<f8", "<i4"}


class Version(NamedTuple):
    """A model version and its lineage, as stored in a segment."""

    model: str
    version: str
    manifest_sha256: str
    run_id: str
    data_version: str
    git_commit: str | None
    task: str
    features: list[str]
    classes: list[str | int] | None


class Record(NamedTuple):
    """One request with a response.

    Attributes:
        id: the prediction's id, a UUIDv7.
        at_ns: time of the response, nanoseconds of Unix time.
        inputs: (n_rows, n_features) float32 with NaN for a redacted value; or the rows of a table as JSON.
        prediction: (n_rows,) class indices or values.
        scores: (n_rows, n_classes) float32, or None.
        latency_seconds: from the request's head to the response.
        request_id: the client's, or a generated one.
    """

    id: uuid.UUID
    at_ns: int
    user_id: uuid.UUID
    model: str
    version: str
    manifest_sha256: str
    inputs: NDArray[np.float32] | bytes
    prediction: NDArray[Any]
    scores: NDArray[np.float32] | None
    latency_seconds: float
    request_id: str


class Columns(NamedTuple):
    """The records of a batch, as one column per field; see `Record`.

    Attributes:
        ids: 16 bytes per record, as `user_ids`.
        inputs: the rows of all records, as `prediction` and `scores`; for tables, the JSON of each record.
        rows: the number of rows of each record.
    """

    ids: bytes
    at_ns: Sequence[int]
    user_ids: bytes
    latencies: Sequence[float]
    rows: Sequence[int]
    request_ids: Sequence[str]
    inputs: NDArray[np.float32] | Sequence[bytes]
    prediction: NDArray[Any]
    scores: NDArray[np.float32] | None


@dataclass(frozen=True)
class Scan:
    """The frames found in the bytes of a segment.

    Attributes:
        payloads: the payloads of the complete frames, in order.
        end: the position after the last complete frame; the bytes after it may become one.
        damaged_bytes: how many bytes before `end` belong to no frame.
    """

    payloads: list[bytes]
    end: int
    damaged_bytes: int


class FormatError(ValueError):
    """A payload has a valid CRC but invalid content: another release or a bug wrote it."""


def new_head() -> bytes:
    """Return the head of a new segment."""
    return HEAD_LINE + os.urandom(MARKER_BYTES)


def marker_of(head: bytes) -> bytes | None:
    """Return the marker from a segment's head; None if the head is invalid."""
    if len(head) < HEAD_BYTES or not head.startswith(HEAD_LINE):
        return None
    return head[len(HEAD_LINE) : HEAD_BYTES]


def frame(marker: bytes, payload: bytes) -> bytes:
    """Wrap a payload in a frame."""
    return b"".join((marker, _FRAME.pack(len(payload), zlib.crc32(payload)), payload))


def scan(marker: bytes, content: bytes) -> Scan:
    """Find the complete frames in a part of a segment that begins at the start of a frame."""
    payloads: list[bytes] = []
    position = end = damaged = 0
    while (start := content.find(marker, position)) >= 0:
        payload = _payload_at(content, start)
        if payload is None:
            position = start + 1
            continue
        damaged += start - end
        payloads.append(payload)
        position = end = start + MARKER_BYTES + _FRAME.size + len(payload)
    return Scan(payloads, end, damaged)


def _payload_at(content: bytes, start: int) -> bytes | None:
    begin = start + MARKER_BYTES + _FRAME.size
    if begin > len(content):
        return None
    length, checksum = _FRAME.unpack_from(content, start + MARKER_BYTES)
    payload = content[begin : begin + length]
    return payload if len(payload) == length and zlib.crc32(payload) == checksum else None


def encode_version(version: Version) -> bytes:
    """Return the payload that describes a model version."""
    meta = orjson.dumps(version._asdict())
    return b"".join((_VERSION, _META_LENGTH.pack(len(meta)), meta))


def encode_records(model: str, version: str, manifest_sha256: str, columns: Columns) -> bytes:
    """Return the payload of a batch of records of one model version.

    Raises:
        FormatError: the columns have different numbers of rows.
    """
    count, total = len(columns.rows), sum(columns.rows)
    prediction, scores = columns.prediction, columns.scores
    if prediction.shape != (total,) or (scores is not None and (scores.ndim, len(scores)) != (2, total)):
        raise FormatError("the number of predictions differs from the number of rows")
    inputs = columns.inputs
    is_matrix = isinstance(inputs, np.ndarray)
    if (inputs.ndim, len(inputs)) != (2, total) if isinstance(inputs, np.ndarray) else len(inputs) != count:
        raise FormatError("the number of inputs differs from the number of rows")
    if prediction.dtype.str not in _TYPES:
        prediction = prediction.astype("<i8" if prediction.dtype.kind == "i" else "<f8")
    meta = orjson.dumps(
        {
            "model": model,
            "version": version,
            "manifest_sha256": manifest_sha256,
            "count": count,
            **(
                {"width": inputs.shape[1]}
                if isinstance(inputs, np.ndarray)
                else {"sizes": [len(one) for one in inputs]}
            ),
            "classes": 0 if scores is None else scores.shape[1],
            "type": prediction.dtype.str,
            "request_ids": columns.request_ids,
        }
    )
    return b"".join(
        (
            _MATRICES if is_matrix else _TABLES,
            _META_LENGTH.pack(len(meta)),
            meta,
            columns.ids,
            struct.pack(f"<{count}q", *columns.at_ns),
            columns.user_ids,
            struct.pack(f"<{count}d", *columns.latencies),
            struct.pack(f"<{count}I", *columns.rows),
            inputs.tobytes() if isinstance(inputs, np.ndarray) else b"".join(inputs),
            prediction.tobytes(),
            b"" if scores is None else scores.tobytes(),
        )
    )


def decode(payload: bytes) -> Version | list[Record]:
    """Decode a payload.

    Raises:
        FormatError: the payload is invalid.
    """
    try:
        kind, begin = payload[:1], 1 + _META_LENGTH.size
        end = begin + _META_LENGTH.unpack_from(payload, 1)[0]
        meta = orjson.loads(payload[begin:end])
        if kind == _VERSION:
            return Version(**meta)
        if kind in {_MATRICES, _TABLES}:
            return list(_records(meta, payload, end))
    except (ValueError, KeyError, TypeError, IndexError, struct.error) as error:
        raise FormatError(f"{type(error).__name__}: {error}") from error
    raise FormatError(f"unknown kind {kind!r}")


def _records(meta: Mapping[str, Any], payload: bytes, begin: int) -> Iterator[Record]:
    count, classes, kind = meta["count"], meta["classes"], meta["type"]
    if kind not in _TYPES:
        raise FormatError(f"unknown type {kind}")
    position = begin

    def column(dtype: str, length: int) -> NDArray[Any]:
        nonlocal position
        values = np.frombuffer(payload, dtype, length, position)
        position += values.nbytes
        return values

    ids, at = column("V16", count), column("<i8", count).tolist()
    user_ids, latencies = column("V16", count), column("<f8", count).tolist()
    rows = column("<u4", count).tolist()
    total = sum(rows)
    inputs: list[NDArray[np.float32] | bytes]
    if "sizes" in meta:
        inputs = [column("u1", size).tobytes() for size in meta["sizes"]]
    else:
        matrix = column("<f4", total * meta["width"]).reshape(total, meta["width"])
        ends = list(accumulate(rows))
        inputs = [matrix[end - length : end] for end, length in zip(ends, rows, strict=True)]
    if len(inputs) != count:
        raise FormatError("the number of inputs differs from the number of records")
    prediction = column(kind, total)
    scores = column("<f4", total * classes).reshape(total, classes) if classes else None
    if position != len(payload):
        raise FormatError("unexpected bytes after the columns")
    first = 0
    for index in range(count):
        last = first + rows[index]
        yield Record(
            uuid.UUID(bytes=ids[index].tobytes()),
            at[index],
            uuid.UUID(bytes=user_ids[index].tobytes()),
            meta["model"],
            meta["version"],
            meta["manifest_sha256"],
            inputs[index],
            prediction[first:last],
            None if scores is None else scores[first:last],
            latencies[index],
            meta["request_ids"][index],
        )
        first = last
