"""The generated configuration with a real Alertmanager: it notifies once when an alert fires or resolves."""

import itertools
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway_cli.stack_jobs.alerting import render
from slipway_cli.stack_jobs.settings import AlertSettings
from support.alertmanager import Alertmanager, Inbox, alertmanager, mail_inbox, web_inbox
from support.waiting import wait_for

pytestmark = pytest.mark.slow

CRITICAL = {"alertname": "MlflowDown", "severity": "critical", "component": "mlflow", "instance": "mlflow"}
WARNING = {"alertname": "ModelLoadFailing", "severity": "warning", "component": "api", "model": "iris"}
# Sent after all earlier alerts are sent or suppressed, because every group waits equally long.
# Its notification therefore marks the end of the others.
MARK = {"alertname": "Mark", "severity": "critical", "component": "test"}

EMAIL: dict[str, object] = {
    "alert_email_to": "a@example.com, b@example.com",
    "alert_email_from": "slipway@example.com",
    "alert_smtp_host": "mail.example.com:587",
}
PARTS: tuple[dict[str, object], ...] = (
    EMAIL,
    {"alert_smtp_username": "slipway", "alert_smtp_password": 'it\'s: #1 "secret" {{', **EMAIL},
    {"alert_slack_url": "https://hooks.example.com/services/T/B/x"},
    {"alert_slack_url": "https://hooks.example.com/services/T/B/x", "alert_slack_channel": "#alerts"},
    {"alert_webhook_url": "https://oncall.example.com/hook?key=1"},
    {"alert_webhook_url": "https://oncall.example.com/hook?key=1", "alert_webhook_min_severity": "critical"},
    {"alert_heartbeat_url": "https://heartbeat.example.com/1"},
    {"alert_runbook_url": "https://git.example.com/slipway"},
)
COMBINATIONS = [chosen for count in range(len(PARTS) + 1) for chosen in itertools.combinations(PARTS, count)]


def test_every_combination_of_receivers_is_valid(tmp_path: Path) -> None:
    amtool = shutil.which("amtool")
    if amtool is None:
        pytest.skip("amtool is not installed (Debian: prometheus-alertmanager)")
    configurations = {
        render(AlertSettings.model_validate({key: value for part in chosen for key, value in part.items()}))
        for chosen in COMBINATIONS
    }
    files = [tmp_path / f"{number}.yml" for number in range(len(configurations))]
    for file, configuration in zip(files, configurations, strict=True):
        file.write_text(configuration, encoding="utf-8")

    checked = subprocess.run([amtool, "check-config", *files], check=False, capture_output=True, text=True, timeout=60)

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.count("SUCCESS") == len(files) > 50


@pytest.fixture
def web() -> Iterator[Inbox]:
    with web_inbox() as inbox:
        yield inbox


@pytest.fixture
def mail() -> Iterator[Inbox]:
    with mail_inbox() as inbox:
        yield inbox


@pytest.fixture
def server(tmp_path: Path, web: Inbox, mail: Inbox) -> Iterator[Alertmanager]:
    settings = AlertSettings.model_validate(
        {
            **EMAIL,
            "alert_smtp_host": mail.address,
            "alert_smtp_tls": False,
            "alert_slack_url": f"{web.address}/slack",
            "alert_slack_channel": "#alerts",
            "alert_webhook_url": f"{web.address}/hook",
            "alert_heartbeat_url": f"{web.address}/heartbeat",
            "alert_runbook_url": "https://git.example.com/slipway/",
            "alert_group_wait_seconds": 1,
            "alert_group_interval_seconds": 1,
        }
    )
    with alertmanager(tmp_path, settings) as running:
        yield running


def told(web: Inbox, alert: dict[str, str], status: str = "firing") -> bool:
    return alert in [told["labels"] for told in web.alerts("/hook", status)]


def wait_until_told(web: Inbox, alert: dict[str, str], status: str = "firing") -> None:
    wait_for(lambda: told(web, alert, status), seconds=20, what=f"{alert['alertname']}, {status}")


