"""The checks of `slipway doctor` of the compose stack."""

from pathlib import Path
from typing import Any

import pytest

from slipway_cli.doctor.compose import check_compose
from slipway_cli.doctor.context import read_context
from slipway_cli.doctor.findings import Finding
from slipway_cli.doctor.ports import check_ports
from slipway_cli.doctor.registry import check_registry
from support.docker import CONFIG, STACK, FakeDocker
from support.servers import free_port
from support.stub_api import Answer, stub_api

INIT: dict[str, Any] = {"Service": "init", "State": "exited", "Health": "", "ExitCode": 0}
WELL: list[dict[str, Any]] = [INIT, *({"Service": name} for name in STACK)]


def found(tmp_path: Path) -> list[Finding]:
    return list(check_compose(read_context({"home": tmp_path / "home"})))


def of(findings: list[Finding], check: str) -> Finding:
    (finding,) = [finding for finding in findings if finding.check == check]
    return finding


def test_healthy_stack_is_ok(docker: FakeDocker, tmp_path: Path) -> None:
    docker.tell_containers(*WELL)

    assert found(tmp_path) == [Finding("containers", "ok", "all 4 services are healthy")]


def test_stopped_stack_is_not_a_problem(docker: FakeDocker, tmp_path: Path) -> None:
    (finding,) = found(tmp_path)

    assert finding.status == "ok"
    assert "make up" in finding.what


@pytest.mark.parametrize(
    ("told", "status", "words"),
    [
        ({"Health": "unhealthy"}, "broken", "it is unhealthy"),
        ({"Health": "starting"}, "warning", "still starting"),
        ({"State": "exited", "Health": "", "ExitCode": 137}, "broken", "with code 137"),
        ({"State": "exited", "Health": "", "ExitCode": 0}, "warning", "it has stopped without an error"),
        ({"State": "exited", "Health": "", "ExitCode": 1}, "broken", "has exited with code 1"),
        ({"State": "restarting", "Health": ""}, "broken", "restarting"),
    ],
)
def test_unhealthy_service_is_reported_with_its_log_command(
    docker: FakeDocker, tmp_path: Path, told: dict[str, Any], status: str, words: str
) -> None:
    docker.tell_containers(*(one | (told if one["Service"] == "mlflow" else {}) for one in WELL))

    finding = of(found(tmp_path), "mlflow")

    assert finding.status == status
    assert words in finding.what
    assert "docker compose logs --tail 50 mlflow" in finding.mend


def test_waiting_services_are_reported_after_their_dependency(docker: FakeDocker, tmp_path: Path) -> None:
    waits = {"State": "created", "Health": ""}
    failed = INIT | {"Service": "secrets", "ExitCode": 1}
    docker.tell_containers(INIT, *({"Service": one} | waits for one in STACK), failed)

    secrets, others = found(tmp_path)

    assert (secrets.check, secrets.status) == ("secrets", "broken")
    assert (others.status, others.what.partition(":")[0]) == ("broken", "api, minio, mlflow, postgres")


def test_service_without_a_container_is_reported(docker: FakeDocker, tmp_path: Path) -> None:
    docker.tell_containers(*(one for one in WELL if one["Service"] != "minio"))

    assert of(found(tmp_path), "minio").status == "broken"


COMPOSE_FILE = """
services:
  api:
    ports: ["${SLIPWAY_PORT:-8000}:8000"]
    environment:
      SLIPWAY_LOG_LEVEL:
      DATABASE_URL_FILE: /run/slipway/database-url
  grafana:
    image: ${GRAFANA_IMAGE:-grafana/grafana:13.1.1}
"""


@pytest.mark.parametrize(
    ("lines", "status", "what", "mend"),
    [
        ("SLIPWAY_PORT=8080\nSLIPWAY_LOG_LEVEL=debug\n", "ok", "uses every variable", ""),
        ("# GRAFANA_IMAG=x\nexport SLIPWAY_PORT=8080\nCOMPOSE_PROFILES=train", "ok", "uses every variable", ""),
        ("GRAFANA_IMAG=x", "warning", "it sets GRAFANA_IMAG, which is not used", "rename it to GRAFANA_IMAGE, "),
        (
            "SLIPWAY_PROT=x",
            "broken",
            "it sets SLIPWAY_PROT, which prevents the stack's start",
            "rename it to SLIPWAY_",
        ),
        ("DATABASE_URL_FILE=x", "warning", "it sets DATABASE_URL_FILE", "remove the line"),
        ("DATABASE_URL=sqlite:///x", "ok", "does not use DATABASE_URL; only Slipway without Docker does", ""),
    ],
)
def test_unused_variable_of_the_env_file_is_reported(
    docker: FakeDocker, tmp_path: Path, lines: str, status: str, what: str, mend: str
) -> None:
    (docker.project / "docker-compose.yml").write_text(COMPOSE_FILE)
    (docker.project / ".env").write_text(lines)

    finding = of(found(tmp_path), ".env")

    assert finding.status == status
    assert what in finding.what
    assert finding.mend.startswith(mend)


