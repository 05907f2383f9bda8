"""The app factory: routes and error answers around services that are built elsewhere."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

import slipway_core
from slipway_api.accounts.directory import REFRESH_SECONDS
from slipway_api.accounts.events import Action
from slipway_api.accounts.models import Role
from slipway_api.errors import ConflictError, NotReadyError
from slipway_api.http import openapi, problems
from slipway_api.serving.registry_watcher import watch
from slipway_api.web import prediction_routes
from slipway_api.web.gateway import UNLIMITED_PATHS
from slipway_api.web.routers import (
    account_models,
    health,
    login,
    me,
    models,
    open_inference,
    predictions,
    scoring,
    users,
)
from slipway_api.web.services import Services
from slipway_core.logging import get_logger

DESCRIPTION = """
Predictions from the models that the registry's alias *Production* points to.

Get a token from `POST /token`, send it as `Authorization: Bearer …`, and ask `POST /predict`.
Errors are [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problem details.
"""
TAGS = [
    {"name": "prediction", "description": "Ask a model."},
    {"name": "predictions", "description": "Read what was predicted, and tell what turned out to be true."},
    {"name": "models", "description": "What is served, and what keeps it from being Production's version."},
    {"name": "open inference protocol", "description": "For clients of KServe, Triton and MLServer."},
    {"name": "scoring", "description": "For SageMaker, and for clients of MLflow's model server."},
    {"name": "accounts", "description": "Log in, one's own account, and everybody's."},
    {"name": "service", "description": "Health and metrics."},
]

# For what waits for the database or the registry: more than may log in at once, and the looks beside them.
BLOCKING_THREADS = 32

log = get_logger("slipway.app")


def create_app(services: Services) -> FastAPI:
    """Return the app. Nothing is read or connected before its lifespan begins."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        asyncio.get_running_loop().set_default_executor(_Unawaited(BLOCKING_THREADS, "blocking"))
        looked = asyncio.Event()
        tasks = [
            asyncio.create_task(watch(services.models, services.settings.registry_poll_seconds, looked)),
            asyncio.create_task(_watch_accounts(services, looked)),
            asyncio.create_task(_watch_live_metrics(services, looked)),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            services.passwords.close()
            services.pool.close()
            # After the last request: what it has logged must not be lost.
            await asyncio.to_thread(services.prediction_log.close)
            services.predictions.close()

    # The pages of /docs come from the package, not from somebody's network: they work where there is none.
    app = FastAPIOffline(
        title="Slipway",
        version=slipway_core.__version__,
        summary="The inference API.",
        description=DESCRIPTION,
        openapi_tags=TAGS,
        lifespan=lifespan,
        redoc_url=None,
        # Nor do the calls that predict; and where to would come from the Host that the client names.
        redirect_slashes=False,
    )
    app.state.services = services
    for part in (predictions, models, login, me, users, health, open_inference, scoring):
        app.include_router(part.router)
    problems.install(app)
    openapi.install(
        app,
        described=prediction_routes.ROUTERS,
        bodies=[*account_models.BODIES, *predictions.BODIES, *prediction_routes.BODIES],
        unlimited=UNLIMITED_PATHS,
    )
    return app


class _Unawaited(ThreadPoolExecutor):
    """Threads that an end does not wait for: one of them may wait for a database that does not answer."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002
        super().shutdown(wait=False, cancel_futures=True)


async def _watch_accounts(services: Services, after: asyncio.Event) -> None:
    """Keep the snapshot of accounts fresh; make the first administrator when the database first answers."""
    # Opening the database takes the interpreter for half a second; the first model is wanted sooner.
    await after.wait()
    admin_is_made = False
    while True:
        try:
            read = await asyncio.to_thread(services.accounts.refresh)
            services.metrics.accounts_up.set(read)
            if read and not admin_is_made:
                admin_is_made = await make_first_admin(services)
        except Exception:  # a fault of ours must not end the watch: the last snapshot holds
            log.exception("accounts_watch_failed")
        services.accounts.looked.set()
        await asyncio.sleep(REFRESH_SECONDS)


async def _watch_live_metrics(services: Services, after: asyncio.Event) -> None:
    await after.wait()
    await services.accounts.looked.wait()
    await services.live_metrics.watch()


async def make_first_admin(services: Services) -> bool:
    """Make the administrator of the settings if there is no account yet.

    Returns:
        Whether that is settled; False while the database is away.
    """
    password, name = services.settings.admin_password, services.settings.admin_username
    if password is None:
        return True
    try:
        if await asyncio.to_thread(lambda: services.accounts.store.count() > 0):
            return True
        password_hash = await services.passwords.hash(password.get_secret_value())
        store, action = services.accounts.store, Action.FIRST_ADMIN_MADE
        account = await asyncio.to_thread(lambda: store.add(name, password_hash, Role.ADMIN, action=action))
    except NotReadyError:
        return False
    except ConflictError:  # another replica was faster
        return True
    services.accounts.note(account)
    return True
