"""Pieces of PromQL that several panels share.

Every query returns a series as soon as the services run, even before the first request: an empty panel would look
broken.
"""

# Grafana computes these from the panel's width, the time range and the scrape interval.
WINDOW = "$__rate_interval"
RANGE = "$__range"

# Excludes health checks and scrapes.
QUIET = 'route!~"/health/.*|/v2/health/.*|/ping|/metrics"'
PREDICTS = 'route=~".*[/:](predict|infer)|/invocations"'
MODEL = 'model=~"$model"'
# Series about a load name a pinned version as `iris@7`.
REFERENCE = 'model=~"(?:$model)(?:@.*)?"'
VERSION = "model, version"
# The legend of a series by version.
LEGEND = "{{model}} {{version}}"

REQUESTS = "slipway_http_requests_total"
DURATION = "slipway_http_request_duration_seconds"
ROWS = "slipway_prediction_rows_total"
# Only classifiers have this series, from their load on.
CONFIDENCE = "slipway_prediction_confidence"
SERVED = f"max by ({VERSION}) (slipway_model_info{{{MODEL}}} == 1)"


def rate(series: str, labels: str = "", *, by: str = "", window: str = WINDOW) -> str:
    """Return the summed increase per second of a counter."""
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({series}{{{labels}}}[{window}]))"


def increase(series: str, labels: str = "", *, by: str = "", window: str = RANGE) -> str:
    """Return the summed increase of a counter, by default over the dashboard's time range."""
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (increase({series}{{{labels}}}[{window}]))"


def or_zero(query: str) -> str:
    """Return a query that gives 0 instead of an empty result."""
    return f"({query}) or vector(0)"


def ratio(part: str, whole: str) -> str:
    """Return the ratio of two sums without labels; 0 if either is missing."""
    return f"({or_zero(part)}) / clamp_min({or_zero(whole)}, 1e-9)"


def quantile(share: float, histogram: str, labels: str = "", *, by: str = "", window: str = WINDOW) -> str:
    """Return an estimate of a histogram's quantile; NaN without observations."""
    buckets = rate(f"{histogram}_bucket", labels, by=f"le, {by}" if by else "le", window=window)
    return f"histogram_quantile({share}, {buckets})"


def or_say(query: str, **labels: str) -> str:
    """Return a query that gives one NaN series, whose labels state the reason, instead of an empty result."""
    labelled = "vector(NaN)"
    for name, text in labels.items():
        labelled = f'label_replace({labelled}, "{name}", "{text}", "", "")'
    return f"({query}) or ({labelled} unless on () ({query}))"


def or_no_model(query: str) -> str:
    """Return a query by model and version that gives `no model is served` instead of an empty result."""
    return or_say(query, model="no model", version="is served")


def or_no_classifier(query: str) -> str:
    """Return a query by model and version that gives `no classifier is served` instead of an empty result."""
    return or_say(query, model="no classifier", version="is served")


def or_no_regressor(query: str) -> str:
    """Return a query by model and version that gives `no regressor is served` instead of an empty result."""
    return or_say(query, model="no regressor", version="is served")


def or_served(query: str, kind: str) -> str:
    """Return a query by model and version that also gives NaN for served versions missing from its result.

    Args:
        query: the query.
        kind: a series that only the versions covered by the query have.
    """
    of_kind = f"max by ({VERSION}) ({kind}{{{MODEL}}})"
    return f"({query}) or (({SERVED}) and on ({VERSION}) ({of_kind})) * NaN"
