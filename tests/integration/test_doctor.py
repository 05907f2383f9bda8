"""`slipway doctor` on real servers that are broken on purpose: MLflow over S3, its clock and its accounts."""

import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from slipway_core.registry.mlflow import MlflowRegistry
from slipway_core.registry.promotion import promote
from support.bundles import bundle_files
from support.diagnosis import Diagnosis, diagnose
from support.front import front_of
from support.s3 import ACCESS_KEY, SECRET_KEY, s3_server
from support.servers import free_port, running, wait_until_ready
from support.versions import add_version

# Starting and stopping real servers exceeds the time of `make test`.
pytestmark = pytest.mark.slow

BUCKET = "models"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Server:
    """A separate MLflow server with its artifacts in S3; each test starts the S3 server."""

    url: str
    s3_port: int
    folder: Path

    @property
    def port(self) -> str:
        return self.url.rpartition(":")[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder, port, s3_port = tmp_path_factory.mktemp("server"), free_port(), free_port()
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host=127.0.0.1",
        f"--port={port}",
        "--workers=1",
        f"--backend-store-uri=sqlite:///{folder / 'mlflow.db'}",
        f"--artifacts-destination=s3://{BUCKET}",
        "--serve-artifacts",
    ]
    environment = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{s3_port}",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    log, url = folder / "log", f"http://127.0.0.1:{port}"
    with running(command, folder=folder, log=log, environment=environment) as process:
        wait_until_ready(process, f"{url}/health", log=log, seconds=120, what="MLflow")
        yield Server(url, s3_port, folder)


@pytest.fixture
def store(server: Server) -> Iterator[Server]:
    """The server with a store that works."""
    with s3_server(server.folder, port=server.s3_port) as s3:
        s3.make_bucket(BUCKET)
        yield server


@pytest.fixture
def model(store: Server) -> Iterator[str]:
    """The name of a model with two versions, the first promoted; deleted after the test."""
    name = f"iris-{uuid.uuid4().hex}"
    for _ in range(2):
        add_version(store.url, name, bundle_files(name))
    with MlflowRegistry(store.url) as registry:
        promote(registry, name, "1", by="ada", at=NOON, reason="the first")
    yield name
    httpx.request("DELETE", f"{store.url}/api/2.0/mlflow/registered-models/delete", json={"name": name})


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set what `slipway env` would."""
    monkeypatch.setenv("SECRET_KEY", "kJ8sP2qX7vN4mB9tR6wY3zC5hF1gD0aL-eU")


def look(home: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Diagnosis:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    return diagnose(home)


def test_healthy_server_has_no_problem(
    store: Server, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_DEFAULT_MODEL", model)
    before = set(store.folder.rglob("buckets/**/*.*"))

    found = look(tmp_path / "home", store.url, monkeypatch)

    assert (found.exit_code, found.broken) == (0, [])
    assert {finding.status for finding in found.findings} == {"ok"}
    assert found.the("registry").what == f"MLflow responds at {store.url}"
    assert found.the("artifact store").what == "a file was written, read and deleted through the server"
    assert found.the(f"model {model}").what == "Production is version 1"
    assert set(store.folder.rglob("buckets/**/*.*")) == before


def test_own_server_may_use_the_address_of_the_stack(
    store: Server, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_DEFAULT_MODEL", model)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.url)

    found = diagnose(tmp_path / "home", mlflow_port=int(store.port))

    assert (found.exit_code, found.broken) == (0, [])
    assert found.the("MLflow port").what == f"port {store.port} is used by an MLflow server"


def test_host_rejected_by_mlflow_is_reported_with_its_setting(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 127.1 is 127.0.0.1 to every resolver, and another name to MLflow.
    found = look(tmp_path / "home", f"http://127.1:{server.port}", monkeypatch)

    assert found.exit_code == 1
    assert found.the("Host check").status == "broken"
    assert 'MLFLOW_SERVER_ALLOWED_HOSTS="127.1:*,localhost:*,127.0.0.1:*"' in found.the("Host check").mend
    assert found.of("artifact store") == []


def test_missing_bucket_is_reported(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server(tmp_path, port=server.s3_port):
        found = look(tmp_path / "home", server.url, monkeypatch)

    finding = found.the("artifact store")
    assert (found.exit_code, finding.status) == (1, "broken")
    assert finding.what.startswith("the server cannot write a file in its store")
    for named in ("bucket", "--artifacts-destination", "AWS_ACCESS_KEY_ID", "MLFLOW_S3_ENDPOINT_URL"):
        assert named in finding.mend


def test_rejected_store_keys_are_reported(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server(tmp_path, port=server.s3_port, secret_key="another-secret-key") as s3:
        s3.make_bucket(BUCKET)
        found = look(tmp_path / "home", server.url, monkeypatch)

    assert (found.exit_code, found.the("artifact store").status) == (1, "broken")
    assert "AWS_SECRET_ACCESS_KEY" in found.the("artifact store").mend
    assert SECRET_KEY not in found.output


def test_unavailable_store_is_reported_in_time(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()

    found = look(tmp_path / "home", server.url, monkeypatch)

    assert time.monotonic() - began < 15
    assert (found.exit_code, found.the("artifact store").status) == (1, "broken")
    assert "MLFLOW_S3_ENDPOINT_URL" in found.the("artifact store").mend
    assert found.the("registry").status == "ok"


@pytest.mark.parametrize(("seconds", "direction"), [(-3600, "ahead of"), (3600, "behind")])
def test_clock_skew_to_the_registry_is_reported(
    store: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int, direction: str
) -> None:
    with front_of(store.url, date=time.time() + seconds) as url:
        found = look(tmp_path / "home", url, monkeypatch)

    (finding,) = [finding for finding in found.of("clock") if finding.status == "broken"]
    assert found.exit_code == 1
    assert f"60 minutes {direction} that of the registry" in finding.what
    assert "timedatectl set-ntp true" in finding.mend


def test_server_with_login_is_reported_with_the_variables(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with front_of(server.url, account=("ada", "correct horse")) as url:
        found = look(tmp_path / "home", url, monkeypatch)

    assert (found.exit_code, found.the("account").status) == (1, "broken")
    assert "requires an account" in found.the("account").what
    assert found.the("account").mend == "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"


def test_rejected_account_is_reported_without_its_password(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong-horse")

    with front_of(server.url, account=("ada", "correct horse")) as url:
        found = look(tmp_path / "home", url, monkeypatch)

    assert found.exit_code == 1
    assert "rejects the user name or the password" in found.the("account").what
    assert "wrong-horse" not in found.output


def test_account_in_the_address_works_and_is_not_printed(
    store: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with front_of(store.url, account=("ada", "s3same")) as url:
        found = look(tmp_path / "home", url.replace("http://", "http://ada:s3same@"), monkeypatch)

    assert (found.exit_code, found.broken) == (0, [])
    assert found.the("MLFLOW_TRACKING_URI").status == "warning"
    assert "MLFLOW_TRACKING_PASSWORD" in found.the("MLFLOW_TRACKING_URI").mend
    assert "s3same" not in found.output
