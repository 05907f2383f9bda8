"""Limit how many slow bodies the API waits for, and evict the slowest ones to accept new ones.

Unauthenticated clients can send such bodies, so clients that never finish theirs must not block logins. A body that
arrives at once needs no place; the others evict a slow one if all places are taken.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from starlette.types import Message, Scope

from slipway_api.errors import SlowBodyError
from slipway_api.http.networks import network_of

# Places for all callers, and places reserved for authenticated callers.
MAX_ARRIVING: Final = 64
MAX_ARRIVING_OF_KNOWN: Final = 32
MAX_ARRIVING_FROM_ONE_NETWORK: Final = 16


class Arrival:
    """A body that is being received.

    Attributes:
        network: the network that the client's address is counted as.
        began: when the request began to read it; the oldest is the slowest.
        is_evicted: whether it was evicted for another body.
    """

    __slots__ = ("began", "is_evicted", "network", "pending")

    def __init__(self, scope: Scope) -> None:
        client = scope.get("client")
        self.network = network_of(client[0] if client else None)
        self.began = time.monotonic()
        self.is_evicted = False
        self.pending: asyncio.Future[Message] | None = None


class Arrivals:
    """The bodies that are being received."""

    def __init__(self, is_known: Callable[[Scope], bool]) -> None:
        """Start without bodies.

        Args:
            is_known: returns whether a request has a valid token; only called for a body that has not arrived yet.
        """
        self._is_known = is_known
        self._of_anybody: dict[Arrival, None] = {}
        self._of_known: dict[Arrival, None] = {}

    async def next_part(self, arrival: Arrival, scope: Scope, receive: Callable[[], Awaitable[Message]]) -> Message:
        """Return the next part of a body; occupy a place while waiting for it.

        Raises:
            SlowBodyError: the body was evicted.
        """
        arrival.pending = asyncio.ensure_future(receive())
        try:
            await asyncio.sleep(0)  # lets a part that has arrived be received
            if arrival.pending.done():
                return arrival.pending.result()
            places, count = (
                (self._of_known, MAX_ARRIVING_OF_KNOWN) if self._is_known(scope) else (self._of_anybody, MAX_ARRIVING)
            )
            _make_room(places, count, arrival.network)
            places[arrival] = None
            try:
                return await arrival.pending
            finally:
                places.pop(arrival, None)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if arrival.is_evicted and task is not None and not task.cancelling():
                raise SlowBodyError("the body arrived too slowly while many others waited; send it again") from None
            raise
        finally:
            arrival.pending.cancel()


def _make_room(places: dict[Arrival, None], count: int, network: str) -> None:
    of_network = [one for one in places if one.network == network]
    if len(of_network) >= MAX_ARRIVING_FROM_ONE_NETWORK:
        _evict_slowest(places, of_network)
    elif len(places) >= count:
        counts = Counter(one.network for one in places)
        most = max(counts.values())
        _evict_slowest(places, [one for one in places if counts[one.network] == most])


def _evict_slowest(places: dict[Arrival, None], candidates: Sequence[Arrival]) -> None:
    slowest = min(candidates, key=lambda one: one.began)
    del places[slowest]
    slowest.is_evicted = True
    if slowest.pending is not None:
        slowest.pending.cancel()
