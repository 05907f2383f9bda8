"""Health checks, the root page, and the metrics that Prometheus scrapes."""

import httpx
import pytest

from slipway_api.accounts.models import Role
from slipway_core.manifest import MODEL_FILE
from slipway_core.registry import PRODUCTION
from slipway_core.registry.memory import InMemoryRegistry
from slipway_core.registry.mlflow import MlflowRegistry
from support.api import RunningApi, StartApi
from support.bundles import bundle_files, register
from support.waiting import wait_for


def test_root_links_to_docs_openapi_and_readiness(api: RunningApi) -> None:
    welcome = api.get("/").json()

    assert welcome["service"] == "slipway"
    for place in ("docs", "openapi", "ready"):
        assert api.get(welcome[place]).status_code == 200


def test_service_without_models_is_live(start_api: StartApi) -> None:
    answer = start_api(InMemoryRegistry(), ready=False).get("/health/live")

    assert (answer.status_code, answer.json()) == (200, {"status": "live"})


def test_service_with_its_models_is_ready(api: RunningApi) -> None:
    answer = api.get("/health/ready")

    assert answer.status_code == 200
    assert answer.json() == {"status": "ready", "models": {"iris": "1", "demand": "1"}, "missing": {}}


def test_readiness_names_the_missing_model(start_api: StartApi) -> None:
    api = start_api(InMemoryRegistry(), ready=False)

    answer = api.get("/health/ready")

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json() == {
        "status": "not ready",
        "models": {},
        "missing": {"iris": "iris has no version with the alias Production yet; train and promote one"},
    }


def test_readiness_needs_all_configured_models(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, models=("iris", "rose"), ready=False)
    wait_for(lambda: api.get("/health/ready").json()["models"], what="iris")

    body = api.get("/health/ready").json()

    assert (body["models"], list(body["missing"])) == ({"iris": "1"}, ["rose"])


def test_readiness_reports_an_unreachable_registry(start_api: StartApi, registry: InMemoryRegistry) -> None:
    registry.reachable = False
    api = start_api(registry, ready=False)

    missing = api.get("/health/ready").json()["missing"]

    assert missing == {"iris": "iris is not loaded yet: the model registry cannot be reached"}


def test_readiness_gives_the_reason_for_a_failed_load(start_api: StartApi, registry: InMemoryRegistry) -> None:
    registry.replace_file("iris", "1", MODEL_FILE, b"damaged")
    api = start_api(registry, ready=False)

    missing = api.get("/health/ready").json()["missing"]["iris"]

    assert missing.startswith("version 1 of iris cannot be loaded: model.onnx has the digest sha256:")


def test_readiness_hides_internal_registry_errors(start_api: StartApi) -> None:
    inside = "(sqlite3.OperationalError) unable to open database file /var/lib/mlflow/mlflow.db [SQL: SELECT 1]"
    refusal = httpx.Response(500, json={"error_code": "INTERNAL_ERROR", "message": inside})
    transport = httpx.MockTransport(lambda _request: refusal)
    with MlflowRegistry("http://registry.invalid", transport=transport) as registry:
        told = start_api(registry, ready=False).get("/health/ready").text

    assert "the model registry failed" in told
    assert [word for word in ("sqlite3", "/var/lib", "SELECT") if word in told] == []


PRIVATE = ["127.0.0.1", "127.8.9.10", "::1", "10.1.2.3", "172.16.0.9", "192.168.7.8", "fd00::1", "::ffff:10.0.0.1"]
PUBLIC = ["8.8.8.8", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "somebody", ""]


@pytest.mark.parametrize("address", PRIVATE)
def test_metrics_are_served_to_private_addresses(api: RunningApi, address: str) -> None:
    answer = api.get("/metrics", client=(address, 1))

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize("client", [*((address, 1) for address in PUBLIC), None], ids=str)
def test_metrics_are_hidden_from_public_addresses(api: RunningApi, client: tuple[str, int] | None) -> None:
    assert api.get("/metrics", client=client).status_code == 403


@pytest.mark.parametrize("told", ["8.8.8.8", "10.0.0.1, 8.8.8.8", "8.8.8.8, 10.0.0.1", "somebody"])
def test_metrics_are_hidden_behind_an_untrusted_proxy(api: RunningApi, told: str) -> None:
    assert api.get("/metrics", client=("172.18.0.2", 1), headers={"X-Forwarded-For": told}).status_code == 403


def test_metrics_are_served_behind_a_trusted_proxy(api: RunningApi) -> None:
    assert api.get("/metrics", headers={"X-Forwarded-For": "10.0.0.1, 127.0.0.1"}).status_code == 200


def test_metrics_may_be_public(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, metrics_public=True)

    assert api.get("/metrics", client=("8.8.8.8", 1)).status_code == 200


def test_requests_are_labelled_by_route_not_path(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry)
    for path in ("/models/iris", "/models/rose", "/models/iris/predict", "/secret-path/17", "/health/live"):
        api.get(path, role=Role.VIEWER)
    api.request("BREW", "/models/rose")

    counted = {
        (labels["method"], labels["route"], labels["status"])
        for labels in api.samples("slipway_http_requests_total")
        if api.sample("slipway_http_requests_total", **labels)
    }
    timed = {
        labels["route"]
        for labels in api.samples("slipway_http_request_duration_seconds_count")
        if api.sample("slipway_http_request_duration_seconds_count", **labels)
    }

    assert counted == {
        ("GET", "/models/{name}", "200"),
        ("GET", "/models/{name}", "404"),
        ("GET", "/models/{name}/predict", "405"),
        ("GET", "(no route)", "404"),
        ("GET", "/health/live", "200"),
        ("(other)", "/models/{name}", "405"),
    }
    assert timed == {"/models/{name}", "/models/{name}/predict", "(no route)", "/health/live", "/metrics"}


def test_predictions_are_counted_from_zero(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry)

    told = {"method": "POST", "route": "/predict"}

    assert api.sample("slipway_http_requests_total", **told, status="200") == 0
    assert api.sample("slipway_http_request_duration_seconds_count", **told) == 0
    assert api.sample("slipway_logins_total", outcome="refused") == 0


def test_each_served_version_has_one_model_info(start_api: StartApi, registry: InMemoryRegistry) -> None:
    register(registry, bundle_files("rose"), "rose", promote=True)
    api = start_api(registry)
    register(registry, bundle_files(), promote=True)
    api.post("/models/iris/reload", role=Role.ADMIN)

    served = [(labels["model"], labels["version"]) for labels in api.samples("slipway_model_info")]

    assert sorted(served) == [("iris", "2"), ("rose", "1")]


def test_metrics_report_readable_registry_and_accounts(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry)

    wait_for(lambda: api.sample("slipway_accounts_up") == 1, what="the accounts")
    assert api.sample("slipway_registry_up") == 1
    registry.reachable = False
    wait_for(lambda: api.sample("slipway_registry_up") == 0, what="the outage")


def test_new_model_is_served_without_a_restart(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry)

    register(registry, bundle_files("rose"), "rose", promote=True)

    wait_for(lambda: "rose" in api.get("/health/ready").json()["models"], seconds=5, what="rose")
    assert registry.get_model("rose").aliases == {PRODUCTION: "1"}
