"""From the API's metrics to a message: a real Prometheus and a real Alertmanager, as they are configured."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway_cli.stack_jobs.settings import AlertSettings
from support.alertmanager import Inbox, alertmanager, web_inbox
from support.api_process import api_process
from support.prometheus import Prometheus, prometheus
from support.servers import free_port
from support.waiting import wait_for

pytestmark = pytest.mark.slow

ROW = {"features": [5.1, 3.5, 1.4, 0.2]}


@pytest.fixture
def web() -> Iterator[Inbox]:
    with web_inbox() as inbox:
        yield inbox


def names(web: Inbox, status: str) -> set[str]:
    return {alert["labels"]["alertname"] for alert in web.alerts("/hook", status)}


def wait_until_told(web: Inbox, alert: str, status: str = "firing") -> None:
    wait_for(lambda: alert in names(web, status), seconds=60, what=f"{alert}, {status}")


def errors_of(server: Prometheus) -> list[str]:
    """Wait until all rules are evaluated; return the errors of those that failed."""
    wait_for(lambda: all(rule["health"] != "unknown" for rule in server.rules()), seconds=60, what="the rules")
    return [f"{rule['name']}: {rule['lastError']}" for rule in server.rules() if rule["health"] != "ok"]


def test_firing_and_resolved_alerts_are_sent(tmp_path: Path, web: Inbox) -> None:
    settings = AlertSettings.model_validate(
        {
            "alert_webhook_url": f"{web.address}/hook",
            "alert_heartbeat_url": f"{web.address}/heartbeat",
            "alert_group_wait_seconds": 0,
            "alert_group_interval_seconds": 1,
        }
    )
    port = str(free_port())
    folders = [tmp_path / name for name in ("alertmanager", "prometheus", "api")]
    for folder in folders:
        folder.mkdir()
    with alertmanager(folders[0], settings) as told:
        addresses = {"api:8000": f"127.0.0.1:{port}", "alertmanager:9093": told.url.removeprefix("http://")}
        with prometheus(folders[1], addresses) as server:
            # The API has no registry, and Prometheus finds none of the other servers.
            with api_process(folders[2], environment={"SLIPWAY_PORT": port}) as api:
                wait_until_told(web, "RegistryUnreachable")
                wait_until_told(web, "TargetDown")
                wait_for(lambda: web.of("/heartbeat"), seconds=60, what="the heartbeat")

                def is_counted() -> bool:
                    assert api.call("POST", "/predict", json=ROW).status_code == 200
                    return len(server.query("slo:prediction_requests:rate5m > 0")) == 2

                wait_for(is_counted, seconds=90, what="the rates of predictions")
                burn = {
                    sample["metric"]["slo"]: sample["value"][1] for sample in server.query("slo:prediction_burn:rate1h")
                }
                assert errors_of(server) == []

            wait_until_told(web, "ApiDown")
            with api_process(folders[2], environment={"SLIPWAY_PORT": port}):
                wait_until_told(web, "ApiDown", "resolved")

    assert burn == {"availability": "0", "latency": "0"}
    assert "Watchdog" not in names(web, "firing")
