"""Requests that the API rejects, and apps in each state that they are sent to."""

import gzip
import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
from backports import zstd
from fastapi import FastAPI
from jose import jwt

from slipway_api.accounts.models import Role
from slipway_api.accounts.passwords import MAX_WAITING
from slipway_core.errors import BundleError
from slipway_core.registry.memory import InMemoryRegistry
from support.api import PASSWORD, SECRET_KEY, Database, RunningApi, running_api
from support.bundles import FEATURES, bundle_files, register, regression_files
from support.waiting import wait_for

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ROW = [5.1, 3.5, 1.4, 0.2]
TOO_LONG = [b" " * 50_000] * 5

BAD_TOKEN = {"Authorization": "Bearer garbage"}
WRONG = {"current_password": "wrong horse battery", "new_password": "another horse battery"}

Place = tuple[list[str | int], str]


class HeldContext:
    """A password context whose hash blocks until the test releases it."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def verify(self, _password: str, _password_hash: str) -> bool:
        return self.released.wait(600)

    def needs_update(self, _password_hash: str) -> bool:
        return False


class Apis:
    """Apps in each state that returns errors, started on first use."""

    def __init__(self, ready: RunningApi, folder: Path, database: Database, stack: ExitStack) -> None:
        self.ready = ready
        self._folder = folder
        self._database = database
        self._stack = stack

    @cached_property
    def empty(self) -> RunningApi:
        """Start an app with an empty registry."""
        return self._start("empty", InMemoryRegistry(), ready=False)

    @cached_property
    def other(self) -> RunningApi:
        """Start an app whose default model is not served."""
        registry = InMemoryRegistry()
        register(registry, regression_files(), "demand", promote=True)
        return self._start("other", registry, models=("demand@1",))

    @cached_property
    def unread(self) -> RunningApi:
        """Start an app that could never read its database."""
        return self._start("unread", database_url=f"sqlite:///{self._folder / 'nowhere' / 'x.db'}")

    @cached_property
    def away(self) -> RunningApi:
        """Start an app whose database becomes unreachable after the first read."""
        api = self._start("away")
        (self._folder / "away" / "slipway.db").rename(self._folder / "away" / "gone.db")
        store: Any = api.app.state.accounts.directory.store
        store._database._engine.dispose()
        (self._folder / "away" / "slipway.db").mkdir()
        wait_for(lambda: api.app.state.accounts.directory._unavailable, what="the database to be found away")
        return api

    @cached_property
    def stale(self) -> RunningApi:
        """Start an app whose cached accounts expire at once."""
        return self._start("stale", auth_stale_seconds=0)

    @cached_property
    def broken(self) -> RunningApi:
        """Start an app with two routes that raise unexpected errors."""

        async def unexpected() -> None:
            raise RuntimeError("sqlalchemy failed in /opt/slipway/main.py")

        async def unmapped() -> None:
            raise BundleError("the graph of onnxruntime in /opt/model.onnx failed")

        def add_routes(app: FastAPI) -> None:
            app.add_api_route("/unexpected", unexpected)
            app.add_api_route("/unmapped", unmapped)

        return self._start("broken", prepare=add_routes)

    @cached_property
    def busy(self) -> RunningApi:
        """Start an app in which the maximum number of logins wait for their hash."""
        # These logins hold their slots until the tests end.
        api = self._start("busy", request_timeout_seconds=600)
        held = HeldContext()
        self._stack.callback(held.released.set)
        api.app.state.accounts.passwords._context = held  # a fake
        for _ in range(MAX_WAITING + 1):
            api.send("POST", "/token", data={"username": "uma", "password": PASSWORD})
        wait_for(lambda: api.app.state.accounts.passwords._executor.pending == MAX_WAITING + 1, what="a full queue")
        return api

    @cached_property
    def changed(self) -> RunningApi:
        """Each account was changed in another way after its token in `old_tokens` was issued."""
        api = self._start("changed")
        self.old_tokens: dict[str, str] = {}
        changes: dict[str, Callable[[str, str], httpx.Response]] = {
            "disabled": lambda name, _: api.request("PATCH", name, role=Role.ADMIN, json={"disabled": True}),
            "deleted": lambda name, _: api.request("DELETE", name, role=Role.ADMIN),
            "registered-again": lambda name, _: api.request("DELETE", name, role=Role.ADMIN),
            "password-changed": lambda _, token: api.request(
                "PUT",
                "/users/me/password",
                token=token,
                json={"current_password": PASSWORD, "new_password": "another horse battery"},
            ),
            "password-reset": lambda name, _: api.request(
                "PATCH", name, role=Role.ADMIN, json={"password": "another horse battery"}
            ),
            "role-changed": lambda name, _: api.request("PATCH", name, role=Role.ADMIN, json={"role": "viewer"}),
        }
        for name, change in changes.items():
            new_account = {"username": name, "password": PASSWORD}
            assert api.post("/users", role=Role.ADMIN, json=new_account).status_code == 201
            token: str = api.post("/token", data=new_account).json()["access_token"]
            assert api.get("/models", token=token).status_code == 200
            assert change(f"/users/{name}", token).is_success
            self.old_tokens[name] = token
        again = {"username": "registered-again", "password": PASSWORD}
        assert api.post("/users", role=Role.ADMIN, json=again).status_code == 201
        return api

    @cached_property
    def open(self) -> RunningApi:
        """Start an app with open registration."""
        return self._start("open", registration="open", login_window_seconds=60)

    @cached_property
    def locked(self) -> RunningApi:
        """Start an app with too many failed logins for a name and from an address."""
        limits: dict[str, Any] = {
            "login_max_failures": 2,
            "login_max_failures_per_address": 3,
            "login_window_seconds": 60,
        }
        api = self._start("locked", registration="open", **limits)
        wrong = "wrong horse battery"
        for _ in range(2):
            api.post("/token", client=("192.0.2.1", 1), data={"username": "uma", "password": wrong})
        for name in ("eve", "mallory", "trudy"):
            api.post("/token", client=("192.0.2.2", 1), data={"username": name, "password": wrong})
        for name in ("eve", "mallory"):
            api.post("/users", client=("192.0.2.3", 1), json={"username": name, "password": PASSWORD})
        now = time.time()
        api.app.state.accounts.throttle._clock = lambda: now  # the window does not end meanwhile
        return api

    def _start(self, name: str, registry: InMemoryRegistry | None = None, **options: Any) -> RunningApi:
        if registry is None:
            registry = InMemoryRegistry()
            register(registry, bundle_files(), promote=True)
        folder = self._folder / name
        return self._stack.enter_context(running_api(folder, registry, self._database, **options))


Ask = Callable[[Apis], httpx.Response]


@dataclass(frozen=True)
class Case:
    """A request that the API rejects.

    Attributes:
        places: the expected entries of `errors`: the location, and a part of the message.
    """

    name: str
    status: int
    ask: Ask
    places: tuple[Place, ...] = ()


def get(path: str, role: Role | None = None) -> Ask:
    return lambda apis: apis.ready.get(path, role=role)


def post(path: str, role: Role | None = None, **request: Any) -> Ask:
    return lambda apis: apis.ready.post(path, role=role, **request)


def predicting(body: bytes, *places: Place, name: str) -> Case:
    return Case(name, 422, post("/predict", Role.USER, content=body, headers=JSON), places)


def compressed(
    name: str, status: int, body: bytes, *places: Place, path: str = "/predict", coding: str = "gzip"
) -> Case:
    headers = {**JSON, "Content-Encoding": coding}
    return Case(name, status, post(path, Role.ADMIN, content=body, headers=headers), places)


def adding(body: bytes, *places: Place, name: str) -> Case:
    return Case(f"users-{name}", 422, post("/users", Role.ADMIN, content=body, headers=JSON), places)


def new_user(*places: Place, name: str, **fields: object) -> Case:
    body = {"username": "newcomer", "password": PASSWORD, **fields}
    return adding(json.dumps({k: v for k, v in body.items() if v is not None}).encode(), *places, name=name)


def logging_in(name: str, status: int, *places: Place, **request: Any) -> Case:
    return Case(f"token-{name}", status, post("/token", **request), places)


def with_token(name: str, make: Callable[[RunningApi], str]) -> Case:
    return Case(f"401-{name}", 401, lambda apis: apis.ready.get("/models", token=make(apis.ready)))


def outdated(name: str) -> Case:
    def ask(apis: Apis) -> httpx.Response:
        api = apis.changed
        return api.get("/models", token=apis.old_tokens[name])

    return Case(f"401-{name}", 401, ask)


def asking(
    name: str,
    status: int,
    method: str,
    path: str,
    role: Role | None = Role.ADMIN,
    *,
    places: tuple[Place, ...] = (),
    on: Callable[[Apis], RunningApi] = lambda apis: apis.ready,
    **request: Any,
) -> Case:
    return Case(f"{status}-{name}", status, lambda apis: on(apis).request(method, path, role=role, **request), places)


def forged(
    changes: Mapping[str, object] | None = None, *, key: str = SECRET_KEY, algorithm: str = "HS256"
) -> Callable[[RunningApi], str]:
    """Return a function that creates valid tokens with some claims replaced; None removes a claim."""

    def make(api: RunningApi) -> str:
        claims = {**jwt.get_unverified_claims(api.token(Role.ADMIN)), **(changes or {})}
        token: str = jwt.encode({k: v for k, v in claims.items() if v is not None}, key, algorithm=algorithm)
        return token

    return make


def unsigned(api: RunningApi) -> str:
    _, claims, _ = api.token(Role.ADMIN).split(".")
    return f"eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}."


# A header of 1,500 nested lists, in base64.
DEEP_HEADER = "W1tb" * 500
NOW = time.time()

TOKENS = [
    with_token("garbage", lambda _: "garbage"),
    with_token("three-parts-of-garbage", lambda _: "a.b.c"),
    with_token("not-ascii", lambda _: "é.é.é"),
    with_token("nested-header", lambda _: f"{DEEP_HEADER}.e30.AAAA"),
    with_token("alg-none", unsigned),
    with_token("other-algorithm", forged(algorithm="HS512")),
    with_token("other-key", forged(key=SECRET_KEY[::-1])),
    with_token("other-issuer", forged({"iss": "somebody"})),
    with_token("other-audience", forged({"aud": "somebody"})),
    with_token("expired", forged({"exp": int(NOW) - 1})),
    with_token("not-yet-valid", forged({"nbf": int(NOW) + 3600})),
    with_token("issued-in-the-future", forged({"iat": int(NOW) + 3600})),
    with_token("unknown-user", forged({"sub": str(uuid.uuid4())})),
    with_token("sub-is-not-an-id", forged({"sub": "ada"})),
    with_token("older-version", forged({"ver": 0})),
    with_token("newer-version", forged({"ver": 2})),
    with_token("version-is-text", forged({"ver": "1"})),
    with_token("version-is-a-boolean", forged({"ver": True})),
    *(
        with_token(f"without-{claim}", forged({claim: None}))
        for claim in ("sub", "exp", "iat", "jti", "iss", "aud", "role", "ver")
    ),
    *(
        outdated(name)
        for name in (
            *("disabled", "deleted", "registered-again"),
            *("password-changed", "password-reset", "role-changed"),
        )
    ),
    # The token is checked before the body and the query.
    asking("add-user", 401, "POST", "/users", None, content=b"{"),
    asking("add-user-in-an-open-service", 401, "POST", "/users", None, on=lambda a: a.open, headers=BAD_TOKEN),
    asking("me", 401, "GET", "/users/me", None),
    asking("change-my-password", 401, "PUT", "/users/me/password", None, content=b"{"),
    asking("delete-me", 401, "DELETE", "/users/me?erase=perhaps", None),
    asking("list-users", 401, "GET", "/users?limit=0", None),
    asking("events", 401, "GET", "/users/events?limit=0", None),
    asking("change-user", 401, "PATCH", "/users/uma", None, content=b"{"),
    asking("delete-user", 401, "DELETE", "/users/uma?erase=perhaps", None),
    Case("401-no-token", 401, post("/predict", json={"features": ROW})),
    Case("401-other-scheme", 401, lambda apis: apis.ready.get("/models", headers={"Authorization": "Basic YTpi"})),
    Case("401-empty-token", 401, lambda apis: apis.ready.get("/models", headers={"Authorization": "Bearer "})),
    logging_in("unknown-user", 401, data={"username": "unknown", "password": PASSWORD}),
    logging_in("wrong-password", 401, data={"username": "uma", "password": "wrong horse battery"}),
]

STATUSES = [
    Case("403-viewer-predicts", 403, post("/predict", Role.VIEWER, json={"features": ROW})),
    Case("403-viewer-predicts-by-name", 403, post("/models/iris/predict", Role.VIEWER, json={"features": ROW})),
    Case("403-user-adds-users", 403, post("/users", Role.USER, json={"username": "x", "password": PASSWORD})),
    asking("user-lists-users", 403, "GET", "/users", Role.USER),
    asking("user-reads-events", 403, "GET", "/users/events", Role.USER),
    asking("user-changes-users", 403, "PATCH", "/users/vic", Role.USER, content=b"{"),
    asking("user-deletes-users", 403, "DELETE", "/users/vic", Role.USER),
    asking("wrong-current-password", 403, "PUT", "/users/me/password", Role.VIEWER, json=WRONG),
    asking("own-password-reset", 403, "PATCH", "/users/ada", json={"password": "another horse battery"}),
    asking(
        *("anonymous-registers-an-admin", 403, "POST", "/users", None),
        on=lambda apis: apis.open,
        json={"username": "eve", "password": PASSWORD, "role": "admin"},
    ),
    asking(
        *("user-registers-a-viewer", 403, "POST", "/users", Role.USER),
        on=lambda apis: apis.open,
        json={"username": "eve", "password": PASSWORD, "role": "viewer"},
    ),
    asking("change-unknown-user", 404, "PATCH", "/users/unknown", json={"disabled": True}),
    asking("delete-unknown-user", 404, "DELETE", "/users/unknown"),
    asking("delete-invalid-name", 404, "DELETE", "/users/%00"),
    asking("demote-the-last-admin", 409, "PATCH", "/users/ada", json={"role": "user"}),
    asking("disable-the-last-admin", 409, "PATCH", "/users/ada", json={"disabled": True}),
    asking("delete-the-last-admin", 409, "DELETE", "/users/ada"),
    asking("last-admin-deletes-itself", 409, "DELETE", "/users/me?erase=true"),
    asking("my-password", 413, "PUT", "/users/me/password", Role.USER, chunks=TOO_LONG, headers=JSON),
    asking("change-user", 413, "PATCH", "/users/uma", chunks=TOO_LONG, headers=JSON),
    asking("my-password", 415, "PUT", "/users/me/password", Role.USER, data=WRONG),
    asking("change-user", 415, "PATCH", "/users/uma", content=b"role=user"),
    asking(
        *("locked-name", 429, "POST", "/token", None),
        on=lambda apis: apis.locked,
        data={"username": "uma", "password": PASSWORD},
    ),
    asking(
        *("locked-address", 429, "POST", "/token", None),
        on=lambda apis: apis.locked,
        client=("192.0.2.2", 2),
        data={"username": "vic", "password": PASSWORD},
    ),
    asking(
        *("locked-name-changes-its-password", 429, "PUT", "/users/me/password", Role.USER),
        on=lambda apis: apis.locked,
        json=WRONG,
    ),
    asking(
        *("many-registrations", 429, "POST", "/users", None),
        on=lambda apis: apis.locked,
        client=("192.0.2.3", 1),
        json={"username": "trudy", "password": PASSWORD},
    ),
    asking("reset", 429, "PATCH", "/users/uma", on=lambda apis: apis.busy, json={"password": "another horse battery"}),
    Case("403-user-reloads", 403, post("/models/iris/reload", Role.USER)),
    Case("403-public-metrics", 403, lambda apis: apis.ready.get("/metrics", client=("8.8.8.8", 1))),
    Case("404-route", 404, get("/nothing/here")),
    Case("404-model", 404, get("/models/rose", Role.VIEWER)),
    Case("404-predict", 404, post("/models/rose/predict", Role.USER, json={"features": ROW})),
    Case("404-reload", 404, post("/models/rose/reload", Role.ADMIN)),
    Case("404-default-model", 404, lambda apis: apis.other.post("/predict", role=Role.USER, json={"features": ROW})),
    Case("404-default-info", 404, lambda apis: apis.other.get("/model-info", role=Role.USER)),
    Case("405-delete", 405, lambda apis: apis.ready.request("DELETE", "/predict")),
    Case("405-unheard-of", 405, lambda apis: apis.ready.request("BREW", "/models")),
    Case("409-taken", 409, post("/users", Role.ADMIN, json={"username": "uma", "password": PASSWORD})),
    Case("409-taken-in-capitals", 409, post("/users", Role.ADMIN, json={"username": "UMA", "password": PASSWORD})),
    Case("413-declared", 413, post("/predict", Role.USER, content=b" " * 200_001, headers=JSON)),
    Case("413-streamed-predict", 413, post("/predict", Role.USER, chunks=TOO_LONG, headers=JSON)),
    Case("413-streamed-users", 413, post("/users", Role.ADMIN, chunks=TOO_LONG, headers=JSON)),
    Case("413-declared-token", 413, post("/token", content=b"x" * 200_001, headers=FORM)),
    Case(
        "413-streamed-form",
        413,
        post(
            "/token",
            chunks=[b'--x\r\nContent-Disposition: form-data; name="username"\r\n\r\n', *TOO_LONG],
            headers={"Content-Type": "multipart/form-data; boundary=x"},
        ),
    ),
    Case("413-streamed-token", 413, post("/token", chunks=TOO_LONG, headers=FORM)),
    Case("413-rows", 413, post("/predict", Role.USER, json={"features": [ROW] * 1_001})),
    Case("415-predict", 415, post("/predict", Role.USER, content=b"5.1,3.5", headers={"Content-Type": "text/csv"})),
    Case("415-predict-untold", 415, post("/predict", Role.USER, content=b'{"features": []}')),
    Case("415-predict-form", 415, post("/predict", Role.USER, data={"features": "1"})),
    compressed("415-two-codings", 415, gzip.compress(b"{}"), coding="gzip, gzip"),
    compressed("415-unknown-coding", 415, b"{}", coding="br"),
    compressed("415-users-coding", 415, b"{}", path="/users", coding="br"),
    compressed("413-inflated", 413, gzip.compress(b" " * 200_001)),
    compressed("413-inflated-users", 413, gzip.compress(b" " * 200_001), path="/users"),
    compressed("413-inflated-zstd", 413, zstd.compress(b" " * 200_001), coding="zstd"),
    Case("415-users", 415, post("/users", Role.ADMIN, content=b"a", headers={"Content-Type": "text/plain"})),
    Case("422-half-a-character", 422, post("/predict", Role.USER, content=b'{"\\ud800": 1}', headers=JSON)),
    Case("422-half-a-name", 422, post("/predict", Role.USER, content=b'{"features": {"\\ud800": 1}}', headers=JSON)),
    Case(
        "422-half-a-character-in-a-password",
        422,
        post("/users", Role.ADMIN, content=b'{"username": "x", "password": "secret \\ud800"}', headers=JSON),
    ),
    logging_in("json", 415, json={"username": "uma", "password": PASSWORD}),
    Case("429-logins", 429, lambda apis: apis.busy.post("/token", data={"username": "uma", "password": PASSWORD})),
    Case(
        "429-users",
        429,
        lambda apis: apis.busy.post("/users", role=Role.ADMIN, json={"username": "newcomer", "password": PASSWORD}),
    ),
    Case("500-unexpected", 500, lambda apis: apis.broken.get("/unexpected")),
    Case("500-unmapped", 500, lambda apis: apis.broken.get("/unmapped")),
    Case("503-predict", 503, lambda apis: apis.empty.post("/predict", role=Role.USER, json={"features": ROW})),
    Case("503-model-info", 503, lambda apis: apis.empty.get("/model-info", role=Role.USER)),
    Case("503-model", 503, lambda apis: apis.empty.get("/models/iris", role=Role.USER)),
    Case("503-accounts-unread", 503, lambda apis: apis.unread.get("/models", role=Role.USER)),
    Case(
        "503-token-unread", 503, lambda apis: apis.unread.post("/token", data={"username": "uma", "password": PASSWORD})
    ),
    *(
        asking(f"database-away-{name}", 503, method, path, on=lambda apis: apis.away, **request)
        for name, method, path, request in (
            ("me", "GET", "/users/me", {}),
            ("password", "PUT", "/users/me/password", {"json": WRONG}),
            ("delete-me", "DELETE", "/users/me", {}),
            ("add", "POST", "/users", {"json": {"username": "eve", "password": PASSWORD}}),
            ("list", "GET", "/users", {}),
            ("events", "GET", "/users/events", {}),
            ("change", "PATCH", "/users/uma", {"json": {"disabled": True}}),
            ("delete", "DELETE", "/users/uma", {}),
        )
    ),
    Case("503-accounts-stale", 503, lambda apis: apis.stale.get("/models", role=Role.USER)),
]

FIRST, LAST = FEATURES[0], FEATURES[-1]
NOT_JSON: Place = (["body"], "the body is not JSON")
EMPTY: Place = (["body"], "the body is empty")
NOT_UTF_8: Place = (["body"], "is hexadecimal FF")
HUGE: Place = (["body"], "a number in the body is too large")
DEEP: Place = (["body"], "nested too deeply")
ENDS_EARLY: Place = (["body"], "the gzip data of the body ends early")
INPUTS = [
    compressed("422-not-gzip", 422, b"{}", (["body"], "not valid gzip data")),
    compressed("422-not-zstd", 422, b"{}{}{}", (["body"], "not valid zstd data"), coding="zstd"),
    compressed("422-gzip-truncated", 422, gzip.compress(b"{}")[:-1], ENDS_EARLY),
    compressed("422-gzip-truncated-users", 422, gzip.compress(b"{}")[:-1], ENDS_EARLY, path="/users"),
    compressed("422-gzip-empty", 422, b"", EMPTY),
    compressed("422-gzip-of-nothing", 422, gzip.compress(b""), EMPTY),
    compressed("422-gzip-trailing", 422, gzip.compress(b"{}") + b"garbage", (["body"], "invalid bytes after")),
    predicting(b"{", NOT_JSON, name="not-json"),
    predicting(b"", EMPTY, name="nothing"),
    predicting(b" \n", EMPTY, name="blank"),
    predicting(b"\xff\xfe", NOT_UTF_8, name="not-utf-8"),
    predicting(b'{"features": "\xff"}', NOT_UTF_8, name="not-utf-8-inside"),
    predicting(b"[" * 3_000, DEEP, name="nested-deeply"),
    predicting(b'{"features": [1' + b"0" * 5_000 + b", 1, 1, 1]}", HUGE, name="very-long-integer"),
    predicting(b"[1, 2, 3, 4]", (["body"], "must be an object"), name="body-is-a-list"),
    predicting(b"null", (["body"], "must be an object"), name="body-is-null"),
    predicting(b"{}", (["features"], "missing"), name="no-features"),
    predicting(
        b'{"image": "x"}', (["features"], "missing"), (["image"], "unknown field 'image'"), name="unknown-field"
    ),
    predicting(b'{"features": "5.1"}', (["features"], "not a string"), name="features-is-text"),
    predicting(b'{"features": null}', (["features"], "not null"), name="features-is-null"),
    predicting(b'{"features": 5}', (["features"], "not a number"), name="features-is-a-number"),
    predicting(b'{"features": []}', (["features"], "empty"), name="no-rows"),
    predicting(b'{"features": [[]]}', (["features", 0], "expected 4 features"), name="empty-row"),
    predicting(b'{"features": [1, 2, 3]}', (["features"], "got 3"), name="too-few"),
    predicting(b'{"features": [1, 2, 3, 4, 5]}', (["features"], "got 5"), name="too-many"),
    predicting(b'{"features": [[1, 2, 3, 4], [1]]}', (["features", 1], "got 1"), name="too-few-in-a-row"),
    predicting(
        b'{"features": [[1, 2, 3, 4], 1]}', (["features", 1], "must be a list or an object"), name="row-is-a-number"
    ),
    predicting(b'{"features": ["5.1", 1, 1, 1]}', (["features", FIRST], "not a string"), name="numeric-string"),
    predicting(b'{"features": [true, 1, 1, 1]}', (["features", FIRST], "not a boolean"), name="boolean"),
    predicting(b'{"features": [null, 1, 1, 1]}', (["features", FIRST], "not null"), name="null"),
    predicting(b'{"features": [NaN, 1, 1, 1]}', (["features", FIRST], "finite"), name="nan"),
    predicting(b'{"features": [1, 1, 1, Infinity]}', (["features", LAST], "finite"), name="infinity"),
    predicting(b'{"features": [1, 1, 1, -Infinity]}', (["features", LAST], "finite"), name="minus-infinity"),
    predicting(b'{"features": [1e39, 1, 1, 1]}', (["features", FIRST], "too large"), name="beyond-float32"),
    predicting(b'{"features": [-1e39, 1, 1, 1]}', (["features", FIRST], "too large"), name="below-float32"),
    predicting(
        b'{"features": [1' + b"0" * 400 + b", 1, 1, 1]}", (["features", FIRST], "too large"), name="huge-integer"
    ),
    predicting(
        b'{"features": [[1, 2, 3, 4], [1, 2, [3], 4]]}',
        (["features", 1, FEATURES[2]], "not a list"),
        name="list-for-a-number",
    ),
    predicting(
        b'{"features": ' + b"[" * 900 + b"]" * 900 + b"}", (["features", 0], "expected 4 features"), name="nested"
    ),
    predicting(
        json.dumps({"features": dict.fromkeys(FEATURES[1:], 1) | {"colour": 1}}).encode(),
        (["features", FIRST], "missing"),
        (["features", "colour"], "no feature 'colour'"),
        name="names",
    ),
    predicting(
        json.dumps({"features": [dict.fromkeys(FEATURES, 1), {**dict.fromkeys(FEATURES, 1), LAST: "x"}]}).encode(),
        (["features", 1, LAST], "not a string"),
        name="named-row",
    ),
    adding(b"{", NOT_JSON, name="not-json"),
    adding(b"", EMPTY, name="nothing"),
    adding(b"\xff", NOT_UTF_8, name="not-utf-8"),
    adding(b"[" * 50_000, DEEP, name="nested-deeply"),
    adding(b'{"username": 1' + b"0" * 5_000 + b"}", HUGE, name="very-long-integer"),
    adding(
        b"[]",
        (["body"], "the body must be an object with the fields username, password, role"),
        name="body-is-a-list",
    ),
    new_user((["username"], "the field 'username' is missing"), username=None, name="no-name"),
    new_user((["username"], "begins with a letter or digit"), username="", name="empty-name"),
    new_user((["username"], "begins with a letter or digit"), username="-x", name="odd-first"),
    new_user((["username"], "1 to 64"), username="x" * 65, name="long-name"),
    new_user((["username"], "1 to 64"), username="a b", name="space-inside"),
    new_user((["username"], "1 to 64"), username="zoë", name="other-letters"),
    new_user((["username"], "'username' must be a string"), username=7, name="name-is-a-number"),
    new_user((["role"], "'role' must be 'admin', 'user' or 'viewer'"), role="root", name="unknown-role"),
    new_user((["email"], "unknown field 'email'; remove it"), email="x@y.org", name="unknown-field"),
    new_user((["password"], "the field 'password' is missing"), password=None, name="no-password"),
    new_user((["password"], "8 to 128 characters"), password="x7y8z9a", name="short-password"),
    new_user((["password"], "8 to 128 characters"), password="x" * 129, name="long-password"),
    new_user((["password"], "too easy to guess"), password="NewComer", name="password-is-the-name"),
    new_user((["password"], "a very common password"), password="Password1", name="common-password"),
    new_user((["username"], "is another route"), username="Me", name="reserved-name"),
    *(
        asking(f"{name}-{value}", 422, method, f"{path}={value}", Role.ADMIN, places=((["query", parameter], ""),))
        for name, method, path, parameter, values in (
            ("users-limit", "GET", "/users?limit", "limit", ("0", "201", "x")),
            ("users-cursor", "GET", "/users?cursor", "cursor", ("*", "A", "w6k", "x" * 201)),
            ("events-limit", "GET", "/users/events?limit", "limit", ("0", "201", "x")),
            ("events-cursor", "GET", "/users/events?cursor", "cursor", ("*", "dW1h", "x" * 201)),
            ("delete-erase", "DELETE", "/users/uma?erase", "erase", ("perhaps",)),
            ("delete-me-erase", "DELETE", "/users/me?erase", "erase", ("perhaps",)),
        )
        for value in values
    ),
    asking("change-nothing", 422, "PATCH", "/users/uma", Role.ADMIN, places=((["body"], "at least one"),), json={}),
    asking(
        "change-null", 422, "PATCH", "/users/uma", Role.ADMIN, places=((["body"], "at least one"),), json={"role": None}
    ),
    asking("change-not-json", 422, "PATCH", "/users/uma", Role.ADMIN, places=(NOT_JSON,), content=b"{", headers=JSON),
    asking(
        "change-role",
        422,
        "PATCH",
        "/users/uma",
        Role.ADMIN,
        places=((["role"], "'admin', 'user'"),),
        json={"role": "root"},
    ),
    asking(
        *("change-disabled", 422, "PATCH", "/users/uma", Role.ADMIN),
        places=((["disabled"], "'disabled' must be true or false"),),
        json={"disabled": "yes"},
    ),
    asking("change-other", 422, "PATCH", "/users/uma", Role.ADMIN, places=((["name"], ""),), json={"name": "eve"}),
    asking(
        "reset-short",
        422,
        "PATCH",
        "/users/uma",
        Role.ADMIN,
        places=((["password"], "8 to 128"),),
        json={"password": "x"},
    ),
    asking(
        *("password-short", 422, "PUT", "/users/me/password", Role.USER),
        places=((["new_password"], "8 to 128"),),
        json={**WRONG, "new_password": "x"},
    ),
    asking(
        *("password-is-easy", 422, "PUT", "/users/me/password", Role.USER),
        places=((["new_password"], "too easy to guess"),),
        json={**WRONG, "new_password": "password1"},
    ),
    asking(
        *("password-not-given", 422, "PUT", "/users/me/password", Role.USER),
        places=(
            (["current_password"], ""),
            (["new_password"], ""),
        ),
        json={},
    ),
    logging_in("no-username", 422, (["username"], "missing"), data={"password": PASSWORD}),
    logging_in("no-password", 422, (["password"], "missing"), data={"username": "uma", "password": ""}),
    logging_in("empty", 422, (["username"], "missing"), (["password"], "missing"), content=b"", headers=FORM),
    logging_in(
        "grant",
        422,
        (["grant_type"], "must be `password`"),
        data={"username": "uma", "password": PASSWORD, "grant_type": "client_credentials"},
    ),
    logging_in(
        "multipart-without-boundary",
        422,
        (["body"], "form cannot be read"),
        content=b"x",
        headers={"Content-Type": "multipart/form-data"},
    ),
    logging_in("file-for-a-name", 422, (["body"], "form cannot be read"), files={"username": ("a.txt", b"uma")}),
]

CASES = [*TOKENS, *STATUSES, *INPUTS]
