"""Statements on tables that the migrations have not created yet."""

from pathlib import Path

import pytest
from sqlalchemy import text

from slipway_api.database.errors import TABLES_MISSING, translated_errors
from slipway_api.errors import NotReadyError
from slipway_core.database import connect


def test_missing_table_is_found_without_an_error_in_the_database(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'slipway.db'}")
    reached = []

    def count() -> int:
        with translated_errors(engine, frozenset({"users"}), "away"), engine.connect() as connection:
            reached.append(True)
            return int(connection.execute(text("SELECT count(*) FROM users")).scalar_one())

    with pytest.raises(NotReadyError, match=TABLES_MISSING):
        count()
    assert reached == []

    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE users (id integer)"))
    assert count() == 0
    engine.dispose()
