"""The calls of the API: how each request is built, and what its response must contain."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar, cast

from slipway_client.results import (
    ApiKey,
    Candidate,
    Feedback,
    LoggedPrediction,
    Model,
    Move,
    NewApiKey,
    PredictionWithLineage,
    Promotion,
    User,
    UserEvent,
)
from slipway_client.targets import Target, quoted

T = TypeVar("T")
Answer = dict[str, Any]

# The most entries of a page of any list.
MAX_PAGE = 200


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request and its result.

    Attributes:
        method: the HTTP method.
        path: below the address of the API, quoted.
        parse: returns the result for a response. A KeyError, TypeError or ValueError means that the server is not
            Slipway's API.
        content: the body and the query, as keyword arguments of `httpx.Client.request`. May contain a password.
        is_repeatable: whether the request may be processed twice, so that a lost response can be retried.
        needs_credential: whether to send the credential.
        is_uncertain: whether the request may have been processed although the API responded with 503, so that it is not
            retried then.
    """

    method: str
    path: str
    parse: Callable[[Answer], T]
    content: Mapping[str, Any] = field(default_factory=dict, repr=False)
    is_repeatable: bool = False
    needs_credential: bool = True
    is_uncertain: bool = False


@dataclass(frozen=True)
class Page(Generic[T]):
    """A page of a list; `cursor` selects the next one, and is None on the last page."""

    entries: list[T]
    cursor: str | None


def page_size(left: int | None) -> int:
    """Return the size of the next page, if so many entries are still wanted; None for all."""
    return MAX_PAGE if left is None else min(MAX_PAGE, left)


def raw(method: str, path: str, *, json: object, params: Mapping[str, Any] | None) -> Call[Answer]:
    """Return a call of any endpoint."""
    content: dict[str, Any] = {"params": params} if params else {}
    if json is not None:
        content["json"] = json
    return Call(method.upper(), path, dict, content, is_repeatable=method.upper() in {"GET", "HEAD"})


def welcome() -> Call[str]:
    """Return the call of the API's version."""

    def parse(answer: Answer) -> str:
        if answer["service"] != "slipway":
            raise ValueError("another service")
        return str(answer["version"])

    return Call("GET", "/", parse, is_repeatable=True, needs_credential=False)


def token(username: str, password: str) -> Call[str]:
    """Return the call of a login, whose result is the token."""
    form = {"username": username, "password": password}
    return Call("POST", "/token", _token, {"data": form}, needs_credential=False)


def revoke_token(*, every: bool) -> Call[None]:
    """Return the call that revokes the token, or all tokens of its account."""
    return Call("POST", "/token/revoke", lambda _answer: None, {"json": {"all": every}})


def predict(target: Target, body: bytes, rows: int) -> Call[Answer]:
    """Return the call of a prediction of a number of rows."""

    def parse(answer: Answer) -> Answer:
        lists = [answer["prediction"], *(answer[name] for name in ("label", "probabilities") if name in answer)]
        if any(not isinstance(values, list) or len(values) != rows for values in lists):
            raise ValueError("another number of rows")
        _check(answer, "id", "model", "version")
        return answer

    headers = {"Content-Type": "application/json"}
    return Call("POST", f"{target.path}/predict", parse, {"content": body, "headers": headers}, is_repeatable=True)


def give_feedback(prediction_id: str, feedback: Mapping[str, Any]) -> Call[Feedback]:
    """Return the call that stores the true label or value of a row."""
    path = f"/predictions/{quoted(prediction_id)}/feedback"
    return Call("POST", path, lambda answer: cast("Feedback", _check(answer, "row")), {"json": feedback})


def prediction(prediction_id: str) -> Call[PredictionWithLineage]:
    """Return the call of a logged prediction."""
    path = f"/predictions/{quoted(prediction_id)}"
    return _get(path, lambda answer: cast("PredictionWithLineage", _check(answer, "id", "inputs")))


def predictions(
    model: str | None, since: datetime | str | None, size: int, cursor: str | None
) -> Call[Page[LoggedPrediction]]:
    """Return the call of a page of logged predictions.

    Raises:
        ValueError: a time without an offset.
    """
    if isinstance(since, datetime):
        if since.tzinfo is None:
            raise ValueError("`since` needs a time zone, such as datetime.now(UTC)")
        since = since.isoformat()
    query = {"model": model, "since": since, "limit": size, "cursor": cursor}
    return _page("/predictions", "predictions", query)


def models() -> Call[list[Model]]:
    """Return the call of the served models."""
    return _get("/models", lambda answer: [_as_model(model) for model in answer["models"]])


def model(target: Target) -> Call[Model]:
    """Return the call of a served version of a model."""
    return _get(target.path or "/model-info", _as_model)


