"""Password hashes: their parameters, and how many run at once."""

import asyncio
import os
import sys
import threading
from collections.abc import Iterator

import pytest

from slipway_api.accounts.passwords import NICENESS, Passwords


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


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a priority of their own on Linux alone")
def test_hashing_thread_has_low_priority(passwords: Passwords) -> None:
    niceness = asyncio.run(passwords._executor.run(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))

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
