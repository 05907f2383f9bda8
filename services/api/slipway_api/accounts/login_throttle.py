"""The limit of failed logins by name and by address. A login over the limit is rejected without a hash.

docs/decisions/0008-login-throttling.md explains the design.
"""

import hashlib
import hmac
import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from slipway_api.errors import TooManyRequestsError
from slipway_api.http.networks import network_of

KNOWN_ADDRESS_SECONDS = 30 * 24 * 3600.0
# Each process caches rejections this long, so that a flood of logins does not reach the database.
REJECTION_CACHE_SECONDS = 5.0
MAX_CACHED_REJECTIONS = 10_000
PRUNE_SECONDS = 60.0
# Half of a key: 128 bits of a hash, unique to a name.
NAME_DIGITS = 32


@dataclass(frozen=True)
class Tally:
    """A number of attempts, and when it expires, in seconds since 1970."""

    count: int
    expires_at: float


class LoginAttempts(Protocol):
    """The counters of failed attempts. Its methods block: call them in a thread.

    Every method raises NotReadyError while the database is unavailable.
    """

    def read(self, keys: Collection[str], now: float) -> Mapping[str, Tally]:
        """Return the tallies that have not expired."""
        ...

    def add(self, keys: Collection[str], now: float, expires_at: float) -> Mapping[str, Tally]:
        """Count one attempt for each key and return the tallies; an expired tally starts again at 1."""
        ...

    def clear(self, key: str, mark: tuple[str, float] | None = None) -> None:
        """Delete a key, and store another key until a time."""
        ...

    def clear_prefix(self, prefix: str) -> None:
        """Delete every key with a prefix."""
        ...

    def prune(self, now: float) -> None:
        """Delete expired rows."""
        ...


@dataclass(frozen=True)
class Limits:
    """The failures allowed within a window, which begins with the first failure."""

    per_name: int
    per_address: int
    window_seconds: float


@dataclass(frozen=True)
class Attempt:
    """An attempt that the throttle allows.

    Attributes:
        limits: the keys that count a failure, with the limit of each.
        cleared_key: the one of these keys that a success clears.
        success_key: the key that marks a successful login of the name from the network.
    """

    limits: Mapping[str, int]
    cleared_key: str
    success_key: str


class LoginThrottle:
    """Rejects logins after too many failures. Safe to call from any thread.

    A failure counts once it is known, so the limit may be exceeded by the logins in the queue of password hashes.
    If attempts counted beforehand, concurrent logins that succeed would reject one another.
    """

    def __init__(self, secret_key: str, limits: Limits, clock: Callable[[], float] = time.time) -> None:
        self._key = hashlib.sha256(b"slipway login throttle\0" + secret_key.encode()).digest()
        self._limits = limits
        self._clock = clock
        self._rejected: dict[tuple[str, str], tuple[float, float]] = {}
        self._pruned_at = clock()

    def reject_recent(self, name: str, address: str | None) -> None:
        """Reject a name and address again from the cache of rejections, without the database.

        Raises:
            TooManyRequestsError: the cache holds the name and address.
        """
        cached = self._rejected.get((self._hash("name", name), self._hash("address", network_of(address))))
        if cached is not None:
            cached_until, expires_at = cached
            if self._clock() < cached_until:
                raise self._rejection(expires_at)

    def check(self, attempts: LoginAttempts, name: str, address: str | None) -> Attempt:
        """Return an attempt if the limits allow one. Blocks.

        Raises:
            TooManyRequestsError: too many attempts have failed.
        """
        network = network_of(address)
        by_name, by_address = self._hash("name", name), self._hash("address", network)
        success_key, pair = self._hash("known", name, network), self._pair(by_name, name, network)
        now = self._clock()
        tallies = attempts.read([by_name, by_address, success_key, pair], now)
        # A network with an earlier success has its own counter, so that others cannot lock out the account's owner.
        if success_key in tallies:
            attempt = Attempt({pair: self._limits.per_name}, pair, success_key)
        else:
            limits = {by_name: self._limits.per_name, by_address: self._limits.per_address}
            attempt = Attempt(limits, by_name, success_key)
        over = [tallies[key].expires_at for key, limit in attempt.limits.items() if _is_over(tallies.get(key), limit)]
        if over:
            self._cache_rejection((by_name, by_address), now, max(over))
            raise self._rejection(max(over))
        return attempt

    def record_failure(self, attempts: LoginAttempts, attempt: Attempt) -> bool:
        """Count a failure, and return whether it locks the name. Blocks."""
        counted = self._add(attempts, attempt.limits.keys())
        return counted[attempt.cleared_key].count == attempt.limits[attempt.cleared_key]

    def record_success(self, attempts: LoginAttempts, attempt: Attempt) -> None:
        """Clear the failures of the name, keep those of the address, and store the success. Blocks."""
        attempts.clear(attempt.cleared_key, mark=(attempt.success_key, self._clock() + KNOWN_ADDRESS_SECONDS))

    def reset(self, attempts: LoginAttempts, name: str) -> None:
        """Clear the failures of a name from all addresses, after its password was reset. Blocks.

        Other processes keep their cached rejections for at most REJECTION_CACHE_SECONDS.
        """
        by_name = self._hash("name", name)
        attempts.clear_prefix(by_name[:NAME_DIGITS])
        for pair in [pair for pair in list(self._rejected) if pair[0] == by_name]:
            self._rejected.pop(pair, None)

    def count_registration(self, attempts: LoginAttempts, address: str | None) -> None:
        """Count a registration without an admin's token; the limit is that of failed logins of a name. Blocks.

        Raises:
            TooManyRequestsError: too many registrations from the address.
        """
        key = self._hash("registration", network_of(address))
        tally = attempts.read([key], self._clock()).get(key)
        if tally is not None and _is_over(tally, self._limits.per_name):
            raise self._rejection(tally.expires_at)
        self._add(attempts, [key])

    def _add(self, attempts: LoginAttempts, keys: Collection[str]) -> Mapping[str, Tally]:
        now = self._clock()
        if now - self._pruned_at >= PRUNE_SECONDS:
            self._pruned_at = now
            attempts.prune(now)
        return attempts.add(keys, now, now + self._limits.window_seconds)

    def _cache_rejection(self, pair: tuple[str, str], now: float, expires_at: float) -> None:
        if len(self._rejected) >= MAX_CACHED_REJECTIONS:
            self._rejected = {}
        self._rejected[pair] = (min(expires_at, now + REJECTION_CACHE_SECONDS), expires_at)

    def _rejection(self, expires_at: float) -> TooManyRequestsError:
        seconds = max(1, math.ceil(expires_at - self._clock()))
        return TooManyRequestsError("too many failed attempts; try again later", seconds)

    def _pair(self, by_name: str, name: str, network: str) -> str:
        """Return the key of a name at a network. It has the prefix of the name's key, so that `reset` clears both."""
        return by_name[:NAME_DIGITS] + self._hash("pair", name, network)[NAME_DIGITS:]

    def _hash(self, *parts: str) -> str:
        text = "\0".join(parts).encode("utf-8", "surrogatepass")
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()


def _is_over(tally: Tally | None, limit: int) -> bool:
    return tally is not None and tally.count >= limit
