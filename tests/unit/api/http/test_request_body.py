"""Slow request bodies: how many the API waits for, and which are evicted to make room."""

import asyncio
from collections.abc import Callable, Sequence

import pytest
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from slipway_api.accounts.known_networks import KNOWN_SECONDS, MAX_KNOWN, KnownNetworks
from slipway_api.accounts.models import Role
from slipway_api.errors import SlowBodyError
from slipway_api.http.request_body import BodyLimit
from slipway_api.http.slow_bodies import MAX_ARRIVING, MAX_ARRIVING_FROM_ONE_NETWORK, MAX_ARRIVING_OF_KNOWN
from slipway_api.web.dependencies import is_known_client
from support.api import PASSWORD, RunningApi
from support.clock import Clock

FOUR = [f"192.0.2.{number % 4}" for number in range(MAX_ARRIVING)]
HUNDREDS = [f"192.0.{number // 250}.{number % 250}" for number in range(500)]
ONE_NETWORK = [f"2001:db8::{number:x}" for number in range(500)]
MANY_NETWORKS = [f"2001:db8:0:{number:x}::1" for number in range(500)]
HONEST = "198.51.100.1"
KNOWN = "203.0.113.1"


def requested_from(address: str) -> Scope:
    return {"type": "http", "method": "POST", "path": "/token", "headers": [], "client": (address, 1), "state": {}}


class Uploads:
    """Send requests whose bodies arrive in two parts; the test decides when the second arrives."""

    def __init__(self) -> None:
        self.limit = BodyLimit(self._app, 1_000, lambda scope: scope["client"][0] == KNOWN)

    async def begin(self, address: str) -> Callable[[], asyncio.Task[bytes]]:
        """Send the first part; return a function that sends the second."""
        scope, rest = requested_from(address), asyncio.Event()
        parts: list[Message] = [
            {"type": "http.request", "body": b"one ", "more_body": True},
            {"type": "http.request", "body": b"two", "more_body": False},
        ]

        async def receive() -> Message:
            if len(parts) == 1:
                await rest.wait()
            return parts.pop(0)

        task = asyncio.create_task(self._answer(scope, receive))
        for _ in range(5):  # until the app waits for the second part
            await asyncio.sleep(0)

        def end() -> asyncio.Task[bytes]:
            rest.set()
            return task

        return end

    async def flood(self, addresses: Sequence[str]) -> list[Callable[[], asyncio.Task[bytes]]]:
        return [await self.begin(address) for address in addresses]

    async def send(self, address: str) -> bytes:
        """Send a complete body."""

        async def receive() -> Message:
            return {"type": "http.request", "body": b"whole", "more_body": False}

        return await self._answer(requested_from(address), receive)

    async def _answer(self, scope: Scope, receive: Receive) -> bytes:
        async def send(_message: Message) -> None:
            raise AssertionError("the app answers by its scope")

        await self.limit(scope, receive, send)
        answer: bytes = scope["answer"]
        return answer

    async def _app(self, scope: Scope, receive: Receive, _send: Send) -> None:
        try:
            scope["answer"] = await Request(scope, receive).body()
        except SlowBodyError:
            scope["answer"] = b"evicted"


@pytest.mark.parametrize(
    "slow", [FOUR, HUNDREDS, ONE_NETWORK, MANY_NETWORKS], ids=["four", "hundreds", "one network", "many networks"]
)
def test_body_is_read_while_slow_bodies_fill_all_slots(slow: list[str]) -> None:
    async def answers() -> list[bytes]:
        uploads = Uploads()
        ends = await uploads.flood(slow)
        whole = await uploads.send(HONEST)
        end = await uploads.begin(HONEST)
        # A body from the flood's own network is read as well.
        of_same = await uploads.send(slow[0])
        answers = [whole, of_same, await end()]
        await asyncio.gather(*(end() for end in ends))
        return answers

    assert asyncio.run(answers()) == [b"whole", b"whole", b"one two"]


