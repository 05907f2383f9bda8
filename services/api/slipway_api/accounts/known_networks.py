"""The networks of recent successful logins. Requests from them have upload slots of their own."""

import time
from collections.abc import Callable
from typing import Final

from slipway_api.http.networks import network_of

KNOWN_SECONDS: Final = 24 * 3600.0
MAX_KNOWN: Final = 10_000


class KnownNetworks:
    """The networks with a successful login during the last day."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}  # oldest first

    def add(self, address: str | None) -> None:
        """Add the network of a successful login."""
        network = network_of(address)
        self._until.pop(network, None)
        if len(self._until) >= MAX_KNOWN:
            del self._until[next(iter(self._until))]
        self._until[network] = self._clock() + KNOWN_SECONDS

    def __contains__(self, address: str | None) -> bool:
        return self._until.get(network_of(address), 0.0) > self._clock()
