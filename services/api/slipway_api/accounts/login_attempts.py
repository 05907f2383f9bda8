"""The counters of failed logins in the database, which all workers and replicas share."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from sqlalchemy import case, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from slipway_api.accounts.login_throttle import Tally
from slipway_api.accounts.transactions import AccountDatabase
from slipway_core.tables import login_attempts as table

MAX_PRUNED_ROWS = 1000


class SqlLoginAttempts:
    """The table `login_attempts`. Times are in seconds since 1970."""

    def __init__(self, database: AccountDatabase) -> None:
        self._database = database
        self._insert = sqlite.insert if database.is_sqlite else postgresql.insert

    def read(self, keys: Collection[str], now: float) -> Mapping[str, Tally]:
        """Return the tallies that have not expired."""
        wanted = select(table).where(table.c.key.in_(keys), table.c.expires_at > _time(now))
        with self._database.connect() as connection:
            return {row.key: Tally(row.attempts, row.expires_at.timestamp()) for row in connection.execute(wanted)}

    def add(self, keys: Collection[str], now: float, expires_at: float) -> Mapping[str, Tally]:
        """Count one attempt for each key and return the tallies; an expired tally starts again at 1."""
        expires = _time(expires_at)
        # Lock rows in a fixed order to avoid deadlock.
        new = self._insert(table).values([{"key": key, "attempts": 1, "expires_at": expires} for key in sorted(keys)])
        is_valid = table.c.expires_at > _time(now)
        counted = new.on_conflict_do_update(
            index_elements=[table.c.key],
            set_={
                "attempts": case((is_valid, table.c.attempts + 1), else_=1),
                "expires_at": case((is_valid, table.c.expires_at), else_=new.excluded.expires_at),
            },
        ).returning(table.c.key, table.c.attempts, table.c.expires_at)
        with self._database.begin() as connection:
            return {row.key: Tally(row.attempts, row.expires_at.timestamp()) for row in connection.execute(counted)}

    def clear(self, key: str, mark: tuple[str, float] | None = None) -> None:
        """Delete a key, and store another key until a time."""
        with self._database.begin() as connection:
            connection.execute(delete(table).where(table.c.key == key))
            if mark is not None:
                marked, expires_at = mark
                new = self._insert(table).values(key=marked, attempts=0, expires_at=_time(expires_at))
                expiry = {"expires_at": new.excluded.expires_at}
                connection.execute(new.on_conflict_do_update(index_elements=[table.c.key], set_=expiry))

    def clear_prefix(self, prefix: str) -> None:
        """Delete every key with a prefix."""
        with self._database.begin() as connection:
            connection.execute(delete(table).where(table.c.key.startswith(prefix, autoescape=True)))

    def prune(self, now: float) -> None:
        """Delete at most MAX_PRUNED_ROWS expired rows."""
        old = select(table.c.key).where(table.c.expires_at <= _time(now)).limit(MAX_PRUNED_ROWS)
        # Skip rows that another transaction is counting, instead of waiting for them.
        skipping = old.with_for_update(skip_locked=True)
        with self._database.begin() as connection:
            connection.execute(delete(table).where(table.c.key.in_(skipping.scalar_subquery())))


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
