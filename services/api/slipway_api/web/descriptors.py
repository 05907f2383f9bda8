"""Limits of file descriptors and of open connections."""

import functools
import resource
from typing import Final

from slipway_core.logging import get_logger

# An upper bound: a worker handles far fewer requests at once, and each connection takes memory.
MAX_CONNECTIONS: Final = 4096
MAX_BACKLOG: Final = 2048
# Reserved for the journal, the database, loading models, threads and pipes.
RESERVED: Final = 128

log = get_logger("slipway.server")


def raise_descriptor_limit() -> None:
    """Raise this process' soft limit of file descriptors to its hard limit; child processes inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:
        log.warning("descriptor_limit_not_raised", limit=soft, reason=str(error))
        return
    log.info("descriptor_limit", limit=hard, before=soft, connections=max_connections())


def backlog() -> int:
    """Return how many connections the system may queue before the event loop accepts them."""
    return min(MAX_BACKLOG, _soft_limit() // 16)


@functools.cache
def max_connections() -> int:
    """Return how many connections may be open in this process.

    The limit reserves descriptors for connections that the system has accepted but the event loop has not yet handled.
    """
    soft = _soft_limit()
    return min(MAX_CONNECTIONS, max(soft - RESERVED - 2 * backlog(), soft // 4))


def _soft_limit() -> int:
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return soft if soft != resource.RLIM_INFINITY else 1 << 20
