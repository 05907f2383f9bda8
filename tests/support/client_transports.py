"""Transports of the Python client to the API inside the tests' process."""

import asyncio

import httpx

from support.api import LOOPBACK, RunningApi

URL = "http://slipway"


class SyncTransport(httpx.BaseTransport):
    """Sends the requests of a `Client` to a running API, and counts them."""

    def __init__(self, api: RunningApi) -> None:
        self._api = api
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self._api.portal.call(answer, self._api, request)


class AsyncTransport(httpx.AsyncBaseTransport):
    """Sends the requests of an `AsyncClient` to a running API, and counts how many run at a time."""

    def __init__(self, api: RunningApi) -> None:
        self._api = api
        self._running = 0
        self.most_at_a_time = 0
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self._running += 1
        self.most_at_a_time = max(self.most_at_a_time, self._running)
        try:
            return await asyncio.wrap_future(self._api.portal.start_task_soon(answer, self._api, request))
        finally:
            self._running -= 1


async def answer(api: RunningApi, request: httpx.Request) -> httpx.Response:
    """Return the API's whole response, from its own event loop."""
    transport = httpx.ASGITransport(api.gateway, client=LOOPBACK)
    # The body was read by neither the client nor the server yet.
    copy = httpx.Request(request.method, request.url, headers=request.headers, content=request.read())
    response = await transport.handle_async_request(copy)
    content = await response.aread()
    return httpx.Response(response.status_code, headers=response.headers, content=content, request=request)
