"""Perform the steps of operations over HTTP: the part of the clients that does I/O."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, TypeVar

import httpx

from slipway_client import calls
from slipway_client.calls import Call, Page
from slipway_client.session import Session
from slipway_client.steps import Send, Sleep, Step, Steps

T = TypeVar("T")


class _Connection:
    """The address and the credential of a client."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._session.description})"

    @property
    def url(self) -> str:
        """The address of the API."""
        return self._session.url

    @property
    def token(self) -> str | None:
        """The bearer token in use. It is a secret."""
        return self._session.token


class Runner(_Connection):
    """Performs steps one after another."""

    def __init__(self, session: Session, http: httpx.Client) -> None:
        super().__init__(session)
        self._http = http

    def _call(self, call: Call[T]) -> T:
        return self._run(self._session.call(call))

    def _entries(self, page_of: Callable[[int, str | None], Call[Page[T]]], limit: int | None = None) -> Iterator[T]:
        """Yield the entries of all pages, up to a limit."""
        cursor, left = None, limit
        while left is None or left > 0:
            page = self._call(page_of(calls.page_size(left), cursor))
            yield from page.entries[:left]
            left = None if left is None else left - len(page.entries)
            cursor = page.cursor
            if cursor is None:
                return

    def _run(self, steps: Steps[T]) -> T:
        """Perform the steps of an operation, and return its result."""
        try:
            step = next(steps)
            while True:
                try:
                    answer = self._perform(step)
                except httpx.HTTPError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    def _perform(self, step: Step) -> object:
        if isinstance(step, Send):
            return self._http.request(step.method, step.path, headers=step.headers, **step.content)
        if isinstance(step, Sleep):
            time.sleep(step.seconds)
            return None
        return [self._run(operation) for operation in step.operations]


class AsyncRunner(_Connection):
    """Performs steps in asyncio, and independent operations concurrently."""

    def __init__(self, session: Session, http: httpx.AsyncClient, concurrency: int) -> None:
        super().__init__(session)
        self._http = http
        self._concurrency = concurrency

    async def _call(self, call: Call[T]) -> T:
        return await self._run(self._session.call(call))

    async def _entries(
        self, page_of: Callable[[int, str | None], Call[Page[T]]], limit: int | None = None
    ) -> AsyncIterator[T]:
        """Yield the entries of all pages, up to a limit."""
        cursor, left = None, limit
        while left is None or left > 0:
            page = await self._call(page_of(calls.page_size(left), cursor))
            for entry in page.entries[:left]:
                yield entry
            left = None if left is None else left - len(page.entries)
            cursor = page.cursor
            if cursor is None:
                return

    async def _run(self, steps: Steps[T]) -> T:
        """Perform the steps of an operation, and return its result."""
        try:
            step = next(steps)
            while True:
                try:
                    answer = await self._perform(step)
                except httpx.HTTPError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    async def _perform(self, step: Step) -> object:
        if isinstance(step, Send):
            return await self._http.request(step.method, step.path, headers=step.headers, **step.content)
        if isinstance(step, Sleep):
            await asyncio.sleep(step.seconds)
            return None
        return await self._run_together(step.operations)

    async def _run_together(self, operations: Sequence[Steps[Any]]) -> list[Any]:
        """Run operations with bounded concurrency, and return their results in order."""
        results: list[Any] = [None] * len(operations)
        waiting = iter(enumerate(operations))

        async def work() -> None:
            for number, operation in waiting:
                results[number] = await self._run(operation)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(self._concurrency, len(operations))):
                tasks.create_task(work())
        return results
