"""The stack of docker compose, end to end, with real containers.

Run by `make stack-test`, which prints the figures. Where an image is a stand-in, a test shows no more than that the
compose file and the configuration are in order.
"""

import json
import re
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.compose import ROOT
from support.compose_stack import ComposeStack, run
from support.dashboards import as_sent, dashboards, panels_of
from support.load import load
from support.waiting import wait_for

pytestmark = pytest.mark.stack

JOBS = {"secrets", "init"}
SLIPWAY = str(Path(sys.executable).with_name("slipway"))
SETOSA = (5.1, 3.5, 1.4, 0.2)
SWAP_SECONDS = 10.0


def test_every_container_is_well_and_every_job_is_done(stack: ComposeStack) -> None:
    states = stack.states()
    print(f"up --wait: {stack.seconds:.1f} s")

    assert {name: state for name, state in states.items() if name in JOBS} == dict.fromkeys(JOBS, ("exited", "", 0))
    ill = {name: state for name, state in states.items() if name not in JOBS and state[1] != "healthy"}
    assert ill == {"receiver": ("running", "", 0)}


# What a healthy start must not log: errors and warnings of PostgreSQL and MLflow, and MLflow's line for each request.
# PostgreSQL logs one if the health check asks while it starts, which no setting prevents.
STARTING = r"FATAL(?!:  the database system is starting up)"
NOISE = re.compile(rf"\b(?:ERROR|{STARTING}|PANIC|WARNING)\b|Traceback|\"(?:GET|POST|PUT|PATCH|DELETE) /")


@pytest.mark.parametrize("service", ["postgres", "mlflow", "init", "secrets", "api"])
def test_logs_of_a_healthy_start_are_quiet(stack: ComposeStack, service: str) -> None:
    lines = stack.compose("logs", "--no-log-prefix", service).splitlines()

    assert [line for line in lines if NOISE.search(line)] == []


PREFLIGHT = str(ROOT / "services" / "compose" / "preflight.sh")


def test_preflight_accepts_the_ports_of_its_own_stack(stack: ComposeStack) -> None:
    assert run([PREFLIGHT], stack.environment).stderr == ""


