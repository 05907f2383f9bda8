"""Fixtures of all tests: an environment without Slipway's variables, and servers that are started once per run."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from support.command import logging_kept
from support.postgres import new_database, postgres_server
from support.s3 import S3Server, s3_server
from support.servers import mlflow_server

# Set before MLflow is first imported, so that tests send no telemetry.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"

# Under nohup this process ignores signals, and child processes inherit that. The tests need the default behaviour.
for number in (signal.SIGHUP, signal.SIGINT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, lambda *_: None)

# Use the same examples in every run, even if the machine is busy.
settings.register_profile("slipway", deadline=None, derandomize=True)
settings.load_profile("slipway")

OURS = (
    "DATABASE_URL",
    "MLFLOW_ARTIFACTS_DESTINATION",
    "MLFLOW_BACKEND_STORE_URI",
    "MLFLOW_BACKEND_STORE_URI_FILE",
    "MLFLOW_REGISTRY_URI",  # MLflow's functions set it in this process
    "MLFLOW_S3_ENDPOINT_URL",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "SECRET_KEY",
)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the variables and the configuration folder of the person who runs the tests."""
    for name in list(os.environ):
        if name in OURS or name.startswith("AWS_") or (name.startswith("SLIPWAY_") and name != "SLIPWAY_DATA_DIR"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for variable in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(variable, str(tmp_path / "config" / "aws"))
    # A machine in Amazon's cloud would provide its own keys.
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(autouse=True)
def _logging_kept() -> Iterator[None]:
    """Undo what a test configures, so that no test logs with the configuration of another."""
    with logging_kept():
        yield


@pytest.fixture(scope="session")
def mlflow_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a real MLflow server that all tests of a run share; each test uses its own model names."""
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as url:
        yield url


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Return a real S3 server that all tests of a run share; each test uses its own bucket names."""
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_address() -> Iterator[str]:
    """Return the address of a real PostgreSQL server that all tests of a run share."""
    with postgres_server() as address:
        yield address


@pytest.fixture
def postgres_url(postgres_address: str) -> str:
    """Return the address of a new, empty database on it, in the format of `DATABASE_URL`."""
    return new_database(postgres_address)
