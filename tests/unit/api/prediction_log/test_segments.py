"""The journal's format: complete frames are read, truncated and damaged ones are detected."""

import uuid
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway_api.prediction_log.journal import (
    Columns,
    FormatError,
    Record,
    Version,
    decode,
    encode_records,
    encode_version,
    frame,
    marker_of,
    new_head,
    scan,
)
from support.journal import matrix_of

IRIS = Version("iris", "7", "sha256:0", "run", "sha256:1", None, "classification", ["a", "b"], ["x", "y"])
MARKER = b"\x00\xffmarker"


def payload(ids: list[uuid.UUID], rows: list[int], prediction: Any = None, *, scores: bool = True) -> bytes:
    total = sum(rows)
    return encode_records(
        "iris",
        "7",
        "sha256:0",
        Columns(
            b"".join(one.bytes for one in ids),
            list(range(len(ids))),
            b"".join(one.bytes for one in ids),
            [0.5] * len(ids),
            rows,
            [f"r-{index}" for index in range(len(ids))],
            np.arange(total * 2, dtype=np.float32).reshape(total, 2),
            np.zeros(total, dtype=np.int64) if prediction is None else prediction,
            np.full((total, 3), 0.25, dtype=np.float32) if scores else None,
        ),
    )


def records(content: bytes) -> list[Record]:
    told = decode(content)
    assert isinstance(told, list)
    return told


def test_model_version_round_trips() -> None:
    assert decode(encode_version(IRIS)) == IRIS


def test_records_round_trip() -> None:
    ids = [uuid.uuid4(), uuid.uuid4()]

    first, second = records(payload(ids, [1, 2]))

    assert (first.id, first.user_id, first.at_ns, first.latency_seconds) == (ids[0], ids[0], 0, 0.5)
    assert (second.id, second.at_ns, second.request_id) == (ids[1], 1, "r-1")
    assert matrix_of(first).tolist() == [[0, 1]]
    assert matrix_of(second).tolist() == [[2, 3], [4, 5]]
    assert second.prediction.tolist() == [0, 0]
    assert second.scores is not None
    assert second.scores.tolist() == [[0.25] * 3] * 2


def test_regressor_record_has_no_scores() -> None:
    [record] = records(payload([uuid.uuid4()], [1], np.array([1.5], dtype=np.float32), scores=False))

    assert record.scores is None
    assert record.prediction.tolist() == [1.5]


@pytest.mark.parametrize("dtype", ["<i4", "<i8", "<f4", "<f8", "<i2", "<f2"])
def test_any_finite_prediction_round_trips(dtype: str) -> None:
    [record] = records(payload([uuid.uuid4()], [2], np.array([1, 2], dtype=dtype)))

    assert record.prediction.tolist() == [1, 2]


@pytest.mark.parametrize(
    "content", [b"", b"X", b"R", b"R\xff\xff\xff\xff{}", b"R\x02\x00\x00\x00{}", b"V\x02\x00\x00\x00{}"]
)
def test_invalid_payload_raises(content: bytes) -> None:
    with pytest.raises(FormatError):
        decode(content)


def test_truncated_payload_raises() -> None:
    with pytest.raises(FormatError):
        decode(payload([uuid.uuid4()], [1])[:-1])


def test_each_header_has_its_own_marker() -> None:
    markers = {marker_of(new_head()) for _ in range(10)}

    assert len(markers) == 10
    assert None not in markers


@pytest.mark.parametrize("head", [b"", b"slipway journal 1\n", b"slipway journal 9\n12345678"])
def test_invalid_header_has_no_marker(head: bytes) -> None:
    assert marker_of(head) is None


PAYLOADS = st.lists(st.binary(max_size=40) | st.just(MARKER * 2), max_size=6)


@given(payloads=PAYLOADS)
def test_complete_frames_are_read_in_order(payloads: list[bytes]) -> None:
    content = b"".join(frame(MARKER, one) for one in payloads)

    found = scan(MARKER, content)

    assert (found.payloads, found.end, found.damaged_bytes) == (payloads, len(content), 0)


@given(payloads=PAYLOADS, data=st.data())
def test_complete_frames_of_a_truncated_segment_are_read(payloads: list[bytes], data: st.DataObject) -> None:
    frames = [frame(MARKER, one) for one in payloads]
    content = b"".join(frames)
    cut = data.draw(st.integers(0, len(content)))

    found = scan(MARKER, content[:cut])

    whole = [one for index, one in enumerate(payloads) if sum(map(len, frames[: index + 1])) <= cut]
    assert found.payloads == whole
    assert found.end == sum(map(len, frames[: len(whole)]))
    assert found.damaged_bytes == 0


@given(payloads=PAYLOADS.filter(bool), data=st.data())
def test_damaged_byte_loses_only_its_frame(payloads: list[bytes], data: st.DataObject) -> None:
    frames = [frame(MARKER, one) for one in payloads]
    content = bytearray(b"".join(frames))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))

    found = scan(MARKER, bytes(content))

    hit = next(index for index in range(len(frames)) if sum(map(len, frames[: index + 1])) > place)
    assert found.payloads == payloads[:hit] + payloads[hit + 1 :]


def test_frame_embedded_in_client_values_is_not_read() -> None:
    forged = frame(b"guessed!", encode_version(IRIS))
    content = frame(MARKER, b"values " + forged)[:-1]

    assert scan(MARKER, content).payloads == []
