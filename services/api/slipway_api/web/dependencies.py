"""FastAPI dependencies: the parts that routes use, the current user and its role, the client's address."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from fastapi.security import OAuth2PasswordBearer
from starlette.types import Scope

from slipway_api.accounts.events import AuditActor
from slipway_api.accounts.models import CurrentUser, require_admin, require_predictor
from slipway_api.accounts.service import AccountService
from slipway_api.http.request_body import header
from slipway_api.prediction_log.live_metrics import LiveMetrics
from slipway_api.prediction_log.queries import Predictions as PredictionQueries
from slipway_api.serving.model_store import ModelStore
from slipway_api.serving.promoter import Promoter
from slipway_api.serving.work_pool import WorkPool

# Only documents the scheme in OpenAPI, for the login in /docs: `auto_error=False`, as the API has its own errors.
bearer = OAuth2PasswordBearer(tokenUrl="token", auto_error=False, description="A token from POST /token.")


def _part(name: str) -> Callable[[Request], Awaitable[Any]]:
    """Return a dependency: a part of the service that `create_app` keeps in the app's state."""

    # `async` without an await: FastAPI would run a plain function in a thread for every request.
    async def get(request: Request) -> Any:  # noqa: ANN401
        return getattr(request.app.state, name)

    return get


Accounts = Annotated[AccountService, Depends(_part("accounts"))]
Models = Annotated[ModelStore, Depends(_part("models"))]
Pool = Annotated[WorkPool, Depends(_part("pool"))]
Promotions = Annotated[Promoter, Depends(_part("promoter"))]
Predictions = Annotated[PredictionQueries, Depends(_part("predictions"))]
Live = Annotated[LiveMetrics, Depends(_part("live_metrics"))]


def bearer_token(authorization: bytes) -> bytes:
    """Return the token of an `Authorization` header, or nothing if it has another scheme."""
    scheme, _, token = authorization.partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else b""


def is_known_client(accounts: AccountService, scope: Scope) -> bool:
    """Return whether a request has a valid token, or comes from a network with a recent login. Reads only caches.

    Args:
        accounts: the accounts.
        scope: the request's ASGI scope.
    """
    client = scope.get("client")
    token = bearer_token(header(scope, b"authorization"))
    return accounts.is_known_client(token, client[0] if client else None)


def address_of(request: Request) -> str | None:
    """Return the client's address as the server sees it; None for a socket without one."""
    return request.client.host if request.client else None


async def current_user(
    request: Request, accounts: Accounts, _token: Annotated[str | None, Depends(bearer)]
) -> CurrentUser:
    """Return the user of a request's token (a FastAPI dependency)."""
    authorization = request.headers.get("Authorization", "").encode("latin-1")
    return await accounts.authenticate(bearer_token(authorization))


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
