"""The app factory: routes and error handlers for the given services."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

import slipway_core
from slipway_api.accounts.service import AccountService
from slipway_api.http import openapi, problems
from slipway_api.metrics import Metrics
from slipway_api.prediction_log.live_metrics import LiveMetrics
from slipway_api.prediction_log.queries import Predictions
from slipway_api.serving.model_store import ModelStore
from slipway_api.serving.promoter import Promoter
from slipway_api.serving.work_pool import WorkPool
from slipway_api.web.gateway import UNLIMITED_PATHS
from slipway_api.web.routes import BODIES, DESCRIBED_ROUTERS, ROUTERS

DESCRIPTION = """
Predictions from the models with the registry's *Production* alias.

Get a token from `POST /token`, send it as `Authorization: Bearer …`, and call `POST /predict`.
Programs send an API key from `POST /keys`, as `X-API-Key: …` or `Authorization: Bearer …`.
Errors are [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problem details; below `/v1` and `/v2`, `{"error": "…"}`.
A request body may be compressed: send `Content-Encoding: gzip` or `zstd`. Limits apply to its inflated size.
Each path with `GET` also supports `HEAD`.
"""
TAGS = [
    {"name": "prediction", "description": "Predict with a model."},
    {"name": "predictions", "description": "Read logged predictions, and send feedback with the true values."},
    {"name": "models", "description": "Served models, and why they differ from their Production versions."},
    {"name": "open inference protocol", "description": "For clients of KServe, Triton and MLServer."},
    {"name": "kserve v1 protocol", "description": "For clients of KServe and TensorFlow Serving."},
    {"name": "scoring", "description": "For SageMaker, and for clients of MLflow's model server."},
    {"name": "accounts", "description": "Login, the caller's own account, and the administration of accounts."},
    {"name": "keys", "description": "API keys, with which programs call the API."},
    {"name": "service", "description": "Health and metrics."},
]


def create_app(
    *,
    models: ModelStore,
    accounts: AccountService,
    pool: WorkPool,
    promoter: Promoter,
    predictions: Predictions,
    live_metrics: LiveMetrics,
    metrics: Metrics,
    metrics_public: bool,
    tokenless: frozenset[str],
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
) -> FastAPI:
    """Return the app, whose routes read these parts from its state. It connects to nothing before its lifespan.

    Args:
        models: the served models.
        accounts: the accounts.
        pool: reports stuck runs.
        promoter: moves Production, and reads its history.
        predictions: reads logged predictions and stores feedback.
        live_metrics: counts feedback.
        metrics: the page for Prometheus.
        metrics_public: whether clients with public addresses may read that page.
        tokenless: paths that need no token in this deployment.
        lifespan: runs the background tasks.
    """
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
    state = app.state
    state.models, state.accounts, state.pool, state.promoter = models, accounts, pool, promoter
    state.predictions, state.live_metrics = predictions, live_metrics
    state.metrics, state.metrics_public, state.tokenless = metrics, metrics_public, tokenless
    for router in ROUTERS:
        app.include_router(router)
    problems.install(app)
    openapi.install(app, described=DESCRIBED_ROUTERS, bodies=BODIES, unlimited=UNLIMITED_PATHS)
    return app
