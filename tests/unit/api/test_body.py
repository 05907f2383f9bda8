"""Bodies that are slow to arrive: how many are waited for."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from slipway_api.body import MAX_ARRIVING, MAX_ARRIVING_FROM_ONE_ADDRESS, BodyLimit
from slipway_api.errors import NotReadyError


def asked_from(address: str) -> Scope:
    return {"type": "http", "method": "POST", "path": "/token", "headers": [], "client": (address, 1)}


async def answers_to(slow: Sequence[str], then: str) -> tuple[Counter[str], str, str]:
    """Ask slowly from some addresses and meanwhile from another; return their answers, its own, and its next."""
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

    async def receive_at_once() -> Message:
        return {"type": "http.request", "body": b"read"}

    async def send(_message: Message) -> None:
        raise AssertionError("nothing is answered here")

    limit = BodyLimit(app, 1_000)
    asking = [asyncio.create_task(limit(asked_from(address), receive, send)) for address in slow]
    await asyncio.sleep(0)
    refused = len(answers)
    await limit(asked_from(then), receive_at_once, send)
    meanwhile = answers.pop()
    arrived.set()
    await asyncio.gather(*asking)
    assert answers[:refused] == ["refused"] * refused
    of_the_slow = Counter(answers)
    await limit(asked_from(then), receive_at_once, send)
    return of_the_slow, meanwhile, answers[-1]


def test_so_many_bodies_are_waited_for_and_no_more() -> None:
    slow = [f"192.0.2.{number}" for number in range(MAX_ARRIVING)]

    assert asyncio.run(answers_to(slow, "198.51.100.1")) == ({"read": MAX_ARRIVING}, "refused", "read")


@pytest.mark.parametrize(("then", "answer"), [("192.0.2.1", "refused"), ("198.51.100.1", "read")])
def test_one_address_does_not_keep_the_others_out(then: str, answer: str) -> None:
    slow = ["192.0.2.1"] * MAX_ARRIVING
    kept = {"read": MAX_ARRIVING_FROM_ONE_ADDRESS, "refused": MAX_ARRIVING - MAX_ARRIVING_FROM_ONE_ADDRESS}

    assert asyncio.run(answers_to(slow, then)) == (kept, answer, "read")
