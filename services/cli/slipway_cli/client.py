"""A client of the API, for the commands that go through it."""

from typing import Any, Self
from urllib.parse import quote

import httpx

from slipway_cli.errors import ApiError
from slipway_cli.identity import Identity

TIMEOUT_SECONDS = 30.0


class ApiClient:
    """Calls the API; every error becomes one sentence."""

    def __init__(self, url: str, token: str | None = None) -> None:
        if token is not None and not (token.isascii() and token.isprintable()):
            raise ApiError("the token is damaged: run `slipway login URL` again, or mend SLIPWAY_TOKEN")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
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

    def token(self, username: str, password: str) -> str:
        """Log in and return the token."""
        answer = self._call("POST", "/token", data={"username": username, "password": password})
        token = answer.get("access_token")
        if not isinstance(token, str):
            raise ApiError(f"what answers at {self._url} is not Slipway's API")
        return token

    def add_user(self, username: str, password: str, role: str) -> dict[str, Any]:
        """Add an account."""
        return self._call("POST", "/users", json={"username": username, "password": password, "role": role})

    def predict(self, model: str, features: list[Any]) -> dict[str, Any]:
        """Predict the rows of `features`."""
        answer = self._call("POST", f"/models/{quote(model, safe='')}/predict", json={"features": features})
        if "version" not in answer or not isinstance(answer.get("prediction"), list):
            raise ApiError(f"what answers at {self._url} is not Slipway's API")
        return answer

    def _call(self, method: str, path: str, **content: Any) -> dict[str, Any]:  # noqa: ANN401  # httpx's own arguments
        try:
            response = self._client.request(method, path, **content)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise ApiError(f"{self._url} is not an address; write it as http://127.0.0.1:8000") from error
        except httpx.TimeoutException as error:
            raise ApiError(f"the API at {self._url} does not answer in time") from error
        except httpx.HTTPError as error:
            raise ApiError(
                f"the API at {self._url} cannot be reached: is it running, and the address right?"
            ) from error
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise ApiError(f"what answers at {self._url} is not Slipway's API ({response.status_code})")
        if response.is_error:
            raise ApiError(_explain(response.status_code, answer))
        return answer


def _explain(status: int, problem: dict[str, Any]) -> str:
    detail = str(problem.get("detail") or problem.get("title") or "no reason was given")
    if status == httpx.codes.UNAUTHORIZED and "password" not in detail:
        return f"{detail} (run `slipway login URL` again)"
    return detail