def candidates(name: str) -> Call[list[Candidate]]:
    """Return the call of the candidates of a model."""

    def parse(answer: Answer) -> list[Candidate]:
        return [cast("Candidate", _check(candidate, "name", "version")) for candidate in answer["candidates"]]

    return _get(f"{_model(name)}/candidates", parse)


def promote(name: str, version: str, reason: str, expected: str | None) -> Call[Promotion]:
    """Return the call that makes a version Production."""
    return _move(f"{_model(name)}/promote", {"version": version, "reason": reason}, expected)


def rollback(name: str, reason: str, expected: str | None) -> Call[Promotion]:
    """Return the call that restores the previous Production version."""
    return _move(f"{_model(name)}/rollback", {"reason": reason}, expected)


def history(name: str) -> Call[list[Move]]:
    """Return the call of the moves of a model's Production alias."""
    return _get(
        f"{_model(name)}/history",
        lambda answer: [cast("Move", _check(move, "action", "version")) for move in answer["moves"]],
    )


def reload(name: str) -> Call[Answer]:
    """Return the call that makes the API check the registry."""
    return Call("POST", f"{_model(name)}/reload", lambda answer: _check(answer, "changed"), is_repeatable=True)


def me() -> Call[User]:
    """Return the call of one's own account."""
    return _get("/users/me", _as_user)


def change_password(current: str, new: str) -> Call[str]:
    """Return the call that changes one's own password, whose result is a new token."""
    return Call("PUT", "/users/me/password", _token, {"json": {"current_password": current, "new_password": new}})


def keys(size: int, cursor: str | None) -> Call[Page[ApiKey]]:
    """Return the call of a page of API keys."""
    return _page("/keys", "keys", {"limit": size, "cursor": cursor})


def add_key(name: str, options: Mapping[str, object]) -> Call[NewApiKey]:
    """Return the call that creates an API key."""
    content = {"json": {"name": name, **options}}
    return Call("POST", "/keys", lambda answer: cast("NewApiKey", _check(answer, "id", "key")), content)


def revoke_key(key_id: str) -> Call[None]:
    """Return the call that revokes an API key."""
    return Call("DELETE", f"/keys/{quoted(key_id)}", lambda _answer: None)


def users(size: int, cursor: str | None) -> Call[Page[User]]:
    """Return the call of a page of accounts."""
    return _page("/users", "users", {"limit": size, "cursor": cursor})


def user_events(size: int, cursor: str | None) -> Call[Page[UserEvent]]:
    """Return the call of a page of the audit log."""
    return _page("/users/events", "events", {"limit": size, "cursor": cursor})


def add_user(username: str, password: str, role: str) -> Call[User]:
    """Return the call that adds an account."""
    return Call("POST", "/users", _as_user, {"json": {"username": username, "password": password, "role": role}})


def change_user(username: str, changes: Mapping[str, object]) -> Call[User]:
    """Return the call that changes an account."""
    return Call("PATCH", f"/users/{quoted(username)}", _as_user, {"json": changes})


def delete_user(username: str, *, erase: bool) -> Call[None]:
    """Return the call that deletes an account."""
    query = {"params": {"erase": "true"}} if erase else {}
    return Call("DELETE", f"/users/{quoted(username)}", lambda _answer: None, query)


def _get(path: str, parse: Callable[[Answer], T]) -> Call[T]:
    return Call("GET", path, parse, is_repeatable=True)


def _page(path: str, key: str, query: Mapping[str, Any]) -> Call[Page[Any]]:
    def parse(answer: Answer) -> Page[Any]:
        if not isinstance(answer[key], list):
            raise TypeError(key)
        return Page(answer[key], answer.get("next_cursor") or None)

    given = {name: value for name, value in query.items() if value is not None}
    return Call("GET", path, parse, {"params": given}, is_repeatable=True)


def _token(answer: Answer) -> str:
    if not isinstance(answer["access_token"], str):
        raise TypeError("access_token")
    return answer["access_token"]


def _as_model(answer: Answer) -> Model:
    _check(answer["signature"], "inputs")
    return cast("Model", _check(answer, "model_name", "model_version"))


def _as_user(answer: Answer) -> User:
    return cast("User", _check(answer, "username", "role"))


def _check(answer: Answer, *names: str) -> Answer:
    """Return an answer that has these fields; raise KeyError for another one."""
    for name in names:
        answer[name]
    return answer


def _move(path: str, body: Answer, expected: str | None) -> Call[Promotion]:
    content = {"json": body if expected is None else {**body, "from": expected}}
    return Call("POST", path, lambda answer: cast("Promotion", _check(answer, "changed")), content, is_uncertain=True)


def _model(name: str) -> str:
    return Target.of(name).path
