"""Password hashes: their parameters, and how many run at once."""

import asyncio
import os
import sys
import threading
from collections.abc import Iterator

import pytest

from slipway_api.accounts.passwords import MAX_WAITING, NICENESS, Passwords
from slipway_api.errors import TooManyRequestsError


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    passwords = Passwords()
    yield passwords
    passwords.close()


def test_verify_accepts_only_the_hashed_password(passwords: Passwords) -> None:
    async def check() -> tuple[bool, bool]:
        password_hash = await passwords.hash("correct horse")
        right = await passwords.verify("correct horse", password_hash)
        return right, await passwords.verify("Correct horse", password_hash)

    assert asyncio.run(check()) == (True, False)


def test_hash_is_argon2id_with_documented_cost(passwords: Passwords) -> None:
    password_hash = asyncio.run(passwords.hash("correct horse"))

    assert password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_verify_without_hash_does_equal_work_and_fails(passwords: Passwords) -> None:
    context = CountingContext()
    passwords._context = context

    assert not asyncio.run(passwords.verify("a dummy password", None))

    assert context.verified == 1


class CountingContext:
    """A password context that takes every password and counts."""

    def __init__(self) -> None:
        self.verified = 0

    def hash(self, _password: str) -> str:
        return "hash"

    def verify(self, _password: str, _password_hash: str) -> bool:
        self.verified += 1
        return True


class HeldContext(CountingContext):
    """A password context whose work takes until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()
        self.running = 0
        self.most_running = 0

    def verify(self, password: str, password_hash: str) -> bool:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        self.released.wait(10)
        self.running -= 1
        return super().verify(password, password_hash)


def test_verify_is_rejected_when_queue_is_full(passwords: Passwords) -> None:
    context = HeldContext()
    passwords._context = context

    async def flood() -> list[bool]:
        accepted = [asyncio.create_task(passwords.verify("x", "hash")) for _ in range(1 + MAX_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(TooManyRequestsError, match="too many logins"):
            await passwords.verify("x", "hash")
        context.released.set()
        return await asyncio.gather(*accepted)

    assert asyncio.run(flood()) == [True] * (1 + MAX_WAITING)
    assert context.most_running == 1


def test_queue_accepts_more_after_earlier_hashes_finish(passwords: Passwords) -> None:
    passwords._context = CountingContext()

    async def one_after_another() -> list[bool]:
        return [await passwords.verify("x", "hash") for _ in range(3 * MAX_WAITING)]

    assert asyncio.run(one_after_another()) == [True] * 3 * MAX_WAITING


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a priority of their own on Linux alone")
def test_hashing_thread_has_low_priority(passwords: Passwords) -> None:
    niceness = passwords._executor.submit(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())).result()

    assert niceness >= NICENESS
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) < NICENESS


def test_second_hash_waits_for_pause_after_first(passwords: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("slipway_api.accounts.passwords.time.sleep", slept.append)

    async def twice() -> None:
        for _ in range(2):
            await passwords.hash("correct horse")

    asyncio.run(twice())

    first, second = slept
    assert first == 0
    assert second > 0
