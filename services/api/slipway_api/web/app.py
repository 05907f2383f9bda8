"""The app factory: routes and error answers around services that are built elsewhere."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

import slipway_core
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
            services.accounts.close()
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
    # Importing the database driver takes half a second of CPU time; loading the first model comes first.
    await after.wait()
    await services.accounts.watch()


async def _watch_live_metrics(services: Services, after: asyncio.Event) -> None:
    await after.wait()
    await services.accounts.directory.first_refresh_done.wait()
    await services.live_metrics.watch()
