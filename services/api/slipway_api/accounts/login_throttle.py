"""How many logins may fail before more are refused, without a hash: by name and by address.

Why so: docs/decisions/0008-login-throttling.md.
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
# A refusal is remembered in the process for so long, so that a flood reaches no database.
REMEMBERED_SECONDS = 5.0
MAX_REMEMBERED = 10_000
PRUNE_SECONDS = 60.0
# Half of a key: 128 bits of a hash, which no two names share.
NAME_DIGITS = 32


@dataclass(frozen=True)
class Tally:
    """How often something was tried, and until when that counts, in seconds since 1970."""

    count: int
    expires_at: float


class LoginAttempts(Protocol):
    """Where attempts are counted. Its calls block: run them in a thread.

    Each raises NotReadyError while the database is away.
    """

    def read(self, keys: Collection[str], now: float) -> Mapping[str, Tally]:
        """Return the tallies that hold."""
        ...

    def add(self, keys: Collection[str], now: float, expires_at: float) -> Mapping[str, Tally]:
        """Count one attempt for each key and return the tallies; one that no longer holds begins anew."""
        ...

    def forget(self, key: str, remember: tuple[str, float] | None = None) -> None:
        """Forget a key, and remember another one until a time."""
        ...

    def forget_all(self, prefix: str) -> None:
        """Forget every key that begins so."""
        ...

    def prune(self, now: float) -> None:
        """Delete rows that no longer hold."""
        ...


@dataclass(frozen=True)
class Limits:
    """How many attempts may fail within a window, which begins with the first failure."""

    per_name: int
    per_address: int
    window_seconds: float


@dataclass(frozen=True)
class Attempt:
    """An attempt that may be made.

    Attributes:
        limits: what it is counted under if it fails, and how many failures each may have.
        own: the one of them that a success clears.
        known: remembers, after a success, that the name has logged in from the address.
    """

    limits: Mapping[str, int]
    own: str
    known: str


class LoginThrottle:
    """Lets attempts be made until too many have failed. Safe to be called from any thread.

    Failures are counted when they are known, so a few more may be under way, no more than there are places to wait for
    a hash. Counted beforehand, logins that succeed at the same moment would refuse one another.
    """

    def __init__(self, secret_key: str, limits: Limits, clock: Callable[[], float] = time.time) -> None:
        self._key = hashlib.sha256(b"slipway login throttle\0" + secret_key.encode()).digest()
        self._limits = limits
        self._clock = clock
        self._refused: dict[tuple[str, str], tuple[float, float]] = {}
        self._pruned_at = clock()

    def refuse_again(self, name: str, address: str | None) -> None:
        """Refuse a name and address that were refused a moment ago; this asks no database.

        Raises:
            TooManyRequestsError: they were.
        """
        remembered = self._refused.get((self._hash("name", name), self._hash("address", network_of(address))))
        if remembered is not None:
            until, expires_at = remembered
            if self._clock() < until:
                raise self._refusal(expires_at)

    def check(self, attempts: LoginAttempts, name: str, address: str | None) -> Attempt:
        """Return the attempt that may be made. Blocks.

        Raises:
            TooManyRequestsError: too many failed.
        """
        network = network_of(address)
        by_name, by_address = self._hash("name", name), self._hash("address", network)
        known, pair = self._hash("known", name, network), self._pair(by_name, name, network)
        now = self._clock()
        tallies = attempts.read([by_name, by_address, known, pair], now)
        # Who has logged in from here before is counted apart, so that nobody elsewhere can lock that person out.
        if known in tallies:
            attempt = Attempt({pair: self._limits.per_name}, pair, known)
        else:
            limits = {by_name: self._limits.per_name, by_address: self._limits.per_address}
            attempt = Attempt(limits, by_name, known)
        over = [tallies[key].expires_at for key, limit in attempt.limits.items() if _is_over(tallies.get(key), limit)]
        if over:
            self._remember((by_name, by_address), now, max(over))
            raise self._refusal(max(over))
        return attempt

    def failed(self, attempts: LoginAttempts, attempt: Attempt) -> bool:
        """Count a failure, and tell whether it is the one that locks the name. Blocks."""
        counted = self._add(attempts, attempt.limits.keys())
        return counted[attempt.own].count == attempt.limits[attempt.own]

    def succeeded(self, attempts: LoginAttempts, attempt: Attempt) -> None:
        """Forget the failures of the name, but not those of the address, and remember the two. Blocks."""
        attempts.forget(attempt.own, remember=(attempt.known, self._clock() + KNOWN_ADDRESS_SECONDS))

    def forget(self, attempts: LoginAttempts, name: str) -> None:
        """Forget the failures of a name, wherever they came from, once it has a new password. Blocks.

        What other processes remember of its refusals ends within REMEMBERED_SECONDS.
        """
        by_name = self._hash("name", name)
        attempts.forget_all(by_name[:NAME_DIGITS])
        for refused in [one for one in list(self._refused) if one[0] == by_name]:
            self._refused.pop(refused, None)

    def count_registration(self, attempts: LoginAttempts, address: str | None) -> None:
        """Count a registration by somebody who has no account: as many may be made as may fail of a name. Blocks.

        Raises:
            TooManyRequestsError: there were too many from the address.
        """
        key = self._hash("registration", network_of(address))
        tally = attempts.read([key], self._clock()).get(key)
        if tally is not None and _is_over(tally, self._limits.per_name):
            raise self._refusal(tally.expires_at)
        self._add(attempts, [key])

    def _add(self, attempts: LoginAttempts, keys: Collection[str]) -> Mapping[str, Tally]:
        now = self._clock()
        if now - self._pruned_at >= PRUNE_SECONDS:
            self._pruned_at = now
            attempts.prune(now)
        return attempts.add(keys, now, now + self._limits.window_seconds)

    def _remember(self, pair: tuple[str, str], now: float, expires_at: float) -> None:
        if len(self._refused) >= MAX_REMEMBERED:
            self._refused = {}
        self._refused[pair] = (min(expires_at, now + REMEMBERED_SECONDS), expires_at)

    def _refusal(self, expires_at: float) -> TooManyRequestsError:
        seconds = max(1, math.ceil(expires_at - self._clock()))
        return TooManyRequestsError("too many failed attempts; try again later", seconds)

    def _pair(self, by_name: str, name: str, network: str) -> str:
        """Return the key of a name at an address, which begins as the name's own, so that it is forgotten with it."""
        return by_name[:NAME_DIGITS] + self._hash("pair", name, network)[NAME_DIGITS:]

    def _hash(self, *parts: str) -> str:
        text = "\0".join(parts).encode("utf-8", "surrogatepass")
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()


def _is_over(tally: Tally | None, limit: int) -> bool:
    return tally is not None and tally.count >= limit
