"""The prediction log in a worker: records reach the disk soon, and no failure stops predictions."""

import math
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.typing import EventDict

from slipway_api.prediction_log import segments
from slipway_api.prediction_log.journal import HEAD_BYTES, Version, decode, marker_of, scan
from slipway_api.prediction_log.segments import SegmentWriter
from slipway_api.serving.served_model import ServedModel
from slipway_core.graph import Outputs
from support.bundles import CLASSES, FEATURES
from support.clock import Clock
from support.descriptors import no_descriptors
from support.journal import AT_NS, USER, Journal, matrix_of
from support.serving import Serving
from support.waiting import wait_for


@pytest.fixture
def model(serving: Serving) -> ServedModel:
    return serving.store.get("iris")


@pytest.fixture
def journal(tmp_path: Path, model: ServedModel) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal", model)
    yield journal
    journal.log.close()


def test_record_keeps_all_fields(journal: Journal) -> None:
    identity = journal.add([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]])

    journal.log.flush()

    [record] = journal.records()
    assert (record.id, record.at_ns, record.user_id) == (identity, AT_NS, USER)
    assert (record.model, record.version) == ("iris", "1")
    assert record.manifest_sha256 == journal.model.manifest_sha256
    assert (record.latency_seconds, record.request_id) == (0.00125, "r-1")
    assert matrix_of(record).tolist() == np.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]], np.float32).tolist()
    assert record.prediction.tolist() == [0, 2]
    assert record.scores is not None
    assert record.scores.shape == (2, 3)


def test_segment_contains_the_lineage_of_its_records(journal: Journal) -> None:
    for _ in range(2):
        journal.add()
        journal.log.flush()

    content = journal.segments()[0].read_bytes()
    marker = marker_of(content)
    assert marker is not None
    told = [decode(payload) for payload in scan(marker, content[HEAD_BYTES:]).payloads]
    [version] = [one for one in told if isinstance(one, Version)]
    manifest = journal.model.manifest
    assert version == Version(
        "iris",
        "1",
        journal.model.manifest_sha256,
        "0" * 32,
        manifest.data.version,
        manifest.git_commit,
        "classification",
        list(FEATURES),
        list(CLASSES),
    )


def test_id_may_be_given_as_bytes(journal: Journal) -> None:
    identity = journal.add()
    journal.add(id=identity.bytes)

    journal.log.flush()

    assert [record.id for record in journal.records()] == [identity, identity]


def test_appended_records_are_written_without_a_flush(journal: Journal) -> None:
    ids = [journal.add() for _ in range(3)]

    wait_for(lambda: len(journal.records()) == 3, what="the flush")

    assert [record.id for record in journal.records()] == ids


def test_records_after_a_pause_are_written(journal: Journal) -> None:
    for count in (1, 2, 3):
        journal.add()
        wait_for(lambda count=count: len(journal.records()) == count, what="the flush")  # type: ignore[misc]


def test_close_writes_the_last_records(journal: Journal) -> None:
    ids = [journal.add() for _ in range(500)]

    journal.log.close()

    assert [record.id for record in journal.records()] == ids