def test_alert_reaches_every_receiver_with_all_its_fields(server: Alertmanager, web: Inbox, mail: Inbox) -> None:
    server.tell(CRITICAL)

    wait_for(lambda: web.of("/hook") and web.of("/slack") and mail.mails, seconds=20, what="the messages")
    [alert] = web.of("/hook")[0]["alerts"]
    assert alert["labels"] == CRITICAL
    assert alert["annotations"]["runbook"] == "docs/monitoring.md#mlflowdown"
    slack = web.of("/slack")[0]
    [attachment] = slack["attachments"]
    message = mail.mails[0]
    body = message.get_body(("plain",))
    assert body is not None
    assert (slack["channel"], attachment["color"]) == ("#alerts", "danger")
    assert message["To"] == EMAIL["alert_email_to"]
    assert message["From"] == EMAIL["alert_email_from"]
    assert message["Subject"] == "[CRITICAL] MlflowDown: MlflowDown in one sentence."
    assert attachment["title"] == message["Subject"]
    for text in (attachment["text"], body.get_content()):
        lines = text.replace("*", "").splitlines()
        assert lines[0] == "MlflowDown in one sentence."
        assert lines[1].startswith("critical, firing since 20")
        assert lines[2:4] == [
            "What it means.",
            "Runbook: https://git.example.com/slipway/docs/monitoring.md#mlflowdown",
        ]


def test_resolved_alert_is_sent(server: Alertmanager, web: Inbox, mail: Inbox) -> None:
    server.tell(CRITICAL)
    wait_until_told(web, CRITICAL)

    server.tell(CRITICAL, resolved=True)

    wait_until_told(web, CRITICAL, "resolved")
    wait_for(lambda: len(mail.mails) > 1, seconds=20, what="the second mail")
    body = mail.mails[-1].get_body(("plain",))
    assert body is not None
    assert mail.mails[-1]["Subject"].startswith("[RESOLVED] MlflowDown")
    assert ", resolved at 20" in body.get_content()


def test_alerts_of_one_name_and_model_are_one_message(server: Alertmanager, web: Inbox) -> None:
    pinned = {**WARNING, "instance": "api-2:8000"}
    other = {**WARNING, "model": "rose"}
    for alert in (WARNING, pinned, other):
        server.tell(alert)

    for alert in (WARNING, pinned, other):
        wait_until_told(web, alert)

    groups = [[alert["labels"] for alert in message["alerts"]] for message in web.of("/hook")]
    assert sorted(groups, key=len) == [[other], [pinned, WARNING]]
    titles = {body["attachments"][0]["title"] for body in web.of("/slack")}
    assert "[WARNING] ModelLoadFailing (iris): ModelLoadFailing in one sentence. (2 alerts)" in titles


HELD_BACK = [
    ("ApiDown", {"alertname": "PredictionLatency", "severity": "critical", "component": "api", "slo": "latency"}),
    ("PostgresDown", {"alertname": "AccountsUnreadable", "severity": "critical", "component": "api"}),
    ("PostgresDown", {"alertname": "JournalNotDraining", "severity": "warning", "component": "api"}),
    ("PostgresDown", {"alertname": "TargetDown", "severity": "warning", "component": "monitoring", "job": "postgres"}),
    ("MlflowDown", {"alertname": "RegistryUnreachable", "severity": "warning", "component": "api"}),
]


@pytest.mark.parametrize(("cause", "consequence"), HELD_BACK, ids=lambda value: str(value)[:30])
def test_consequence_of_a_firing_alert_is_inhibited(
    server: Alertmanager, web: Inbox, cause: str, consequence: dict[str, str]
) -> None:
    server.tell({"alertname": cause, "severity": "critical", "component": "test"})
    server.tell(consequence)
    wait_until_told(web, {"alertname": cause, "severity": "critical", "component": "test"})

    server.tell(MARK)

    wait_until_told(web, MARK)
    assert not told(web, consequence)


def test_warning_is_inhibited_by_its_critical_alert(server: Alertmanager, web: Inbox) -> None:
    full = {"alertname": "DiskFull", "component": "machine", "mountpoint": "/"}
    critical, same = {**full, "severity": "critical"}, {**full, "severity": "warning"}
    other = {**same, "mountpoint": "/data"}
    for alert in (critical, same, other):
        server.tell(alert)

    wait_until_told(web, critical)
    wait_until_told(web, other)

    server.tell(MARK)
    wait_until_told(web, MARK)
    assert not told(web, same)


def test_watchdog_sends_only_the_heartbeat(server: Alertmanager, web: Inbox) -> None:
    server.tell({"alertname": "Watchdog", "severity": "none", "component": "monitoring"})

    wait_for(lambda: web.of("/heartbeat"), seconds=20, what="the heartbeat")

    server.tell(MARK)
    wait_until_told(web, MARK)
    assert [message["groupLabels"]["alertname"] for message in web.of("/hook")] == ["Mark"]
