"""Bodies that are slow to arrive: how many are waited for."""

import asyncio

from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from slipway_api.body import MAX_ARRIVING, BodyLimit
from slipway_api.errors import NotReadyError

SCOPE = {"type": "http", "method": "POST", "path": "/token", "headers": []}


def test_so_many_bodies_are_waited_for_and_no_more() -> None:
    async def ask() -> list[str]:
        arrived = asyncio.Event()
        answers: list[str] = []

        async def app(scope: Scope, receive: Receive, _send: Send) -> None:
            try:
                answers.append((await Request(scope, receive).body()).decode())
            except NotReadyError:
                answers.append("refused")

        async def receive() -> Message:
            await arrived.wait()
            return {"type": "http.request", "body": b"read"}

        async def send(_message: Message) -> None:
            raise AssertionError("nothing is answered here")

        limit = BodyLimit(app, 1_000)
        slow = [asyncio.create_task(limit(SCOPE, receive, send)) for _ in range(MAX_ARRIVING)]
        await asyncio.sleep(0)
        await limit(SCOPE, receive, send)
        arrived.set()
        await asyncio.gather(*slow)
        await limit(SCOPE, receive, send)
        return answers

    assert asyncio.run(ask()) == ["refused", *["read"] * (MAX_ARRIVING + 1)]
