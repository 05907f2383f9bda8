"""Who changes an account, as the audit log tells it."""

from typing import Annotated

from fastapi import Depends, Query, Request

from slipway_api.accounts.events import Actor
from slipway_api.web.dependencies import Reader


async def acting(request: Request, caller: Reader) -> Actor:
    """Return the caller as an actor (a FastAPI dependency)."""
    return Actor(caller, address_of(request))


def address_of(request: Request) -> str | None:
    """Return the client's address as the server sees it; None of a socket without one."""
    return request.client.host if request.client else None


By = Annotated[Actor, Depends(acting)]
Erase = Annotated[
    bool, Query(description="Delete the account's predictions too, and its name where the audit log tells of it.")
]
