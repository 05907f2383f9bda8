"""Real servers that integration tests share."""

from collections.abc import Iterator

import pytest

from support.postgres import new_database, postgres_server


@pytest.fixture(scope="session")
def postgres_address() -> Iterator[str]:
    """The address of a real PostgreSQL server that all tests of a run share."""
    with postgres_server() as address:
        yield address


@pytest.fixture
def postgres_url(postgres_address: str) -> str:
    """The address of an empty database on it, as `DATABASE_URL` is written."""
    return new_database(postgres_address)