def test_concurrent_appends_lose_no_records(journal: Journal) -> None:
    ids: list[Any] = []
    threads = [threading.Thread(target=lambda: ids.extend(journal.add() for _ in range(300))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    journal.log.close()

    assert sorted(record.id for record in journal.records()) == sorted(ids)


def test_unused_log_writes_nothing_and_starts_no_thread(journal: Journal) -> None:
    journal.log.close()

    assert not journal.folder.exists()
    assert journal.log._thread is None


def test_disabled_log_stores_nothing(tmp_path: Path, model: ServedModel) -> None:
    journal = Journal(tmp_path / "journal", model, enabled=False)

    journal.add()
    journal.log.close()

    assert not journal.folder.exists()


@pytest.mark.parametrize(
    ("redacted", "gone"),
    [((FEATURES[1],), {1}), ((FEATURES[0], FEATURES[3], "other"), {0, 3}), (("*",), {0, 1, 2, 3})],
)
def test_redacted_values_never_reach_the_disk(
    tmp_path: Path, model: ServedModel, redacted: tuple[str, ...], gone: set[int]
) -> None:
    journal = Journal(tmp_path / "journal", model, redacted=redacted)
    given = np.array([[5.1, 3.5, 1.4, 0.2]], dtype=np.float32)

    journal.add(rows=given)
    journal.log.close()

    [record] = journal.records()
    assert {index for index, value in enumerate(matrix_of(record)[0].tolist()) if math.isnan(value)} == gone
    content = journal.segments()[0].read_bytes()
    assert [index for index in gone if given[0, index].tobytes() in content] == []
    assert not np.isnan(given).any()


def test_journal_is_readable_only_by_its_owner(journal: Journal) -> None:
    journal.add()
    journal.log.flush()

    assert journal.folder.stat().st_mode & 0o077 == 0
    assert journal.segments()[0].stat().st_mode & 0o077 == 0


def test_records_keep_their_own_model_version(journal: Journal) -> None:
    other = replace(journal.model, version="2")
    journal.add()
    journal.add(model=other)
    journal.add()

    journal.log.flush()

    assert sorted(record.version for record in journal.records()) == ["1", "1", "2"]


def test_unwritable_record_does_not_affect_others(journal: Journal, logs: list[EventDict]) -> None:
    ids = [journal.add(), journal.add()]
    odd = Outputs(np.zeros(1, dtype=np.int64), np.zeros((1, 2, 2), dtype=np.float32))
    journal.add(outputs=odd)

    journal.log.flush()

    assert [record.id for record in journal.records()] == ids
    assert journal.dropped() == 1
    assert "prediction_not_logged" in [event["event"] for event in logs]


def test_full_journal_drops_and_counts_records_and_logs_once(
    tmp_path: Path, model: ServedModel, logs: list[EventDict], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "MEASURE_SECONDS", 0.0)
    monkeypatch.setattr("slipway_api.prediction_log.writer.RETRY_SECONDS", 0.0)
    journal = Journal(tmp_path / "journal", model, max_bytes=3_000)

    for _ in range(20):
        journal.add()
        journal.log.flush()
    kept = len(journal.records())
    for path in journal.segments():
        path.unlink()
    journal.log.flush()
    journal.add()
    journal.log.flush()
    journal.log.close()

    assert 0 < kept < 20
    assert journal.dropped() == 20 - kept
    told = [event["event"] for event in logs]
    assert told.count("prediction_log_dropping") == 1
    assert told.count("prediction_log_resumed") == 1


def test_folder_that_cannot_be_created_does_not_stop_predictions(
    tmp_path: Path, model: ServedModel, logs: list[EventDict]
) -> None:
    (tmp_path / "file").write_text("in the way")
    journal = Journal(tmp_path / "file" / "journal", model)

    journal.add()
    journal.log.close()

    assert journal.dropped() == 1
    assert [event["event"] for event in logs] == ["prediction_log_dropping"]


def test_full_disk_leaves_no_partial_frame(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = journal.add()
    journal.log.flush()
    real = os.write

    def full(file: int, content: bytes) -> int:
        if len(content) > 50:
            return real(file, content[:50])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        journal.add()
        journal.log.flush()
    journal.log._retry_at = 0.0
    later = journal.add()
    journal.log.flush()

    assert sorted(record.id for record in journal.records()) == [whole, later]
    assert journal.dropped() == 1


def test_queue_for_a_slow_disk_is_bounded(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway_api.prediction_log.writer.MAX_WAITING_BYTES", 2_000)
    answers = threading.Event()
    write = journal.log._writer.write

    def write_late(batches: Any) -> None:
        answers.wait(30)
        write(batches)

    monkeypatch.setattr(journal.log._writer, "write", write_late)
    for _ in range(20):
        journal.add()

    answers.set()
    journal.log.close()

    assert journal.dropped() == 20 - len(journal.records())
    assert 0 < len(journal.records()) < 20


def write(writer: SegmentWriter, payload: bytes = b"x" * 100) -> None:
    writer.write([("key", lambda: b"described", payload)])


def test_large_segment_is_rotated(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, 2**30, Clock(), segment_bytes=300)

    for _ in range(5):
        write(writer)
    writer.close()

    assert len(list(tmp_path.glob("*.journal"))) >= 2
    for path in tmp_path.glob("*.journal"):
        content = path.read_bytes()
        assert scan(marker_of(content) or b"", content[HEAD_BYTES:]).payloads[0] == b"described"


def test_old_segment_is_rotated(tmp_path: Path) -> None:
    clock = Clock()
    writer = SegmentWriter(tmp_path, 2**30, clock)
    write(writer)

    clock.now += segments.SEGMENT_SECONDS
    write(writer)
    writer.close()

    assert len(list(tmp_path.glob("*.journal"))) == 2


def payloads_in(folder: Path) -> list[bytes]:
    """Return the records, sorted and without their descriptions."""
    contents = [path.read_bytes() for path in folder.glob("*.journal")]
    found = [scan(marker_of(content) or b"", content[HEAD_BYTES:]).payloads for content in contents]
    return sorted(payload for payloads in found for payload in payloads if payload != b"described")


@pytest.mark.parametrize("kind", ["large", "old", "idle"])
def test_every_record_is_written_without_free_descriptors(tmp_path: Path, kind: str) -> None:
    clock = Clock()
    writer = SegmentWriter(tmp_path, 2**30, clock, segment_bytes=1 if kind == "large" else 2**20)
    write(writer, b"0")

    with no_descriptors():
        for number in range(1, 6):
            clock.now += 0 if kind == "large" else segments.SEGMENT_SECONDS
            if kind == "idle":
                writer.end_segment()
                assert writer.expires_in() > 0  # the log's thread waits until then
            write(writer, b"%d" % number)
    clock.now += segments.SEGMENT_SECONDS
    write(writer, b"6")
    writer.close()

    assert payloads_in(tmp_path) == [b"%d" % number for number in range(7)]
    assert len(list(tmp_path.glob("*.journal"))) >= 3
    assert list(tmp_path.glob("*.new")) == []


def test_log_drops_nothing_without_free_descriptors(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_SECONDS", 0.01)
    journal.add()
    journal.log.flush()

    with no_descriptors():
        for _ in range(20):
            journal.add()
            journal.log.flush()
    journal.log.close()

    assert (len(journal.records()), journal.dropped()) == (21, 0)


def test_journal_continues_in_an_emptied_folder(tmp_path: Path) -> None:
    clock = Clock()
    writer = SegmentWriter(tmp_path, 2**30, clock)
    write(writer, b"0")
    for path in tmp_path.iterdir():
        path.unlink()

    clock.now += segments.SEGMENT_SECONDS
    write(writer, b"1")
    writer.close()

    assert payloads_in(tmp_path) == [b"1"]
