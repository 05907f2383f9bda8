"""The steps that an operation takes, as a generator. It does no I/O: `Client` and `AsyncClient` perform the steps.

An operation yields a step, and receives its result:

    response = yield Send(request)     the response, or an `httpx.HTTPError` is raised
    yield Sleep(0.5)                   nothing
    results = yield Together([…])      the results of other operations, in their order
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Send:
    """Send a request.

    Attributes:
        path: below the address of the API, quoted.
        headers: includes the credential, so the representation omits it.
        content: the keyword arguments of `httpx.Client.request` for the body and the query.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    content: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Sleep:
    """Wait."""

    seconds: float


@dataclass(frozen=True)
class Together:
    """Run operations that do not depend on each other, concurrently if the client can."""

    operations: Sequence[Generator[Any, Any, Any]]


Step: TypeAlias = Send | Sleep | Together
Steps: TypeAlias = Generator[Step, Any, T]
