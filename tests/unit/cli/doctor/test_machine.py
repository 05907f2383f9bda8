"""The checks of `slipway doctor` of folders, disk, clock, ports and SQLite files."""

import sqlite3
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from slipway_cli.doctor.context import DoctorContext, read_context
from slipway_cli.doctor.database import check_database
from slipway_cli.doctor.machine import MIB, check_clock, check_folders
from slipway_cli.doctor.packages import check_extras
from slipway_cli.doctor.ports import check_ports
from slipway_cli.embedded.home import Home, Ports
from slipway_core.migrations import upgrade
from support.servers import free_port
from support.stub_api import Answer, Asked, stub_api


@pytest.fixture
def context(tmp_path: Path) -> DoctorContext:
    return read_context({"home": tmp_path / "home", "port": free_port(), "mlflow_port": free_port()})


@pytest.mark.parametrize(
    ("free_bytes", "status"),
    [(511 * MIB, "broken"), (512 * MIB, "warning"), (2047 * MIB, "warning"), (2048 * MIB, "ok")],
)
def test_low_disk_space_is_reported(context: DoctorContext, free_bytes: int, status: str) -> None:
    home, temporary = check_folders(context, free=lambda _folder: free_bytes)

    assert (home.status, temporary.status) == (status, status)
    if status != "ok":
        assert f"{free_bytes // MIB} MiB" in home.what or "2.0 GiB" in home.what
        assert "make space on its disk" in home.mend


def test_cache_folder_is_checked_without_embedded_stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    monkeypatch.setenv("SLIPWAY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.com")

    findings = {finding.check: finding for finding in check_folders(read_context({"home": tmp_path / "home"}))}

    assert findings["cache folder"].status == "broken"
    assert "SLIPWAY_CACHE_DIR" in findings["cache folder"].mend


def test_clock_before_the_release_is_reported(context: DoctorContext) -> None:
    (finding,) = check_clock(context, now=lambda: datetime(2020, 1, 1, tzinfo=UTC).timestamp())

    assert finding.status == "broken"
    assert "2020-01-01" in finding.what
    assert "timedatectl set-ntp true" in finding.mend


def test_correct_clock_is_ok(context: DoctorContext) -> None:
    assert [finding.status for finding in check_clock(context, now=time.time)] == ["ok"]


def test_two_servers_cannot_have_one_port(tmp_path: Path) -> None:
    (finding,) = check_ports(read_context({"home": tmp_path, "port": 8123, "mlflow_port": 8123}))

    assert finding.status == "broken"
    assert "SLIPWAY_MLFLOW_PORT" in finding.mend


def test_stack_on_other_ports_is_distinguished(context: DoctorContext) -> None:
    context.home.make()
    with context.home.locked(Ports(8133, 5133)):
        (finding,) = check_ports(context)

    assert finding.status == "broken"
    assert finding.mend == f"run `slipway doctor --home {context.home.root} --port 8133 --mlflow-port 5133`"


@pytest.mark.parametrize("host", ["192.0.2.1", "nosuch.invalid"])
def test_host_of_another_machine_is_reported(tmp_path: Path, host: str) -> None:
    context = read_context({"home": tmp_path, "host": host, "port": free_port(), "mlflow_port": free_port()})

    api, mlflow = check_ports(context)

    assert (api.status, mlflow.status) == ("broken", "ok")
    assert api.what == f"{host} is not an address of this machine"
    assert "SLIPWAY_HOST" in api.mend


def slipway_api(asked: Asked) -> Answer:
    if asked.path == "/":
        return Answer({"service": "slipway"})
    if asked.path == "/health/ready":
        return Answer({"status": "not ready", "missing": {"iris": "no Production version"}}, 503)
    return Answer({}, 404)


def mlflow(asked: Asked) -> Answer:
    return Answer(b"3.17.2") if asked.path == "/version" else Answer({}, 404)


