"""The API keys and revoked tokens in Slipway's database."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from slipway_api.accounts.events import Action, AuditActor
from slipway_api.accounts.key_models import (
    AddedKey,
    ApiKey,
    CachedKey,
    KeyAction,
    OwnedKey,
    RevokedKey,
    RevokedToken,
)
from slipway_api.accounts.models import TOKEN_REVOKED, CurrentToken
from slipway_api.accounts.transactions import AccountDatabase, lock_actor
from slipway_api.errors import AuthenticationError, ConflictError, NotFoundError
from slipway_core.tables import api_keys, revoked_tokens, users

# Every worker keeps all keys in memory.
MAX_KEYS_OF_ACCOUNT: Final = 100
# Expired keys stay in the list for this long.
EXPIRED_DAYS: Final = 30
# Revoked tokens are kept after they expire: the clock of another replica may be behind.
CLOCK_DIFFERENCE: Final = timedelta(hours=1)


class SqlKeyStore:
    """The API keys and revoked tokens in Slipway's database. `KeyStore` describes the methods."""

    def __init__(self, database: AccountDatabase) -> None:
        self._database = database

    def add(self, key: ApiKey, digest: str, *, actor: AuditActor) -> AddedKey:
        """Add a key of the acting user."""
        own = api_keys.c.user_id == key.user_id
        with self._database.change(actor) as (connection, events):
            # The lock makes concurrent requests of the account wait, so that the count holds.
            owner = lock_actor(connection, actor)
            if connection.execute(select(func.count()).where(own)).scalar_one() >= MAX_KEYS_OF_ACCOUNT:
                raise ConflictError(
                    f"the account has {MAX_KEYS_OF_ACCOUNT} API keys, which is the maximum; revoke one that is not used"
                )
            values = {**vars(key), "digest": digest, "models": None if key.models is None else list(key.models)}
            connection.execute(insert(api_keys).values(**values | {"actions": list(key.actions)}))
            events.record(Action.KEY_CREATED, key.user_id, owner, key_id=str(key.id))
        return AddedKey(key, _cached(key, digest))

    def page(self, user_id: uuid.UUID | None, before: uuid.UUID | None, limit: int) -> Sequence[OwnedKey]:
        """Return at most `limit` keys of an account, or of all, that were created before a key, newest first."""
        wanted = select(api_keys, users.c.name.label("owner")).join(users, users.c.id == api_keys.c.user_id)
        wanted = wanted.order_by(api_keys.c.id.desc()).limit(limit)
        if user_id is not None:
            wanted = wanted.where(api_keys.c.user_id == user_id)
        if before is not None:
            wanted = wanted.where(api_keys.c.id < before)
        with self._database.connect() as connection:
            return [OwnedKey(_key(row), row.owner) for row in connection.execute(wanted)]

    def revoke(self, key_id: uuid.UUID, user_id: uuid.UUID | None, *, actor: AuditActor) -> RevokedKey:
        """Delete a key of an account, or of any."""
        is_key = api_keys.c.id == key_id
        if user_id is not None:
            is_key &= api_keys.c.user_id == user_id
        with self._database.change(actor) as (connection, events):
            lock_actor(connection, actor)
            owner_id = connection.execute(delete(api_keys).where(is_key).returning(api_keys.c.user_id)).scalar()
            if owner_id is None:
                raise NotFoundError(f"you have no API key with the id {key_id}; GET /keys lists your keys")
            owner = connection.execute(select(users.c.name).where(users.c.id == owner_id)).scalar_one()
            events.record(Action.KEY_REVOKED, owner_id, owner, key_id=str(key_id))
        return RevokedKey(key_id)

    def revoke_token(self, token: CurrentToken, *, actor: AuditActor) -> RevokedToken:
        """Revoke a token of the acting user until it expires."""
        expires_at = datetime.fromtimestamp(token.expires, UTC)
        try:
            with self._database.change(actor) as (connection, events):
                name = lock_actor(connection, actor)
                connection.execute(insert(revoked_tokens).values(id=token.id, expires_at=expires_at))
                if actor.id is not None:
                    events.record(Action.TOKEN_REVOKED, actor.id, name)
        except IntegrityError as error:  # another request has revoked it
            raise AuthenticationError(TOKEN_REVOKED) from error
        return RevokedToken(token.id, token.expires)

    def record_uses(self, uses: Mapping[uuid.UUID, float]) -> None:
        """Store when keys were last used. Skips keys that another transaction has locked, to avoid deadlock."""
        present = select(api_keys.c.id).where(api_keys.c.id.in_(uses)).with_for_update(skip_locked=True)
        is_key = (api_keys.c.id == bindparam("key_id")) & or_(
            api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at < bindparam("used_at")
        )
        change = update(api_keys).where(is_key).values(last_used_at=bindparam("used_at"))
        with self._database.begin() as connection:
            found = connection.execute(present).scalars().all()
            if found:
                rows = [{"key_id": i, "used_at": datetime.fromtimestamp(uses[i], UTC)} for i in found]
                connection.execute(change, rows)

    def prune(self, now: float) -> None:
        """Delete revoked tokens and keys that expired some time ago. Skips locked keys, to avoid deadlock."""
        moment = datetime.fromtimestamp(now, UTC)
        is_old = api_keys.c.expires_at <= moment - timedelta(days=EXPIRED_DAYS)
        old = select(api_keys.c.id).where(is_old).with_for_update(skip_locked=True)
        with self._database.begin() as connection:
            connection.execute(delete(revoked_tokens).where(revoked_tokens.c.expires_at <= moment - CLOCK_DIFFERENCE))
            connection.execute(delete(api_keys).where(api_keys.c.id.in_(old.scalar_subquery())))


def cached_keys(connection: Connection) -> dict[uuid.UUID, CachedKey]:
    """Return the cached form of every key that has not expired, by id."""
    is_valid = api_keys.c.expires_at.is_(None) | (api_keys.c.expires_at > datetime.now(UTC))
    rows = connection.execute(select(api_keys).where(is_valid))
    return {row.id: _cached(_key(row), row.digest) for row in rows}


def cached_revocations(connection: Connection) -> dict[uuid.UUID, float]:
    """Return when each revoked token that has not expired expires, by its id."""
    rows = connection.execute(select(revoked_tokens).where(revoked_tokens.c.expires_at > datetime.now(UTC)))
    return {row.id: row.expires_at.timestamp() for row in rows}


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        user_id=row.user_id,
        name=row.name,
        description=row.description,
        models=None if row.models is None else tuple(row.models),
        actions=tuple(map(KeyAction, row.actions)),
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
    )


def _cached(key: ApiKey, digest: str) -> CachedKey:
    return CachedKey(
        key.id,
        key.user_id,
        digest,
        None if key.models is None else frozenset(key.models),
        frozenset(key.actions),
        None if key.expires_at is None else key.expires_at.timestamp(),
    )
