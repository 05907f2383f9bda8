"""Rows of the database as a worker read them last, with the changes that it made meanwhile."""

import uuid
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

Row = TypeVar("Row")


class CachedRows(Generic[Row]):
    """Rows by id. The caller serializes everything except reading `rows`, which is replaced and never changed.

    Attributes:
        rows: the rows.
    """

    def __init__(self, version_of: Callable[[Row], int] = lambda _row: 0) -> None:
        """Start without rows.

        Args:
            version_of: returns a number that each change of a row raises; rows never change by default.
        """
        self._version_of = version_of
        self.rows: Mapping[uuid.UUID, Row] = {}
        # Changes since the current read began: they may be newer than its result.
        self._updated: dict[uuid.UUID, Row] = {}
        self._removed: set[uuid.UUID] = set()

    def begin_read(self) -> None:
        """Note that a read of all rows begins."""
        self._updated, self._removed = {}, set()

    def end_read(self, rows: Mapping[uuid.UUID, Row]) -> None:
        """Replace the rows by those of the read, with the changes made since it began."""
        version_of = self._version_of
        newer = {i: row for i, row in self._updated.items() if i not in rows or version_of(rows[i]) < version_of(row)}
        self.rows = {i: row for i, row in {**rows, **newer}.items() if i not in self._removed}

    def put(self, row_id: uuid.UUID, row: Row) -> None:
        """Add or replace a row, unless it was removed or a newer version is cached."""
        cached = self.rows.get(row_id)
        if row_id in self._removed or (cached is not None and self._version_of(cached) > self._version_of(row)):
            return
        self._updated[row_id] = row
        self.rows = {**self.rows, row_id: row}

    def remove(self, row_id: uuid.UUID) -> None:
        """Remove a row."""
        self._updated.pop(row_id, None)
        self._removed.add(row_id)
        self.rows = {i: row for i, row in self.rows.items() if i != row_id}
