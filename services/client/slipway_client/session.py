"""The part of the clients that does no I/O: credentials, retries, and the errors of responses."""

from collections.abc import Generator, Mapping
from http import HTTPStatus
from typing import Any, Final, TypeVar

import httpx

from slipway_client import calls
from slipway_client.calls import Answer, Call
from slipway_client.errors import (
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    DeadlineExceededError,
    InvalidValue,
    NotFoundError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitedError,
    RequestError,
    ServiceUnavailableError,
    SlipwayError,
    UnexpectedResponseError,
    ValidationError,
)
from slipway_client.results import Label
from slipway_client.retry import Retry, connection_error, may_retry
from slipway_client.splitting import BatchLimits
from slipway_client.steps import Send, Sleep, Step, Steps
from slipway_client.targets import Target

T = TypeVar("T")

ERRORS: Final[Mapping[int, type[RequestError]]] = {
    HTTPStatus.UNAUTHORIZED: AuthenticationError,
    HTTPStatus.FORBIDDEN: PermissionDeniedError,
    HTTPStatus.NOT_FOUND: NotFoundError,
    HTTPStatus.CONFLICT: ConflictError,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: PayloadTooLargeError,
    HTTPStatus.UNPROCESSABLE_ENTITY: ValidationError,
    HTTPStatus.TOO_MANY_REQUESTS: RateLimitedError,
    HTTPStatus.SERVICE_UNAVAILABLE: ServiceUnavailableError,
    HTTPStatus.GATEWAY_TIMEOUT: DeadlineExceededError,
}

