"""The use cases of API keys and of revoking tokens."""

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from slipway_api.accounts.directory import AccountDirectory
from slipway_api.accounts.events import AuditActor
from slipway_api.accounts.key_authentication import KeyAuthentication
from slipway_api.accounts.key_models import ApiKey, KeyAction, OwnedKey, RevokedKey, RevokedToken
from slipway_api.accounts.key_text import KeyTexts
from slipway_api.accounts.models import Account, CurrentUser, Role, require_admin
from slipway_api.accounts.store_calls import StoreCalls
from slipway_api.accounts.tokens import TOKEN_REQUIRED
from slipway_api.accounts.validation import lookup_name
from slipway_api.errors import AuthenticationError, InvalidInputError, PermissionDeniedError
from slipway_core.errors import Problem

DEFAULT_DAYS: Final = 90
DAY_SECONDS: Final = 86_400
PRUNE_SECONDS: Final = 3600.0
# A key permits nothing that its owner's role does not.
ACTIONS: Final[Mapping[Role, frozenset[KeyAction]]] = {
    Role.VIEWER: frozenset({KeyAction.READ}),
    Role.USER: frozenset({KeyAction.READ, KeyAction.PREDICT, KeyAction.FEEDBACK}),
    Role.ADMIN: frozenset(KeyAction),
}


@dataclass(frozen=True)
class NewKey:
    """A key to create.

    Attributes:
        models: the names of the models that it permits; None for all models.
        expires_in: its lifetime in seconds; None for a key that never expires.
    """

    name: str
    description: str
    models: tuple[str, ...] | None
    actions: tuple[KeyAction, ...]
    expires_in: int | None


@dataclass(frozen=True)
class CreatedKey:
    """A new key, with its text, which is shown only once."""

    key: OwnedKey
    text: str = field(repr=False)


class Credentials:
    """Creates, lists and revokes API keys, and revokes tokens.

    Every use case rejects a user with a key, and one whose account has changed since the request arrived. It raises
    NotReadyError while the database is unavailable.
    """

    def __init__(
        self,
        directory: AccountDirectory,
        texts: KeyTexts,
        authentication: KeyAuthentication,
        max_days: int | None = None,
    ) -> None:
        """Use a directory.

        Args:
            directory: the cached accounts, keys and revoked tokens.
            texts: makes the keys.
            authentication: knows the last uses of keys.
            max_days: the longest lifetime of a key; None for no limit.
        """
        self._directory = directory
        self._calls = StoreCalls(directory)
        self._texts = texts
        self._authentication = authentication
        self._max_seconds = None if max_days is None else max_days * DAY_SECONDS
        self._pruned_at = 0.0

    @property
    def default_seconds(self) -> int:
        """The lifetime of a key for which none is given."""
        return min(DEFAULT_DAYS * DAY_SECONDS, self._max_seconds or DEFAULT_DAYS * DAY_SECONDS)

    async def create_key(self, actor: AuditActor, new: NewKey) -> CreatedKey:
        """Create a key of the acting user.

        Raises:
            PermissionDeniedError: the user's role does not permit the key's actions.
            InvalidInputError: the lifetime is over the limit.
            ConflictError: the account has too many keys.
        """
        user = self._directory.logged_in(actor.user)
        if excess := [action for action in new.actions if action not in ACTIONS[user.role]]:
            raise PermissionDeniedError(
                f"the role {user.role} does not permit {', '.join(excess)}, so a key of this account cannot, either"
            )
        longest = self._max_seconds
        if longest is not None and (new.expires_in is None or new.expires_in > longest):
            raise InvalidInputError(
                [
                    Problem(
                        ("expires_in",), f"the lifetime of a key is limited to {longest} s (SLIPWAY_API_KEY_MAX_DAYS)"
                    )
                ]
            )
        text, presented = self._texts.make()
        now = datetime.now(UTC)
        expires_at = None if new.expires_in is None else now + timedelta(seconds=new.expires_in)
        key = ApiKey(presented.id, user.id, new.name, new.description, new.models, new.actions, now, expires_at)
        await self._calls.change(lambda store: store.keys.add(key, presented.digest, actor=actor))
        return CreatedKey(OwnedKey(key, user.name), text)

    async def list_keys(self, user: CurrentUser, before: uuid.UUID | None, limit: int) -> Sequence[OwnedKey]:
        """Return at most `limit` keys of the user, or of all accounts for an admin, newest first.

        Args:
            user: the user.
            before: the last key of the previous page.
            limit: the size of the page.
        """
        user = self._directory.logged_in(user)
        return await self._calls.run(lambda store: store.keys.page(_owner(user), before, limit))

    async def revoke_key(self, actor: AuditActor, key_id: uuid.UUID) -> RevokedKey:
        """Revoke a key of the acting user, or any key as an admin. Raises NotFoundError."""
        owner = _owner(self._directory.logged_in(actor.user))
        return await self._calls.change(lambda store: store.keys.revoke(key_id, owner, actor=actor))

    async def revoke_token(self, actor: AuditActor) -> RevokedToken:
        """Revoke the token of the acting user's request."""
        token = self._directory.logged_in(actor.user).token
        if token is None:
            raise AuthenticationError(TOKEN_REQUIRED)
        return await self._calls.change(lambda store: store.keys.revoke_token(token, actor=actor))

    async def revoke_all_tokens(self, actor: AuditActor, name: str | None = None) -> Account:
        """Revoke every token of the acting user, or of another account as an admin. Keys stay valid.

        Raises:
            PermissionDeniedError: the account is another one, and the user is not an admin.
            NotFoundError: no account has the name.
        """
        user = self._directory.logged_in(actor.user)
        wanted = user.name if name is None else lookup_name(name)
        if wanted != user.name:
            require_admin(user.role)
        return await self._calls.change(lambda store: store.revoke_tokens(wanted, actor=actor))

    async def maintain(self) -> None:
        """Store the last uses of keys, and delete expired rows now and then. Raises NotReadyError."""
        if uses := self._authentication.due_uses():
            await self._calls.run(lambda store: store.keys.record_uses(uses))
            self._authentication.mark_stored(uses)
        now = time.time()
        if now - self._pruned_at > PRUNE_SECONDS:
            await self._calls.run(lambda store: store.keys.prune(now))
            self._pruned_at = now


def _owner(user: CurrentUser) -> uuid.UUID | None:
    """Return whose keys a user manages; None for the keys of all accounts."""
    return None if user.role is Role.ADMIN else user.id
