"""The checks of `slipway doctor` of the stores of the embedded MLflow, without a server."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slipway_cli.doctor.connection_errors import explain_connection_error
from slipway_cli.doctor.context import DoctorContext, read_context
from slipway_cli.doctor.findings import Finding
from slipway_cli.doctor.stores import check_artifacts_destination, check_runs_database, halves
from slipway_cli.doctor.timeouts import within
from slipway_cli.doctor.variables import check_data_folder

Check = Callable[[DoctorContext], Iterator[Finding]]


def test_default_stores_need_no_check() -> None:
    assert [*check_runs_database(read_context({})), *check_artifacts_destination(read_context({}))] == []


def test_sqlite_file_of_mlflow_may_be_in_a_new_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", f"sqlite:///{tmp_path}/new/mlflow.db")

    (finding,) = check_runs_database(read_context({}))

    assert (finding.status, finding.what) == ("ok", f"{tmp_path}/new is writable")
    assert list(tmp_path.iterdir()) == []


def test_sqlite_file_of_mlflow_in_unwritable_folder_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", f"sqlite:///{tmp_path}/file/mlflow.db")

    (finding,) = check_runs_database(read_context({}))

    assert finding.status == "broken"
    assert f"{tmp_path}/file of its SQLite file cannot be written" in finding.what
    assert "set MLFLOW_BACKEND_STORE_URI to another file" in finding.mend


def test_database_in_memory_is_ok(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", "sqlite:///:memory:")

    assert [finding.status for finding in check_runs_database(read_context({}))] == ["ok"]


@pytest.mark.parametrize(
    ("destination", "what"),
    [
        ("{folder}", "{folder} is writable"),
        ("file://{folder}/a%20b", "{folder}/a b is writable"),
        ("ftp://ada:s3same@host/x", "skipped: ftp://… is neither a folder nor S3"),
    ],
)
def test_artifacts_may_be_in_a_folder_or_an_mlflow_location(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, destination: str, what: str
) -> None:
    monkeypatch.setenv("MLFLOW_ARTIFACTS_DESTINATION", destination.format(folder=tmp_path))

    (finding,) = check_artifacts_destination(read_context({}))

    assert finding.status == "ok"
    assert finding.what.startswith(what.format(folder=tmp_path))


@pytest.mark.parametrize(
    ("variable", "check", "status"),
    [
        ("MLFLOW_ARTIFACTS_DESTINATION", check_artifacts_destination, "broken"),
        ("SLIPWAY_DATA_DIR", check_data_folder, "warning"),
    ],
)
def test_silent_s3_server_is_reported_in_time(
    monkeypatch: pytest.MonkeyPatch, variable: str, check: Check, status: str
) -> None:
    for module in ("stores", "variables"):
        monkeypatch.setattr(f"slipway_cli.doctor.{module}.BUCKET_SECONDS", 0.2)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv(variable, "s3://models")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        (finding,) = check(read_context({}))

    assert finding.status == status
    assert finding.what.startswith(f"{variable} cannot be used: the S3 server does not respond within")
    assert "AWS_ENDPOINT_URL" in finding.mend


def test_error_of_a_call_within_the_timeout_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        within(60, lambda: 1 // 0)


def test_call_over_the_timeout_is_abandoned() -> None:
    let_go = threading.Event()

    with pytest.raises(TimeoutError):
        within(0.05, lambda: let_go.wait(60))

    let_go.set()


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ('FATAL:  role "ada" is not permitted to log in', "PostgreSQL rejects the connection"),
        ('FATAL:  role "ada" does not exist', "the account does not exist in PostgreSQL"),
        ('FATAL:  database "role" does not exist', "the database does not exist in PostgreSQL"),
        (
            'FATAL:  no pg_hba.conf entry for host "::1", user "ada"',
            "PostgreSQL does not allow connections from this host or account",
        ),
    ],
)
def test_postgresql_error_is_translated(said: str, what: str) -> None:
    told, mend = explain_connection_error(said, "THE_VARIABLE")

    assert told == what
    assert "pg_hba.conf" in mend or "THE_VARIABLE" in mend


def test_sentence_is_split_at_its_last_colon() -> None:
    assert halves("A cannot be used: bucket b does not exist: make it") == (
        "A cannot be used: bucket b does not exist",
        "make it",
    )
    assert halves("something else") == ("something else", "check the variable that sets it")
