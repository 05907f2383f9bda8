"""The services that the routes use, built once in `main.py`."""

from dataclasses import dataclass

from fastapi import Request

from slipway_api.accounts.service import AccountService
from slipway_api.metrics import Metrics
from slipway_api.prediction_log.live_metrics import LiveMetrics
from slipway_api.prediction_log.queries import Predictions
from slipway_api.prediction_log.writer import PredictionLog
from slipway_api.serving.model_store import ModelStore
from slipway_api.serving.predictor import Predictor
from slipway_api.serving.rate_limit import PredictionRate
from slipway_api.serving.work_pool import WorkPool
from slipway_api.settings import ApiSettings


@dataclass(frozen=True)
class Services:
    """The services shared by all requests.

    Attributes:
        tokenless: paths that need no token in this deployment, such as SageMaker's, which authenticates them itself.
    """

    settings: ApiSettings
    metrics: Metrics
    models: ModelStore
    accounts: AccountService
    predictor: Predictor
    pool: WorkPool
    rate: PredictionRate
    prediction_log: PredictionLog
    predictions: Predictions
    live_metrics: LiveMetrics
    tokenless: frozenset[str] = frozenset()


# `async` without an await: FastAPI would run a plain function in a thread for every request.
async def services_of(request: Request) -> Services:
    """Return the app's services (a FastAPI dependency)."""
    services: Services = request.app.state.services
    return services
