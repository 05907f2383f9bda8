"""Pieces of PromQL that several panels share.

Every query answers something as soon as the services run, also where nothing has happened yet: a panel that is empty
because all is well looks like one that is broken.
"""

# What Grafana makes of these depends on the panel's width and the data source's scrape interval.
WINDOW = "$__rate_interval"
RANGE = "$__range"

# What asks how the service is, and not for its service.
QUIET = 'route!~"/health/.*|/v2/health/.*|/ping|/metrics"'
PREDICTS = 'route=~".*/(predict|infer)|/invocations"'
MODEL = 'model=~"$model"'
# Series about a load name a pinned version as `iris@7`.
REFERENCE = 'model=~"(?:$model)(?:@.*)?"'
VERSION = "model, version"
# What a series by version is called.
LEGEND = "{{model}} {{version}}"

REQUESTS = "slipway_http_requests_total"
DURATION = "slipway_http_request_duration_seconds"
ROWS = "slipway_prediction_rows_total"
# Classifiers have it from the start, and nothing else does.
CONFIDENCE = "slipway_prediction_confidence"
SERVED = f"max by ({VERSION}) (slipway_model_info{{{MODEL}}} == 1)"


def rate(series: str, labels: str = "", *, by: str = "", window: str = WINDOW) -> str:
    """Return the summed increase a second of a counter."""
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({series}{{{labels}}}[{window}]))"


def increase(series: str, labels: str = "", *, by: str = "", window: str = RANGE) -> str:
    """Return the summed increase of a counter, by default over what the dashboard shows."""
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (increase({series}{{{labels}}}[{window}]))"


def or_zero(query: str) -> str:
    """Return a query that is 0 where it would be empty."""
    return f"({query}) or vector(0)"


def ratio(part: str, whole: str) -> str:
    """Return a share in [0, 1] of two sums without labels, which is 0 where there is no part or no whole."""
    return f"({or_zero(part)}) / clamp_min({or_zero(whole)}, 1e-9)"


def quantile(share: float, histogram: str, labels: str = "", *, by: str = "", window: str = WINDOW) -> str:
    """Return an estimate of a histogram's quantile; it is not a number while nothing is observed."""
    buckets = rate(f"{histogram}_bucket", labels, by=f"le, {by}" if by else "le", window=window)
    return f"histogram_quantile({share}, {buckets})"


def or_say(query: str, **labels: str) -> str:
    """Return a query that answers one series without a number, whose labels say why, where it would be empty."""
    said = "vector(NaN)"
    for name, text in labels.items():
        said = f'label_replace({said}, "{name}", "{text}", "", "")'
    return f"({query}) or ({said} unless on () ({query}))"


def or_nothing_served(query: str) -> str:
    """Return a query by model and version that says that nothing is served where it would be empty."""
    return or_say(query, model="nothing", version="is served")


def or_no_classifier(query: str) -> str:
    """Return a query by model and version that says that no classifier is served where it would be empty."""
    return or_say(query, model="no classifier", version="is served")


def or_no_regressor(query: str) -> str:
    """Return a query by model and version that says that no regressor is served where it would be empty."""
    return or_say(query, model="no regressor", version="is served")


def or_served(query: str, kind: str) -> str:
    """Return a query by model and version that also names the served versions that it has no number of.

    Args:
        query: the query.
        kind: a series that each version has that the query is about.
    """
    of_kind = f"max by ({VERSION}) ({kind}{{{MODEL}}})"
    return f"({query}) or (({SERVED}) and on ({VERSION}) ({of_kind})) * NaN"
