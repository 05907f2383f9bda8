"""Count, time and log requests."""

from collections.abc import Collection
from http import HTTPStatus

from prometheus_client import Counter
from starlette.types import Scope

from slipway_api.metrics import Metrics
from slipway_api.serving.version_metrics import FastHistogram
from slipway_api.web.prediction_endpoint import PredictionPath
from slipway_api.web.routes import PREDICTION_PATHS
from slipway_core.logging import get_logger

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
UNMATCHED_ROUTE = "(no route)"
QUIET_ROUTES = frozenset({"/health/live", "/health/ready", "/metrics", "/v2/health/live", "/v2/health/ready", "/ping"})
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

log = get_logger("slipway.requests")


class RequestMetrics:
    """Count, time and log requests. Metric children are looked up once per label set."""

    def __init__(self, metrics: Metrics, pages: Collection[str], *, logs_all: bool) -> None:
        self._requests = metrics.counter(
            "slipway_http_requests_total",
            "Answered requests by method, route template and status.",
            *("method", "route", "status"),
        )
        self._seconds = metrics.histogram(
            "slipway_http_request_duration_seconds",
            "Time from the head of the request to the end of the response.",
            *("method", "route"),
            buckets=LATENCY_BUCKETS,
        )
        self._pages = pages
        self._logs_all = logs_all
        self._counters: dict[tuple[str, str, int], Counter] = {}
        self._timers: dict[tuple[str, str], FastHistogram] = {}
        # Prometheus sees no increase of a new series: create the series before the first prediction.
        for path in PREDICTION_PATHS:
            self._requests.labels("POST", path.path, int(HTTPStatus.OK))
            self._seconds.labels("POST", path.path)

    def __call__(self, scope: Scope, status: int, seconds: float) -> None:
        """Record one finished request."""
        route = scope.get("route")
        path = getattr(route, "path", None) or self._page(scope["path"])
        method = scope["method"] if scope["method"] in KNOWN_METHODS else "(other)"
        counter = self._counters.get((method, path, status))
        timer = self._timers.get((method, path))
        if counter is None or timer is None:
            counter = self._counters[method, path, status] = self._requests.labels(method, path, status)
            timer = self._timers[method, path] = FastHistogram(self._seconds.labels(method, path))
        counter.inc()
        timer.observe(seconds)
        if status == HTTPStatus.OK and isinstance(route, PredictionPath):
            # The prediction log has it, and validating even a suppressed event would cost time.
            write = log.debug if self._logs_all else None
        else:
            # Rate-limited requests are counted, but logging each one would cost more than rejecting it.
            is_quiet = path in QUIET_ROUTES or status == HTTPStatus.TOO_MANY_REQUESTS
            write = log.debug if is_quiet else log.info
        if write is not None:
            duration_ms = round(seconds * 1000, 3)
            write("request", method=method, path=shown_path(scope), status=int(status), duration_ms=duration_ms)

    def _page(self, requested: str) -> str:
        return next(
            (page for page in self._pages if requested == page or requested.startswith(f"{page}/")), UNMATCHED_ROUTE
        )


def shown_path(scope: Scope) -> str:
    """Return the path for the log, without the names of accounts."""
    path: str = scope["path"]
    return path if not path.startswith("/users/") else getattr(scope.get("route"), "path", "/users/…")
