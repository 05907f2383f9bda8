"""The configuration of Alertmanager from the settings, and the rejection of incomplete settings."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from slipway_cli.stack_jobs.alerting import render
from slipway_cli.stack_jobs.settings import AlertSettings
from slipway_core.errors import ConfigurationError
from slipway_core.settings import load_settings

EMAIL = {
    "SLIPWAY_ALERT_EMAIL_TO": "ops@example.com",
    "SLIPWAY_ALERT_EMAIL_FROM": "slipway@example.com",
    "SLIPWAY_ALERT_SMTP_HOST": "mail.example.com:587",
}
ACCOUNT = {"SLIPWAY_ALERT_SMTP_USERNAME": "slipway", "SLIPWAY_ALERT_SMTP_PASSWORD": "correct-horse-7"}


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Any:
    def configure(**variables: str) -> dict[str, Any]:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        configuration: dict[str, Any] = yaml.safe_load(render(load_settings(AlertSettings)))
        return configuration

    return configure


def receivers(configuration: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the integrations of each receiver."""
    return {
        receiver["name"]: {kind: parts[0] for kind, parts in receiver.items() if kind != "name"}
        for receiver in configuration["receivers"]
    }


def test_default_configuration_sends_no_alert(configured: Any) -> None:
    assert set(map(str, receivers(configured()).values())) == {"{}"}


def test_every_receiver_of_a_route_exists(configured: Any) -> None:
    configuration = configured()

    named = {configuration["route"]["receiver"], *(route["receiver"] for route in configuration["route"]["routes"])}

    assert named == set(receivers(configuration))


def test_configured_receiver_gets_both_severities(configured: Any) -> None:
    told = receivers(
        configured(
            **EMAIL,
            SLIPWAY_ALERT_SLACK_URL="https://hooks.example.com/x",
            SLIPWAY_ALERT_WEBHOOK_URL="https://oncall.example.com",
        )
    )

    for severity in ("critical", "warning"):
        assert set(told[severity]) == {"email_configs", "slack_configs", "webhook_configs"}
    assert told["none"] == told["heartbeat"] == {}


def test_heartbeat_is_repeated_at_every_evaluation(configured: Any) -> None:
    [route] = [route for route in configured()["route"]["routes"] if route["receiver"] == "heartbeat"]

    assert int(route["repeat_interval"].rstrip("s")) < int(route["group_interval"].rstrip("s")) == 60


def test_webhook_may_be_limited_to_critical_alerts(configured: Any) -> None:
    told = receivers(
        configured(
            SLIPWAY_ALERT_WEBHOOK_URL="https://oncall.example.com", SLIPWAY_ALERT_WEBHOOK_MIN_SEVERITY="critical"
        )
    )

    assert (set(told["critical"]), set(told["warning"])) == ({"webhook_configs"}, set())


def test_heartbeat_matches_the_watchdog(configured: Any) -> None:
    configuration = configured(SLIPWAY_ALERT_HEARTBEAT_URL="https://heartbeat.example.com/1")

    [route] = [route for route in configuration["route"]["routes"] if route["receiver"] == "heartbeat"]
    assert route["matchers"] == ['alertname="Watchdog"']
    assert receivers(configuration)["heartbeat"]["webhook_configs"]["url"] == "https://heartbeat.example.com/1"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, True),
        ({"SLIPWAY_ALERT_SMTP_TLS": "false"}, False),
        ({"SLIPWAY_ALERT_SMTP_HOST": "mail.example.com:465"}, False),
    ],
    ids=["STARTTLS", "none", "from the first byte"],
)
def test_starttls_is_required_if_it_applies(configured: Any, variables: dict[str, str], expected: bool) -> None:
    told = receivers(configured(**(EMAIL | variables)))

    assert told["critical"]["email_configs"]["require_tls"] is expected


def test_a_password_may_come_from_a_file(configured: Any, tmp_path: Path) -> None:
    (tmp_path / "password").write_text('it\'s: #1 "secret"\n')

    told = receivers(
        configured(
            **EMAIL, SLIPWAY_ALERT_SMTP_USERNAME="me", SLIPWAY_ALERT_SMTP_PASSWORD_FILE=str(tmp_path / "password")
        )
    )

    assert told["critical"]["email_configs"]["auth_password"] == 'it\'s: #1 "secret"'


