"""`/users/me`: one's own account."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends

from slipway_api.http.json_body import json_body
from slipway_api.http.openapi import body, errors
from slipway_api.web.dependencies import Accounts, CurrentActor, Erase, LoggedIn
from slipway_api.web.routers.account_models import PasswordChange, Token, User

router = APIRouter(tags=["accounts"])


@router.get("/users/me", responses=errors(401, 403, 503))
async def show_me(accounts: Accounts, user: LoggedIn) -> User:
    """Show one's own account."""
    return User.of(await accounts.get_own_account(user))


@router.put(
    "/users/me/password",
    responses=errors(401, 403, 413, 415, 422, 429, 503),
    openapi_extra=body(PasswordChange),
)
async def change_my_password(
    accounts: Accounts, actor: CurrentActor, change: Annotated[PasswordChange, Depends(json_body(PasswordChange))]
) -> Token:
    """Set a new password, revoke all older tokens, and return a new one.

    A wrong current password counts as a failed login.
    """
    return Token.of(await accounts.change_own_password(actor, change.current_password, change.new_password))


@router.delete("/users/me", status_code=HTTPStatus.NO_CONTENT, responses=errors(401, 403, 409, 422, 503))
async def delete_me(
    accounts: Accounts, user: LoggedIn, actor: CurrentActor, erase: Erase = False
) -> None:  # a query parameter
    """Delete one's own account and its credentials, and revoke its tokens."""
    await accounts.delete_account(actor, user.id, erase=erase)
