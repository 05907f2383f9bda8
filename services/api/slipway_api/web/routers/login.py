"""`/token`: log in, and log out."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from slipway_api.errors import InvalidInputError, UnsupportedMediaTypeError
from slipway_api.http.content_types import media_type
from slipway_api.http.json_body import json_body
from slipway_api.http.openapi import body, errors
from slipway_api.web.dependencies import Accounts, CurrentActor, address_of
from slipway_api.web.routers.account_models import Token
from slipway_core.errors import Problem

URL_ENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"
# The names of UTF-8 and of ASCII, its subset.
CHARSETS = frozenset({b"utf-8", b"utf8", b"us-ascii", b"ascii"})

NAME_WITHOUT_ALL = Problem(("username",), 'a username needs `all`: send `{"all": true, "username": …}`')

router = APIRouter(tags=["accounts"])


class _Credentials(BaseModel):
    username: str
    password: str


async def _credentials(request: Request) -> _Credentials:
    """Read the OAuth2 password form (RFC 6749, section 4.3.2)."""
    content_type = request.headers.get("Content-Type", "")
    if media_type(content_type) not in {URL_ENCODED, MULTIPART}:
        raise UnsupportedMediaTypeError(
            "send username and password as a form: `Content-Type: application/x-www-form-urlencoded`"
        )
    if media_type(content_type) == MULTIPART:  # a URL-encoded form is always UTF-8
        _check_charset(content_type)
    try:
        form = await request.form(max_files=0)
    except HTTPException as error:  # an invalid multipart body
        raise InvalidInputError([Problem(("body",), "the form cannot be read")]) from error
    grant = form.get("grant_type")
    problems = []
    if grant not in {None, "", "password"}:
        problems.append(Problem(("grant_type",), "grant_type must be `password`"))
    values = {name: form.get(name) for name in ("username", "password")}
    for name, value in values.items():
        if not value or isinstance(value, UploadFile):
            problems.append(Problem((name,), f"the field {name} is missing"))
    if problems:
        raise InvalidInputError(problems)
    return _Credentials(username=str(values["username"]), password=str(values["password"]))


def _check_charset(content_type: str) -> None:
    """Raise UnsupportedMediaTypeError for a multipart form that is not UTF-8: Starlette accepts any Python codec.

    Args:
        content_type: the header, parsed as Starlette parses it.
    """
    charset = parse_options_header(content_type)[1].get(b"charset", b"utf-8")
    if charset.strip().lower().replace(b"_", b"-") not in CHARSETS:
        raise UnsupportedMediaTypeError("the form declares a charset that is not supported; send it in UTF-8")


_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["username", "password"],
                    "properties": {
                        "grant_type": {"type": "string", "enum": ["password"]},
                        "username": {"type": "string"},
                        "password": {"type": "string", "format": "password"},
                    },
                }
            }
        },
    }
}


@router.post("/token", responses=errors(401, 413, 415, 422, 429, 503), openapi_extra=_FORM)
async def token(request: Request, accounts: Accounts, given: Annotated[_Credentials, Depends(_credentials)]) -> Token:
    """Log in with a username and a password, and return a bearer token.

    An unknown name and a wrong password get the same response after the same time. Too many failures of a name or an
    address get a 429 response, whose `Retry-After` states the seconds until the next attempt.
    """
    return Token.of(await accounts.log_in(given.username, given.password, address_of(request)))


class Revocation(BaseModel):
    """Which tokens to revoke."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"all": True}, {"all": True, "username": "alice"}]}
    )

    all: bool = Field(
        default=False, strict=True, description="Whether to revoke all tokens of the account, not only this one."
    )
    username: str | None = Field(
        default=None, max_length=64, description="Another account, with `all` (admin only). Defaults to one's own."
    )


async def _revocation(request: Request, _actor: CurrentActor) -> Revocation:
    """Read the body, which may be absent, after the caller is authenticated."""
    return await json_body(Revocation)(request) if await request.body() else Revocation()


_BODY = body(Revocation)
_BODY["requestBody"]["required"] = False


@router.post(
    "/token/revoke",
    status_code=HTTPStatus.NO_CONTENT,
    responses=errors(401, 403, 404, 413, 415, 422, 503),
    openapi_extra=_BODY,
)
async def revoke_token(
    accounts: Accounts, actor: CurrentActor, given: Annotated[Revocation, Depends(_revocation)]
) -> None:
    """Log out: revoke the request's token, or all tokens of an account. API keys stay valid.

    This takes effect at once in the worker that responds, and within 5 s in all others.
    """
    if given.username is not None and not given.all:
        raise InvalidInputError([NAME_WITHOUT_ALL])
    if given.all:
        await accounts.credentials.revoke_all_tokens(actor, given.username)
    else:
        await accounts.credentials.revoke_token(actor)


BODIES = (Revocation,)
