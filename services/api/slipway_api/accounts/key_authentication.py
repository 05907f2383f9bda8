"""Authenticate requests by their API keys, and note when each key was last used."""

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Final

from slipway_api.accounts.directory import AccountDirectory
from slipway_api.accounts.key_text import KeyTexts, PresentedKey
from slipway_api.accounts.models import CurrentUser
from slipway_api.errors import AuthenticationError

# About 0.5 MB of verified keys.
MAX_CACHED_KEYS: Final = 2048
# The last use of a key is stored at most this often by each worker.
USE_SECONDS: Final = 60.0


class KeyAuthentication:
    """Verifies API keys against the directory, and remembers the text of verified ones.

    Whether a key is revoked, expired or permitted is not remembered: the directory decides that at every request.
    """

    def __init__(self, directory: AccountDirectory, texts: KeyTexts, clock: Callable[[], float] = time.time) -> None:
        self._directory = directory
        self._texts = texts
        self._clock = clock
        self._verified: dict[bytes, PresentedKey] = {}
        # When each key was last used, and which of these times was stored last.
        self._used: dict[uuid.UUID, float] = {}
        self._stored: dict[uuid.UUID, float] = {}

    async def authenticate(self, text: bytes) -> CurrentUser:
        """Return the user that owns a key.

        Raises:
            AuthenticationError: the key is invalid, expired or revoked, or its account was disabled.
            NotReadyError: keys cannot be read.
        """
        key = self._verified.get(text)
        directory = self._directory
        if key is None:
            key = self._texts.read(text)
            if not directory.first_refresh_done.is_set():
                await directory.wait_for_first_refresh()
            # Random keys must not reach the database.
            if directory.may_lack(key) and self._texts.is_genuine(text):
                await asyncio.to_thread(directory.catch_up)
        user = self._user_of(text, key)
        self._used[key.id] = self._clock()
        return user

    def is_valid(self, text: bytes) -> bool:
        """Return whether a key is valid. Reads only the cache."""
        try:
            self._user_of(text, self._verified.get(text) or self._texts.read(text))
        except AuthenticationError:
            return False
        return True

    def due_uses(self) -> Mapping[uuid.UUID, float]:
        """Return the last uses that should be stored now, in seconds since 1970."""
        stored = self._stored
        return {i: at for i, at in self._used.items() if at - stored.get(i, -USE_SECONDS) >= USE_SECONDS}

    def mark_stored(self, uses: Mapping[uuid.UUID, float]) -> None:
        """Note that uses are stored, and forget keys that are no longer valid."""
        known = self._directory.snapshot().keys
        self._stored = {i: at for i, at in {**self._stored, **uses}.items() if i in known}
        self._used = {i: at for i, at in self._used.items() if i in known}

    def _user_of(self, text: bytes, key: PresentedKey) -> CurrentUser:
        try:
            user = self._directory.user_of_key(key.id, key.digest)
        except AuthenticationError:
            self._verified.pop(text, None)
            raise
        if text not in self._verified:
            if len(self._verified) >= MAX_CACHED_KEYS:  # evict the oldest
                self._verified.pop(next(iter(self._verified)), None)
            self._verified[text] = key
        return user
