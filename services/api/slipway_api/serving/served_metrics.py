"""Keep the metrics of the served versions up to date."""

import threading
from collections.abc import Callable, Sequence

from slipway_api.serving.metrics import ServingMetrics
from slipway_api.serving.served_model import ServedModel

Version = tuple[str, str]


class ServedMetrics:
    """Start and end the metric series of versions. Thread-safe."""

    def __init__(self, metrics: ServingMetrics) -> None:
        self._metrics = metrics
        self._shown: dict[Version, frozenset[str]] = {}
        self._lock = threading.Lock()
        metrics.ready.set(0)

    def update(self, served: Callable[[], Sequence[ServedModel]], is_ready: Callable[[], bool]) -> None:
        """Publish the served versions. The same version may be pinned and have the Production alias.

        Args:
            served: returns the served models.
            is_ready: returns whether every required model is served.
        """
        metrics = self._metrics
        with self._lock:
            now = {(model.name, model.version): model.manifest.metrics for model in served()}
            for version in self._shown.keys() - now.keys():
                metrics.remove(metrics.model_info, version)
            for version, names in self._shown.items():
                for name in names - now.get(version, {}).keys():
                    metrics.remove(metrics.training_metric, (*version, name))
            for version, scores in now.items():
                metrics.model_info.labels(*version).set(1)
                metrics.unusable_answers.labels(*version)  # start at 0, so that the first increase is visible
                for name, score in scores.items():
                    metrics.training_metric.labels(*version, name).set(score)
            self._shown = {version: frozenset(scores) for version, scores in now.items()}
            metrics.ready.set(is_ready())
