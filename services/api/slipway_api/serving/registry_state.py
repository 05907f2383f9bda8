"""Whether the registry answers, as health, metrics and the log show it."""

from datetime import UTC, datetime

from slipway_api.metrics import Metrics
from slipway_api.serving.status import RegistryStatus
from slipway_core.logging import get_logger

log = get_logger("slipway.models")


class RegistryState:
    """Follows the registry from answer to answer.

    Attributes:
        status: how it is now.
    """

    def __init__(self, metrics: Metrics) -> None:
        """Begin without an answer.

        Args:
            metrics: where failures are counted.
        """
        self._metrics = metrics
        self.status = RegistryStatus(False, False, datetime.now(UTC), "the model registry was not asked yet")
        metrics.registry_up.set(0)

    def failed(self, reason: str) -> None:
        """Note that the registry did not answer, or gave an answer that must not be followed."""
        self._metrics.registry_up.set(0)
        self._metrics.registry_failures.inc()
        status = self.status
        if status.reachable or status.reason != reason:
            log.warning("registry_unreachable", reason=reason)
            since = datetime.now(UTC) if status.reachable or status.reason is None else status.since
            self.status = RegistryStatus(False, status.answered, since, reason)

    def answered(self) -> None:
        """Note that the registry answered."""
        self._metrics.registry_up.set(1)
        if not self.status.reachable:
            log.info("registry_reachable")
            self.status = RegistryStatus(True, True, datetime.now(UTC))
