"""A client of the API, for the commands that use it."""

from typing import Any, Self
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from slipway_cli.errors import ApiError
from slipway_cli.identity import Identity
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
PAGE_SIZE = 200


class ApiClient:
    """Calls the API and converts every failure into an ApiError."""

    def __init__(self, url: str, token: str | None = None) -> None:
        if token is not None and not (token.isascii() and token.isprintable()):
            raise ApiError(
                "the token is damaged: run `slipway login URL` again, or correct SLIPWAY_TOKEN or SLIPWAY_API_KEY"
            )
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if token is not None and token.startswith(API_KEY_PREFIX):
            headers = {"X-API-Key": token}
        self._url = url.rstrip("/")
        try:
            self._client = httpx.Client(base_url=self._url, headers=headers, timeout=TIMEOUT_SECONDS)
        except httpx.InvalidURL as error:
            raise ApiError(f"{url} is not an address; write it as http://127.0.0.1:8000") from error

    @classmethod
    def of(cls, identity: Identity) -> Self:
        """Return a client for an identity."""
        return cls(identity.url, identity.token)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._client.close()

    @property
    def url(self) -> str:
        """The API's address."""
        return self._url

    def check(self) -> None:
        """Raise ApiError unless Slipway's API responds at the address."""
        if self._call("GET", "/").get("service") != "slipway":
            raise ApiError(f"the server at {self._url} is not Slipway's API: check the address")

    def check_token(self) -> None:
        """Raise ApiError if the API rejects the token."""
        self._call("GET", "/users/me")

    def token(self, username: str, password: str) -> str:
        """Log in and return the token."""
        answer = self._call("POST", "/token", data={"username": username, "password": password})
        token = answer.get("access_token")
        if not isinstance(token, str):
            raise ApiError(f"the server at {self._url} is not Slipway's API: check the address")
        return token

    def revoke_token(self, *, every: bool) -> None:
        """Revoke the client's token, or every token of its account."""
        self._call("POST", "/token/revoke", json={"all": every})

    def add_key(self, **key: object) -> dict[str, Any]:
        """Create an API key, and return it with its secret."""
        return self._call("POST", "/keys", json=key)

    def keys(self) -> list[dict[str, Any]]:
        """List the caller's API keys, or all keys for an admin, newest first."""
        return self._pages("/keys", "keys", None)

    def revoke_key(self, key_id: str) -> None:
        """Revoke an API key."""
        self._call("DELETE", f"/keys/{quote(key_id, safe='').replace('.', '%2E')}")

    def add_user(self, username: str, password: str, role: str) -> dict[str, Any]:
        """Add an account."""
        return self._call("POST", "/users", json={"username": username, "password": password, "role": role})

    def users(self) -> list[dict[str, Any]]:
        """List every account, by name."""
        return self._pages("/users", "users", None)

    def user_events(self, limit: int) -> list[dict[str, Any]]:
        """List the latest changes to accounts, newest first."""
        return self._pages("/users/events", "events", limit)

    def change_user(self, username: str, **changes: object) -> dict[str, Any]:
        """Change an account's `role`, `disabled` or `password`."""
        return self._call("PATCH", _user(username), json=changes)

    def delete_user(self, username: str, *, erase: bool) -> None:
        """Delete an account."""
        self._call("DELETE", _user(username), params={"erase": "true"} if erase else {})

    def change_my_password(self, current: str, new: str) -> str:
        """Change the caller's password and return the new token."""
        change = {"current_password": current, "new_password": new}
        return str(self._call("PUT", "/users/me/password", json=change).get("access_token"))

    def predict(self, model: str, features: list[Any]) -> dict[str, Any]:
        """Predict the rows of `features`."""
        answer = self._call("POST", f"/models/{quote(model, safe='')}/predict", json={"features": features})
        if "version" not in answer or not isinstance(answer.get("prediction"), list):
            raise ApiError(f"the server at {self._url} is not Slipway's API: check the address")
        return answer

    def signature(self, model: str) -> tuple[list[InputColumn], list[Label] | None]:
        """Return a model's features, in order, and its classes; None for a regressor."""
        answer = self._call("GET", f"/models/{quote(model, safe='')}")
        try:
            signature = answer["signature"]
            classes = signature.get("classes")
            return [_column(column) for column in signature["inputs"]], list(classes) if classes else None
        except ValidationError as error:
            raise ApiError(
                f"the API describes {model} in a form that this version of `slipway` cannot read: "
                "install the version of the API"
            ) from error
        except (AttributeError, KeyError, TypeError) as error:
            raise ApiError(f"the server at {self._url} is not Slipway's API: check the address") from error

    def _pages(self, path: str, key: str, limit: int | None) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while limit is None or len(found) < limit:
            size = PAGE_SIZE if limit is None else min(PAGE_SIZE, limit - len(found))
            page = self._call("GET", path, params={"limit": size, **({"cursor": cursor} if cursor else {})})
            if not isinstance(page.get(key), list):
                raise ApiError(f"the server at {self._url} is not Slipway's API: check the address")
            found += page[key]
            cursor = page.get("next_cursor")
            if not cursor:
                break
        return found

    def _call(self, method: str, path: str, **content: Any) -> dict[str, Any]:  # noqa: ANN401  # httpx's own arguments
        try:
            response = self._client.request(method, path, **content)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise ApiError(f"{self._url} is not an address; write it as http://127.0.0.1:8000") from error
        except httpx.TimeoutException as error:
            raise ApiError(
                f"the API at {self._url} did not respond within {TIMEOUT_SECONDS:.0f} s: try again, or see its log"
            ) from error
        except httpx.HTTPError as error:
            raise ApiError(
                f"the API at {self._url} cannot be reached: check that it is running and that the address is right"
            ) from error
        if response.status_code == httpx.codes.NO_CONTENT:
            return {}
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise ApiError(
                f"the server at {self._url} is not Slipway's API ({response.status_code}): check the address"
            )
        if response.is_error:
            raise ApiError(_explain(response.status_code, answer), response.status_code)
        return answer


def _column(fields: dict[str, Any]) -> InputColumn:
    # Without the fields of other versions of the API.
    return InputColumn.model_validate({key: fields[key] for key in InputColumn.model_fields.keys() & fields.keys()})


def _user(username: str) -> str:
    # A name of dots only would change the path.
    return f"/users/{quote(username, safe='').replace('.', '%2E')}"


def _explain(status: int, problem: dict[str, Any]) -> str:
    detail = str(problem.get("detail") or problem.get("title") or "no reason was given")
    for call, command in COMMANDS.items():
        detail = detail.replace(call, command)
    if status == httpx.codes.UNAUTHORIZED and not any(text in detail for text in ("password", "API key", LOGIN)):
        return f"{detail}; {LOGIN}"
    return detail
