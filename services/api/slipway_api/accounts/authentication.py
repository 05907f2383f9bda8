"""Authenticate requests by a bearer token or an API key."""

import asyncio

from slipway_api.accounts.directory import AccountDirectory
from slipway_api.accounts.key_authentication import KeyAuthentication
from slipway_api.accounts.key_models import KEY_PREFIX
from slipway_api.accounts.known_networks import KnownNetworks
from slipway_api.accounts.models import CurrentUser
from slipway_api.accounts.tokens import TOKEN_REQUIRED, Tokens
from slipway_api.errors import AuthenticationError
from slipway_core.errors import SlipwayError

ROLE_CHANGED = "the role of the account has changed while the request arrived; send the request again"


class Authentication:
    """Verifies tokens and keys, and reads their accounts from the directory."""

    def __init__(
        self, directory: AccountDirectory, tokens: Tokens, keys: KeyAuthentication, known_networks: KnownNetworks
    ) -> None:
        self._directory = directory
        self._tokens = tokens
        self._keys = keys
        self._known_networks = known_networks

    async def authenticate(self, credential: bytes) -> CurrentUser:
        """Return the user of a bearer token or an API key; an empty one counts as none.

        Raises:
            AuthenticationError: the token or key is missing, invalid, expired or revoked.
            NotReadyError: accounts cannot be read.
        """
        if not credential:
            raise AuthenticationError(TOKEN_REQUIRED)
        if credential.startswith(KEY_PREFIX):
            return await self._keys.authenticate(credential)
        claims = self._tokens.verify(credential)
        directory = self._directory
        if not directory.first_refresh_done.is_set():
            await directory.wait_for_first_refresh()
        if directory.may_be_outdated(claims.user_id, claims.version, claims.issued):
            await asyncio.to_thread(directory.catch_up)
        return directory.current_user(claims.user_id, claims.version, claims.token)

    def reauthenticate(self, user: CurrentUser) -> CurrentUser:
        """Return a user as cached now, after a step that may have taken long.

        Raises:
            AuthenticationError: the account, the token or the key has changed since the request arrived.
        """
        current = self._directory.still_current(user)
        if current.role is not user.role:  # revokes tokens, but not keys
            raise AuthenticationError(ROLE_CHANGED)
        return current

    def is_known_client(self, credential: bytes, address: str | None) -> bool:
        """Return whether a token or key is valid, or its network had a successful login recently. Reads only caches."""
        if address is not None and address in self._known_networks:
            return True
        try:
            if credential.startswith(KEY_PREFIX):
                return self._keys.is_valid(credential)
            claims = self._tokens.verify(credential)
            self._directory.current_user(claims.user_id, claims.version, claims.token)
        except SlipwayError:
            return False
        return True
