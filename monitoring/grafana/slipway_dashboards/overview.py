"""Overview: health, traffic, and the served versions."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from slipway_dashboards import health, journal, served, traffic
from slipway_dashboards.frame import frame
from slipway_dashboards.panels import (
    GREEN,
    NONE_IS_GOOD,
    RED,
    UP,
    YELLOW,
    About,
    Panel,
    Query,
    lines,
    states,
    value,
)
from slipway_dashboards.queries import (
    DURATION,
    MODEL,
    PREDICTS,
    QUIET,
    REQUESTS,
    ROWS,
    or_say,
    or_zero,
    quantile,
    rate,
)

# Long enough that one missed scrape does not leave the panel empty.
RECENTLY = "5m"
# The Watchdog, which always fires to show that alerts arrive, has the severity none.
FIRING = 'ALERTS{alertstate="firing", severity!="none"}'


def dashboard() -> Dashboard:
    """Return the dashboard."""
    return frame(
        "slipway-overview",
        "Slipway / Overview",
        "Is Slipway healthy, how much traffic does it have, and which versions does it serve?",
        {"Health": _health(), "Traffic": _traffic(), "Models": _models(), "Prediction log": _journal()},
        by_model=True,
    )


def _health() -> list[Panel]:
    return [
        health.is_up("API", "Whether Prometheus can scrape the API.", 'up{job="api"}', width=4),
        health.is_up(
            "Ready",
            "Whether every required model is served, like /health/ready.",
            "slipway_ready",
            width=4,
            texts=("not ready", "ready"),
        ),
        health.is_up(
            "MLflow",
            "Whether MLflow's health page responds. Without MLflow, the API continues to serve the loaded models.",
            'probe_success{job="probe", instance="mlflow"}',
            width=4,
        ),
        health.is_up(
            "MinIO",
            "Whether the object store responds. Without it, models can be neither trained nor loaded.",
            'probe_success{job="probe", instance="minio"}',
            width=4,
        ),
        health.postgresql(width=4),
        value(
            About(
                "Firing alerts",
                "Number of firing alerts. docs/monitoring.md has a runbook section for each alert.",
                "none",
                "unknown",
            ),
            Query(or_zero(f"count({FIRING})")),
            steps=NONE_IS_GOOD,
        ),
        states(
            About("Alerts", "The firing alerts over time.", "none", "no alert is firing"),
            Query(or_say(f"max by (alertname) ({FIRING})", alertname="no alert is firing"), "{{alertname}}"),
            steps=((None, GREEN), (1, RED)),
            texts=("quiet", "fires"),
        ),
        states(
            About(
                "Readiness of the API",
                "Whether the API could last read the registry and the accounts, and is ready.",
                "none",
                "unknown",
            ),
            Query(or_zero("min(slipway_registry_up)"), "registry"),
            Query(or_zero("min(slipway_accounts_up)"), "accounts"),
            Query(or_zero("min(slipway_ready)"), "ready"),
            steps=UP,
            texts=("no", "yes"),
        ),
    ]


def _traffic() -> list[Panel]:
    return [
        value(
            About(
                "Requests per second",
                "Responses in the last 5 minutes, without health checks and scrapes.",
                "reqps",
            ),
            Query(or_zero(rate(REQUESTS, QUIET, window=RECENTLY))),
        ),
        value(
            About(
                "Predicted rows per second",
                "Rows of all models in the last 5 minutes; a request may have many.",
                "rows/s",
            ),
            Query(or_zero(rate(ROWS, MODEL, window=RECENTLY))),
        ),
        traffic.error_ratio(RECENTLY, "in the last 5 minutes", width=4),
        *(
            value(
                About(
                    f"Latency p{percent}",
                    f"{percent} % of the predictions of the last 5 minutes were answered within this time.",
                    "s",
                    "no predictions",
                ),
                Query(quantile(percent / 100, DURATION, PREDICTS, window=RECENTLY)),
                steps=((None, GREEN), (0.1, YELLOW), (0.25, RED)),
            )
            for percent in (50, 95, 99)
        ),
        traffic.by_status(width=12),
        lines(
            About(
                "Latency of predictions",
                "The time within which 50, 95 and 99 % of the predictions were answered.",
                "s",
                "no predictions",
            ),
            *(Query(quantile(percent / 100, DURATION, PREDICTS), f"p{percent}") for percent in (50, 95, 99)),
            steps=((None, GREEN), (0.25, RED)),
        ),
    ]


def _models() -> list[Panel]:
    return [
        served.versions(width=12),
        value(
            About(
                "Models that cannot be loaded",
                "Current versions that cannot be loaded; the API continues to serve the previous ones.",
                "none",
            ),
            Query(or_zero("sum(slipway_model_load_failing)")),
            steps=NONE_IS_GOOD,
            width=6,
        ),
        value(
            About("Production alias missing", "The number of served models without a Production alias.", "none"),
            Query(or_zero("sum(slipway_model_alias_missing)")),
            steps=((None, GREEN), (1, YELLOW)),
            width=6,
        ),
        served.predicted_rows(width=12),
        served.live_accuracy(width=12),
    ]


def _journal() -> list[Panel]:
    return [
        journal.size(value, width=6),
        journal.oldest_record(value, width=6),
        journal.dropped_records(width=6),
        journal.rejected_files(width=6),
    ]
