"""`slipway up` on PostgreSQL and S3: no data is stored in the folder."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text

from slipway_core.database import connect
from slipway_core.manifest import MODEL_FILE
from support.postgres import new_database
from support.s3 import S3Server
from support.servers import free_port
from support.stack import PASSWORD, RunningStack, slipway_up
from support.waiting import wait_for

# Starting and stopping real servers exceeds the time of `make test`.
pytestmark = pytest.mark.slow

ROW = {"features": [5.1, 3.5, 1.4, 0.2]}


@dataclass(frozen=True)
class Stores:
    """Two empty databases and an empty bucket.

    Attributes:
        bucket: the folder of the objects of the bucket.
    """

    mlflow_database: str
    slipway_database: str
    bucket: Path
    s3: S3Server

    def environment(self) -> dict[str, str]:
        """Return the variables that select these stores."""
        return {
            **self.s3.environment(),
            "MLFLOW_BACKEND_STORE_URI": self.mlflow_database,
            "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{self.bucket.name}/mlflow",
            "DATABASE_URL": self.slipway_database,
        }

    def objects(self) -> list[str]:
        """Return the keys of the objects in the bucket."""
        return [str(path.relative_to(self.bucket)) for path in self.bucket.rglob("*") if path.is_file()]


def new_stores(postgres_address: str, s3: S3Server) -> Stores:
    bucket = s3.make_bucket(f"mlflow-{uuid.uuid4().hex}")
    return Stores(new_database(postgres_address), new_database(postgres_address), bucket, s3)


@pytest.fixture(scope="module")
def stores(postgres_address: str, s3: S3Server) -> Stores:
    return new_stores(postgres_address, s3)


@pytest.fixture(scope="module")
def stack(stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    home = tmp_path_factory.mktemp("up") / "home"
    with slipway_up(home, password=PASSWORD, environment=stores.environment()) as running_stack:
        yield running_stack


def rows(database: str, query: str) -> list[tuple[object, ...]]:
    engine = connect(database)
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(text(query))]
    engine.dispose()
    return found


def process_of(stack: RunningStack, module: str) -> dict[str, str]:
    """Return the environment of one of the stack's processes."""
    return next(p.environ() for p in stack.processes() if module in p.cmdline())


def test_first_model_is_trained_and_served(stack: RunningStack) -> None:
    answer = stack.call("POST", "/predict", ROW).json()

    assert (answer["label"], answer["version"]) == (["setosa"], "1")


def test_runs_models_and_accounts_are_in_postgresql(stack: RunningStack, stores: Stores) -> None:
    assert rows(stores.mlflow_database, "SELECT name FROM registered_models") == [("iris",)]
    assert rows(stores.mlflow_database, "SELECT name, version FROM model_versions") == [("iris", 1)]
    assert rows(stores.mlflow_database, "SELECT count(*) FROM runs WHERE status = 'FINISHED'") >= [(4,)]
    assert rows(stores.slipway_database, "SELECT name, role FROM users") == [("admin", "admin")]


def test_artifacts_are_objects_of_the_bucket(stack: RunningStack, stores: Stores) -> None:
    objects = stores.objects()

    assert any(key.endswith(f"/{MODEL_FILE}") for key in objects)
    assert all(key.startswith("mlflow/") for key in objects)


def test_folder_has_no_database_and_no_artifacts(stack: RunningStack) -> None:
    assert list(stack.home.rglob("*.db*")) == []
    assert list((stack.home / "artifacts").rglob("*")) == []


def test_no_process_shows_a_store_on_its_command_line(stack: RunningStack) -> None:
    lines = [" ".join(process.cmdline()) for process in stack.processes()]

    assert [line for line in lines if "postgresql" in line or "s3:" in line] == []


def test_api_has_only_the_keys_of_its_own_store(stack: RunningStack, stores: Stores) -> None:
    api, mlflow = process_of(stack, "slipway_api"), process_of(stack, "slipway_cli.embedded.mlflow_server")

    assert [name for name in api if name.startswith(("AWS_", "MLFLOW_S3_", "MLFLOW_BACKEND", "MLFLOW_ARTIFACTS"))] == []
    assert mlflow["AWS_SECRET_ACCESS_KEY"] == stores.s3.secret_key
    assert {"SECRET_KEY", "DATABASE_URL", "SLIPWAY_ADMIN_PASSWORD"}.isdisjoint(mlflow)


def test_restart_serves_the_promoted_version_from_its_stores(
    postgres_address: str, s3: S3Server, tmp_path: Path
) -> None:
    stores = new_stores(postgres_address, s3)
    home = tmp_path / "home"
    with slipway_up(home, password=PASSWORD, environment=stores.environment()) as stack:
        subprocess.run(
            [sys.executable, "-m", "slipway_cli.cli", "train", "iris"],
            # The trainer reaches the stores through MLflow, and needs no keys.
            env={**os.environ, "MLFLOW_TRACKING_URI": stack.mlflow_url, "SLIPWAY_HOME": str(stack.home)},
            check=True,
            capture_output=True,
            timeout=120,
        )
        wait_for(lambda: stack.status()["model_version"] == "2", what="version 2")
        stack.process.send_signal(signal.SIGTERM)
        assert stack.process.wait(30) == 0

    with slipway_up(home, environment=stores.environment(), log="again.log") as again:
        wait_for(lambda: again.status()["source"] == "registry", seconds=60, what="the registry to confirm it")
        answer = again.call("POST", "/predict", ROW).json()

    assert (answer["label"], answer["version"]) == (["setosa"], "2")
    assert rows(stores.mlflow_database, "SELECT version FROM model_versions ORDER BY version") == [(1,), (2,)]
    assert list(home.rglob("*.db*")) == []


@dataclass(frozen=True)
class Mistake:
    """A wrong variable, and the expected error."""

    variable: str
    value: str
    sentence: str


MISTAKES = {
    "no such bucket": Mistake(
        "MLFLOW_ARTIFACTS_DESTINATION",
        "s3://nowhere",
        "MLFLOW_ARTIFACTS_DESTINATION cannot be used: bucket nowhere does not exist: create it, or check its name and "
        "the address of the S3 server",
    ),
    "a server that does not run": Mistake(
        "MLFLOW_BACKEND_STORE_URI",
        "postgresql://slipway:hunter2@127.0.0.1:1/mlflow",
        "the database of MLFLOW_BACKEND_STORE_URI cannot be opened: check that its server is running, that the "
        "database exists, and the account and password",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_unusable_store_is_reported_in_one_sentence(
    postgres_address: str, s3: S3Server, tmp_path: Path, mistake: Mistake
) -> None:
    stores = new_stores(postgres_address, s3)
    command = [sys.executable, "-m", "slipway_cli.cli", "up", f"--home={tmp_path / 'home'}"]
    ports = [f"--port={free_port()}", f"--mlflow-port={free_port()}"]

    ended = subprocess.run(
        [*command, *ports],
        env={**os.environ, **stores.environment(), mistake.variable: mistake.value},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert ended.returncode == 1
    assert ended.stderr == f"Error: MLflow cannot start: {mistake.sentence}\n"
    assert "hunter2" not in ended.stdout
