"""The compose stack as real containers, with a separate name and ports."""

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from support.compose import COMPOSE_FILE, ROOT
from support.quick_monitoring import write_quick_monitoring
from support.servers import free_port
from support.waiting import wait_for

PORTS = (
    "SLIPWAY_PORT",
    "SLIPWAY_MLFLOW_PORT",
    "SLIPWAY_GRAFANA_PORT",
    "SLIPWAY_PROMETHEUS_PORT",
    "SLIPWAY_ALERTMANAGER_PORT",
    "SLIPWAY_MINIO_PORT",
    "SLIPWAY_MINIO_CONSOLE_PORT",
    "SLIPWAY_HTTP_PORT",
    "SLIPWAY_HTTPS_PORT",
    "STACK_TEST_RECEIVER_PORT",
)
BUILD_SECONDS = 1_200
COMMAND_SECONDS = 300
ALERT_SECONDS = 120.0


@dataclass
class ComposeStack:
    """A running stack, and the interfaces that its users have.

    Attributes:
        environment: the variables that select this stack in its commands.
        seconds: how long `up` took, after the images were built.
        token: the administrator's token.
        first_password: the password generated at the first start.
    """

    environment: Mapping[str, str]
    seconds: float = 0.0
    token: str = field(default="", repr=False)
    first_password: str = field(default="", repr=False)

    def compose(
        self,
        *arguments: str,
        seconds: float = COMMAND_SECONDS,
        check: bool = True,
        more: Mapping[str, str] | None = None,
    ) -> str:
        """Run `docker compose` with additional variables; return its standard output."""
        done = subprocess.run(
            ["docker", "compose", *arguments],
            cwd=ROOT,
            env={**os.environ, **self.environment, **(more or {})},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert not check or done.returncode == 0, f"{' '.join(arguments)}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
        return done.stdout

    def up(self) -> None:
        """Start all stopped services, wait until all are healthy, and log in."""
        began = time.monotonic()
        self.compose("up", "--detach", "--wait", seconds=COMMAND_SECONDS)
        self.seconds = time.monotonic() - began
        self.log_in()

    def log_in(self, password: str | None = None) -> None:
        """Get a token as the administrator; the default is the generated password."""
        made = self.compose("exec", "-T", "api", "cat", "/run/slipway/admin-password").strip()
        self.first_password = self.first_password or made
        form = {"username": "admin", "password": password or made}
        answer = httpx.post(f"{self.url('SLIPWAY_PORT')}/token", data=form, timeout=30)
        self.token = answer.raise_for_status().json()["access_token"]

    def port(self, variable: str) -> int:
        """Return a port on the host by its variable."""
        return int(self.environment[variable])

    def url(self, variable: str) -> str:
        """Return the address of a port."""
        return f"http://127.0.0.1:{self.port(variable)}"

    def call(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Send a request to the API as the administrator."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.request(method, self.url("SLIPWAY_PORT") + path, headers=headers, timeout=30, **request)

    def predict(self, *features: float) -> httpx.Response:
        """Predict one row with the default model."""
        return self.call("POST", "/predict", json={"features": list(features)})

    def served_version(self) -> str:
        """Return the served version of iris."""
        version: str = self.call("GET", "/model-info").json()["model_version"]
        return version

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Query Prometheus for the current value of an expression."""
        answer = httpx.get(
            f"{self.url('SLIPWAY_PROMETHEUS_PORT')}/api/v1/query", params={"query": expression}, timeout=30
        )
        result: list[dict[str, Any]] = answer.raise_for_status().json()["data"]["result"]
        return result

    def value(self, expression: str) -> float:
        """Return the sum of the current values of an expression; 0 if it has none."""
        return sum(float(series["value"][1]) for series in self.query(expression))

    def received(self, alert: str, status: str) -> list[dict[str, Any]]:
        """Return the alerts with a name and status that reached the webhook."""
        told: list[dict[str, Any]] = httpx.get(self.url("STACK_TEST_RECEIVER_PORT"), timeout=30).json()
        return [one for one in told if one["labels"]["alertname"] == alert and one["status"] == status]

    def wait_for_alert(self, alert: str, status: str, *, more_than: int = 0) -> dict[str, Any]:
        """Wait until a notification of an alert arrives; return it."""
        found = wait_for(
            lambda: self.received(alert, status)[more_than:],
            seconds=ALERT_SECONDS,
            what=f"the message that {alert} is {status}",
        )
        return found[-1]

    def states(self) -> dict[str, tuple[str, str, int]]:
        """Return the state, the health and the exit code of each service's container."""
        lines = self.compose("ps", "--all", "--format", "json").splitlines()
        containers = [json.loads(line) for line in lines]
        return {one["Service"]: (one["State"], one["Health"], one["ExitCode"]) for one in containers}

    def addresses(self, service: str) -> list[str]:
        """Return the IP address of a service's container in each of its networks."""
        container = self.compose("ps", "--quiet", service).strip()
        networks = "{{range .NetworkSettings.Networks}}{{println .IPAddress}}{{end}}"
        return run(["docker", "inspect", "--format", networks, container]).stdout.split()


@contextmanager
def compose_stack(folder: Path, name: str, more: Mapping[str, str] | None = None) -> Iterator[ComposeStack]:
    """Build the images, run the stack until the block ends, then remove it.

    Args:
        folder: where to write the test's changed copies of files.
        name: the name of the project.
        more: variables in addition to those of the separate ports.
    """
    rules = folder / "prometheus"
    write_quick_monitoring(rules)
    for path in (rules, *rules.rglob("*")):  # readable for the account that Prometheus runs as
        path.chmod(0o755 if path.is_dir() else 0o644)
    stack = ComposeStack(
        {
            "COMPOSE_PROJECT_NAME": name,
            "COMPOSE_FILE": os.pathsep.join([str(COMPOSE_FILE), str(ROOT / "tests" / "stack" / "override.yml")]),
            "COMPOSE_PROGRESS": "plain",
            "STACK_TEST_PROMETHEUS": str(rules),
            **{port: str(free_port()) for port in PORTS},
            **(more or {}),
        }
    )
    stack.compose("build", "--quiet", seconds=BUILD_SECONDS)
    # A killed run leaves its volumes, which may belong to another clone.
    stack.compose("down", "--volumes", "--timeout=5")
    try:
        stack.up()
        yield stack
    finally:
        stack.compose("down", "--volumes", "--timeout=5", check=False)


def run(
    command: Sequence[str], environment: Mapping[str, str] | None = None, *, check: bool = True
) -> "subprocess.CompletedProcess[str]":
    """Run a command, and fail if it fails, unless `check` is false."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done
