"""The stores of the embedded stack: its folder by default, or the locations in the variables."""

from pathlib import Path

import pytest

from slipway_cli.embedded.home import Home
from slipway_cli.embedded.store_checks import verify_artifact_store, verify_database
from slipway_cli.embedded.stores import artifacts_destination, backend_store_uri, slipway_database_url
from slipway_cli.errors import StackError
from slipway_cli.settings import UpSettings
from slipway_core.errors import ConfigurationError
from slipway_core.settings import load_settings
from support.servers import free_port

HOME = Home(Path("/srv/slipway"))


@pytest.fixture(autouse=True)
def _standing_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def told(monkeypatch: pytest.MonkeyPatch, **variables: str) -> UpSettings:
    """Return the settings with these variables."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load_settings(UpSettings)


def test_everything_is_in_the_folder_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = told(monkeypatch)

    assert backend_store_uri(settings, HOME) == "sqlite:////srv/slipway/mlflow.db"
    assert slipway_database_url(settings, HOME) == "sqlite:////srv/slipway/slipway.db"
    assert artifacts_destination(settings, HOME) == "/srv/slipway/artifacts"


@pytest.mark.parametrize(
    ("given", "used"),
    [
        *((scheme, "postgresql+psycopg2") for scheme in ("postgresql", "postgres", "postgresql+psycopg2")),
        ("mysql+pymysql", "mysql+pymysql"),
    ],
)
def test_postgresql_uses_the_installed_driver(monkeypatch: pytest.MonkeyPatch, given: str, used: str) -> None:
    settings = told(monkeypatch, MLFLOW_BACKEND_STORE_URI=f"{given}://u:p%40ss@db:5433/mlflow?sslmode=require")

    assert backend_store_uri(settings, HOME) == f"{used}://u:p%40ss@db:5433/mlflow?sslmode=require"


def test_relative_paths_start_at_the_working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = told(
        monkeypatch,
        MLFLOW_BACKEND_STORE_URI="sqlite:///mlflow.db",
        MLFLOW_ARTIFACTS_DESTINATION="artifacts",
        DATABASE_URL="sqlite:///slipway.db",
    )

    assert backend_store_uri(settings, HOME) == f"sqlite:///{tmp_path}/mlflow.db"
    assert slipway_database_url(settings, HOME) == f"sqlite:///{tmp_path}/slipway.db"
    assert artifacts_destination(settings, HOME) == f"{tmp_path}/artifacts"


@pytest.mark.parametrize("url", ["s3://bucket/prefix", "file:///srv/artifacts", "gs://bucket"])
def test_location_of_artifacts_is_unchanged(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    assert artifacts_destination(told(monkeypatch, MLFLOW_ARTIFACTS_DESTINATION=url), HOME) == url


def test_the_database_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = tmp_path / "uri"
    secret.write_text("postgresql://u:p@db/mlflow\n")

    settings = told(monkeypatch, MLFLOW_BACKEND_STORE_URI_FILE=str(secret))

    assert backend_store_uri(settings, HOME) == "postgresql+psycopg2://u:p@db/mlflow"


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("mlruns", "MLFLOW_BACKEND_STORE_URI is not a database URL; write sqlite:///"),
        ("http://u:hunter2@mlflow:5000", "MLFLOW_BACKEND_STORE_URI names http, but MLflow requires a database"),
    ],
)
def test_invalid_database_is_rejected_without_its_password(
    monkeypatch: pytest.MonkeyPatch, uri: str, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        backend_store_uri(told(monkeypatch, MLFLOW_BACKEND_STORE_URI=uri), HOME)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("mlflow", "slipway"),
    [
        ("postgresql://u@db/one", "postgresql://u@db/one"),
        ("postgresql://u@db:5432/one", "postgresql+psycopg2://v@db/one"),
        ("sqlite:///one.db", "sqlite:///./one.db"),
    ],
)
def test_shared_database_is_rejected(monkeypatch: pytest.MonkeyPatch, mlflow: str, slipway: str) -> None:
    settings = told(monkeypatch, MLFLOW_BACKEND_STORE_URI=mlflow, DATABASE_URL=slipway)

    with pytest.raises(ConfigurationError, match="name the same database: create a second one"):
        backend_store_uri(settings, HOME)


def test_two_databases_of_one_server_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = told(
        monkeypatch, MLFLOW_BACKEND_STORE_URI="postgresql://u@db/mlflow", DATABASE_URL="postgresql://u@db/slipway"
    )

    assert backend_store_uri(settings, HOME).endswith("/mlflow")


def test_unopenable_database_reports_the_driver_error_separately() -> None:
    said: list[str] = []

    with pytest.raises(StackError, match="check that its server is running, that the database exists") as caught:
        verify_database(f"postgresql+psycopg2://u:hunter2@127.0.0.1:{free_port()}/mlflow", said.append)

    assert "refused" in said[0]
    assert "hunter2" not in str(caught.value) + said[0]


def test_missing_driver_is_reported() -> None:
    with pytest.raises(StackError, match="the driver of mysql is not installed: install MySQLdb with pip"):
        verify_database("mysql://u@127.0.0.1/mlflow", print)


def test_missing_keys_are_reported_with_the_bucket_variable() -> None:
    with pytest.raises(StackError, match="MLFLOW_ARTIFACTS_DESTINATION cannot be used: no keys for S3 are set"):
        verify_artifact_store("s3://bucket/prefix")


def test_local_stores_need_no_check(tmp_path: Path) -> None:
    verify_database(f"sqlite:///{tmp_path}/mlflow.db", print)
    verify_artifact_store(str(tmp_path / "artifacts"))

    assert list(tmp_path.iterdir()) == []
