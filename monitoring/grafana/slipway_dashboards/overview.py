"""Overview: is it healthy, how much is asked of it, and which versions answer."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

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
    names,
    states,
    value,
)
from slipway_dashboards.queries import (
    DURATION,
    MODEL,
    PREDICTS,
    QUIET,
    REQUESTS,
    VERSION,
    increase,
    or_say,
    or_served,
    or_zero,
    quantile,
    rate,
    ratio,
)

DOWN_UP = ("down", "up")
# A number of now that one quiet scrape does not empty.
RECENTLY = "5m"
# Of severity none is the alert that always fires, to show that alerts arrive.
FIRING = 'ALERTS{alertstate="firing", severity!="none"}'


def dashboard() -> Dashboard:
    """Return the dashboard."""
    return frame(
        "slipway-overview",
        "Slipway / Overview",
        "Is it healthy, how much is asked of it, and which versions answer?",
        {"Health": _health(), "Traffic": _traffic(), "Models": _models(), "Prediction log": _journal()},
        by_model=True,
    )


def _health() -> list[Panel]:
    services = (
        ("API", 'up{job="api"}', "Whether Prometheus can scrape the API."),
        ("Ready", "slipway_ready", "Whether every required model is served, as /health/ready tells."),
        (
            "MLflow",
            'probe_success{job="probe", instance="mlflow"}',
            "Whether MLflow's health page answers. Without it, what is served is served on.",
        ),
        (
            "MinIO",
            'probe_success{job="probe", instance="minio"}',
            "Whether the object store answers. Without it nothing can be trained or newly loaded.",
        ),
        (
            "PostgreSQL",
            "pg_up",
            "Whether PostgreSQL can be queried. Without it nobody can log in, and the journal keeps predictions.",
        ),
    )
    shown = [
        value(
            About(title, description, "none", "unknown"),
            Query(or_zero(f"min({series})")),
            steps=UP,
            texts=("not ready" if title == "Ready" else "down", "ready" if title == "Ready" else "up"),
            width=4,
        )
        for title, series, description in services
    ]
    return [
        *shown,
        value(
            About(
                "Firing alerts",
                "How many alerts fire now; docs/operations.md says what to do about each.",
                "none",
                "unknown",
            ),
            Query(or_zero(f"count({FIRING})")),
            steps=NONE_IS_GOOD,
        ),
        states(
            About("Alerts", "Which alerts fired when.", "none", "nothing fires"),
            Query(or_say(f"max by (alertname) ({FIRING})", alertname="nothing fires"), "{{alertname}}"),
            steps=((None, GREEN), (1, RED)),
            texts=("quiet", "fires"),
        ),
        states(
            About(
                "What the API sees",
                "Whether the API could read the registry and the accounts last time.",
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
    failed = f'{QUIET}, status=~"5.."'
    return [
        value(
            About(
                "Requests a second",
                "What was answered in the last 5 minutes, without health checks and scrapes.",
                "reqps",
            ),
            Query(or_zero(rate(REQUESTS, QUIET, window=RECENTLY))),
        ),
        value(
            About(
                "Predicted rows a second",
                "Rows of all models in the last 5 minutes; a request may have many.",
                "rows/s",
            ),
            Query(or_zero(rate("slipway_prediction_rows_total", MODEL, window=RECENTLY))),
        ),
        value(
            About(
                "Error ratio",
                "The share of requests in the last 5 minutes that were answered 500 or above.",
                "percentunit",
            ),
            Query(ratio(rate(REQUESTS, failed, window=RECENTLY), rate(REQUESTS, QUIET, window=RECENTLY))),
            steps=((None, GREEN), (0.001, YELLOW), (0.01, RED)),
        ),
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
        lines(
            About("Requests by status", "What was answered, without health checks and scrapes.", "reqps"),
            Query(rate(REQUESTS, QUIET, by="status"), "{{status}}"),
            is_stacked=True,
        ),
        lines(
            About(
                "Latency of predictions",
                "Within which time 50, 95 and 99 % of the predictions were answered.",
                "s",
                "no predictions",
            ),
            *(Query(quantile(percent / 100, DURATION, PREDICTS), f"p{percent}") for percent in (50, 95, 99)),
            steps=((None, GREEN), (0.25, RED)),
        ),
    ]


def _models() -> list[Panel]:
    accuracy = f"max by ({VERSION}) (slipway_live_accuracy_ratio{{{MODEL}}})"
    return [
        names(
            About(
                "Served versions",
                "The model versions that answer now, Production's and those that are pinned.",
                "none",
                "nothing is served",
            ),
            Query(
                or_say(
                    f"max by ({VERSION}) (slipway_model_info{{{MODEL}}} == 1)", model="nothing", version="is served"
                ),
                "{{model}} {{version}}",
            ),
            width=12,
        ),
        value(
            About(
                "Models that cannot be loaded",
                "Versions that should be served and cannot be loaded; what was served before is served on.",
                "none",
            ),
            Query(or_zero("sum(slipway_model_load_failing)")),
            steps=NONE_IS_GOOD,
            width=6,
        ),
        value(
            About(
                "Production alias missing", "Models that are served although nothing is Production any more.", "none"
            ),
            Query(or_zero("sum(slipway_model_alias_missing)")),
            steps=((None, GREEN), (1, YELLOW)),
            width=6,
        ),
        lines(
            About("Predicted rows by version", "Rows a second of each model version.", "rows/s"),
            Query(
                or_say(rate("slipway_prediction_rows_total", MODEL, by=VERSION), model="nothing", version="is served"),
                "{{model}} {{version}}",
            ),
        ),
        lines(
            About(
                "Live accuracy",
                "The share of rows with feedback that a classifier predicted right, by version.",
                "percentunit",
                "no feedback yet",
            ),
            Query(
                or_say(
                    or_served(accuracy, "slipway_prediction_confidence_count"),
                    model="no classifier",
                    version="is served",
                ),
                "{{model}} {{version}}",
            ),
            most=1,
        ),
    ]


def _journal() -> list[Panel]:
    return [
        value(
            About(
                "Journal", "What waits on the API's disk for the database: near 0 while the database answers.", "bytes"
            ),
            Query(or_zero("max(slipway_journal_bytes)")),
            width=6,
        ),
        value(
            About(
                "Oldest record in the journal",
                "How long the oldest prediction has waited for the database, at most.",
                "s",
            ),
            Query(or_zero("max(slipway_journal_oldest_record_seconds)")),
            steps=((None, GREEN), (30, YELLOW), (60, RED)),
            width=6,
        ),
        value(
            About("Dropped records", "Answered requests that could not be kept, in the time that is shown.", "none"),
            Query(or_zero(increase("slipway_prediction_log_dropped_records_total"))),
            steps=NONE_IS_GOOD,
            width=6,
        ),
        value(
            About(
                "Rejected files",
                "Files that were put aside because the database refused a record, or they were damaged.",
                "none",
            ),
            Query(or_zero("max(slipway_journal_rejected_files)")),
            steps=((None, GREEN), (1, YELLOW)),
            width=6,
        ),
    ]
