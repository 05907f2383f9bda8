"""Who calls, and whether they may: FastAPI dependencies over tokens and the snapshot of accounts."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer

from slipway_api.accounts import Caller, Role
from slipway_api.errors import AuthenticationError, PermissionDeniedError
from slipway_api.state import Services, services_of

# Only for OpenAPI, so that /docs can log in: the errors are ours.
bearer = OAuth2PasswordBearer(tokenUrl="token", auto_error=False, description="A token from POST /token.")

State = Annotated[Services, Depends(services_of)]


async def caller(request: Request, state: State, _token: Annotated[str | None, Depends(bearer)]) -> Caller:
    """Return the caller of a request.

    Raises:
        AuthenticationError: there is no bearer token, or it is refused.
        NotReadyError: accounts cannot be read.
    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise AuthenticationError("this needs a token: send `Authorization: Bearer …` with one from POST /token")
    claims = state.tokens.verify(token.strip())
    await state.accounts.opened()
    return state.accounts.caller(claims.user_id, claims.version)


Reader = Annotated[Caller, Depends(caller)]


async def predictor(caller: Reader) -> Caller:
    """Return a caller that may predict.

    Raises:
        PermissionDeniedError: a viewer may not.
    """
    if caller.role is Role.VIEWER:
        raise PermissionDeniedError("a viewer may read models, but not predict; ask an admin for the role user")
    return caller


async def admin(caller: Reader) -> Caller:
    """Return a caller that may do everything.

    Raises:
        PermissionDeniedError: only an admin may.
    """
    if caller.role is not Role.ADMIN:
        raise PermissionDeniedError("only an admin may do this")
    return caller


Predictor = Annotated[Caller, Depends(predictor)]
Admin = Annotated[Caller, Depends(admin)]
