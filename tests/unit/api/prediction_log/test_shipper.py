"""The shipper: every complete record is stored in the database exactly once, whatever fails on the way."""

import fcntl
import time
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, insert, select, text
from structlog.typing import EventDict

from slipway_api.errors import NotReadyError
from slipway_api.prediction_log.journal import HEAD_BYTES, Record, Version, frame, marker_of, scan
from slipway_api.prediction_log.loading import RejectedRecordsError, SqlLoadingStore
from slipway_api.prediction_log.queries import Feedback
from slipway_api.prediction_log.repository import SqlPredictionStore, erase
from slipway_api.prediction_log.shipper import FORGOTTEN_SECONDS, Shipper
from slipway_api.serving.served_model import ServedModel
from slipway_core.database import connect
from slipway_core.migrations import upgrade
from slipway_core.tables import erasures, feedback, predictions, served_versions
from support.bundles import CLASSES, FEATURES
from support.clock import Clock
from support.journal import AT_NS, USER, Journal, ids_in, records_in, shipper_of
from support.serving import Serving

AT = datetime.fromtimestamp(AT_NS // 1000 / 1e6, UTC)


@pytest.fixture
def model(serving: Serving) -> ServedModel:
    return serving.store.get("iris")


@pytest.fixture
def journal(tmp_path: Path, model: ServedModel) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal", model)
    yield journal
    journal.log.close()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path / 'slipway.db'}"
    upgrade(url)
    engine = connect(url)
    yield engine
    engine.dispose()


@pytest.fixture
def shipper(journal: Journal, engine: Engine) -> Shipper:
    return shipper_of(journal.folder, engine)


def test_missing_journal_is_empty(shipper: Shipper) -> None:
    assert shipper.ship_once() == 0
    assert shipper.is_drained()


def test_record_is_stored_unchanged(journal: Journal, shipper: Shipper, engine: Engine) -> None:
    identity = journal.add()
    journal.log.flush()

    assert shipper.ship_once() == 1

    with engine.connect() as connection:
        row = connection.execute(select(predictions)).one()
    assert (row.id, row.at, row.user_id) == (identity, AT, USER)
    assert (row.model, row.version, row.manifest_sha256) == ("iris", "1", journal.model.manifest_sha256)
    assert (row.inputs, row.prediction, row.rows) == ([[5.1, 3.5, 1.4, 0.2]], [0], 1)
    assert (row.latency_seconds, row.request_id) == (0.00125, "r-1")
    assert len(row.scores[0]) == 3


def test_lineage_is_stored_once(journal: Journal, shipper: Shipper, engine: Engine) -> None:
    for _ in range(3):
        journal.add()
        journal.log.flush()
        shipper.ship_once()

    with engine.connect() as connection:
        row = connection.execute(select(served_versions)).one()
    assert (row.model, row.version, row.run_id, row.task) == ("iris", "1", "0" * 32, "classification")
    assert (row.features, row.classes) == (list(FEATURES), list(CLASSES))


def test_redacted_values_are_stored_as_null(tmp_path: Path, model: ServedModel, engine: Engine) -> None:
    journal = Journal(tmp_path / "redacted", model, redacted=(FEATURES[1],))
    journal.add()
    journal.log.close()

    shipper_of(journal.folder, engine).ship_once()

    with engine.connect() as connection:
        assert connection.execute(select(predictions.c.inputs)).scalar_one() == [[5.1, None, 1.4, 0.2]]


def test_segment_is_read_while_it_is_written(journal: Journal, shipper: Shipper, engine: Engine) -> None:
    ids = []
    for _ in range(3):
        ids.append(journal.add())
        journal.log.flush()
        assert shipper.ship_once() == 1

    assert shipper.ship_once() == 0
    assert ids_in(engine) == ids
    assert len(journal.segments()) == 1


def test_finished_segment_is_deleted_after_commit(journal: Journal, shipper: Shipper, engine: Engine) -> None:
    identity = journal.add()
    journal.log.close()

    shipper.ship_once()

    assert ids_in(engine) == [identity]
    assert journal.segments() == []


def test_records_committed_before_a_crash_are_not_duplicated(journal: Journal, engine: Engine) -> None:
    ids = [journal.add() for _ in range(5)]
    journal.log.flush()

    for _ in range(2):  # the second shipper starts over, as after a crash before the segment was deleted
        shipper_of(journal.folder, engine).ship_once()

    assert ids_in(engine) == ids