def test_ports_of_a_running_stack_are_ok(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.make()
    with home.locked(), stub_api(slipway_api) as api, stub_api(mlflow) as registry:
        context = read_context({"home": home.root, "port": port_of(api.url), "mlflow_port": port_of(registry.url)})
        findings = {finding.check: finding for finding in check_ports(context)}

    assert findings["API port"].status == findings["MLflow port"].status == "ok"
    assert (findings["API"].status, findings["API"].what) == ("warning", "not ready: iris: no Production version")
    assert "slipway train iris" in findings["API"].mend
    assert findings["clock"].what == "agrees with that of the API"


def test_running_stack_that_does_not_respond_is_reported(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.make()
    with home.locked(), stub_api(mlflow) as other:
        context = read_context({"home": home.root, "port": port_of(other.url), "mlflow_port": free_port()})
        api, registry = check_ports(context)

    assert (api.status, registry.status) == ("broken", "broken")
    assert "runs, but an MLflow server responds" in api.what
    assert "runs, but no server responds" in registry.what
    assert "--mlflow-port" in registry.mend
    assert str(home.logs / "mlflow.log") in registry.mend


def test_running_api_may_use_its_port_with_a_remote_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.com")
    with stub_api(slipway_api) as api, stub_api(slipway_api) as other:
        context = read_context({"home": tmp_path, "port": port_of(api.url), "mlflow_port": port_of(other.url)})
        findings = list(check_ports(context))

    assert [finding.status for finding in findings] == ["ok", "warning"]
    assert "only `slipway up` needs it" in findings[1].what


def test_own_mlflow_may_use_the_port_of_the_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with stub_api(mlflow) as own:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", own.url)
        context = read_context({"home": tmp_path, "port": free_port(), "mlflow_port": port_of(own.url)})
        findings = {finding.check: finding for finding in check_ports(context)}

    assert not context.is_embedded
    assert findings["MLflow port"].status == "ok"
    assert findings["MLflow port"].what.endswith("is used by an MLflow server")


def test_running_stack_is_checked_despite_a_named_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000/")
    context = read_context({"home": tmp_path})

    with Home(tmp_path).locked():
        assert context.is_embedded


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def test_missing_packages_with_a_remote_server_are_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.com")

    api, trainer = check_extras(read_context({"home": tmp_path}))

    assert (api.status, trainer.status) == ("ok", "warning")
    assert "pip install 'slipway[trainer]'" in trainer.mend


def test_folder_that_cannot_hold_the_sqlite_file_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'gone' / 'slipway.db'}")

    (finding,) = check_database(read_context({"home": tmp_path}))

    assert finding.status == "broken"
    assert f"mkdir -p {tmp_path / 'gone'}" in finding.mend


def test_file_without_a_database_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "slipway.db").write_text("not a database, but long enough to be read" * 20)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'slipway.db'}")

    (finding,) = check_database(read_context({"home": tmp_path}))

    assert finding.status == "broken"
    assert "cannot be read as an SQLite database" in finding.what


def test_missing_tables_are_reported_and_not_created(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "slipway.db").close()
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'slipway.db'}")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.com")

    (missing,) = check_database(read_context({"home": tmp_path}))
    upgrade(f"sqlite:///{tmp_path / 'slipway.db'}")
    files = set(tmp_path.iterdir())
    (there,) = check_database(read_context({"home": tmp_path}))

    assert set(tmp_path.iterdir()) == files == {tmp_path / "slipway.db"}
    assert (missing.status, there.status) == ("broken", "ok")
    assert "slipway-api migrate" in missing.mend


def test_a_driver_that_is_not_used_is_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql+asyncpg://ada:s3same@127.0.0.1:{free_port()}/slipway")

    driver, connection = check_database(read_context({"home": tmp_path}))

    assert (driver.status, connection.status) == ("warning", "broken")
    assert "asyncpg" in driver.what
    assert "postgresql://" in driver.mend
    assert "s3same" not in str([driver, connection])


def test_missing_driver_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    monkeypatch.setenv("DATABASE_URL", "postgresql://ada:s3same@127.0.0.1/slipway")

    (finding,) = check_database(read_context({"home": tmp_path}))

    assert finding.status == "broken"
    assert finding.mend == "run `pip install 'slipway[api]'`"


@pytest.mark.parametrize("url", ["nonsense", "sqlite:", "postgresql://u:p@host:port/x"])
def test_invalid_database_address_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", url)

    (finding,) = check_database(read_context({"home": tmp_path}))

    assert finding.status in {"broken", "warning"}
    assert "sqlite:///" in finding.mend
