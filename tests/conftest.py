"""What every test starts from: an environment without our variables, and servers that are started once."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from support.s3 import S3Server, s3_server
from support.servers import mlflow_server

# Before MLflow is imported anywhere: tests report to nobody.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"

# Started by nohup, we ignore signals, and so would all that the tests start. Those must heed what tests send them.
for number in (signal.SIGHUP, signal.SIGINT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, lambda *_: None)

# The same examples in every run, however busy the machine is.
settings.register_profile("slipway", deadline=None, derandomize=True)
settings.load_profile("slipway")

OURS = (
    "DATABASE_URL",
    "MLFLOW_ARTIFACTS_DESTINATION",
    "MLFLOW_BACKEND_STORE_URI",
    "MLFLOW_BACKEND_STORE_URI_FILE",
    "MLFLOW_S3_ENDPOINT_URL",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "SECRET_KEY",
)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the variables of the person who runs the tests, and their configuration folder."""
    for name in list(os.environ):
        if name in OURS or name.startswith("AWS_") or (name.startswith("SLIPWAY_") and name != "SLIPWAY_DATA_DIR"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for variable in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(variable, str(tmp_path / "config" / "aws"))
    # A machine in Amazon's cloud would give its own keys.
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="session")
def mlflow_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real MLflow server that all tests of a run share: give models names of their own."""
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as url:
        yield url


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server that all tests of a run share: make buckets with names of your own."""
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server
