"""Track whether the registry responds, for health, metrics and the log."""

from datetime import UTC, datetime

from slipway_api.serving.metrics import ServingMetrics
from slipway_api.serving.status import RegistryStatus
from slipway_core.logging import get_logger

log = get_logger("slipway.models")


class RegistryState:
    """The state of the registry after its last response.

    Attributes:
        status: the current state.
    """

    def __init__(self, metrics: ServingMetrics) -> None:
        """Begin in the state before the first response.

        Args:
            metrics: counts failures.
        """
        self._metrics = metrics
        self.status = RegistryStatus(False, False, datetime.now(UTC), "the model registry has not been read yet")
        metrics.registry_up.set(0)

    def failed(self, reason: str) -> None:
        """Record that the registry did not respond, or returned a list that must not be followed."""
        self._metrics.registry_up.set(0)
        self._metrics.registry_failures.inc()
        status = self.status
        if status.reachable or status.reason != reason:
            log.warning("registry_unreachable", reason=reason)
            since = datetime.now(UTC) if status.reachable or status.reason is None else status.since
            self.status = RegistryStatus(False, status.answered, since, reason)

    def answered(self) -> None:
        """Record that the registry responded."""
        self._metrics.registry_up.set(1)
        if not self.status.reachable:
            log.info("registry_reachable")
            self.status = RegistryStatus(True, True, datetime.now(UTC))
