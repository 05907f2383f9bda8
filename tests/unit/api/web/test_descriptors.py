"""File descriptors: the limit of the process, and the share that connections may use."""

import resource
from collections.abc import Iterator

import pytest

from slipway_api.web.descriptors import MAX_BACKLOG, MAX_CONNECTIONS, backlog, max_connections, raise_descriptor_limit


@pytest.fixture(autouse=True)
def unchanged() -> Iterator[None]:
    """Return the limits of the tests' process, and restore them afterwards."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    max_connections.cache_clear()
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    max_connections.cache_clear()


def test_soft_limit_is_raised_to_the_hard_limit() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (400, hard))

    raise_descriptor_limit()

    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)


@pytest.mark.parametrize("soft", [64, 256, 400, 1_024, 4_096, 65_536, 1 << 20, resource.RLIM_INFINITY])
def test_connections_leave_descriptors_for_everything_else(monkeypatch: pytest.MonkeyPatch, soft: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (soft, soft))
    known = soft if soft != resource.RLIM_INFINITY else 1 << 20

    assert known // 4 <= max_connections() <= MAX_CONNECTIONS or known > 4 * MAX_CONNECTIONS
    assert max_connections() + 2 * backlog() <= known - min(128, known // 4)
    assert 0 < backlog() <= MAX_BACKLOG
