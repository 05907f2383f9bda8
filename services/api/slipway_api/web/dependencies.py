"""FastAPI dependencies: the services, the current user and its role, the client's address."""

from typing import Annotated

from fastapi import Depends, Query, Request
from fastapi.security import OAuth2PasswordBearer
from starlette.types import Scope

from slipway_api.accounts.events import AuditActor
from slipway_api.accounts.models import CurrentUser, require_admin, require_predictor
from slipway_api.http.request_body import header
from slipway_api.web.services import Services, services_of

# Only documents the scheme in OpenAPI, for the login in /docs: `auto_error=False`, as the API has its own errors.
bearer = OAuth2PasswordBearer(tokenUrl="token", auto_error=False, description="A token from POST /token.")

State = Annotated[Services, Depends(services_of)]


def bearer_token(authorization: bytes) -> bytes:
    """Return the token of an `Authorization` header, or nothing if it has another scheme."""
    scheme, _, token = authorization.partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else b""


def is_known_client(services: Services, scope: Scope) -> bool:
    """Return whether a request has a valid token, or comes from a network with a recent login. Reads only caches.

    Args:
        services: the services of the app.
        scope: the request's ASGI scope.
    """
    client = scope.get("client")
    token = bearer_token(header(scope, b"authorization"))
    return services.accounts.is_known_client(token, client[0] if client else None)


def address_of(request: Request) -> str | None:
    """Return the client's address as the server sees it; None for a socket without one."""
    return request.client.host if request.client else None


async def current_user(request: Request, state: State, _token: Annotated[str | None, Depends(bearer)]) -> CurrentUser:
    """Return the user of a request's token (a FastAPI dependency)."""
    authorization = request.headers.get("Authorization", "").encode("latin-1")
    return await state.accounts.authenticate(bearer_token(authorization))


Reader = Annotated[CurrentUser, Depends(current_user)]


async def prediction_user(user: Reader) -> CurrentUser:
    """Return a user that may predict.

    Raises:
        PermissionDeniedError: the user is a viewer.
    """
    require_predictor(user.role)
    return user


async def admin(user: Reader) -> CurrentUser:
    """Return a user that is an admin, before the body is read.

    Raises:
        PermissionDeniedError: the user has another role.
    """
    require_admin(user.role)
    return user


async def audit_actor(request: Request, user: Reader) -> AuditActor:
    """Return the current user with the client's address, for the audit log (a FastAPI dependency)."""
    return AuditActor(user, address_of(request))


PredictionUser = Annotated[CurrentUser, Depends(prediction_user)]
Admin = Annotated[CurrentUser, Depends(admin)]
CurrentActor = Annotated[AuditActor, Depends(audit_actor)]
Erase = Annotated[bool, Query(description="Also delete the account's predictions, and its name in the audit log.")]
