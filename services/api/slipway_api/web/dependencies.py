"""Who calls, and whether they may: by the token, and by the snapshot of accounts as it is now."""

import asyncio
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer
from starlette.types import Scope

from slipway_api.accounts.models import Caller, Role, require_admin
from slipway_api.errors import AuthenticationError, PermissionDeniedError
from slipway_api.http.request_body import header
from slipway_api.web.services import Services, services_of
from slipway_core.errors import SlipwayError

# Only for OpenAPI, so that /docs can log in: the errors are ours.
bearer = OAuth2PasswordBearer(tokenUrl="token", auto_error=False, description="A token from POST /token.")

State = Annotated[Services, Depends(services_of)]


async def identify(services: Services, authorization: bytes) -> Caller:
    """Return the caller whom an `Authorization` header names.

    Raises:
        AuthenticationError: there is no bearer token, or it is refused.
        NotReadyError: accounts cannot be read.
    """
    scheme, _, token = authorization.partition(b" ")
    if scheme.lower() != b"bearer" or not token.strip():
        raise AuthenticationError("this needs a token: send `Authorization: Bearer …` with one from POST /token")
    claims = services.tokens.verify(token.strip())
    accounts = services.accounts
    await accounts.opened()
    if accounts.is_behind(claims.user_id, claims.version, claims.issued):
        await asyncio.to_thread(accounts.catch_up)
    return accounts.caller(claims.user_id, claims.version)


def is_known(services: Services, scope: Scope) -> bool:
    """Return whether a request has a valid token, or comes from a network of a recent login. Never asks the database.

    Args:
        services: what tokens and accounts are checked with.
        scope: the request's ASGI scope.
    """
    client = scope.get("client")
    if client and client[0] in services.known_networks:
        return True
    try:
        claims = services.tokens.verify(header(scope, b"authorization").partition(b" ")[2].strip())
        services.accounts.caller(claims.user_id, claims.version)
    except SlipwayError:
        return False
    return True


def may_predict(caller: Caller) -> None:
    """Raise PermissionDeniedError if a caller's role may only read."""
    if caller.role is Role.VIEWER:
        raise PermissionDeniedError("a viewer may read models, but not predict; ask an admin for the role user")


async def caller(request: Request, state: State, _token: Annotated[str | None, Depends(bearer)]) -> Caller:
    """Return the caller of a request (a FastAPI dependency)."""
    return await identify(state, request.headers.get("Authorization", "").encode("latin-1"))


Reader = Annotated[Caller, Depends(caller)]


async def predictor(caller: Reader) -> Caller:
    """Return a caller that may predict."""
    may_predict(caller)
    return caller


async def admin(caller: Reader) -> Caller:
    """Return a caller that may do everything.

    Raises:
        PermissionDeniedError: only an admin may.
    """
    require_admin(caller.role)
    return caller


Predictor = Annotated[Caller, Depends(predictor)]
Admin = Annotated[Caller, Depends(admin)]