def test_preflight_names_a_taken_port_with_its_variable(stack: ComposeStack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused = run([PREFLIGHT], {**stack.environment, "SLIPWAY_GRAFANA_PORT": str(port)}, check=False)

    assert refused.returncode == 1
    assert f"port {port} on 127.0.0.1 is in use: choose another with SLIPWAY_GRAFANA_PORT in .env" in refused.stderr


def test_first_password_is_printed_and_works(stack: ComposeStack) -> None:
    told = stack.compose("logs", "--no-log-prefix", "init")

    password = re.search(r"admin, password: (\S+) \(shown only once\)", told)
    assert password is not None
    form = {"username": "admin", "password": password[1]}
    assert httpx.post(f"{stack.url('SLIPWAY_PORT')}/token", data=form, timeout=30).status_code == 200


def test_a_prediction_is_counted_by_prometheus(stack: ComposeStack) -> None:
    expression = 'slipway_http_requests_total{route="/predict",status="200"}'
    before = stack.value(expression)

    answer = stack.predict(*SETOSA)

    assert answer.json()["label"] == ["setosa"]
    wait_for(lambda: stack.value(expression) > before, seconds=30, what="the prediction in Prometheus")


# Prints the addresses that accept a connection.
CONNECT = """
import socket, sys
from concurrent.futures import ThreadPoolExecutor
def answers(address):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except OSError:
        return False
    return True
with ThreadPoolExecutor(32) as pool:
    print(*(address for address, yes in zip(sys.argv[1:], pool.map(answers, sys.argv[1:])) if yes))
"""
SERVERS = {"mlflow": 5000, "postgres": 5432, "minio": 9000}


def test_a_container_outside_its_networks_cannot_connect(stack: ComposeStack) -> None:
    addresses = {server: [f"{ip}:{port}" for ip in stack.addresses(server)] for server, port in SERVERS.items()}
    every = [address for own in addresses.values() for address in own] + [f"{name}:{SERVERS[name]}" for name in SERVERS]

    def reached_from(service: str) -> set[str]:
        return set(stack.compose("exec", "-T", service, "python", "-c", CONNECT, *every).split())

    assert reached_from("receiver") == set()
    # The API needs MLflow and PostgreSQL, each by one address.
    reached = reached_from("api")
    assert {"mlflow:5000", "postgres:5432"} < reached
    assert not reached & {"minio:9000", *addresses["minio"]}


def test_working_directory_of_api_is_empty_and_read_only(stack: ComposeStack) -> None:
    command = 'ls -A "$(readlink /proc/1/cwd)"; test -w "$(readlink /proc/1/cwd)" && echo writable; true'

    assert stack.compose("exec", "-T", "api", "sh", "-c", command) == ""


def test_https_serves_the_api_and_only_loopback_does_in_clear(stack: ComposeStack, tmp_path: Path) -> None:
    certificate = tmp_path / "root.crt"
    stack.compose("cp", "caddy:/data/caddy/pki/authorities/local/root.crt", str(certificate))
    url = f"https://localhost:{stack.port('SLIPWAY_HTTPS_PORT')}"
    form = {"username": "admin", "password": stack.first_password}
    with httpx.Client(verify=ssl.create_default_context(cafile=certificate), timeout=30) as client:
        token = client.post(f"{url}/token", data=form)
        metrics = client.get(f"{url}/metrics")
        redirect = client.get(f"http://localhost:{stack.port('SLIPWAY_HTTP_PORT')}/docs?a=b")

    assert token.status_code == 200
    # The API sends it only if it trusts Caddy's X-Forwarded-Proto.
    assert token.headers["Strict-Transport-Security"].startswith("max-age=")
    assert metrics.status_code == 404
    assert redirect.headers["Location"] == f"{url}/docs?a=b"
    assert stack.compose("port", "api", "8000").strip() == f"127.0.0.1:{stack.port('SLIPWAY_PORT')}"


def test_every_query_of_every_dashboard_has_data(stack: ComposeStack) -> None:
    assert stack.predict(*SETOSA).status_code == 200
    assert stack.predict(1.0).status_code == 422
    password = stack.compose("exec", "-T", "grafana", "cat", "/run/slipway/grafana-password").strip()
    with httpx.Client(base_url=stack.url("SLIPWAY_GRAFANA_PORT"), auth=("admin", password), timeout=30) as grafana:
        found = grafana.get("/api/search", params={"type": "dash-db"}).raise_for_status().json()
        queries = [query for one in found for query in queries_of(grafana, one["uid"])]

        def without_data() -> list[tuple[str, str, str]]:
            return [query for query in queries if not has_data(grafana, query[2])]

        try:
            wait_for(lambda: not without_data(), seconds=60, what="data in every panel")
        except AssertionError:
            assert without_data() == []

    assert {one["uid"] for one in found} == {one["uid"] for one in dashboards().values()}
    print(f"{len(queries)} queries of {len(found)} dashboards have data")


def queries_of(grafana: httpx.Client, uid: str) -> Iterator[tuple[str, str, str]]:
    """Yield the dashboard, the panel and the expression of each query."""
    dashboard = grafana.get(f"/api/dashboards/uid/{uid}").raise_for_status().json()["dashboard"]
    for panel in panels_of(dashboard):
        for target in panel["targets"]:
            yield dashboard["title"], panel["title"], target["expr"]


def has_data(grafana: httpx.Client, expression: str) -> bool:
    query = {"query": as_sent(expression)}
    answer = grafana.get("/api/datasources/proxy/uid/prometheus/api/v1/query", params=query)
    assert answer.status_code == 200, f"{expression}: {answer.text}"
    return bool(answer.json()["data"]["result"])


def test_new_version_is_served_without_a_failed_request(stack: ComposeStack) -> None:
    before = stack.served_version()
    with load("127.0.0.1", stack.port("SLIPWAY_PORT"), stack.token) as running:
        told = stack.compose("run", "--rm", "--no-deps", "trainer", "train", "iris")
        trained = time.monotonic()
        assert "Production of iris is now version" in told
        wait_for(lambda: stack.served_version() != before, seconds=SWAP_SECONDS, what="the new version")
        swapped = time.monotonic() - trained
        running.wait_for_more(500)
    print(f"{len(running.answers)} predictions, the new version {swapped:.1f} s after the training's end")

    assert running.failures == []
    assert running.broken == []
    assert running.refused == 0
    assert not re.search("WARNING|Traceback", told)
    assert [
        line for line in stack.compose("logs", "--no-log-prefix", "postgres").splitlines() if NOISE.search(line)
    ] == []


@pytest.mark.parametrize(
    ("service", "alert"), [("mlflow", "MlflowDown"), ("minio", "MinioDown"), ("postgres", "PostgresDown")]
)
def test_predictions_continue_during_an_outage_that_alerts(stack: ComposeStack, service: str, alert: str) -> None:
    resolved = len(stack.received(alert, "resolved"))
    fired = len(stack.received(alert, "firing"))
    with load("127.0.0.1", stack.port("SLIPWAY_PORT"), stack.token, clients=1) as running:
        running.wait_for_more(50)
        stack.compose("stop", service)
        try:
            message = stack.wait_for_alert(alert, "firing", more_than=fired)
            assert service in {one["check"] for one in doctor(stack) if one["status"] in {"broken", "warning"}}
            running.wait_for_more(200)
        finally:
            stack.compose("start", service)
        stack.wait_for_alert(alert, "resolved", more_than=resolved)
        running.wait_for_more(50)

    assert running.failures == []
    assert running.broken == []
    assert message["annotations"]["summary"]
    assert message["annotations"]["runbook"].startswith("docs/monitoring.md#")


def doctor(stack: ComposeStack) -> list[dict[str, str]]:
    """Return what `slipway doctor` says of the stack; of this machine it may say what it likes."""
    told = run([SLIPWAY, "doctor", "--json"], stack.environment, check=False).stdout
    return [one for one in json.loads(told)["findings"] if one["area"] == "Compose stack"]


@pytest.mark.parametrize(
    "wrong", [{"SLIPWAY_ALERT_SMTP_HOST": "nonsense"}, {"SECRET_KEY": "short"}], ids=["an alert's", "a secret"]
)
def test_a_wrong_setting_is_refused_and_what_runs_goes_on(stack: ComposeStack, wrong: dict[str, str]) -> None:
    with load("127.0.0.1", stack.port("SLIPWAY_PORT"), stack.token, clients=1) as running:
        running.wait_for_more(50)
        stack.compose("up", "--detach", check=False, more=wrong)
        refused = stack.states()["secrets"]
        told = stack.compose("logs", "--no-log-prefix", "secrets")
        running.wait_for_more(50)
        stack.compose("up", "--detach", "--wait")
        running.wait_for_more(50)

    assert refused == ("exited", "", 1)
    assert f"Error: {next(iter(wrong))}" in told
    assert running.failures == []
    assert running.broken == []


def test_the_doctor_finds_the_stack_well(stack: ComposeStack) -> None:
    (containers,) = [one for one in doctor(stack) if one["check"] == "containers"]

    assert containers["status"] == "ok"
    assert "services are healthy" in containers["what"]


def test_restore_brings_back_users_models_and_predictions(stack: ComposeStack, tmp_path: Path) -> None:
    account = {"username": "backed-up", "password": "correct horse battery"}
    # The database may have come back just now, in the test before.
    wait_for(lambda: stack.call("POST", "/users", json=account).status_code in {201, 409}, what="the account")
    kept = stack.predict(*SETOSA).json()["id"]
    wait_for(lambda: stack.call("GET", f"/predictions/{kept}").status_code == 200, what="the prediction in the log")
    version = stack.served_version()
    file = tmp_path / "stack.backup"

    began = time.monotonic()
    run([SLIPWAY, "backup", str(file)], stack.environment)
    backed_up = time.monotonic() - began
    stack.compose("down", "--volumes", "--timeout=5")
    stack.up()
    assert stack.call("GET", f"/predictions/{kept}").status_code == 404
    began = time.monotonic()
    run([SLIPWAY, "restore", "--yes", str(file)], stack.environment)
    restored = time.monotonic() - began
    print(f"backup of {file.stat().st_size / 1e6:.1f} MB in {backed_up:.1f} s, restored in {restored:.1f} s")

    form = {"username": account["username"], "password": account["password"]}
    token = httpx.post(f"{stack.url('SLIPWAY_PORT')}/token", data=form, timeout=30).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    body = {"features": list(SETOSA)}

    def predicting_version() -> str:
        answer = httpx.post(f"{stack.url('SLIPWAY_PORT')}/predict", headers=headers, json=body, timeout=30)
        return str(answer.json()["version"])

    # Until the API has loaded the restored version, it serves the one in its cache.
    wait_for(lambda: predicting_version() == version, seconds=SWAP_SECONDS, what="the restored version")
    stack.log_in(stack.first_password)
    assert stack.call("GET", f"/predictions/{kept}").json()["id"] == kept


@pytest.mark.parametrize("service", ["api", "mlflow", "trainer"])
def test_no_secret_and_no_state_is_in_an_image(stack: ComposeStack, service: str) -> None:
    services = json.loads(stack.compose("--profile=train", "config", "--format=json"))["services"]
    image = services[service]["image"]
    # What the image begins with is its makers' to answer for: Python's tells the key that signs it.
    base = services["api"]["build"]["args"]["PYTHON_IMAGE"]
    variables = set(environment_of(image)) - set(environment_of(base))
    layers = set(layers_of(image)) - set(layers_of(base))
    search = "find / -xdev \\( -name '.env*' -o -name .git -o -name '*.db' -o -name .netrc -o -name .pypirc \\)"
    found = run(["docker", "run", "--rm", "--network=none", "--user=0", "--entrypoint=sh", image, "-c", search]).stdout

    assert any(layer.startswith("COPY") for layer in layers)
    assert [one for one in variables if re.search(r"(?i)password|secret|token|key", one)] == []
    assert [one for one in layers if re.search(r"(?i)(?:password|secret|token|_key)[a-z_]*=\S+", one)] == []
    assert [path for path in found.splitlines() if "/site-packages/mlflow/" not in path] == []


def environment_of(image: str) -> list[str]:
    return list(json.loads(run(["docker", "image", "inspect", image]).stdout)[0]["Config"]["Env"])


def layers_of(image: str) -> list[str]:
    """Return what made each layer of an image."""
    return run(["docker", "history", "--no-trunc", "--format={{.CreatedBy}}", image]).stdout.splitlines()