def test_more_records_than_a_batch_are_all_stored(
    journal: Journal, shipper: Shipper, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipway_api.prediction_log.shipper.BATCH_RECORDS", 10)
    ids = [journal.add() for _ in range(25)]
    journal.log.close()

    assert shipper.ship_once() == 25
    assert ids_in(engine) == ids


class Away:
    """Simulate a database that is unreachable until the test restores it."""

    def __init__(self, engine: Engine) -> None:
        self.store = SqlLoadingStore(engine)
        self.is_away = True
        self.answers_left = 0

    def load(self, versions: Sequence[Version], records: Sequence[Record]) -> None:
        if self.is_away:
            if not self.answers_left:
                raise NotReadyError("away")
            self.answers_left -= 1
        self.store.load(versions, records)

    def delete_older(self, than: datetime, limit: int) -> int:
        return self.store.delete_older(than, limit)


def test_records_survive_a_database_outage(journal: Journal, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway_api.prediction_log.shipper.BATCH_RECORDS", 2)
    ids = [journal.add() for _ in range(5)]
    journal.log.close()
    store = Away(engine)
    store.answers_left = 1
    shipper = Shipper(journal.folder, store)

    with pytest.raises(NotReadyError):
        shipper.ship_once()
    assert ids_in(engine) == ids[:2]
    store.is_away = False
    shipper.ship_once()

    assert ids_in(engine) == ids
    assert journal.segments() == []


class Picky:
    """Simulate a database that rejects some records."""

    def __init__(self, engine: Engine, refused: set[uuid.UUID]) -> None:
        self.store = SqlLoadingStore(engine)
        self.refused = refused

    def load(self, versions: Sequence[Version], records: Sequence[Record]) -> None:
        if any(record.id in self.refused for record in records):
            raise RejectedRecordsError("DataError")
        self.store.load(versions, records)

    def delete_older(self, than: datetime, limit: int) -> int:
        return 0


def test_rejected_record_is_set_aside_and_others_are_stored(
    journal: Journal, engine: Engine, logs: list[EventDict]
) -> None:
    ids = [journal.add() for _ in range(9)]
    journal.log.close()
    shipper = Shipper(journal.folder, Picky(engine, {ids[0], ids[5]}))

    shipper.ship_once()

    assert ids_in(engine) == [one for one in ids if one not in {ids[0], ids[5]}]
    assert {path.stem for path in (journal.folder / "rejected").iterdir()} == {str(ids[0]), str(ids[5])}
    assert [event["event"] for event in logs].count("record_rejected") == 2
    assert journal.segments() == []


def test_damaged_section_is_skipped_and_logged(
    journal: Journal, shipper: Shipper, engine: Engine, logs: list[EventDict]
) -> None:
    ids = []
    ends = []
    for _ in range(3):
        ids.append(journal.add())
        journal.log.flush()
        ends.append(journal.segments()[0].stat().st_size)
    journal.log.close()
    path = journal.segments()[0]
    content = bytearray(path.read_bytes())
    content[ends[1] - 1] ^= 0xFF
    path.write_bytes(content)

    shipper.ship_once()

    assert ids_in(engine) == [ids[0], ids[2]]
    [told] = [event for event in logs if event["event"] == "journal_damaged"]
    assert told["skipped_bytes"] == ends[1] - ends[0]
    assert journal.segments() == []


def test_file_that_is_not_a_segment_is_set_aside(journal: Journal, shipper: Shipper) -> None:
    journal.folder.mkdir()
    (journal.folder / "x.journal").write_bytes(b"something else")

    shipper.ship_once()

    assert [path.name for path in (journal.folder / "rejected").iterdir()] == ["x.journal"]
    assert shipper.is_drained()


def test_frame_of_another_release_is_set_aside(journal: Journal, shipper: Shipper, engine: Engine) -> None:
    identity = journal.add()
    journal.log.close()
    path = journal.segments()[0]
    marker = marker_of(path.read_bytes())
    assert marker is not None
    path.write_bytes(path.read_bytes() + frame(marker, b"Z of tomorrow"))

    shipper.ship_once()

    assert ids_in(engine) == [identity]
    assert [path.read_bytes() for path in (journal.folder / "rejected").iterdir()] == [b"Z of tomorrow"]


def test_lineage_read_before_its_records_is_kept(journal: Journal, shipper: Shipper, engine: Engine) -> None:
    identity = journal.add()
    journal.log.close()
    path = journal.segments()[0]
    content = path.read_bytes()
    marker = marker_of(content)
    assert marker is not None
    versions_end = content.rindex(marker)
    path.write_bytes(content[:versions_end])
    with path.open("ab") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)  # the writer is in the middle of a write
        shipper.ship_once()
        writer.write(content[versions_end:])
        writer.flush()
        shipper.ship_once()

    found = SqlPredictionStore(engine).find(identity, None)
    assert found is not None
    assert found.origin is not None


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_complete_records_of_a_truncated_segment_are_stored_once(
    whole_segment: tuple[bytes, Engine, Path], data: st.DataObject
) -> None:
    content, engine, folder = whole_segment
    cut = data.draw(st.integers(0, len(content)))
    path = folder / "cut.journal"
    path.write_bytes(content[:cut])
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM predictions"))

    for _ in range(2):
        shipper_of(folder, engine).ship_once()

    expected = records_in(content[:cut])
    assert ids_in(engine) == [record.id for record in expected]
    assert not path.exists()
    with engine.connect() as connection:
        rows = connection.execute(select(predictions).order_by(predictions.c.id)).all()
    assert [(row.inputs, row.prediction) for row in rows] == [([[5.1, 3.5, 1.4, 0.2]], [0])] * len(expected)


@pytest.fixture
def whole_segment(journal: Journal, engine: Engine, tmp_path: Path) -> tuple[bytes, Engine, Path]:
    """Create a segment of six records in frames of one to three, a database, and a folder for truncated copies."""
    for count in (1, 2, 3):
        for _ in range(count):
            journal.add()
        journal.log.flush()
    journal.log.close()
    content = journal.segments()[0].read_bytes()
    marker = marker_of(content)
    assert marker is not None
    assert len(scan(marker, content[HEAD_BYTES:]).payloads) >= 4
    folder = tmp_path / "cut"
    folder.mkdir()
    return content, engine, folder


def test_abandoned_new_file_is_deleted_after_a_while(journal: Journal, engine: Engine) -> None:
    journal.folder.mkdir()
    left = journal.folder / "x.new"
    left.touch()
    clock = Clock(time.time())
    shipper = shipper_of(journal.folder, engine, clock=clock)

    shipper.ship_once()
    assert left.exists()
    clock.now += FORGOTTEN_SECONDS + 1
    shipper.ship_once()

    assert not left.exists()


def test_next_segment_of_a_running_writer_is_kept(journal: Journal, engine: Engine) -> None:
    clock = Clock(time.time() + FORGOTTEN_SECONDS + 1)
    shipper = shipper_of(journal.folder, engine, clock=clock)
    journal.add()
    journal.log.flush()

    shipper.ship_once()
    assert len(list(journal.folder.glob("*.new"))) == 1
    journal.log.close()

    assert list(journal.folder.glob("*.new")) == []


def test_records_of_an_erased_user_are_not_stored(journal: Journal, shipper: Shipper, engine: Engine) -> None:
    other = uuid.uuid4()
    journal.add()
    kept = journal.add(user_id=other)
    journal.log.close()
    with engine.begin() as connection:
        connection.execute(insert(erasures).values(user_id=USER, at=AT))

    shipper.ship_once()

    assert ids_in(engine) == [kept]
    assert journal.segments() == []


def told(prediction_id: uuid.UUID, by: uuid.UUID, row: int = 0) -> Feedback:
    return Feedback(prediction_id, row, AT, by, "iris", "1", label="setosa", correct=True)


def test_erasing_deletes_a_users_predictions_and_feedback(journal: Journal, shipper: Shipper, engine: Engine) -> None:
    other = uuid.uuid4()
    mine, theirs = journal.add(), journal.add([[5.1, 3.5, 1.4, 0.2]] * 2, user_id=other)
    journal.log.close()
    shipper.ship_once()
    store = SqlPredictionStore(engine)
    for one in (told(mine, other), told(theirs, USER), told(theirs, other, 1)):
        store.add_feedback(one)

    with engine.begin() as connection:
        assert erase(connection, USER) == 1

    assert ids_in(engine) == [theirs]
    with engine.connect() as connection:
        assert connection.execute(select(feedback.c.prediction_id, feedback.c.row)).all() == [(theirs, 1)]


@pytest.mark.parametrize(("days", "left"), [(30, 1), (0, 2), (90, 2)])
def test_records_older_than_the_retention_are_deleted(journal: Journal, engine: Engine, days: int, left: int) -> None:
    old = journal.add()
    young = journal.add(at_ns=AT_NS + int(timedelta(days=40).total_seconds() * 1e9))
    journal.log.close()
    shipper_of(journal.folder, engine).ship_once()
    SqlPredictionStore(engine).add_feedback(told(old, USER))

    clock = Clock((AT + timedelta(days=50)).timestamp())
    shipper_of(journal.folder, engine, retention_days=days, clock=clock).ship_once()

    assert ids_in(engine) == [old, young][-left:]
    with engine.connect() as connection:
        assert len(connection.execute(select(feedback)).all()) == left - 1


def test_retention_deletes_one_batch_per_round(
    journal: Journal, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipway_api.prediction_log.shipper.RETENTION_BATCH", 2)
    for _ in range(5):
        journal.add()
    journal.log.close()
    shipper_of(journal.folder, engine).ship_once()
    clock = Clock((AT + timedelta(days=91)).timestamp())
    shipper = shipper_of(journal.folder, engine, retention_days=90, clock=clock)

    left: list[Any] = []
    for _ in range(4):
        shipper.ship_once()
        left.append(len(ids_in(engine)))

    assert left == [3, 1, 0, 0]


def test_missing_tables_error_names_the_command(tmp_path: Path, journal: Journal) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'empty.db'}")
    journal.add()
    journal.log.close()

    with pytest.raises(NotReadyError, match="run `slipway-api migrate`"):
        shipper_of(journal.folder, engine).ship_once()

    engine.dispose()
    assert len(journal.segments()) == 1
