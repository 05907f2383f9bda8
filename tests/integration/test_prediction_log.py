"""The prediction log over a real PostgreSQL and real processes: ends, crashes, and a database that comes and goes."""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import Engine

from slipway_api.prediction_log.journal import HEAD_BYTES, Record, Version, decode, marker_of, scan
from slipway_api.prediction_log.loading import RejectedRecordsError, SqlLoadingStore, row_of
from slipway_api.prediction_log.queries import Feedback, PredictionQuery
from slipway_api.prediction_log.repository import SqlPredictionStore, begin_loading, erase
from slipway_api.serving.served_model import ServedModel
from slipway_core.database import connect
from slipway_core.migrations import upgrade
from slipway_core.policy import new_key
from slipway_core.registry import PRODUCTION
from slipway_core.registry.mlflow import MlflowRegistry
from support.bundles import bundle_files, register
from support.journal import AT_NS, USER, Journal, closing, ids_in, records_in, shipper_of
from support.postgres import new_database, stoppable_postgres
from support.servers import free_port, running, wait_until_ready
from support.serving import Serving
from support.versions import add_version
from support.waiting import wait_for

MODULE = [sys.executable, "-m", "slipway_api"]
PASSWORD = "correct horse battery"
SETOSA = [5.1, 3.5, 1.4, 0.2]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    serving = Serving(tmp_path_factory.mktemp("cache"))
    register(serving.registry, bundle_files(), promote=True)
    serving.sync()
    return serving.store.get("iris")


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    upgrade(postgres_url)
    with closing(connect(postgres_url)) as engine:
        yield engine


@pytest.fixture
def journal(tmp_path: Path, model: ServedModel) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal", model)
    yield journal
    journal.log.close()


def records_of(journal: Journal) -> tuple[list[Version], list[Record]]:
    content = journal.segments()[0].read_bytes()
    told = [decode(payload) for payload in scan(marker_of(content) or b"", content[HEAD_BYTES:]).payloads]
    versions = [one for one in told if isinstance(one, Version)]
    return versions, [record for part in told if isinstance(part, list) for record in part]


def test_records_arrive_once_and_are_read_as_they_were_answered(journal: Journal, engine: Engine) -> None:
    ids = [journal.add() for _ in range(30)]
    extreme = journal.add([[1e-45, -3.4e38, 16777216.0, 0.1]])
    journal.log.flush()

    for _ in range(2):
        shipper_of(journal.folder, engine).ship_once()

    assert ids_in(engine) == [*ids, extreme]
    store = SqlPredictionStore(engine)
    found = store.find(ids[0], USER)
    assert found is not None
    assert (found.inputs, found.prediction) == ("[[5.1, 3.5, 1.4, 0.2]]", (0,))
    assert found.at.microsecond == AT_NS // 1000 % 1_000_000
    assert found.origin is not None
    assert found.origin.classes == ("setosa", "versicolor", "virginica")
    other = store.find(extreme, USER)
    assert other is not None
    assert [float(text) for text in other.inputs.strip("[]").split(",")] == pytest.approx(
        [1e-45, -3.4e38, 16777216.0, 0.1], rel=1e-9
    )