def test_warnings_are_repeated_less_often(configured: Any) -> None:
    route = configured(SLIPWAY_ALERT_REPEAT_SECONDS="600")["route"]

    repeats = {part["receiver"]: part.get("repeat_interval", route["repeat_interval"]) for part in route["routes"]}

    assert (repeats["critical"], repeats["warning"]) == ("600s", "1800s")


REFUSED: list[tuple[dict[str, str], str]] = [
    (
        {"SLIPWAY_ALERT_EMAIL_TO": "ops@example.com"},
        "sending e-mail also requires SLIPWAY_ALERT_EMAIL_FROM and SLIPWAY_ALERT_SMTP_HOST",
    ),
    (
        {"SLIPWAY_ALERT_SMTP_HOST": "mail.example.com:25"},
        "also requires SLIPWAY_ALERT_EMAIL_TO and SLIPWAY_ALERT_EMAIL_FROM",
    ),
    ({**EMAIL, "SLIPWAY_ALERT_SMTP_USERNAME": "me"}, "also requires SLIPWAY_ALERT_SMTP_PASSWORD"),
    ({**EMAIL, "SLIPWAY_ALERT_SMTP_PASSWORD": "secret"}, "also requires SLIPWAY_ALERT_SMTP_USERNAME"),
    ({**EMAIL, "SLIPWAY_ALERT_SMTP_HOST": "mail.example.com"}, "SLIPWAY_ALERT_SMTP_HOST: write .* as host:port"),
    ({**EMAIL, **ACCOUNT, "SLIPWAY_ALERT_SMTP_TLS": "false"}, "would be sent without TLS: set SLIPWAY_ALERT_SMTP_TLS"),
    ({**EMAIL, "SLIPWAY_ALERT_EMAIL_TO": "{{ .x }}"}, "SLIPWAY_ALERT_EMAIL_TO: it must not contain {{"),
    ({**EMAIL, "SLIPWAY_ALERT_EMAIL_TO": "ops"}, "SLIPWAY_ALERT_EMAIL_TO: write e-mail addresses as"),
    ({**EMAIL, "SLIPWAY_ALERT_EMAIL_TO": "a@example.com; b@example.com"}, "several separated by commas"),
    ({**EMAIL, "SLIPWAY_ALERT_EMAIL_FROM": "a@x.org, b@x.org"}, "SLIPWAY_ALERT_EMAIL_FROM: it must be one e-mail"),
    ({"SLIPWAY_ALERT_SLACK_CHANNEL": "#alerts"}, "also requires SLIPWAY_ALERT_SLACK_URL"),
    ({"SLIPWAY_ALERT_SLACK_URL": "hooks.example.com"}, "SLIPWAY_ALERT_SLACK_URL: it must be an address"),
    ({"SLIPWAY_ALERT_WEBHOOK_URL": "https://x/{{ 1 }}"}, "SLIPWAY_ALERT_WEBHOOK_URL: it must not contain {{"),
    ({"SLIPWAY_ALERT_HEARTBEAT_URL": "heartbeat"}, "SLIPWAY_ALERT_HEARTBEAT_URL: it must be an address"),
    ({"SLIPWAY_ALERT_WEBHOOK_MIN_SEVERITY": "page"}, "SLIPWAY_ALERT_WEBHOOK_MIN_SEVERITY: .*'warning' or 'critical'"),
]


@pytest.mark.parametrize(("variables", "sentence"), REFUSED, ids=[sentence[:40] for _, sentence in REFUSED])
def test_incomplete_or_wrong_settings_are_rejected(configured: Any, variables: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        configured(**variables)


def test_rejection_contains_no_secret(configured: Any) -> None:
    with pytest.raises(ConfigurationError) as refused:
        configured(SLIPWAY_ALERT_SLACK_URL="hooks.example.com/T123", SLIPWAY_ALERT_SMTP_PASSWORD="correct-horse-7")

    assert "T123" not in str(refused.value)
    assert "correct-horse-7" not in str(refused.value)
