"""Rules for every service of the compose stack."""

import json
import re
from typing import Any

import pytest

from slipway_api.settings import ApiSettings
from slipway_cli.stack_jobs.settings import AlertSettings
from slipway_core.settings import variable_of
from support.compose import COMPOSE_FILE, compose, services

JOBS = {"secrets", "init", "trainer", "objects"}
# Reachable from other machines; everything else listens on loopback.
PUBLIC = {"api", "caddy"}
CAPABILITIES = {"caddy": ["NET_BIND_SERVICE"]}
# Variables that the container sets.
FIXED = {"DATABASE_URL", "MLFLOW_TRACKING_URI", "SECRET_KEY", "SLIPWAY_ADMIN_PASSWORD"}
OF_THE_IMAGE = {"SLIPWAY_CACHE_DIR", "SLIPWAY_HOST", "SLIPWAY_JOURNAL_DIR", "SLIPWAY_PORT"}

EVERY = pytest.mark.parametrize(("name", "service"), services().items(), ids=services())


@EVERY
def test_service_has_minimal_rights(name: str, service: dict[str, Any]) -> None:
    assert service["read_only"] is True, name
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("cap_add") == CAPABILITIES.get(name)
    assert "privileged" not in service
    assert service.get("network_mode", "none") == "none"


@EVERY
def test_image_is_pinned_and_replaceable(name: str, service: dict[str, Any]) -> None:
    variable, image = re.fullmatch(r"\$\{([A-Z_]+_IMAGE):-(.+)\}", service["image"]).groups()  # type: ignore[union-attr]
    tag = image.partition(":")[2]

    assert variable
    assert tag not in {"", "latest"}, name


@EVERY
def test_server_has_a_health_check_and_job_does_not_restart(name: str, service: dict[str, Any]) -> None:
    if name in JOBS:
        assert service["restart"] == "no"
        assert "healthcheck" not in service
    else:
        assert service["restart"] == "unless-stopped"
        assert health_command(service)[:1] == ["CMD"]


def health_command(service: dict[str, Any]) -> list[str]:
    """Return the health check command of a service, from the compose file or else from its Dockerfile."""
    if "test" in service["healthcheck"]:
        return list(service["healthcheck"]["test"])
    dockerfile = (COMPOSE_FILE.parent / service["build"]["dockerfile"]).read_text(encoding="utf-8")
    said = re.search(r"^HEALTHCHECK .*\\\n\s*(CMD) (\[.+\])$", dockerfile, re.MULTILINE)
    return [] if said is None else [said[1], *json.loads(said[2])]


@EVERY
def test_memory_is_limited(name: str, service: dict[str, Any]) -> None:
    assert "mem_limit" in service or name == "secrets"


@EVERY
def test_only_the_api_listens_beyond_loopback(name: str, service: dict[str, Any]) -> None:
    published = service.get("ports", [])

    assert all(re.search(r"(?:^|:)\$\{SLIPWAY_(?:[A-Z_]+_)?PORT:-\d+\}:\d+$", port) for port in published)
    assert name in PUBLIC or all(port.startswith("127.0.0.1:") for port in published)


@EVERY
def test_service_mounts_only_its_own_secrets(name: str, service: dict[str, Any]) -> None:
    mounts = [mount for mount in service.get("volumes", []) if isinstance(mount, dict)]

    secret = [mount for mount in mounts if mount["source"] == "secrets"]
    # The job init records in its folder that it signed the models of an earlier release.
    assert all(mount.get("read_only", False) or name == "init" for mount in secret)
    assert [mount["volume"]["subpath"] for mount in secret] in ([], [name])
    assert name == "secrets" or not any(
        isinstance(mount, str) and mount.startswith("secrets:") for mount in service.get("volumes", [])
    )


