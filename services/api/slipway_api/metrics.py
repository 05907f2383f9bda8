"""The registry of the API's Prometheus metrics, and the page that Prometheus scrapes.

Each folder defines its own metrics on it. Each app has its own registry, so that two apps in one process do not mix.
Several workers share metrics through files (the library's multiprocess mode): counters are summed, and gauges report
the worst worker.
"""

import os
from collections.abc import Sequence
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    Summary,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

# How a gauge of several live workers is combined.
GaugeMode = Literal["livemin", "livemax", "livesum", "mostrecent"]


class Metrics:
    """A registry of metrics."""

    def __init__(self) -> None:
        # A creation time for each counter would double the size of the page.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._is_shared = "PROMETHEUS_MULTIPROC_DIR" in os.environ
        if not self._is_shared:  # these describe a single process
            ProcessCollector(registry=self.registry)
            PlatformCollector(registry=self.registry)
            GCCollector(registry=self.registry)

    def counter(self, name: str, documentation: str, *labels: str) -> Counter:
        """Return a new counter."""
        return Counter(name, documentation, labels, registry=self.registry)

    def gauge(self, name: str, documentation: str, *labels: str, mode: GaugeMode) -> Gauge:
        """Return a new gauge, whose mode combines the values of several workers."""
        return Gauge(name, documentation, labels, multiprocess_mode=mode, registry=self.registry)

    def histogram(self, name: str, documentation: str, *labels: str, buckets: Sequence[float]) -> Histogram:
        """Return a new histogram with the upper bounds of its buckets."""
        return Histogram(name, documentation, labels, buckets=buckets, registry=self.registry)

    def summary(self, name: str, documentation: str, *labels: str) -> Summary:
        """Return a new summary."""
        return Summary(name, documentation, labels, registry=self.registry)

    def remove(self, gauge: Gauge, labels: Sequence[str], shared_value: float = 0) -> None:
        """End a gauge's series. If workers share metrics, their files keep the series: it gets the shared value."""
        if self._is_shared:
            gauge.labels(*labels).set(shared_value)
        else:
            gauge.remove(*labels)

    def render(self) -> bytes:
        """Return the page in Prometheus' text format."""
        if not self._is_shared:
            return generate_latest(self.registry)
        combined = CollectorRegistry()
        MultiProcessCollector(combined)  # type: ignore[no-untyped-call]
        return generate_latest(combined)
