"""`/users`: the administration of accounts, and their audit log."""

import uuid
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Request

from slipway_api.accounts.events import AuditActor
from slipway_api.accounts.models import CurrentUser
from slipway_api.errors import InvalidInputError
from slipway_api.http.json_body import json_body
from slipway_api.http.openapi import body, errors
from slipway_api.http.pagination import Cursor, Limit, cursor_of, read_cursor
from slipway_api.web.dependencies import Accounts, Admin, CurrentActor, Erase, address_of, bearer, logged_in_user
from slipway_api.web.routers.account_models import Event, EventPage, NewUser, User, UserChange, UserPage
from slipway_core.errors import Problem
from slipway_core.ids import read_id
from slipway_core.policy import NAME_PATTERN

PAGE = 50
NOTHING_TO_CHANGE = Problem(("body",), "send at least one of `role`, `disabled` and `password`")

router = APIRouter(tags=["accounts"])


async def registrar(
    request: Request, accounts: Accounts, token: Annotated[str | None, Depends(bearer)]
) -> CurrentUser | None:
    """Return the user that creates an account; None for a request without a token, if registration is open.

    Raises:
        AuthenticationError: the token is invalid, or missing although registration is closed.
        PermissionDeniedError: registration is closed, and the user is not an admin; or the request has an API key.
    """
    has_credential = "Authorization" in request.headers or "X-API-Key" in request.headers
    if accounts.registration_is_open and not has_credential:
        return None
    user = await logged_in_user(request, accounts, token)
    accounts.require_registrar(user)
    return user


Registrar = Annotated[CurrentUser | None, Depends(registrar)]


@router.post(
    "/users",
    status_code=HTTPStatus.CREATED,
    responses=errors(401, 403, 409, 413, 415, 422, 429, 503),
    openapi_extra=body(NewUser),
)
async def add_user(
    request: Request, accounts: Accounts, user: Registrar, new: Annotated[NewUser, Depends(json_body(NewUser))]
) -> User:
    """Add an account (admin only; if registration is open, anyone, with the role `user`)."""
    actor = AuditActor(user, address_of(request))
    return User.of(await accounts.create_account(actor, new.username, new.password, new.role))


@router.get("/users", responses=errors(401, 403, 422, 503))
async def list_users(accounts: Accounts, user: Admin, limit: Limit = PAGE, cursor: Cursor = None) -> UserPage:
    """List the accounts by name (admin only)."""
    after = read_cursor(cursor, _name) or ""
    # One more than the page shows, to find out whether another page follows.
    found = await accounts.list_accounts(user, after, limit + 1)
    shown = found[:limit]
    return UserPage(
        users=[User.of(account) for account in shown],
        next_cursor=cursor_of(shown[-1].name.encode()) if len(found) > limit else None,
    )


@router.get("/users/events", responses=errors(401, 403, 422, 503))
async def list_events(accounts: Accounts, user: Admin, limit: Limit = PAGE, cursor: Cursor = None) -> EventPage:
    """List the events of the audit log, newest first (admin only)."""
    before = read_cursor(cursor, lambda key: uuid.UUID(key.decode()))
    found = await accounts.list_events(user, before, limit + 1)
    shown = found[:limit]
    return EventPage(
        events=[Event.of(event) for event in shown],
        next_cursor=cursor_of(str(shown[-1].id).encode()) if len(found) > limit else None,
    )


@router.patch(
    "/users/{name}",
    responses=errors(401, 403, 404, 409, 413, 415, 422, 429, 503),
    openapi_extra=body(UserChange),
)
async def change_user(
    name: str,
    accounts: Accounts,
    _admin: Admin,
    actor: CurrentActor,
    change: Annotated[UserChange, Depends(json_body(UserChange))],
) -> User:
    """Change an account's role or password, or disable or enable it, and revoke its tokens (admin only)."""
    if change.role is None and change.disabled is None and change.password is None:
        raise InvalidInputError([NOTHING_TO_CHANGE])
    account = await accounts.change_account(
        actor, name, role=change.role, disabled=change.disabled, password=change.password
    )
    return User.of(account)


@router.delete("/users/{name}", status_code=HTTPStatus.NO_CONTENT, responses=errors(401, 403, 404, 409, 422, 503))
async def delete_user(name: str, accounts: Accounts, _admin: Admin, actor: CurrentActor, erase: Erase = False) -> None:
    """Delete an account and its credentials (admin only). Its predictions keep its id, unless `erase` deletes them.

    To erase an account that is already deleted, send its id in place of the name. With `erase`, a text that is an id
    is never a name.
    """
    # Accounts from before ids were reserved may have an id as their name.
    text = name.strip().lower()
    user_id = read_id(text) if erase and NAME_PATTERN.fullmatch(text) else None
    if user_id is None:
        await accounts.delete_account_by_name(actor, name, erase=erase)
    else:
        await accounts.erase_deleted_account(actor, user_id)


def _name(key: bytes) -> str:
    name = key.decode()
    if name and not NAME_PATTERN.fullmatch(name):
        raise ValueError(name)
    return name
