"""Check the compose stack: its containers, and the firing alerts."""

import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from slipway_cli.docker.containers import Container
from slipway_cli.doctor.context import DoctorContext
from slipway_cli.doctor.findings import Finding, broken, ok, warning
from slipway_cli.doctor.http_probe import json_object, open_client
from slipway_cli.errors import StackError
from slipway_core.settings import FILE_SUFFIX
from slipway_core.variables import PREFIX, UNPREFIXED, VARIABLES

PROMETHEUS_PORT = 9090
# The state of a container that was created but not started.
WAITING = "created"
ENV_FILE = ".env"
ASSIGNED = r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*="
# References to the environment in a compose file: ${NAME…}, and a name without a value.
TAKEN = r"\$\{([A-Z][A-Z0-9_]*)|(?m:^ +([A-Z][A-Z0-9_]*):$)"
OF_DOCKER = ("COMPOSE_", "DOCKER_", "BUILDKIT_", "BUILDX_")
START = "`docker compose up --detach` starts the missing services"


def check_compose(context: DoctorContext) -> Iterator[Finding]:
    """Check the stack whose compose file is in this folder, if Docker is installed."""
    if context.compose_project is None:
        return
    yield from _check_env_file(context.compose_project.folder)
    try:
        found = context.compose_containers
        wanted = set(context.compose_project.call("config", "--services").split()) if found else set()
    except StackError as error:
        yield warning("Docker", str(error), "only the compose stack needs Docker; `make demo` works without it")
        return
    if not found:
        yield ok("containers", "the compose stack is not started here; `make up` starts it")
        return
    ill = [container for container in found if not container.is_well]
    waiting = [container.service for container in ill if container.state == WAITING]
    for container in ill:
        if container.state != WAITING:
            yield _unhealthy(container)
    if waiting:
        yield broken("containers", f"{', '.join(waiting)}: not started, waiting for other services", START)
    for service in sorted(wanted - {container.service for container in found}):
        yield broken(service, "it has no container", START)
    if not ill:
        count = sum(container.state == "running" for container in found)
        yield ok("containers", f"all {count} services are healthy")
    yield from _alerts(found)


def _check_env_file(folder: Path) -> Iterator[Finding]:
    """Find unused names in `.env`; one with Slipway's prefix prevents the next start of the stack."""
    try:
        lines = (folder / ENV_FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError):
        yield broken(ENV_FILE, "it cannot be read", f"make {ENV_FILE} readable for this account, in UTF-8")
        return
    named = {match[1] for line in lines if (match := re.match(ASSIGNED, line))}
    # The second pattern finds the included files.
    files = [*folder.glob("*compose*.y*ml"), *folder.glob("services/*/*.yml")]
    texts = (path.read_text(encoding="utf-8", errors="replace") for path in files)
    taken = {name for text in texts for names in re.findall(TAKEN, text) for name in names if name}
    ours = VARIABLES | UNPREFIXED
    unknown = sorted(name for name in named - taken - ours if not name.startswith(OF_DOCKER))
    for name in unknown:
        near = difflib.get_close_matches(name, taken, n=1)
        rename = f"rename it to {near[0]}, or " if near else ""
        if name.startswith(PREFIX) and not name.endswith(FILE_SUFFIX):
            yield broken(ENV_FILE, f"it sets {name}, which prevents the stack's start", f"{rename}remove the line")
        else:
            yield warning(ENV_FILE, f"it sets {name}, which is not used", f"{rename}remove the line")
    if without := sorted((named & ours) - taken):
        yield ok(ENV_FILE, f"the stack does not use {', '.join(without)}; only Slipway without Docker does")
    elif named and not unknown:
        yield ok(ENV_FILE, "the stack uses every variable in it")


def _unhealthy(container: Container) -> Finding:
    service = container.service
    logs = f"`docker compose logs --tail 50 {service}` shows the reason"
    if container.state == "running":
        what = "it is still starting" if container.health == "starting" else f"it is {container.health}"
        find = warning if container.health == "starting" else broken
        return find(service, what, logs)
    if container.state == "exited" and container.exit_code == 0:
        start = f"`docker compose up --detach {service}` restarts it"
        return warning(service, "it has stopped without an error", f"{start}; {logs}")
    if container.state == "exited":
        return broken(service, f"it has exited with code {container.exit_code}", f"{logs}; {START}")
    return broken(service, f"it is {container.state}", logs)


def _alerts(found: Sequence[Container]) -> Iterator[Finding]:
    port = next((one.ports.get(PROMETHEUS_PORT) for one in found if one.service == "prometheus"), None)
    if port is None:
        return
    try:
        with open_client(f"http://127.0.0.1:{port}") as client:
            data = json_object(client.get("/api/v1/alerts")).get("data")
    except httpx.HTTPError:
        yield broken("alerts", f"Prometheus does not respond on port {port}", "`docker compose logs prometheus`")
        return
    firing = [one for one in _alerts_of(data) if one["state"] == "firing" and one["labels"].get("severity") != "none"]
    if not firing:
        yield ok("alerts", "no alert is firing")
    for alert in firing:
        find = broken if alert["labels"].get("severity") == "critical" else warning
        runbook = alert["annotations"].get("runbook", "docs/monitoring.md")
        yield find(alert["labels"]["alertname"], alert["annotations"].get("summary", "it is firing"), f"see {runbook}")


def _alerts_of(data: object) -> list[dict[str, Any]]:
    alerts = data.get("alerts") if isinstance(data, dict) else None
    return alerts if isinstance(alerts, list) else []
