"""A server with the API's connection limits in front of any application."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from slipway_api.web.connections import Connection
from slipway_api.web.server import listening
from support.waiting import wait_for


@contextmanager
def serving(app: ASGIApp, host: str = "127.0.0.1") -> Iterator[tuple[str, int]]:
    """Run a server in a thread; yield its address."""
    with listening(host, 0) as listener:
        config = uvicorn.Config(app, http=Connection, lifespan="off", log_config=None)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            wait_for(lambda: server.started, what="the server")
            yield "127.0.0.1", listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(10)
