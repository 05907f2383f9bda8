"""The client of the API, for the commands that use it: `slipway_client` with the errors of the command line."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pydantic import ValidationError

import slipway_client
from slipway_cli.errors import ApiError
from slipway_client import Client, RequestError, Retry, Stage
from slipway_core.columns import InputColumn
from slipway_core.manifest import Label
from slipway_core.policy import API_KEY_PREFIX

TIMEOUT_SECONDS = 30.0
LOGIN = "run `slipway login URL`"
# The API's messages name requests; users of the command line need the matching command.
COMMANDS = {
    "GET /users lists": "`slipway users list` lists",
    "GET /users/events lists": "`slipway users events --json` lists",
    # The command lists the registry's models: `GET /models` has no command of its own.
    "GET /models lists the served models": "`slipway models list` lists the registered models",
    "GET /models lists the served versions": "`slipway models list` lists the Production versions",
    "PUT /users/me/password": "`slipway users password`",
    "GET /keys lists your keys": "`slipway keys list` lists your keys",
    "with POST /keys": "with `slipway keys add`",
    "log in, and send a token from POST /token": f"{LOGIN}, without SLIPWAY_API_KEY",
    "get a new one from POST /token": LOGIN,
    "send `Authorization: Bearer …` with one from POST /token": LOGIN,
}

_CANDIDATES = re.compile(r"GET /models/[^/ ]+/candidates lists them")


@contextmanager
def api_client(url: str, token: str | None = None) -> Iterator[Client]:
    """Yield a client, and convert each error of it that leaves the block into an ApiError.

    The client does not retry, because a person waits for the answer.

    Args:
        url: the API's address.
        token: a token or an API key.
    """
    if token is not None and not (token.isascii() and token.isprintable()):
        raise ApiError(
            "the token is damaged: run `slipway login URL` again, or correct SLIPWAY_TOKEN or SLIPWAY_API_KEY"
        )
    is_key = token is not None and token.startswith(API_KEY_PREFIX)
    token, api_key = (None, token) if is_key else (token, None)
    try:
        with Client(
            url, token=token, api_key=api_key, retry=Retry(attempts=1), timeout_seconds=TIMEOUT_SECONDS
        ) as client:
            yield client
    except slipway_client.SlipwayError as error:
        raise api_error(error) from error


def api_error(error: slipway_client.SlipwayError) -> ApiError:
    """Return the command line's error for an error of the client."""
    if not isinstance(error, RequestError) or error.status is None:
        return ApiError(str(error))
    detail = _CANDIDATES.sub("`slipway models list` lists them", error.detail)
    for call, command in COMMANDS.items():
        detail = detail.replace(call, command)
    is_explained = any(text in detail for text in ("password", "API key", LOGIN))
    if isinstance(error, slipway_client.AuthenticationError) and not is_explained:
        detail = f"{detail}; {LOGIN}"
    return ApiError(detail, error.status)


@dataclass(frozen=True)
class Served:
    """A served version of a model: the one in Production, a candidate, or the one in Staging."""

    model: str
    candidate: str | None = None
    stage: Stage | None = None

    def __str__(self) -> str:
        """Return its name for messages, such as `candidate forest of iris`."""
        alias = self.stage if self.candidate is None else f"candidate {self.candidate}"
        return self.model if alias is None else f"{alias} of {self.model}"


def read_signature(client: Client, served: Served) -> tuple[list[InputColumn], list[Label] | None]:
    """Return a model's features, in order, and its classes; None for a regressor.

    Raises:
        ApiError: the API describes the model in an unknown form.
    """
    signature = client.model(served.model, candidate=served.candidate, stage=served.stage)["signature"]
    known = InputColumn.model_fields.keys()
    try:
        # Without the fields of other versions of the API.
        columns = [
            InputColumn.model_validate({key: value for key, value in column.items() if key in known})
            for column in signature["inputs"]
        ]
    except (AttributeError, TypeError, ValidationError) as error:
        raise ApiError(
            f"the API describes {served} in a form that this version of `slipway` cannot read: "
            "install the version of the API"
        ) from error
    return columns, list(signature.get("classes") or ()) or None
