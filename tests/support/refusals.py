"""Requests that the API rejects, and apps in each state that they are sent to."""

import gzip
import json
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from slipway_api.accounts.models import Role
from slipway_api.accounts.passwords import MAX_WAITING
from slipway_core.errors import BundleError
from slipway_core.registry.memory import InMemoryRegistry
from support.api import PASSWORD, Database, RunningApi, running_api
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


def asking(
    name: str,
    status: int,
    method: str,
    path: str,
    role: Role | None = Role.ADMIN,
    *,
    places: tuple[Place, ...] = (),
    on: str = "ready",
    **request: Any,
) -> Case:
    return Case(
        f"{status}-{name}", status, lambda apis: getattr(apis, on).request(method, path, role=role, **request), places
    )


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
        b"[]", (["body"], "the body must be an object with the fields username, password, role"), name="body-is-a-list"
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
        places=((["current_password"], ""), (["new_password"], "")),
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
