"""Listening: one process, or several workers behind one socket.

Several workers share their metrics by files (Prometheus' multiprocess mode) and know the same accounts by looking at
the database every two seconds.
"""

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from prometheus_client.multiprocess import mark_process_dead
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import Multiprocess

from slipway_api.settings import ApiSettings
from slipway_core.errors import ConfigurationError

SHUTDOWN_SECONDS = 10
# How long a connection may take for a request's head. Else those that say nothing would in time be all there can be.
HEAD_SECONDS = 10.0
# How long a worker may say nothing before it is taken for hung and killed, with the predictions that it has not written
# yet. A busy machine stands still for some seconds now and then.
HUNG_SECONDS = 15
# RFC 4291, section 2.5.5.2.
MAPPED_PREFIX = "::ffff:"
METRICS_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def run(
    settings: ApiSettings,
    listener: socket.socket,
    make_app: Callable[[], ASGIApp],
    make_worker: Callable[[], ASGIApp],
) -> None:
    """Answer until a signal ends it; requests under way are answered first.

    Args:
        settings: how many workers.
        listener: where clients come in.
        make_app: called once, where one process is enough.
        make_worker: a function of a module, which each of several workers imports and calls.
    """
    if settings.workers == 1:
        uvicorn.Server(_config(settings, make_app())).run(sockets=[listener])
    else:
        with _metrics_folder():
            app = f"{make_worker.__module__}:{make_worker.__name__}"
            _Workers(_config(settings, app), [listener]).run()


class HeadDeadline(HttpToolsProtocol):
    """uvicorn's HTTP, which closes a connection that takes too long to say what it asks for.

    uvicorn itself ends connections that are idle after an answer, and no others.
    """

    head_seconds = HEAD_SECONDS
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for the first head."""
        super().connection_made(transport)
        if self.client is not None and self.client[0].startswith(MAPPED_PREFIX):
            # On `::` clients of IPv4 are called so. Trusted proxies, limits and the audit log know them by their own.
            self.client = (self.client[0].removeprefix(MAPPED_PREFIX), self.client[1])
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Take what came; begin to wait for the rest of a head, if one has begun."""
        super().data_received(data)
        is_idle = self.cycle is None or self.cycle.response_complete
        if is_idle and self._head_timer is None and self.timeout_keep_alive_task is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        """End the wait: the head is there."""
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the wait: nothing more will come."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_seconds, self.timeout_keep_alive_handler)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class _Workers(Multiprocess):
    """uvicorn's workers; what a dead one has told of its present state is forgotten."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self._seen: set[int] = set()

    def terminate_all(self) -> None:
        # Else whoever comes now is let in by the system, and waits for nobody until the shipper has ended, too.
        for listener in self.sockets:
            listener.close()
        super().terminate_all()

    def keep_subprocess_alive(self) -> None:
        super().keep_subprocess_alive()
        alive = {process.pid for process in self.processes if process.pid is not None}
        for pid in self._seen - alive:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]
        self._seen = alive


def _config(settings: ApiSettings, app: ASGIApp | str) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        http=HeadDeadline,
        workers=settings.workers,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        timeout_worker_healthcheck=HUNG_SECONDS,
        forwarded_allow_ips=settings.forwarded_allow_ips,
    )


@contextmanager
def _metrics_folder() -> Iterator[None]:
    """Give the workers a folder for their metrics, as their library wants it: before it is imported, by a variable."""
    folder = tempfile.mkdtemp(prefix="slipway-metrics-")
    os.environ[METRICS_FOLDER_VARIABLE] = folder
    try:
        yield
    finally:
        del os.environ[METRICS_FOLDER_VARIABLE]
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a socket that listens.

    Raises:
        ConfigurationError: the address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # `::` is every address, those of IPv4 too.
    is_both = host == "::" and socket.has_dualstack_ipv6()
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048, dualstack_ipv6=is_both)
    except OSError as error:
        reason = (error.strerror or "").partition(" (")[0]  # Python adds the address once more
        raise ConfigurationError(
            f"cannot listen on {host} port {port} ({reason}): set SLIPWAY_HOST and SLIPWAY_PORT"
        ) from error
    with listener:
        yield listener
