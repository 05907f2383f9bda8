"""The app factory: routes and error handlers for the given services."""

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
Predictions from the models with the registry's *Production* alias.

Get a token from `POST /token`, send it as `Authorization: Bearer …`, and call `POST /predict`.
Errors are [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problem details.
"""
TAGS = [
    {"name": "prediction", "description": "Predict with a model."},
    {"name": "predictions", "description": "Read logged predictions, and send feedback with the true values."},
    {"name": "models", "description": "Served models, and why they differ from their Production versions."},
    {"name": "open inference protocol", "description": "For clients of KServe, Triton and MLServer."},
    {"name": "scoring", "description": "For SageMaker, and for clients of MLflow's model server."},
    {"name": "accounts", "description": "Login, the caller's own account, and the administration of accounts."},
    {"name": "service", "description": "Health and metrics."},
]

# Threads for calls to the database and the registry: more than the concurrent logins, plus background polls.
BLOCKING_THREADS = 32


def create_app(services: Services) -> FastAPI:
    """Return the app. It reads and connects to nothing before its lifespan starts."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        asyncio.get_running_loop().set_default_executor(_Unawaited(BLOCKING_THREADS, "blocking"))
        polled = asyncio.Event()
        tasks = [
            asyncio.create_task(watch(services.models, services.settings.registry_poll_seconds, polled)),
            asyncio.create_task(_watch_accounts(services, polled)),
            asyncio.create_task(_watch_live_metrics(services, polled)),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            services.accounts.close()
            services.pool.close()
            # After the last request, so that all its records are written.
            await asyncio.to_thread(services.prediction_log.close)
            services.predictions.close()

    # The pages of /docs load their files from the package, so that they work without internet access.
    app = FastAPIOffline(
        title="Slipway",
        version=slipway_core.__version__,
        summary="The inference API.",
        description=DESCRIPTION,
        openapi_tags=TAGS,
        lifespan=lifespan,
        redoc_url=None,
        # Prediction endpoints do not redirect, either. A redirect would also trust the client's Host header.
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
    """Threads that do not delay the shutdown: one may be blocked by an unresponsive database."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002
        super().shutdown(wait=False, cancel_futures=True)


async def _watch_accounts(services: Services, after: asyncio.Event) -> None:
    """Refresh the accounts' snapshot periodically, and create the first administrator once the database responds."""
    # Importing the database's libraries blocks for half a second: load the first model before.
    await after.wait()
    await services.accounts.watch()


async def _watch_live_metrics(services: Services, after: asyncio.Event) -> None:
    await after.wait()
    await services.accounts.directory.first_refresh_done.wait()
    await services.live_metrics.watch()
