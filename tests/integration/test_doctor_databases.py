"""`slipway doctor` on databases and buckets that are broken on purpose: Slipway's own, and those of its MLflow."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from slipway_cli.doctor.context import read_context
from slipway_cli.doctor.database import check_database
from slipway_core.migrations import upgrade
from support.diagnosis import diagnose
from support.s3 import S3Server
from support.servers import free_port
from support.waiting import wait_for

# Starting and stopping real servers exceeds the time of `make test`.
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set what `slipway env` would."""
    monkeypatch.setenv("SECRET_KEY", "kJ8sP2qX7vN4mB9tR6wY3zC5hF1gD0aL-eU")


def test_migrated_postgresql_database_is_ok(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upgrade(postgres_url)
    monkeypatch.setenv("DATABASE_URL", postgres_url)

    found = diagnose(tmp_path / "home")

    assert (found.exit_code, found.broken) == (0, [])
    assert found.the("tables").what == "up to date"


def test_database_without_tables_is_reported_with_the_command(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", postgres_url)

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")

    found = diagnose(tmp_path / "home")

    assert (found.exit_code, found.the("tables").status) == (1, "broken")
    assert "slipway-api migrate" in found.the("tables").mend


def test_tables_of_a_later_release_are_reported(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade(postgres_url)
    execute(postgres_url, "UPDATE alembic_version SET version_num = '9999'")
    monkeypatch.setenv("DATABASE_URL", postgres_url)

    found = diagnose(tmp_path / "home")

    assert (found.exit_code, found.the("tables").status) == (1, "broken")
    assert "later release" in found.the("tables").what


@pytest.mark.parametrize(
    ("change", "what", "mend"),
    [
        (lambda url: url + "-gone", "the database does not exist", "createdb"),
        (lambda url: url.replace("slipway@", "unknown-account@"), "the account does not exist", "createuser"),
        (lambda url: url.replace("127.0.0.1", "nosuch.invalid"), "does not resolve", "correct the host"),
        (lambda url: url.rpartition(":")[0] + f":{free_port()}/slipway", "no server listens", "start PostgreSQL"),
    ],
    ids=["database", "account", "host", "port"],
)
def test_database_that_rejects_the_connection_is_reported(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, change: Callable[[str], str], what: str, mend: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", change(postgres_url))

    (finding,) = check_database(read_context({}))

    assert finding.status == "broken"
    assert what in finding.what
    assert mend in finding.mend


@pytest.fixture
def guarded_url(postgres_url: str) -> Iterator[str]:
    """The address of a database for the account `ada`, with a placeholder for the password."""
    with ExitStack() as undone:
        execute(postgres_url, "CREATE ROLE ada LOGIN PASSWORD 'correct-horse'")
        undone.callback(execute, postgres_url, "DROP ROLE ada")
        rules = Path(execute(postgres_url, "SHOW hba_file"))
        before = rules.read_text(encoding="utf-8")
        rules.write_text(f"host all ada all scram-sha-256\n{before}", encoding="utf-8")
        undone.callback(execute, postgres_url, "SELECT pg_reload_conf()")
        undone.callback(rules.write_text, before, encoding="utf-8")
        execute(postgres_url, "SELECT pg_reload_conf()")
        wait_for(lambda: "ada" in execute(postgres_url, "SELECT user_name::text FROM pg_hba_file_rules LIMIT 1"))
        yield postgres_url.replace("slipway@", "ada:{password}@")


def test_wrong_database_password_is_reported_and_not_shown(
    guarded_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", guarded_url.format(password="wrong-horse"))

    found = diagnose(tmp_path / "home")

    assert (found.exit_code, found.the("DATABASE_URL").status) == (1, "broken")
    assert "rejects the user name or the password" in found.the("DATABASE_URL").what
    assert "DATABASE_URL" in found.the("DATABASE_URL").mend
    assert "wrong-horse" not in found.output


def execute(url: str, statement: str) -> str:
    """Run a statement on a new connection; return the first value of its result."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg2://"), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            answer = connection.execute(text(statement))
            return str(answer.scalar()) if answer.returns_rows else ""
    finally:
        engine.dispose()


@pytest.fixture
def bucket(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a bucket, with the address and keys of its server in the environment."""
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    return s3.make_bucket(f"doctor-{uuid.uuid4().hex}").name


def test_usable_stores_of_the_stack_are_ok(
    postgres_url: str, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", postgres_url.replace("slipway@", "slipway:s3same@"))
    monkeypatch.setenv("MLFLOW_ARTIFACTS_DESTINATION", f"s3://{bucket}/mlflow")

    found = diagnose(tmp_path / "home")

    assert (found.exit_code, found.broken) == (0, [])
    assert found.the("MLflow's database").what == "the database of MLFLOW_BACKEND_STORE_URI can be opened (postgresql)"
    assert found.the("MLflow's artifacts").what == f"s3://{bucket}/mlflow can be reached"
    assert "s3same" not in found.output


@pytest.mark.parametrize(
    ("change", "what", "mend"),
    [
        (
            lambda url: url + "-gone",
            "the database does not exist",
            "`createdb` on the server, or correct MLFLOW_BACKEND_STORE",
        ),
        (
            lambda url: url.replace("slipway:", "unknown:"),
            "the account does not exist",
            "`createuser` on the server, or correct",
        ),
        (lambda url: url.rpartition(":")[0] + f":{free_port()}/x", "no server listens", "start PostgreSQL, or correct"),
        (lambda _: "nonsense", "is not a database URL", "postgresql://USER:PASSWORD@HOST/NAME"),
        (lambda _: "http://ada:s3same@mlflow:5000", "names http", "postgresql://USER:PASSWORD@HOST/NAME"),
        (lambda _: "mysql://ada:s3same@db/mlflow", "driver of mysql is not installed", "install MySQLdb with pip"),
    ],
    ids=["database", "account", "port", "nonsense", "http", "driver"],
)
def test_unusable_mlflow_database_is_reported_without_password(
    postgres_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[str], str],
    what: str,
    mend: str,
) -> None:
    given = postgres_url.replace("slipway@", "slipway:s3same@")
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", change(given))

    found = diagnose(tmp_path / "home")

    finding = found.the("MLflow's database")
    assert (found.exit_code, found.broken) == (1, [finding])
    assert what in finding.what
    assert mend in finding.mend
    assert "s3same" not in found.output


def test_one_database_for_slipway_and_mlflow_is_reported(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", postgres_url)

    found = diagnose(tmp_path / "home")

    assert (found.exit_code, found.the("MLflow's database").status) == (1, "broken")
    assert "MLFLOW_BACKEND_STORE_URI and DATABASE_URL name the same database" in found.the("MLflow's database").what
    assert "to a database for MLflow alone" in found.the("MLflow's database").mend


def test_wrong_database_of_slipway_is_reported_once(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "nonsense")
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", postgres_url)

    found = diagnose(tmp_path / "home")

    assert [finding.check for finding in found.broken] == ["DATABASE_URL"]
    assert found.the("MLflow's database").status == "ok"


@pytest.mark.parametrize(
    ("variables", "what", "mend"),
    [
        (
            {"MLFLOW_ARTIFACTS_DESTINATION": "s3://no-such-bucket"},
            "cannot be used: bucket no-such-bucket does not exist",
            "create it, or check its name and the address of the S3 server",
        ),
        (
            {"AWS_SECRET_ACCESS_KEY": "wrong-horse"},
            "S3 refused access to the bucket",
            "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ),
        ({"AWS_SECRET_ACCESS_KEY": "", "AWS_ACCESS_KEY_ID": ""}, "no keys for S3", "set AWS_ACCESS_KEY_ID"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "cannot be reached", "AWS_ENDPOINT_URL"),
        ({"MLFLOW_ARTIFACTS_DESTINATION": "s3://ada:s3same@host"}, "names no bucket", "write s3://bucket/prefix"),
        ({"MLFLOW_ARTIFACTS_DESTINATION": "/proc/artifacts"}, "/proc/artifacts cannot be written", "another folder"),
    ],
    ids=["bucket", "wrong-keys", "no-keys", "server", "no-bucket", "folder"],
)
def test_unusable_artifact_destination_is_reported(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], what: str, mend: str
) -> None:
    for name, value in {"MLFLOW_ARTIFACTS_DESTINATION": f"s3://{bucket}", **variables}.items():
        monkeypatch.setenv(name, value)
    began = time.monotonic()

    found = diagnose(tmp_path / "home")

    finding = found.the("MLflow's artifacts")
    assert time.monotonic() - began < 15
    assert (found.exit_code, found.broken) == (1, [finding])
    assert what in finding.what
    assert mend in finding.mend
    assert "s3same" not in found.output
    assert "wrong-horse" not in found.output


def test_stores_of_a_remote_mlflow_are_not_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", "nonsense")
    monkeypatch.setenv("MLFLOW_ARTIFACTS_DESTINATION", "s3://no-such-bucket")

    found = diagnose(tmp_path / "home")

    assert found.the("registry").status == "broken"
    assert found.of("MLflow's database") == found.of("MLflow's artifacts") == []


def test_readable_bucket_of_data_is_ok(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_DATA_DIR", f"s3://{bucket}/data")

    found = diagnose(tmp_path / "home")

    assert (found.exit_code, found.the("data folder").status) == (0, "ok")
    assert found.the("data folder").what == f"SLIPWAY_DATA_DIR is s3://{bucket}/data"


def test_missing_bucket_of_data_is_a_warning(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_DATA_DIR", "s3://no-such-bucket/data")

    found = diagnose(tmp_path / "home")

    assert (found.exit_code, found.the("data folder").status) == (0, "warning")
    assert found.the("data folder").what == "SLIPWAY_DATA_DIR cannot be used: bucket no-such-bucket does not exist"
    assert found.the("data folder").mend.startswith("create it, or check its name")
