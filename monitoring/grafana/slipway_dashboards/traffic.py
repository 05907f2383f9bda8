"""Panels of all requests: their status and error ratio."""

from slipway_dashboards.panels import GREEN, RED, YELLOW, About, Panel, Query, lines, value
from slipway_dashboards.queries import QUIET, REQUESTS, increase, rate, ratio


def by_status(*, width: int) -> Panel:
    """Return the panel of the requests by status."""
    return lines(
        About(
            "Requests by status",
            "Responses per second by HTTP status, without health checks and scrapes; "
            "499: the client disconnected before its response.",
            "reqps",
        ),
        Query(rate(REQUESTS, QUIET, by="status"), "{{status}}"),
        is_stacked=True,
        width=width,
    )


def error_ratio(window: str, when: str, *, width: int) -> Panel:
    """Return the panel of the share of failed requests.

    Args:
        window: the range to count over, in PromQL.
        when: the range in words, such as `in the last 5 minutes`.
        width: the width in 24ths of the dashboard.
    """
    failed = increase(REQUESTS, f'{QUIET}, status=~"5.."', window=window)
    return value(
        About("Error ratio", f"The share of requests that returned a 5xx status, {when}.", "percentunit"),
        Query(ratio(failed, increase(REQUESTS, QUIET, window=window))),
        steps=((None, GREEN), (0.001, YELLOW), (0.01, RED)),
        width=width,
    )
