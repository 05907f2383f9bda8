"""The API as a separate process, with a real MLflow server."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from slipway_core.policy import new_key
from support.servers import free_port, running, wait_until_ready
from support.waiting import wait_for

pytestmark = pytest.mark.slow

MODULE = [sys.executable, "-m", "slipway_api"]
PASSWORD = "correct horse battery"
# Packages that only the trainer needs, or that are imported at the first use of accounts.
HEAVY = (*("torch", "torchvision", "sklearn", "pandas", "mlflow", "skl2onnx", "onnx"), *("alembic", "sqlalchemy"))


@pytest.fixture
def environment(tmp_path: Path, mlflow_url: str) -> dict[str, str]:
    return {
        "SECRET_KEY": new_key(),
        "DATABASE_URL": f"sqlite:///{tmp_path / 'slipway.db'}",
        "MLFLOW_TRACKING_URI": mlflow_url,
        "SLIPWAY_ADMIN_PASSWORD": PASSWORD,
        # No test registers this name; other tests share the registry.
        "SLIPWAY_MODELS": "never-registered",
        "SLIPWAY_CACHE_DIR": str(tmp_path / "cache"),
        "SLIPWAY_JOURNAL_DIR": str(tmp_path / "journal"),
        "SLIPWAY_PORT": str(free_port()),
    }


@dataclass(frozen=True)
class Served:
    """A serving process."""

    process: "subprocess.Popen[bytes]"
    url: str
    log: Path


def run(command: str, folder: Path, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run a command of the service to its end."""
    return subprocess.run(
        [*MODULE, command],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


@contextmanager
def serving(tmp_path: Path, environment: dict[str, str]) -> Iterator[Served]:
    """Migrate the database and run the service until it is live."""
    migrated = run("migrate", tmp_path, environment)
    assert migrated.returncode == 0, migrated.stderr
    log = tmp_path / "api.log"
    url = f"http://127.0.0.1:{environment['SLIPWAY_PORT']}"
    with running([*MODULE, "serve"], folder=tmp_path, log=log, environment=environment) as process:
        wait_until_ready(process, f"{url}/health/live", log=log, seconds=30, what="the API")
        yield Served(process, url, log)


@pytest.fixture
def served(tmp_path: Path, environment: dict[str, str]) -> Iterator[Served]:
    """A service over SQLite and an empty registry."""
    with serving(tmp_path, environment) as served:
        yield served


@pytest.fixture
def served_by_postgresql(tmp_path: Path, environment: dict[str, str], postgres_url: str) -> Iterator[Served]:
    """A service over PostgreSQL and an empty registry."""
    with serving(tmp_path, {**environment, "DATABASE_URL": postgres_url}) as served:
        yield served


def test_api_with_empty_registry_is_live_and_not_ready(served: Served) -> None:
    def reason() -> str:
        answer = httpx.get(f"{served.url}/health/ready")
        assert answer.status_code == 503
        missing: dict[str, str] = answer.json()["missing"]
        # Before the first request to the registry, this is the reason.
        return missing["never-registered"] if "not asked yet" not in answer.text else ""

    told = wait_for(reason, what="a look at the registry")

    assert told == "never-registered has no version with the alias Production yet; train and promote one"


def test_address_is_logged(served: Served) -> None:
    events = [json.loads(line) for line in served.log.read_text().splitlines() if line.startswith("{")]

    [told] = [event for event in events if event["event"] == "listening"]

    assert served.url == f"http://{told['host']}:{told['port']}"


def test_first_admin_can_log_in_without_a_model(served: Served) -> None:
    form = {"username": "admin", "password": PASSWORD}

    answer = httpx.post(f"{served.url}/token", data=form, timeout=30)

    assert answer.status_code == 200, answer.text
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert httpx.get(f"{served.url}/models", headers=headers).json() == {"models": []}
    assert httpx.get(f"{served.url}/model-info", headers=headers).status_code in {404, 503}


@pytest.mark.slow
def test_login_with_postgresql_accepts_only_known_names(served_by_postgresql: Served) -> None:
    url = f"{served_by_postgresql.url}/token"

    answers_by_name = {
        name: httpx.post(url, data={"username": name, "password": PASSWORD}, timeout=30).status_code
        for name in ("admin", "unknown", "x" * 1_000, "half\x00way")
    }

    assert answers_by_name == {"admin": 200, "unknown": 401, "x" * 1_000: 401, "half\x00way": 401}


def test_sigterm_ends_the_process_without_a_traceback(served: Served) -> None:
    served.process.send_signal(signal.SIGTERM)

    assert served.process.wait(10) in {0, -signal.SIGTERM}
    assert "Traceback" not in served.log.read_text()


def refusal(tmp_path: Path, environment: dict[str, str]) -> str:
    """Return the error of a start, which must be one sentence."""
    ended = run("serve", tmp_path, environment)
    assert ended.returncode == 1, ended.stderr
    assert ended.stdout == ""
    lines = ended.stderr.splitlines()
    assert len(lines) == 1, ended.stderr
    assert lines[0].startswith("Error: ")
    return lines[0]


def test_port_in_use_is_reported_in_one_sentence(tmp_path: Path, environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", int(environment["SLIPWAY_PORT"]))):
        told = refusal(tmp_path, environment)

    assert f"cannot listen on 127.0.0.1 port {environment['SLIPWAY_PORT']}" in told


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"SLIPWAY_MODEL": "iris"}, "Error: SLIPWAY_MODEL is not a setting of Slipway; did you mean SLIPWAY_MODELS?"),
        ({"SECRET_KEY": ""}, "Error: SECRET_KEY is not set."),
        ({"DATABASE_URL": "mysql://slipway@127.0.0.1/slipway"}, "DATABASE_URL"),
    ],
)
def test_invalid_setting_is_reported_in_one_sentence(
    tmp_path: Path, environment: dict[str, str], changes: dict[str, str], sentence: str
) -> None:
    assert sentence in refusal(tmp_path, {**environment, **changes})


def test_start_imports_no_heavy_package() -> None:
    code = "import sys, slipway_api.main; print(*sys.modules)"

    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    imported = set(modules.stdout.split())
    assert "slipway_api.serving.model_store" in imported
    assert imported.isdisjoint(HEAVY)