# Responses of proxies have no problem details.
PROXY_STATUSES: Final = frozenset(
    {
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)


class Session:
    """The state of a client: the address, the credential, and the names of the classes of each version."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None,
        api_key: str | None,
        retry: Retry,
        limits: BatchLimits,
        timeout_seconds: float,
    ) -> None:
        """Check the address and the credential.

        Raises:
            ConfigurationError: one of them is invalid, or both a token and a key are given.
        """
        if token is not None and api_key is not None:
            raise ConfigurationError("pass either a token or an API key, not both")
        for name, secret in (("token", token), ("API key", api_key)):
            if secret is not None and not (secret and secret.isascii() and secret.isprintable()):
                raise ConfigurationError(f"the {name} is damaged: it is empty, or has characters that are not allowed")
        self.url = checked_url(url)
        self.token = token
        self.retry = retry
        self.limits = limits
        self.timeout_seconds = timeout_seconds
        self.classes: dict[tuple[str, str], list[Label] | None] = {}
        self._api_key = api_key
        self._login: tuple[str, str] | None = None

    @property
    def description(self) -> str:
        """The address and the kind of the credential, never the credential."""
        kind = "an API key" if self._api_key else "a token" if self.token else "no credential"
        return f"{self.url!r}, {kind}"

    def log_in(self, username: str, password: str, *, keep: bool) -> Steps[None]:
        """Get a token, and use it from now on.

        Args:
            username: the account's name.
            password: its password.
            keep: whether to keep both in memory, and to log in again when the token has expired.
        """
        token = yield from self.call(calls.token(username, password))
        self.use_token(token)
        self._login = (username, password) if keep else None

    def log_out(self, *, every: bool) -> Steps[None]:
        """Revoke the token, or all tokens of its account, and forget it and the password."""
        yield from self.call(calls.revoke_token(every=every))
        self.token, self._login = None, None

    def change_password(self, current: str, new: str) -> Steps[str]:
        """Change one's own password, and use the new token from now on."""
        token = yield from self.call(calls.change_password(current, new))
        self.use_token(token)
        if self._login is not None:
            self._login = (self._login[0], new)
        return token

    def use_token(self, token: str) -> None:
        """Send this token from now on, instead of any other credential."""
        self.token, self._api_key = token, None

    def call(self, call: Call[T]) -> Steps[T]:
        """Send a request, and retry it while that is safe; return its result.

        Raises:
            SlipwayError: the request failed.
        """
        failed, waited, is_renewed = 0, 0.0, False
        while True:
            token = self.token
            try:
                return (yield from self._attempt(call))
            except SlipwayError as error:
                if isinstance(error, AuthenticationError) and self._can_renew(call) and not is_renewed:
                    is_renewed = True
                    # Another request may have renewed it meanwhile.
                    if self.token == token and self._login is not None:
                        yield from self.log_in(*self._login, keep=True)
                    continue
                failed += not isinstance(error, RateLimitedError)
                seconds = None
                may_be_done = call.is_uncertain and isinstance(error, ServiceUnavailableError)
                if not may_be_done and may_retry(error, is_repeatable=call.is_repeatable):
                    seconds = self.retry.wait_seconds(failed, waited, error)
                if seconds is None:
                    raise
            waited += seconds
            yield Sleep(seconds)

    def _attempt(self, call: Call[T]) -> Steps[T]:
        content = dict(call.content)
        headers = {**content.pop("headers", {}), **(self._credential() if call.needs_credential else {})}
        response: httpx.Response
        try:
            response = yield Send(call.method, call.path, headers, content)
        except httpx.HTTPError as error:
            raise connection_error(error, self.url, self.timeout_seconds) from error
        answer = {} if response.status_code == HTTPStatus.NO_CONTENT else self._answer(response)
        if not response.is_success:
            raise error_of(response.status_code, answer, response.headers)
        try:
            return call.parse(answer)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._unexpected(response) from error

    def _credential(self) -> dict[str, str]:
        if self._api_key is not None:
            return {"X-API-Key": self._api_key}
        return {"Authorization": f"Bearer {self.token}"} if self.token is not None else {}

    def _can_renew(self, call: Call[Any]) -> bool:
        return self._login is not None and call.needs_credential

    def _answer(self, response: httpx.Response) -> Answer:
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if isinstance(answer, dict):
            return answer
        status = response.status_code
        if status in PROXY_STATUSES:
            return {"detail": f"a proxy before {self.url} responded with status {status} ({response.reason_phrase})"}
        raise self._unexpected(response)

    def _unexpected(self, response: httpx.Response) -> UnexpectedResponseError:
        return UnexpectedResponseError(
            f"the server at {self.url} is not Slipway's API ({response.status_code}): check the address"
        )

    def classes_of(self, target: Target, model: str, version: str) -> Generator[Step, Any, list[Label] | None]:
        """Return the classes of a version; None for a regressor, or if they are unknown.

        They are unknown if another version is served meanwhile, or if the credential may only predict.

        Args:
            target: the target of the prediction.
            model: the model that predicted.
            version: the version that predicted.
        """
        key = (model, version)
        for place in (target if target.path else Target.of(model), Target.of(model, version)):
            if key in self.classes:
                break
            try:
                yield from self.load_classes(place)
            except PermissionDeniedError:
                self.classes[key] = None
            except SlipwayError:  # the predictions are more important than the names of their columns
                continue
        return self.classes.get(key)

    def load_classes(self, target: Target) -> Generator[Step, Any, list[Label] | None]:
        """Read the classes of a served model; None for a regressor."""
        info = yield from self.call(calls.model(target))
        classes = info["signature"].get("classes") or None
        self.classes[info["model_name"], info["model_version"]] = classes
        return classes


def checked_url(url: str) -> str:
    """Return an address without a trailing slash.

    Raises:
        ConfigurationError: it is not an address of a server, or contains a password.
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as error:
        raise ConfigurationError(f"{url} is not an address; write it as http://127.0.0.1:8000") from error
    if parsed.userinfo:
        raise ConfigurationError("the address contains a name or a password: remove it, and log in instead")
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ConfigurationError(f"{url} is not an address; write it as http://127.0.0.1:8000")
    return url.rstrip("/")


def error_of(status: int, answer: Answer, headers: Mapping[str, str]) -> RequestError:
    """Return the error for an error response.

    Args:
        status: its HTTP status.
        answer: its body: problem details (RFC 9457).
        headers: its headers.
    """
    kind = ERRORS.get(status, RequestError)
    places = answer.get("errors")
    seconds = headers.get("Retry-After", "")
    return kind(
        str(answer.get("detail") or answer.get("title") or "no reason was given"),
        status=status,
        title=str(answer.get("title") or ""),
        errors=[_invalid_value(place) for place in places if isinstance(place, dict)]
        if isinstance(places, list)
        else (),
        request_id=str(answer.get("request_id") or headers.get("X-Request-ID", "")),
        retry_after_seconds=float(seconds) if seconds.isascii() and seconds.isdigit() else None,
    )


def _invalid_value(place: Mapping[str, Any]) -> InvalidValue:
    loc = tuple(place.get("loc") or ())
    row = column = None
    if loc[:1] == ("features",) and len(loc) > 1 and isinstance(loc[1], int):
        row = loc[1]
        column = loc[2] if len(loc) > 2 and isinstance(loc[2], str) else None  # noqa: PLR2004  # features/row/column
    return InvalidValue(str(place.get("msg") or ""), row, column, loc)
