"""Generate Alertmanager's configuration from the settings, because Alertmanager does not expand variables.

The configuration contains secrets (the mail server's password, Slack's address) and must be kept secret.
"""

from typing import Any

import yaml

from slipway_cli.stack_jobs.settings import AlertSettings

# The names of the receivers. `none` has no integrations and sends no notification.
NO_RECEIVER, CRITICAL, WARNING, HEARTBEAT = "none", "critical", "warning", "heartbeat"

WARNINGS_REPEAT_TIMES = 3
HEARTBEAT_SECONDS = 60
# Alertmanager checks a group in each interval, and repeats a notification that is older than this. With the full
# interval, the notification would be slightly too new at every second check.
HEARTBEAT_REPEAT_SECONDS = HEARTBEAT_SECONDS // 2

# Alerts with equal values of these labels have the same cause.
SUBJECT = ("alertname", "job", "instance", "model", "version", "slo", "device", "mountpoint")

SUBJECT_LINE = (
    '{{ if eq .Status "firing" }}[{{ .CommonLabels.severity | toUpper }}]{{ else }}[RESOLVED]{{ end }} '
    "{{ .GroupLabels.alertname }}{{ with .GroupLabels.model }} ({{ . }}){{ end }}"
    "{{ with .CommonAnnotations.summary }}: {{ . }}{{ end }}"
    "{{ if gt (len .Alerts) 1 }} ({{ len .Alerts }} alerts){{ end }}"
)
TEXT = """{{ range .Alerts }}{{ .Annotations.summary }}
%(strong)s{{ .Labels.severity }}%(strong)s, firing since {{ .StartsAt.UTC.Format "2006-01-02 15:04:05Z" }}\
{{ if eq .Status "resolved" }}, resolved at {{ .EndsAt.UTC.Format "2006-01-02 15:04:05Z" }}{{ end }}
{{ .Annotations.description }}
Runbook: %(runbook)s{{ .Annotations.runbook }}

{{ end }}"""


def render(settings: AlertSettings) -> str:
    """Return alertmanager.yml.

    Critical alerts and warnings are sent to all configured receivers, except that the webhook has its own minimum
    severity. Alerts of severity `info` are not sent. Watchdog alerts (severity `none`) go only to the heartbeat.
    """
    configuration = {
        "route": _route(settings),
        "inhibit_rules": _inhibit_rules(),
        "receivers": [
            {"name": NO_RECEIVER},
            {"name": CRITICAL, **_integrations(settings, CRITICAL)},
            {"name": WARNING, **_integrations(settings, WARNING)},
            {"name": HEARTBEAT, **_heartbeat(settings)},
        ],
    }
    note = "# Generated from the variables SLIPWAY_ALERT_…; changes are lost at the next start.\n"
    return note + yaml.safe_dump(configuration, sort_keys=False, allow_unicode=True, width=10_000)


def _route(settings: AlertSettings) -> dict[str, Any]:
    repeat = settings.alert_repeat_seconds
    return {
        "receiver": NO_RECEIVER,
        "group_by": ["alertname", "model"],
        "group_wait": f"{settings.alert_group_wait_seconds}s",
        "group_interval": f"{settings.alert_group_interval_seconds}s",
        "repeat_interval": f"{repeat}s",
        "routes": [
            {
                "matchers": ['alertname="Watchdog"'],
                "receiver": HEARTBEAT,
                "group_wait": "0s",
                "group_interval": f"{HEARTBEAT_SECONDS}s",
                "repeat_interval": f"{HEARTBEAT_REPEAT_SECONDS}s",
            },
            {"matchers": ['severity="critical"'], "receiver": CRITICAL},
            {
                "matchers": ['severity="warning"'],
                "receiver": WARNING,
                "repeat_interval": f"{WARNINGS_REPEAT_TIMES * repeat}s",
            },
        ],
    }


def _inhibit_rules() -> list[dict[str, Any]]:
    """Return the rules that suppress redundant alerts while another alert is firing."""
    return [
        {
            "source_matchers": ['alertname="ApiDown"'],
            "target_matchers": ['component="api"', 'alertname!="ApiDown"'],
        },
        {
            "source_matchers": ['alertname="PostgresDown"'],
            "target_matchers": ['alertname=~"AccountsUnreadable|JournalNotDraining|RegistryUnreachable"'],
        },
        {
            # If PostgreSQL hangs, its exporter does not respond, either.
            "source_matchers": ['alertname="PostgresDown"'],
            "target_matchers": ['alertname="TargetDown"', 'job="postgres"'],
        },
        {
            "source_matchers": ['alertname="MlflowDown"'],
            "target_matchers": ['alertname="RegistryUnreachable"'],
        },
        {
            "source_matchers": ['severity="critical"'],
            "target_matchers": ['severity="warning"'],
            "equal": list(SUBJECT),
        },
    ]


def _integrations(settings: AlertSettings, severity: str) -> dict[str, Any]:
    integrations: dict[str, Any] = {}
    runbook = settings.alert_runbook_url and settings.alert_runbook_url.rstrip("/") + "/"
    if settings.alert_email_to:
        integrations["email_configs"] = [_email(settings, TEXT % {"strong": "", "runbook": runbook})]
    if settings.alert_slack_url:
        url = settings.alert_slack_url.get_secret_value()
        integrations["slack_configs"] = [
            _slack(url, settings.alert_slack_channel, TEXT % {"strong": "*", "runbook": runbook})
        ]
    if settings.alert_webhook_url and severity in (CRITICAL, settings.alert_webhook_min_severity):
        url = settings.alert_webhook_url.get_secret_value()
        integrations["webhook_configs"] = [{"url": url, "send_resolved": True}]
    return integrations


def _email(settings: AlertSettings, text: str) -> dict[str, Any]:
    email: dict[str, Any] = {
        "to": settings.alert_email_to,
        "from": settings.alert_email_from,
        "smarthost": settings.alert_smtp_host,
        # `require_tls` means STARTTLS, which servers with implicit TLS do not offer.
        "require_tls": settings.alert_smtp_tls and not settings.is_tls_from_the_first_byte,
        "send_resolved": True,
        "headers": {"Subject": SUBJECT_LINE},
        "text": text,
        "html": "",
    }
    if settings.alert_smtp_username and settings.alert_smtp_password:
        email["auth_username"] = settings.alert_smtp_username
        email["auth_password"] = settings.alert_smtp_password.get_secret_value()
    return email


def _slack(url: str, channel: str | None, text: str) -> dict[str, Any]:
    slack: dict[str, Any] = {
        "api_url": url,
        "send_resolved": True,
        "title": SUBJECT_LINE,
        "fallback": SUBJECT_LINE,
        "text": text,
        "color": '{{ if ne .Status "firing" }}good{{ else if eq .CommonLabels.severity "critical" }}danger'
        "{{ else }}warning{{ end }}",
    }
    if channel:
        slack["channel"] = channel
    return slack


def _heartbeat(settings: AlertSettings) -> dict[str, Any]:
    if not settings.alert_heartbeat_url:
        return {}
    return {
        "webhook_configs": [{"url": settings.alert_heartbeat_url.get_secret_value(), "send_resolved": False}],
    }
