"""FastAPI dependencies: the parts that routes use, the current user and its rights, the client's address.

Every route that is not public depends on a `Permit`, which states what an API key needs for it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from fastapi.security import APIKeyHeader, OAuth2PasswordBearer
from starlette.types import Scope

from slipway_api.accounts.events import AuditActor
from slipway_api.accounts.key_models import KEY_CANNOT, KEY_INVALID, KEY_PREFIX, KeyAction
from slipway_api.accounts.models import CurrentUser, Role, require_admin, require_predictor
from slipway_api.accounts.service import AccountService
from slipway_api.errors import AuthenticationError, PermissionDeniedError
from slipway_api.prediction_log.live_metrics import LiveMetrics
from slipway_api.prediction_log.queries import Predictions as PredictionQueries
from slipway_api.serving.model_store import ModelStore
from slipway_api.serving.promoter import Promoter
from slipway_api.serving.work_pool import WorkPool

TWO_CREDENTIALS = "the request has two credentials: send either `Authorization` or `X-API-Key`, not both"

# Only document the schemes in OpenAPI, for the login in /docs: `auto_error=False`, as the API has its own errors.
bearer = OAuth2PasswordBearer(tokenUrl="token", auto_error=False, description="A token from POST /token.")
api_key = APIKeyHeader(name="X-API-Key", auto_error=False, description="An API key from POST /keys.")
# For routes that are only described to OpenAPI.
DESCRIBED_SCHEMES = (Depends(bearer), Depends(api_key))


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


def credential_of(scope: Scope) -> bytes:
    """Return the bearer token or the API key of a request; empty if it has none.

    Another scheme than Bearer counts as none: it may be for a proxy.

    Raises:
        AuthenticationError: `X-API-Key` has no key, or both headers have a credential, and not the same one.
    """
    authorization = key = b""
    for name, value in scope["headers"]:
        if name == b"authorization":
            authorization = authorization or value
        elif name == b"x-api-key":
            key = key or value
    scheme, _, token = authorization.partition(b" ")
    token = token.strip() if scheme.lower() == b"bearer" else b""
    if not key:
        return token
    if token and token != key:
        raise AuthenticationError(TWO_CREDENTIALS)
    if not key.startswith(KEY_PREFIX):
        raise AuthenticationError(KEY_INVALID)
    return key


def is_known_client(accounts: AccountService, scope: Scope) -> bool:
    """Return whether a request has a valid credential, or comes from a network with a recent login. Reads only caches.

    Args:
        accounts: the accounts.
        scope: the request's ASGI scope.
    """
    client = scope.get("client")
    try:
        credential = credential_of(scope)
    except AuthenticationError:
        credential = b""
    return accounts.authentication.is_known_client(credential, client[0] if client else None)


def address_of(request: Request) -> str | None:
    """Return the client's address as the server sees it; None for a socket without one."""
    return request.client.host if request.client else None


async def current_user(
    request: Request,
    accounts: Accounts,
    _token: Annotated[str | None, Depends(bearer)],
    _key: Annotated[str | None, Depends(api_key)],
) -> CurrentUser:
    """Return the user of a request's token or key (a FastAPI dependency)."""
    return await accounts.authentication.authenticate(credential_of(request.scope))


async def logged_in_user(
    request: Request, accounts: Accounts, _token: Annotated[str | None, Depends(bearer)]
) -> CurrentUser:
    """Return the user of a request's token (a FastAPI dependency).

    Raises:
        PermissionDeniedError: the request has an API key.
    """
    user = await accounts.authentication.authenticate(credential_of(request.scope))
    if user.key is not None:
        raise PermissionDeniedError(KEY_CANNOT)
    return user


@dataclass(frozen=True)
class Permit:
    """A FastAPI dependency that returns the request's user, before the body is read.

    A key must permit the action, and the model that the path names. A route without a model in its path restricts
    itself to the models that the key permits.

    Attributes:
        action: what a key must permit.
        check_role: raises PermissionDeniedError for a role that may not use the route.
    """

    action: KeyAction
    check_role: Callable[[Role], None] = lambda _role: None

    async def __call__(self, request: Request, user: Annotated[CurrentUser, Depends(current_user)]) -> CurrentUser:
        """Raise PermissionDeniedError if the role or the key does not permit the request."""
        self.check_role(user.role)
        if user.key is not None:
            user.key.require_action(self.action)
            name = request.path_params.get("name")
            if name is not None:
                user.key.require_model(name)
        return user


async def admin(user: Annotated[CurrentUser, Depends(logged_in_user)]) -> CurrentUser:
    """Return a user that is an admin and has no key, before the body is read.

    Raises:
        PermissionDeniedError: the user has another role, or the request has an API key.
    """
    require_admin(user.role)
    return user


async def audit_actor(request: Request, user: Annotated[CurrentUser, Depends(logged_in_user)]) -> AuditActor:
    """Return the current user with the client's address, for the audit log (a FastAPI dependency)."""
    return AuditActor(user, address_of(request))


Reader = Annotated[CurrentUser, Depends(Permit(KeyAction.READ))]
PredictionReader = Annotated[CurrentUser, Depends(Permit(KeyAction.READ, require_predictor))]
FeedbackSender = Annotated[CurrentUser, Depends(Permit(KeyAction.FEEDBACK, require_predictor))]
Reloader = Annotated[CurrentUser, Depends(Permit(KeyAction.RELOAD, require_admin))]
PromotionUser = Annotated[CurrentUser, Depends(Permit(KeyAction.PROMOTE, require_admin))]
# These reject API keys.
LoggedIn = Annotated[CurrentUser, Depends(logged_in_user)]
Admin = Annotated[CurrentUser, Depends(admin)]
CurrentActor = Annotated[AuditActor, Depends(audit_actor)]
Erase = Annotated[bool, Query(description="Also delete the account's predictions, and its name in the audit log.")]