@EVERY
def test_service_waits_for_its_dependencies(name: str, service: dict[str, Any]) -> None:
    for other, how in service.get("depends_on", {}).items():
        # With `restart`, Compose stops running services before it knows the state of the dependency.
        assert "restart" not in how, (name, other)
        expected = {"service_completed_successfully"} if other in JOBS else {"service_healthy", "service_started"}
        assert how["condition"] in expected, (name, other)


# The services that need each server. A network connects every pair of its services in both directions.
NEIGHBOURS = {
    "mlflow": {"api", "init", "trainer", "blackbox-exporter", "postgres", "minio"},
    "postgres": {"api", "init", "mlflow", "postgres-exporter"},
    "minio": {"init", "trainer", "objects", "mlflow", "blackbox-exporter"},
    "alertmanager": {"prometheus", "grafana"},
    "grafana": {"prometheus", "alertmanager"},
    "caddy": {"api"},
    "node-exporter": {"prometheus", "api", "postgres-exporter", "blackbox-exporter"},
}


def networks_of(service: dict[str, Any]) -> set[str]:
    """Return a service's networks with HTTPS on and off; Compose adds `default` to a service that names none."""
    if service.get("network_mode") == "none":
        return set()
    named = service.get("networks", ["default"])
    return {re.sub(r"\$\{SLIPWAY_DOMAIN:\+([^}]*)\}", on, name) for name in named for on in ("", r"\1")}


@pytest.mark.parametrize("server", NEIGHBOURS)
def test_a_server_shares_networks_only_with_its_clients(server: str) -> None:
    own = networks_of(services()[server])

    sharing = {name for name, service in services().items() if networks_of(service) & own} - {server}

    assert sharing == NEIGHBOURS[server]


@EVERY
def test_a_published_port_has_a_network_that_is_not_internal(name: str, service: dict[str, Any]) -> None:
    networks = compose()["networks"]
    external = {network for network in networks_of(service) if not (networks[network] or {}).get("internal")}

    assert external or not service.get("ports"), name


def test_every_network_is_declared_and_used() -> None:
    used = set().union(*(networks_of(service) for service in services().values()))

    assert used == set(compose()["networks"])


def test_every_volume_is_declared() -> None:
    mounted = {
        mount["source"] if isinstance(mount, dict) else mount.partition(":")[0]
        for service in services().values()
        for mount in service.get("volumes", [])
    }

    assert {volume for volume in mounted if not volume.startswith((".", "/"))} == set(compose()["volumes"])


def test_first_job_checks_every_project_file_that_is_mounted() -> None:
    def mounted(service: dict[str, Any]) -> set[str]:
        mounts = [mount for mount in service.get("volumes", []) if isinstance(mount, str)]
        return {mount.partition(":")[0] for mount in mounts if mount.startswith("./")}

    looked_at = tuple(mounted(services()["secrets"]))
    # A data folder may be empty or large; the trainer reports unreadable files.
    needed = set().union(*(mounted(service) for service in services().values())) - {"./data"}

    assert [path for path in needed if not path.startswith(looked_at)] == []


def test_compose_passes_every_setting_to_the_api() -> None:
    read = {variable_of(ApiSettings, name) for name in ApiSettings.model_fields}
    environment = services()["api"]["environment"]
    told = {name.removesuffix("_FILE") for name in environment} | environment.keys()

    assert read - told == OF_THE_IMAGE
    assert {name for name in FIXED if f"{name}_FILE" not in services()["api"]["environment"]} == {"MLFLOW_TRACKING_URI"}


def test_compose_passes_every_alert_setting() -> None:
    read = {variable_of(AlertSettings, name) for name in AlertSettings.model_fields}

    assert {name for name in read if "ALERT" in name} <= services()["secrets"]["environment"].keys()


def test_compose_file_has_no_password() -> None:
    text = COMPOSE_FILE.read_text(encoding="utf-8")

    named = r"(?im)^\s*\w*(?:password|secret|key|token)\w*:[ \t]+"
    assert re.findall(named + r"(?!/run/slipway/|\{|\$\{|\*done$)\S+", text) == []