def test_unresponsive_docker_does_not_stop_other_checks(docker: FakeDocker, tmp_path: Path) -> None:
    docker.fail("ps", "Cannot connect to the Docker daemon at unix:///var/run/docker.sock")

    (finding,) = found(tmp_path)

    assert finding.status == "warning"
    assert "start it" in finding.what


def test_compose_is_not_mentioned_outside_its_folder(
    docker: FakeDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker.tell_containers(*WELL)
    monkeypatch.chdir(tmp_path)

    assert found(tmp_path) == []


def test_firing_alert_is_reported_with_its_documentation(docker: FakeDocker, tmp_path: Path) -> None:
    annotations = {"summary": "MLflow does not answer.", "runbook": "docs/monitoring.md#mlflowdown"}
    alerts = [
        {"labels": {"alertname": "Watchdog", "severity": "none"}, "annotations": {}, "state": "firing"},
        {"labels": {"alertname": "MlflowDown", "severity": "critical"}, "annotations": annotations, "state": "firing"},
        {"labels": {"alertname": "DiskFull", "severity": "warning"}, "annotations": annotations, "state": "pending"},
    ]
    with stub_api(lambda _asked: Answer({"status": "success", "data": {"alerts": alerts}})) as stub:
        port = int(stub.url.rpartition(":")[2])
        publisher = {"TargetPort": 9090, "PublishedPort": port}
        docker.tell_containers(*WELL, {"Service": "prometheus", "Publishers": [publisher]})

        findings = found(tmp_path)

    finding = of(findings, "MlflowDown")
    assert (finding.status, finding.what) == ("broken", "MLflow does not answer.")
    assert finding.mend == "see docs/monitoring.md#mlflowdown"
    assert not {"Watchdog", "DiskFull", "alerts"} & {one.check for one in findings}


def test_compose_registry_is_checked_by_default(docker: FakeDocker, tmp_path: Path) -> None:
    with stub_api(lambda _asked: Answer({"service": "slipway"})) as stub:
        port = int(stub.url.rpartition(":")[2])
        docker.tell_containers({"Service": "mlflow", "Publishers": [{"TargetPort": 5000, "PublishedPort": port}]})

        findings = list(check_registry(read_context({"home": tmp_path / "home"})))

    assert of(findings, "registry").what.startswith(f"at http://127.0.0.1:{port}, ")


def test_port_of_the_stack_is_ok(docker: FakeDocker, tmp_path: Path) -> None:
    with stub_api(lambda _asked: Answer({"service": "slipway"})) as stub:
        port = int(stub.url.rpartition(":")[2])
        docker.tell_containers({"Service": "api", "Publishers": [{"TargetPort": 8000, "PublishedPort": port}]})

        api, _ = check_ports(read_context({"home": tmp_path, "port": port, "mlflow_port": free_port()}))

    assert api == Finding("API port", "ok", f"port {port} is used by api of the compose stack")


@pytest.fixture
def stopped_mlflow(docker: FakeDocker) -> FakeDocker:
    """A compose stack that runs, except for its MLflow."""
    stopped = {"Service": "mlflow", "State": "exited", "Health": "", "ExitCode": 0}
    docker.tell_containers(*(one for one in WELL if one["Service"] != "mlflow"), stopped)
    return docker


@pytest.mark.parametrize("is_named", [False, True])
def test_a_stopped_mlflow_is_started_by_compose(
    stopped_mlflow: FakeDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_named: bool
) -> None:
    port = free_port()
    if is_named:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")

    findings = list(check_registry(read_context({"home": tmp_path / "home", "mlflow_port": port})))

    finding = of(findings, "registry")
    assert finding.status == "broken"
    assert "docker compose up --detach mlflow" in finding.mend
    assert "slipway up" not in finding.mend


def test_stopped_stack_is_not_suggested(docker: FakeDocker, tmp_path: Path) -> None:
    docker.tell_containers({"Service": "mlflow", "State": "exited", "Health": "", "ExitCode": 0})

    (finding,) = check_registry(read_context({"home": tmp_path / "home"}))

    assert (finding.status, "`slipway up` starts one" in finding.what) == ("ok", True)


def test_another_server_is_not_started_by_compose(
    stopped_mlflow: FakeDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")

    findings = list(check_registry(read_context({"home": tmp_path / "home", "mlflow_port": free_port()})))

    assert "docker compose" not in of(findings, "registry").mend


@pytest.mark.parametrize(
    ("value", "allows"), [("true", True), ("1", True), ("false", False), (None, False), ("", False)]
)
def test_settings_of_the_api_in_the_stack_are_used(
    docker: FakeDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None, allows: bool
) -> None:
    monkeypatch.setenv("SLIPWAY_ALLOW_UNVERIFIED_MODELS", "true")
    services = {**CONFIG["services"], "api": {"environment": {"SLIPWAY_ALLOW_UNVERIFIED_MODELS": value}}}
    docker.configure({"services": services})
    docker.tell_containers({"Service": "mlflow", "Publishers": [{"TargetPort": 5000, "PublishedPort": 5000}]})

    assert read_context({"home": tmp_path / "home"}).allows_unverified_models is allows
