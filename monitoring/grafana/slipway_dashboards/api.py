"""API: rate, errors and duration by route, rejected requests, resource use, and the prediction log."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from slipway_dashboards import journal, traffic
from slipway_dashboards.frame import frame
from slipway_dashboards.panels import GREEN, RED, YELLOW, About, Panel, Query, heat_map, lines, value
from slipway_dashboards.queries import (
    DURATION,
    PREDICTS,
    QUIET,
    RANGE,
    REQUESTS,
    WINDOW,
    increase,
    or_say,
    or_zero,
    quantile,
    rate,
)

SEVERAL_WORKERS = "several workers: see Infrastructure"


def dashboard() -> Dashboard:
    """Return the dashboard."""
    return frame(
        "slipway-api",
        "Slipway / API",
        "Which requests are slow, fail or are rejected, and how many resources does the API use?",
        {
            "Rate, errors, duration": _requests(),
            "Latency": _latency(),
            "Rejected": _refused(),
            "Process": _process(),
            "Prediction log": _journal(),
        },
    )


def _requests() -> list[Panel]:
    failed = rate(REQUESTS, f'{QUIET}, status=~"5.."', by="route")
    every = rate(REQUESTS, QUIET, by="route")
    return [
        lines(
            About("Requests by route", "Responses per second by route, without health checks and scrapes.", "reqps"),
            Query(every, "{{route}}"),
            width=8,
        ),
        lines(
            About(
                "Error ratio by route",
                "The share of a route's requests that returned a 5xx status.",
                "percentunit",
            ),
            # A route without errors has no 5xx series; its 0 is computed from all its requests.
            Query(f"(({failed}) or ({every}) * 0) / clamp_min({every}, 1e-9)", "{{route}}"),
            steps=((None, GREEN), (0.01, RED)),
            width=8,
        ),
        lines(
            About(
                "p95 by route", "The time within which 95 % of a route's requests were answered.", "s", "no requests"
            ),
            Query(quantile(0.95, DURATION, QUIET, by="route"), "{{route}}"),
            width=8,
        ),
        traffic.by_status(width=12),
        lines(
            About(
                "Requests in progress",
                "The average number of requests in progress: requests per second times their duration.",
                "none",
            ),
            Query(rate(f"{DURATION}_sum", by="route"), "{{route}}"),
            is_stacked=True,
        ),
    ]


def _latency() -> list[Panel]:
    return [
        heat_map(
            About(
                "Latency of predictions, heat map",
                "The number of predictions by latency. Two bands indicate two kinds of requests.",
                "s",
                "no predictions",
            ),
            Query(f"sum by (le) (increase({DURATION}_bucket{{{PREDICTS}}}[{WINDOW}]))", "{{le}}"),
        ),
        lines(
            About(
                "Predictions within their objective",
                "The share of predictions answered within 250 ms, the objective, and within 10 ms.",
                "percentunit",
                "no predictions",
            ),
            *(Query(_within(bound), f"within {bound} s") for bound in ("0.25", "0.01")),
            most=1,
        ),
    ]


def _within(bound: str) -> str:
    """Return the share of predictions that took no longer than a bound of the histogram's buckets, in seconds."""
    fast = rate(f"{DURATION}_bucket", f'{PREDICTS}, le="{bound}"')
    return f"{fast} / {rate(f'{DURATION}_count', PREDICTS)}"


def _refused() -> list[Panel]:
    def of(status: str) -> str:
        return or_zero(rate(REQUESTS, f'status="{status}"'))

    return [
        lines(
            About(
                "Rejected under load",
                "429: rate limit exceeded. 503: overload, or a dependency is down. 504: timeout.",
                "reqps",
            ),
            *(Query(of(status), status) for status in ("429", "503", "504")),
            width=8,
        ),
        lines(
            About(
                "Rejected requests",
                "Responses per second by status, 400 to 499 except 429.",
                "reqps",
                "none yet",
            ),
            Query(or_say(rate(REQUESTS, 'status=~"4..", status!="429"', by="status"), status="none yet"), "{{status}}"),
            width=8,
        ),
        lines(
            About(
                "Logins", "Requests to /token by outcome; many refused or throttled logins may be an attack.", "reqps"
            ),
            Query(or_say(rate("slipway_logins_total", by="outcome"), outcome="none yet"), "{{outcome}}"),
            width=8,
        ),
    ]


def _process() -> list[Panel]:
    def with_reason(series: str) -> str:
        return or_say(series, instance=SEVERAL_WORKERS)

    return [
        lines(
            About(
                "CPU",
                "CPU cores used by the API's process; available with one worker.",
                "suffix: cores",
                SEVERAL_WORKERS,
            ),
            Query(with_reason(f'rate(process_cpu_seconds_total{{job="api"}}[{WINDOW}])'), "{{instance}}"),
            width=8,
        ),
        lines(
            About(
                "Memory",
                "Resident memory of the API's process; available with one worker.",
                "bytes",
                SEVERAL_WORKERS,
            ),
            Query(with_reason('process_resident_memory_bytes{job="api"}'), "{{instance}}"),
            width=8,
        ),
        lines(
            About(
                "Open files",
                "Open files and connections of the API's process; available with one worker.",
                "none",
                SEVERAL_WORKERS,
            ),
            Query(with_reason('process_open_fds{job="api"}'), "{{instance}}"),
            width=8,
        ),
    ]


def _journal() -> list[Panel]:
    return [
        journal.size(lines, width=8),
        journal.oldest_record(lines, width=8),
        journal.dropped_records(width=4),
        journal.rejected_files(width=4),
        value(
            About(
                "Failed registry requests",
                "Failed requests from the API to the model registry, in the selected time range.",
                "none",
            ),
            Query(or_zero(increase("slipway_registry_failures_total"))),
            steps=((None, GREEN), (1, YELLOW)),
        ),
        traffic.error_ratio(RANGE, "in the selected time range", width=4),
    ]