@pytest.mark.parametrize(
    ("slow", "kept"),
    [
        ([HONEST] * 100, MAX_ARRIVING_FROM_ONE_NETWORK),
        (ONE_NETWORK, MAX_ARRIVING_FROM_ONE_NETWORK),
        ([f"::ffff:{HONEST}", HONEST] * 50, MAX_ARRIVING_FROM_ONE_NETWORK),
        (HUNDREDS, MAX_ARRIVING),
        (MANY_NETWORKS, MAX_ARRIVING),
        ([KNOWN] * 100, MAX_ARRIVING_FROM_ONE_NETWORK),
    ],
    ids=["one address", "one IPv6 /64", "IPv4-mapped", "many addresses", "many IPv6 /64", "known network"],
)
def test_slowest_bodies_of_a_network_are_evicted(slow: list[str], kept: int) -> None:
    async def answers() -> list[bytes]:
        ends = await Uploads().flood(slow)
        return await asyncio.gather(*(end() for end in ends))

    assert asyncio.run(answers()) == [b"evicted"] * (len(slow) - kept) + [b"one two"] * kept


def test_slow_body_outlasts_those_of_busier_networks() -> None:
    async def answer() -> bytes:
        uploads = Uploads()
        end = await uploads.begin(HONEST)
        ends = await uploads.flood([address for address in FOUR for _ in range(10)])
        answer = await end()
        await asyncio.gather(*(end() for end in ends))
        return answer

    assert asyncio.run(answer()) == b"one two"


def test_known_caller_keeps_its_slot() -> None:
    async def answer() -> bytes:
        uploads = Uploads()
        end = await uploads.begin(KNOWN)
        ends = await uploads.flood(HUNDREDS)
        answer = await end()
        await asyncio.gather(*(end() for end in ends))
        return answer

    assert MAX_ARRIVING_OF_KNOWN > 1
    assert asyncio.run(answer()) == b"one two"


def test_callers_are_known_by_token_key_or_network(api: RunningApi) -> None:
    def knows(address: str, authorization: str = "", key: str = "") -> bool:
        headers = [(b"authorization", authorization.encode()), (b"x-api-key", key.encode())]
        return is_known_client(api.app.state.accounts, {**requested_from(address), "headers": headers})

    form = {"username": "uma", "password": PASSWORD}
    api.post("/token", data=form, client=("2001:db8:1::1", 1)).raise_for_status()
    api.post("/token", data={**form, "password": "wrong horse"}, client=("2001:db8:2::1", 1))

    assert knows("2001:db8:1::ffff")
    assert not knows("2001:db8:2::1")
    assert knows(HONEST, f"Bearer {api.token(Role.VIEWER)}")
    assert not knows(HONEST, "Bearer x.y.z")
    key = api.post("/keys", role=Role.USER, json={"name": "uploads"}).json()["key"]
    assert knows(HONEST, key=key)
    assert not knows(HONEST, key=key[:-1] + "_")
    assert not knows(HONEST, f"Bearer {api.token(Role.VIEWER)}", key)
    assert not knows(HONEST)


def test_known_networks_expire() -> None:
    clock = Clock()
    known = KnownNetworks(clock)
    for address in HUNDREDS:
        known.add(address)
    clock.now += KNOWN_SECONDS - 1
    known.add(HUNDREDS[0])
    clock.now += 2

    assert HUNDREDS[0] in known
    assert HUNDREDS[1] not in known
    for number in range(MAX_KNOWN):
        known.add(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert HUNDREDS[0] not in known


def test_evicted_request_is_answered_503_and_closed(api: RunningApi) -> None:
    async def evicted() -> list[Message]:
        sent: list[Message] = []

        async def receive() -> Message:
            await asyncio.sleep(60)
            raise AssertionError("the body never arrives")

        async def send(message: Message) -> None:
            sent.append(message)

        headers = [(b"content-type", b"application/x-www-form-urlencoded")]
        tasks = []
        for _ in range(MAX_ARRIVING_FROM_ONE_NETWORK + 1):
            scope = {**requested_from(HONEST), "query_string": b"", "headers": headers}
            tasks.append(asyncio.create_task(api.gateway(scope, receive, send)))
        done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert len(done) == 1
        return sent

    [start, *_] = api.portal.call(evicted)

    headers = dict(start["headers"])
    assert (start["status"], headers[b"connection"], headers[b"retry-after"]) == (503, b"close", b"1")
