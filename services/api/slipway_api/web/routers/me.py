"""`/users/me`: one's own account."""

import asyncio
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends

from slipway_api.accounts.login import authenticate
from slipway_api.accounts.models import ENDED
from slipway_api.errors import AuthenticationError, InvalidInputError, PermissionDeniedError
from slipway_api.http.json_body import json_body
from slipway_api.http.openapi import body, errors
from slipway_api.web.dependencies import Reader, State
from slipway_api.web.routers.account_models import PasswordChange, Token, User
from slipway_api.web.routers.acting import By, Erase
from slipway_core.errors import Problem
from slipway_core.policy import why_password_is_unsafe

router = APIRouter(tags=["accounts"])


@router.get("/users/me", responses=errors(401, 503))
async def show_me(state: State, caller: Reader) -> User:
    """Show one's own account."""
    state.accounts.check_database()
    found = await asyncio.to_thread(lambda: state.accounts.store.get(caller.id))
    if found is None:
        raise AuthenticationError(ENDED)
    return User.of(found[0])


@router.put(
    "/users/me/password",
    responses=errors(401, 403, 413, 415, 422, 429, 503),
    openapi_extra=body(PasswordChange),
)
async def change_my_password(
    state: State, caller: Reader, by: By, change: Annotated[PasswordChange, Depends(json_body(PasswordChange))]
) -> Token:
    """Set a new password: every older token ends, and a fresh one is answered.

    A wrong current password counts as a failed login.
    """
    if why := why_password_is_unsafe(change.new_password, caller.name):
        raise InvalidInputError([Problem(("new_password",), f"the password {why}")])
    account = await authenticate(state, caller.name, change.current_password, by.address)
    if account is None:
        raise PermissionDeniedError("the current password is wrong")
    # By now the name may be another person's.
    changed = None
    if account.id == caller.id:
        password_hash = await state.passwords.hash(change.new_password)
        changed = await asyncio.to_thread(lambda: state.accounts.store.set_password(account, password_hash, by=by))
    if changed is None:
        raise AuthenticationError(ENDED)
    state.accounts.note(changed)
    return Token.of(state.tokens, changed)


@router.delete("/users/me", status_code=HTTPStatus.NO_CONTENT, responses=errors(401, 409, 422, 503))
async def delete_me(state: State, caller: Reader, by: By, erase: Erase = False) -> None:  # a query parameter
    """Delete one's own account and its credentials; its tokens end."""
    state.accounts.check_database()
    await asyncio.to_thread(lambda: state.accounts.store.delete(caller.name, by=by, erase=erase, user_id=caller.id))
    state.accounts.forget(caller.id)
