"""Run the HTTP server with one process, or with several workers on one socket.

Workers share their metrics through files (Prometheus' multiprocess mode), and each reads the accounts from the database
every two seconds.
"""

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from prometheus_client.multiprocess import mark_process_dead
from starlette.types import ASGIApp
from uvicorn.supervisors import Multiprocess

from slipway_api.settings import ApiSettings
from slipway_api.web.connections import Connection
from slipway_api.web.descriptors import backlog
from slipway_core.errors import ConfigurationError

SHUTDOWN_SECONDS = 10
# A worker that is silent for this long is killed, and loses its unwritten predictions. A busy machine may pause a
# worker for some seconds.
HUNG_SECONDS = 15
METRICS_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def run(
    settings: ApiSettings,
    listener: socket.socket,
    make_app: Callable[[], ASGIApp],
    make_worker: Callable[[], ASGIApp],
) -> None:
    """Serve until a signal arrives, then finish the requests in progress.

    Args:
        settings: the number of workers.
        listener: the listening socket.
        make_app: creates the application for a single process.
        make_worker: a module-level function, which each worker imports and calls.
    """
    if settings.workers == 1:
        uvicorn.Server(_config(settings, make_app())).run(sockets=[listener])
    else:
        with _metrics_folder():
            app = f"{make_worker.__module__}:{make_worker.__name__}"
            _Workers(_config(settings, app), [listener]).run()


class _Workers(Multiprocess):
    """uvicorn's workers, with cleanup of the gauges of ended workers."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self._seen: set[int] = set()

    def terminate_all(self) -> None:
        # Otherwise the system would accept new connections, and they would hang until the shipper has stopped, too.
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
        http=Connection,
        ws="none",
        backlog=backlog(),
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
    """Create the folder of shared metrics and set its variable, before the workers import the metrics library."""
    folder = tempfile.mkdtemp(prefix="slipway-metrics-")
    os.environ[METRICS_FOLDER_VARIABLE] = folder
    try:
        yield
    finally:
        del os.environ[METRICS_FOLDER_VARIABLE]
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a listening socket.

    Raises:
        ConfigurationError: the address is unavailable.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # `::` listens on all addresses, including IPv4.
    is_both = host == "::" and socket.has_dualstack_ipv6()
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048, dualstack_ipv6=is_both)
    except OSError as error:
        reason = (error.strerror or "").partition(" (")[0]  # Python repeats the address in parentheses
        raise ConfigurationError(
            f"cannot listen on {host} port {port} ({reason}): set SLIPWAY_HOST and SLIPWAY_PORT"
        ) from error
    with listener:
        yield listener