def test_pages_follow_time_and_id(journal: Journal, engine: Engine) -> None:
    ids = [journal.add(at_ns=AT_NS + index // 2 * 1000) for index in range(9)]
    journal.log.flush()
    shipper_of(journal.folder, engine).ship_once()
    store = SqlPredictionStore(engine)

    read, position = [], None
    while True:
        page = store.page(PredictionQuery(USER, "iris", None, position, 2, 1_000))
        read += [one.id for one in page.predictions]
        position = page.next
        if position is None:
            break

    assert read == ids[::-1]


def test_live_figures_are_those_of_the_feedback(journal: Journal, engine: Engine) -> None:
    identity = journal.add([SETOSA] * 4)
    journal.log.flush()
    shipper_of(journal.folder, engine).ship_once()
    store = SqlPredictionStore(engine)
    found = store.find(identity, None)
    assert found is not None
    for row, correct in enumerate([True, True, True, False]):
        store.add_feedback(Feedback(identity, row, found.at, USER, "iris", "1", label="x", correct=correct))
    for row, error in enumerate([3.4e38, -3.4e38]):
        value = Feedback(identity, 10 + row, found.at, USER, "demand", "1", value=0.0, error=error)
        store.add_feedback(value)

    figures = {one.model: one for one in store.live_figures(found.at)}

    assert (figures["iris"].rows, figures["iris"].accuracy) == (4, 0.75)
    assert figures["demand"].mean_absolute_error == pytest.approx(3.4e38)
    assert figures["demand"].mean_squared_error == pytest.approx(3.4e38**2)


@pytest.mark.parametrize(
    "change",
    [{"request_id": "half\x00way"}, {"request_id": "x" * 129}, {"model": "m" * 257}, {"at_ns": 2**80}],
    ids=["NUL", "too long", "a long name", "no time"],
)
def test_record_rejected_by_postgresql_does_not_block_others(
    journal: Journal, engine: Engine, change: dict[str, Any]
) -> None:
    for _ in range(3):
        journal.add()
    journal.log.close()
    versions, records = records_of(journal)
    store = SqlLoadingStore(engine)
    odd = records[1]._replace(**change)

    with pytest.raises(RejectedRecordsError):
        store.load(versions, [records[0], odd, records[2]])
    store.load(versions, [records[0], records[2]])

    assert ids_in(engine) == [records[0].id, records[2].id]


def test_an_erasure_waits_for_what_is_being_loaded(journal: Journal, engine: Engine) -> None:
    journal.add()
    journal.log.close()
    _, [record] = records_of(journal)
    erased = threading.Event()

    def erase_user() -> None:
        with engine.begin() as connection:
            erase(connection, USER)
        erased.set()

    with engine.begin() as loading:
        begin_loading(loading)
        thread = threading.Thread(target=erase_user)
        thread.start()
        assert not erased.wait(0.3)
        SqlLoadingStore(engine).insert(loading, [row_of(record)])
    thread.join(10)

    assert erased.is_set()
    assert ids_in(engine) == []


@pytest.fixture(scope="module")
def registered(mlflow_url: str) -> str:
    """A model of these tests' own in the shared registry."""
    name = f"logged-{uuid.uuid4().hex[:8]}"
    version = add_version(mlflow_url, name, bundle_files(name))
    with MlflowRegistry(mlflow_url, timeout_seconds=30) as registry:
        registry.set_alias(name, PRODUCTION, version)
    return name


class Api:
    """The real service over PostgreSQL, with its shipper."""

    def __init__(self, folder: Path, url: str, database: str, model: str, process: "subprocess.Popen[bytes]") -> None:
        self.folder, self.url, self.model, self.process = folder, url, model, process
        self.journal = folder / "journal"
        self.log = folder / "api.log"
        self._client = httpx.Client(base_url=url, timeout=30)

    def close(self) -> None:
        self._client.close()

    def log_in(self) -> None:
        form = {"username": "admin", "password": PASSWORD}
        token = self._client.post("/token", data=form).raise_for_status().json()["access_token"]
        self._client.headers["Authorization"] = f"Bearer {token}"

    def predict(self, count: int = 1) -> list[uuid.UUID]:
        path, body = f"/models/{self.model}/predict", {"features": SETOSA}
        return [uuid.UUID(self._client.post(path, json=body).raise_for_status().json()["id"]) for _ in range(count)]

    def read(self, identity: uuid.UUID) -> httpx.Response:
        return self._client.get(f"/predictions/{identity}")

    def shipper(self) -> psutil.Process:
        """Return the shipper's process, once it runs."""

        def found() -> list[psutil.Process]:
            children = psutil.Process(self.process.pid).children()
            return [child for child in children if "ship" in child.cmdline()]

        return wait_for(found, what="the shipper")[0]

    def segments(self) -> list[Path]:
        return sorted(self.journal.glob("*.journal"))

    def count_in_journal(self) -> int:
        return sum(len(records_in(path.read_bytes())) for path in self.segments())


@contextmanager
def serving(folder: Path, mlflow_url: str, database: str, model: str) -> Iterator[Api]:
    port = free_port()
    environment = {
        "SECRET_KEY": new_key(),
        "DATABASE_URL": database,
        "MLFLOW_TRACKING_URI": mlflow_url,
        "SLIPWAY_ADMIN_PASSWORD": PASSWORD,
        "SLIPWAY_MODELS": model,
        "SLIPWAY_CACHE_DIR": str(folder / "cache"),
        "SLIPWAY_JOURNAL_DIR": str(folder / "journal"),
        "SLIPWAY_PORT": str(port),
    }
    with running([*MODULE, "serve"], folder=folder, log=folder / "api.log", environment=environment) as process:
        api = Api(folder, f"http://127.0.0.1:{port}", database, model, process)

        try:
            wait_until_ready(process, f"{api.url}/health/ready", log=api.log, seconds=60, what="the API")
            api.log_in()
            yield api
        finally:
            api.close()


@pytest.fixture
def database(postgres_url: str) -> str:
    upgrade(postgres_url)
    return postgres_url


@pytest.mark.slow
def test_a_prediction_can_be_read_well_within_a_second(
    tmp_path: Path, mlflow_url: str, registered: str, database: str
) -> None:
    with serving(tmp_path, mlflow_url, database, registered) as api:
        wait_for(lambda: api.read(api.predict()[0]).status_code == 200, seconds=30, what="the shipper")
        waits = []
        for _ in range(5):
            [identity] = api.predict()
            began = time.monotonic()
            assert api.read(identity).status_code == 200
            waits.append(time.monotonic() - began)

    assert sorted(waits)[2] < 0.8, waits


@pytest.mark.slow
def test_a_termination_loses_nothing(tmp_path: Path, mlflow_url: str, registered: str, database: str) -> None:
    with serving(tmp_path, mlflow_url, database, registered) as api:
        ids = api.predict(50)
        api.process.send_signal(signal.SIGTERM)
        assert api.process.wait(20) == 0
        assert "Traceback" not in api.log.read_text()

        with closing(connect(database)) as engine:
            assert ids_in(engine) == sorted(ids)
        assert api.segments() == []


@pytest.mark.slow
def test_kill_loses_no_flushed_record_and_leaves_no_orphan(
    tmp_path: Path, mlflow_url: str, registered: str, database: str
) -> None:
    with serving(tmp_path, mlflow_url, database, registered) as api:
        shipper = api.shipper()
        shipper.suspend()  # so that it is the journal that the records outlive the kill in
        ids = api.predict(50)
        wait_for(lambda: api.count_in_journal() == 50, what="the flush")
        api.process.kill()
        api.process.wait(10)
        shipper.resume()
        shipper.wait(15)

    with closing(connect(database)) as engine:
        assert ids_in(engine) == sorted(ids)
    assert api.segments() == []


@pytest.mark.slow
def test_dead_shipper_restarts_without_duplicates(
    tmp_path: Path, mlflow_url: str, registered: str, database: str
) -> None:
    with serving(tmp_path, mlflow_url, database, registered) as api:
        ids = api.predict(5)
        first = api.shipper()
        first.kill()
        ids += api.predict(5)
        with closing(connect(database)) as engine:
            wait_for(lambda: ids_in(engine) == sorted(ids), seconds=30, what="the second shipper")

        assert "shipper_ended" in api.log.read_text()


@pytest.mark.slow
def test_journal_left_behind_is_shipped_by_the_next_start(
    tmp_path: Path, mlflow_url: str, registered: str, database: str, model: ServedModel
) -> None:
    journal = Journal(tmp_path / "journal", model)
    left = [journal.add() for _ in range(5)]
    journal.log.close()

    with (
        serving(tmp_path, mlflow_url, database, registered),
        closing(connect(database)) as engine,
    ):
        wait_for(lambda: ids_in(engine) == left, seconds=30, what="the shipper")


@pytest.mark.slow
def test_predictions_during_a_database_outage_arrive_later(tmp_path: Path, mlflow_url: str, registered: str) -> None:
    with stoppable_postgres() as server:
        database = new_database(server.address)
        upgrade(database)
        with serving(tmp_path, mlflow_url, database, registered) as api:
            ids = api.predict(5)
            assert wait_for(lambda: api.read(ids[0]).status_code == 200, seconds=30)
            server.stop()
            ids += api.predict(20)
            wait_for(lambda: "shipper_database_away" in api.log.read_text(), what="the shipper to notice")
            unread = api.read(ids[-1])
            assert unread.status_code == 503
            assert "Retry-After" in unread.headers
            server.start()

            assert wait_for(lambda: api.read(ids[-1]).status_code == 200, seconds=30)
            with closing(connect(database)) as engine:
                assert ids_in(engine) == sorted(ids)
            assert "shipper_database_back" in api.log.read_text()


@pytest.mark.slow
def test_a_second_shipper_waits_for_the_first(tmp_path: Path, database: str) -> None:
    environment = {
        **os.environ,
        "SECRET_KEY": new_key(),
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        "DATABASE_URL": database,
        "SLIPWAY_JOURNAL_DIR": str(tmp_path / "journal"),
    }
    logs = [tmp_path / "first.log", tmp_path / "second.log"]

    with running([*MODULE, "ship"], folder=tmp_path, log=logs[0], environment=environment) as first:
        wait_for((tmp_path / "journal" / "shipper.lock").exists, what="the first")
        with running([*MODULE, "ship"], folder=tmp_path, log=logs[1], environment=environment) as second:
            wait_for(lambda: "shipper_waits" in logs[0].read_text() + logs[1].read_text(), what="the second")
            first.send_signal(signal.SIGTERM)
            second.send_signal(signal.SIGTERM)

            assert (first.wait(10), second.wait(10)) == (0, 0)


@pytest.mark.slow
def test_a_shipper_whose_parent_is_gone_ships_and_ends(tmp_path: Path, database: str, model: ServedModel) -> None:
    journal = Journal(tmp_path / "journal", model)
    ids = [journal.add() for _ in range(5)]
    journal.log.close()
    environment = {
        **os.environ,
        "SECRET_KEY": new_key(),
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        "DATABASE_URL": database,
        "SLIPWAY_JOURNAL_DIR": str(journal.folder),
    }

    ended = subprocess.run([*MODULE, "ship", "--parent=1"], env=environment, timeout=30, check=False)

    assert ended.returncode == 0
    with closing(connect(database)) as engine:
        assert ids_in(engine) == ids


def test_shipper_imports_no_web_framework_and_no_runtime() -> None:
    code = "import sys; from slipway_api.prediction_log import shipper, shipper_process; print(*sys.modules)"

    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    imported = set(modules.stdout.split())
    assert "sqlalchemy" in imported
    assert imported.isdisjoint({"fastapi", "starlette", "uvicorn", "onnxruntime"})
