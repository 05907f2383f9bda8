"""Keep the metrics of the served versions up to date."""

import threading
from collections.abc import Callable, Sequence

from slipway_api.metrics import Metrics
from slipway_api.serving.served_model import ServedModel


class ServedMetrics:
    """Start and end the metric series of versions. Thread-safe."""

    def __init__(self, metrics: Metrics) -> None:
        """Start without a version.

        Args:
            metrics: the service's metrics.
        """
        self._metrics = metrics
        self._shown: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        metrics.ready.set(0)

    def update(self, served: Callable[[], Sequence[ServedModel]], is_ready: Callable[[], bool]) -> None:
        """Publish the served versions. The same version may be pinned and have the Production alias.

        Args:
            served: returns the served models.
            is_ready: returns whether every required model is served.
        """
        with self._lock:
            now = {(model.name, model.version): model.manifest.metrics for model in served()}
            for gone in self._shown - now.keys():
                self._metrics.end_version(*gone)
            for version, scores in now.items():
                self._metrics.begin_version(*version, scores)
            self._shown = set(now)
            self._metrics.ready.set(is_ready())
