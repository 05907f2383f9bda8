"""The API inside the tests' process: its lifespan on its own event loop, an account of each role, a simple client."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from slipway_api.accounts.models import Account, Role
from slipway_api.accounts.passwords import Passwords
from slipway_api.accounts.repository import SqlAccountStore
from slipway_api.main import build
from slipway_api.prediction_log.loading import SqlLoadingStore
from slipway_api.prediction_log.shipper import Shipper
from slipway_api.prediction_log.writer import PredictionLog
from slipway_api.settings import ApiSettings
from slipway_api.web.gateway import Gateway
from slipway_core.database import connect
from slipway_core.migrations import upgrade
from slipway_core.registry import Registry
from support.serving import no_trial
from support.waiting import wait_for

SECRET_KEY = "Zx3vQ8mT1pLw7RkY2nBf9HsD4gJc6UaE"
PASSWORD = "correct horse battery"
NAMES = {Role.ADMIN: "ada", Role.USER: "uma", Role.VIEWER: "vic"}
LOOPBACK = ("127.0.0.1", 1)


@dataclass(frozen=True)
class Database:
    """A SQLite file with the tables and an account of each role, to be copied for each app."""

    file: Path
    accounts: Mapping[Role, Account]


def make_database(file: Path) -> Database:
    """Create the tables and an account of each role, all with the same password."""
    url = f"sqlite:///{file}"
    upgrade(url)
    passwords = Passwords()
    password_hash = asyncio.run(passwords.hash(PASSWORD))
    passwords.close()
    engine = connect(url)
    store = SqlAccountStore(engine)
    accounts = {role: store.add(name, password_hash, role) for role, name in NAMES.items()}
    engine.dispose()
    return Database(file, accounts)


@dataclass(frozen=True)
class RunningApi:
    """An app whose lifespan runs. Requests reach it without a network, from any thread."""

    gateway: Gateway
    settings: ApiSettings
    accounts: Mapping[Role, Account]
    portal: BlockingPortal

    @property
    def app(self) -> FastAPI:
        return self.gateway.app

    @property
    def prediction_log(self) -> PredictionLog:
        return self.gateway._dispatch._endpoint._log

    def token(self, role: Role) -> str:
        """Return a fresh token of the account with a role, as a login would."""
        token: str = self.app.state.accounts.tokens.issue(self.accounts[role])
        return token

    def get(self, path: str, **request: Any) -> httpx.Response:
        return self.send("GET", path, **request).result(timeout=30)

    def post(self, path: str, **request: Any) -> httpx.Response:
        return self.send("POST", path, **request).result(timeout=30)

    def request(self, method: str, path: str, **request: Any) -> httpx.Response:
        return self.send(method, path, **request).result(timeout=30)

    def send(self, method: str, path: str, **request: Any) -> "Future[httpx.Response]":
        """Start a request; see `ask` for the arguments."""
        return self.portal.start_task_soon(lambda: self.ask(method, path, **request))

    async def ask(
        self,
        method: str,
        path: str,
        *,
        role: Role | None = None,
        token: str | None = None,
        headers: Mapping[str, str | bytes] | None = None,
        chunks: Iterable[bytes] | None = None,
        client: tuple[str, int] | None = LOOPBACK,
        **content: Any,
    ) -> httpx.Response:
        """Send a request from the app's own event loop.

        Args:
            method: the HTTP method.
            path: the path and query.
            role: the role whose token to send.
            token: a token to send unchanged.
            headers: additional headers.
            chunks: the body in parts, without a declared length.
            client: the caller's address; None for a socket without one.
            content: `json`, `content`, `data` or `files`, with the meaning that httpx gives them.
        """
        token = self.token(role) if role is not None else token
        given: dict[str, str | bytes] = {**(headers or {})}
        if token is not None:
            given["Authorization"] = f"Bearer {token}".encode()
        if chunks is not None:
            content["content"] = _parts(chunks)
        # httpx's types do not allow a missing address.
        transport = httpx.ASGITransport(self.gateway, client=cast("tuple[str, int]", client))
        async with httpx.AsyncClient(transport=transport, base_url="http://slipway") as http:
            return await http.request(method, path, headers=cast("dict[str, str]", given), **content)

    def sample(self, name: str, **labels: str) -> float | None:
        """Return the value of one sample of /metrics; None if the sample does not exist."""
        registry: CollectorRegistry = self.app.state.metrics.registry
        return registry.get_sample_value(name, labels)

    def samples(self, name: str) -> list[dict[str, str]]:
        """Return the labels of each sample of a metric in /metrics."""
        page = self.get("/metrics").text
        families = text_string_to_metric_families(page)
        return [sample.labels for family in families for sample in family.samples if sample.name == name]

    def ship(self) -> int:
        """Ship all logged predictions to the database, as the shipper does; return the number of records."""
        self.prediction_log.flush()
        engine = connect(self.settings.database_url.get_secret_value())
        try:
            return Shipper(self.settings.journal_dir, SqlLoadingStore(engine)).ship_once()
        finally:
            engine.dispose()

    def is_ready(self) -> bool:
        state = self.app.state
        return state.accounts.directory.first_refresh_done.is_set() and not state.models.missing()


class StartApi(Protocol):
    """Start apps that stop when the test ends."""

    def __call__(
        self,
        registry: Registry,
        *,
        ready: bool = True,
        prepare: Callable[[FastAPI], None] | None = None,
        tokenless: frozenset[str] = frozenset(),
        **settings: Any,
    ) -> RunningApi: ...


@contextmanager
def running_api(
    folder: Path,
    registry: Registry,
    database: Database,
    *,
    ready: bool = True,
    prepare: Callable[[FastAPI], None] | None = None,
    tokenless: frozenset[str] = frozenset(),
    **settings: Any,
) -> Iterator[RunningApi]:
    """Run an app with a registry and a copy of a database.

    Args:
        folder: the folder of its database and cache.
        registry: the registry of its models.
        database: the initial database, which is copied.
        ready: whether to wait until every required model is loaded.
        prepare: a function that changes the app before it starts.
        tokenless: paths that need no token.
        settings: fields of ApiSettings that differ from the defaults below.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "slipway.db"
    if not file.exists():
        shutil.copy(database.file, file)
    fields: dict[str, Any] = {
        "secret_key": SECRET_KEY,
        "database_url": f"sqlite:///{file}",
        "mlflow_tracking_uri": "http://registry.invalid",
        "cache_dir": folder / "cache",
        "journal_dir": folder / "journal",
        "registry_poll_seconds": 0.05,
        **settings,
    }
    given = ApiSettings(**fields)
    gateway = build(given, registry, tokenless, no_trial)
    gateway.app.state.accounts.passwords._pause_factor = 0.0  # tests log in one after another
    if prepare is not None:
        prepare(gateway.app)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(_lifespan(gateway)):
        api = RunningApi(gateway, given, database.accounts, portal)
        wait_for(
            gateway.app.state.accounts.directory.first_refresh_done.is_set, what="the first refresh of the accounts"
        )
        if ready:
            wait_for(api.is_ready, what="readiness")
        yield api


@asynccontextmanager
async def _lifespan(app: Gateway) -> AsyncIterator[None]:
    """Run an app's lifespan over the ASGI protocol, as a server does."""
    to_app: asyncio.Queue[Any] = asyncio.Queue()
    from_app: asyncio.Queue[Any] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    task = asyncio.create_task(app(scope, to_app.get, from_app.put))

    async def step(name: str) -> None:
        await to_app.put({"type": f"lifespan.{name}"})
        answer = await asyncio.wait_for(from_app.get(), 30)
        assert answer == {"type": f"lifespan.{name}.complete"}

    await step("startup")
    try:
        yield
    finally:
        await step("shutdown")
        await task


async def _parts(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
