"""Failed logins in the database, so that all workers and replicas count together."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from sqlalchemy import case, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from slipway_api.accounts.login_throttle import Tally
from slipway_api.accounts.transactions import AccountDatabase
from slipway_core.tables import login_attempts as table

PRUNED_AT_ONCE = 1000


class SqlLoginAttempts:
    """The table `login_attempts`. Times are seconds since 1970."""

    def __init__(self, database: AccountDatabase) -> None:
        self._database = database
        self._insert = sqlite.insert if database.is_sqlite else postgresql.insert

    def read(self, keys: Collection[str], now: float) -> Mapping[str, Tally]:
        """Return the tallies that hold."""
        wanted = select(table).where(table.c.key.in_(keys), table.c.expires_at > _time(now))
        with self._database.reading() as connection:
            return {row.key: Tally(row.attempts, row.expires_at.timestamp()) for row in connection.execute(wanted)}

    def add(self, keys: Collection[str], now: float, expires_at: float) -> Mapping[str, Tally]:
        """Count one attempt for each key and return the tallies; one that no longer holds begins anew."""
        expires = _time(expires_at)
        # In one order everywhere: two that lock the same rows must not wait for each other.
        new = self._insert(table).values([{"key": key, "attempts": 1, "expires_at": expires} for key in sorted(keys)])
        holds = table.c.expires_at > _time(now)
        counted = new.on_conflict_do_update(
            index_elements=[table.c.key],
            set_={
                "attempts": case((holds, table.c.attempts + 1), else_=1),
                "expires_at": case((holds, table.c.expires_at), else_=new.excluded.expires_at),
            },
        ).returning(table.c.key, table.c.attempts, table.c.expires_at)
        with self._database.writing() as connection:
            return {row.key: Tally(row.attempts, row.expires_at.timestamp()) for row in connection.execute(counted)}

    def forget(self, key: str, remember: tuple[str, float] | None = None) -> None:
        """Forget a key, and remember another one until a time."""
        with self._database.writing() as connection:
            connection.execute(delete(table).where(table.c.key == key))
            if remember is not None:
                kept, expires_at = remember
                new = self._insert(table).values(key=kept, attempts=0, expires_at=_time(expires_at))
                expiry = {"expires_at": new.excluded.expires_at}
                connection.execute(new.on_conflict_do_update(index_elements=[table.c.key], set_=expiry))

    def forget_all(self, prefix: str) -> None:
        """Forget every key that begins so."""
        with self._database.writing() as connection:
            connection.execute(delete(table).where(table.c.key.startswith(prefix, autoescape=True)))

    def prune(self, now: float) -> None:
        """Delete rows that no longer hold, at most PRUNED_AT_ONCE of them."""
        old = select(table.c.key).where(table.c.expires_at <= _time(now)).limit(PRUNED_AT_ONCE)
        # Rows that are being counted are left alone: nobody waits for this.
        skipping = old.with_for_update(skip_locked=True)
        with self._database.writing() as connection:
            connection.execute(delete(table).where(table.c.key.in_(skipping.scalar_subquery())))


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
