"""`/users`: everybody's accounts, and what happened to them."""

import asyncio
import uuid
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Request

from slipway_api.accounts.events import Actor
from slipway_api.accounts.models import Caller, Role, require_admin
from slipway_api.errors import InvalidInputError, NotFoundError, PermissionDeniedError
from slipway_api.http.json_body import json_body
from slipway_api.http.openapi import body, errors
from slipway_api.http.pagination import Cursor, Limit, bad_cursor, cursor_of, key_of
from slipway_api.web.dependencies import Admin, State, bearer, caller
from slipway_api.web.routers.account_models import Event, EventPage, NewUser, User, UserChange, UserPage
from slipway_api.web.routers.acting import By, Erase, address_of
from slipway_core.errors import Problem
from slipway_core.policy import NAME_PATTERN, RESERVED_NAMES, why_password_is_unsafe

PAGE = 50
NOTHING_GIVEN = Problem(("body",), "give at least one of role, disabled and password")

router = APIRouter(tags=["accounts"])


async def registrar(request: Request, state: State, token: Annotated[str | None, Depends(bearer)]) -> Caller | None:
    """Return who adds an account; None for anybody without a token, where registration is open.

    Raises:
        AuthenticationError: there is no token and one is needed, or it is refused.
        PermissionDeniedError: registration is closed, and the caller is no admin.
    """
    is_open = state.settings.registration == "open"
    if is_open and "Authorization" not in request.headers:
        return None
    found = await caller(request, state, token)
    if not is_open:
        require_admin(found.role)
    return found


Registrar = Annotated[Caller | None, Depends(registrar)]


@router.post(
    "/users",
    status_code=HTTPStatus.CREATED,
    responses=errors(401, 403, 409, 413, 415, 422, 429, 503),
    openapi_extra=body(NewUser),
)
async def add_user(
    request: Request, state: State, caller: Registrar, new: Annotated[NewUser, Depends(json_body(NewUser))]
) -> User:
    """Add an account (admin only; where registration is open, anybody, with the role `user`)."""
    accounts, by = state.accounts, Actor(caller, address_of(request))
    if caller is None or caller.role is not Role.ADMIN:
        if new.role is not Role.USER:
            raise PermissionDeniedError("only an admin may give another role than user; leave the role out")
        await accounts.opened()
        accounts.check_database()
        state.passwords.check_room()
        await asyncio.to_thread(lambda: state.throttle.count_registration(accounts.store.attempts, by.address))
    accounts.check_database()
    password_hash = await state.passwords.hash(new.password)
    account = await asyncio.to_thread(lambda: accounts.store.add(new.username, password_hash, new.role, by=by))
    accounts.note(account)
    return User.of(account)


@router.get("/users", responses=errors(401, 403, 422, 503))
async def list_users(state: State, _caller: Admin, limit: Limit = PAGE, cursor: Cursor = None) -> UserPage:
    """List the accounts by name (admin only)."""
    after = "" if cursor is None else key_of(cursor)
    if after and not NAME_PATTERN.fullmatch(after):
        raise bad_cursor()
    state.accounts.check_database()
    # One more than is shown tells whether there are more.
    found = await asyncio.to_thread(lambda: state.accounts.store.page(after, limit + 1))
    shown = found[:limit]
    return UserPage(
        users=[User.of(account) for account in shown],
        next_cursor=cursor_of(shown[-1].name) if len(found) > limit else None,
    )


@router.get("/users/events", responses=errors(401, 403, 422, 503))
async def list_events(state: State, _caller: Admin, limit: Limit = PAGE, cursor: Cursor = None) -> EventPage:
    """List what happened to accounts, the newest first (admin only)."""
    before = None
    if cursor is not None:
        try:
            before = uuid.UUID(key_of(cursor))
        except ValueError as error:
            raise bad_cursor() from error
    state.accounts.check_database()
    found = await asyncio.to_thread(lambda: state.accounts.store.events(before, limit + 1))
    shown = found[:limit]
    return EventPage(
        events=[Event.of(event) for event in shown],
        next_cursor=cursor_of(str(shown[-1].id)) if len(found) > limit else None,
    )


@router.patch(
    "/users/{name}",
    responses=errors(401, 403, 404, 409, 413, 415, 422, 429, 503),
    openapi_extra=body(UserChange),
)
async def change_user(
    name: str, state: State, caller: Admin, by: By, change: Annotated[UserChange, Depends(json_body(UserChange))]
) -> User:
    """Change an account's role or password, disable or enable it (admin only). Its older tokens end."""
    if change.role is None and change.disabled is None and change.password is None:
        raise InvalidInputError([NOTHING_GIVEN])
    name = _existing(name)
    password_hash = None
    state.accounts.check_database()
    store = state.accounts.store
    if change.password is not None:
        if name == caller.name:
            raise PermissionDeniedError(
                "change your own password with PUT /users/me/password, which asks for the current"
            )
        if why := why_password_is_unsafe(change.password, name):
            raise InvalidInputError([Problem(("password",), f"the password {why}")])
        password_hash = await state.passwords.hash(change.password)
    account = await asyncio.to_thread(
        lambda: store.change(name, by=by, role=change.role, disabled=change.disabled, password_hash=password_hash)
    )
    if password_hash is not None:
        await asyncio.to_thread(lambda: state.throttle.forget(store.attempts, name))
    state.accounts.note(account)
    return User.of(account)


@router.delete("/users/{name}", status_code=HTTPStatus.NO_CONTENT, responses=errors(401, 403, 404, 409, 422, 503))
async def delete_user(name: str, state: State, _caller: Admin, by: By, erase: Erase = False) -> None:
    """Delete an account and its credentials (admin only). Its predictions keep its bare id, or go too.

    With `erase` and the id of an account that was deleted before in place of a name, what is left of it goes: what
    reads as an id is then never a name.
    """
    name = _existing(name)
    state.accounts.check_database()
    deleted = await asyncio.to_thread(lambda: state.accounts.store.delete(name, by=by, erase=erase))
    state.accounts.forget(deleted)


def _existing(name: str) -> str:
    """Return the name as accounts have it; what none can be called is not asked for."""
    name = name.strip().lower()
    if name in RESERVED_NAMES:
        raise NotFoundError(f"no account is named {name}; name the one that is meant, as GET /users lists it")
    if not NAME_PATTERN.fullmatch(name):
        raise NotFoundError("there is no such account; GET /users lists those there are")
    return name
