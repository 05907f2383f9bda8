"""A typed Python client of Slipway's API. It needs only httpx, and pandas for DataFrames."""

from slipway_client.async_client import AsyncClient
from slipway_client.client import Client
from slipway_client.errors import (
    AuthenticationError,
    BatchError,
    ConfigurationError,
    ConflictError,
    ConnectionFailedError,
    DeadlineExceededError,
    Failure,
    InvalidValue,
    NotFoundError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitedError,
    RequestError,
    ServiceUnavailableError,
    SlipwayError,
    TimedOutError,
    UnexpectedResponseError,
    ValidationError,
)
from slipway_client.results import (
    ApiKey,
    Batch,
    Feedback,
    LoggedPrediction,
    Model,
    NewApiKey,
    PredictionResult,
    PredictionWarning,
    PredictionWithLineage,
    User,
    UserEvent,
)
from slipway_client.retry import Retry
from slipway_client.splitting import BatchLimits

__version__ = "0.1.0"

__all__ = [
    "ApiKey",
    "AsyncClient",
    "AuthenticationError",
    "Batch",
    "BatchError",
    "BatchLimits",
    "Client",
    "ConfigurationError",
    "ConflictError",
    "ConnectionFailedError",
    "DeadlineExceededError",
    "Failure",
    "Feedback",
    "InvalidValue",
    "LoggedPrediction",
    "Model",
    "NewApiKey",
    "NotFoundError",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "PredictionResult",
    "PredictionWarning",
    "PredictionWithLineage",
    "RateLimitedError",
    "RequestError",
    "Retry",
    "ServiceUnavailableError",
    "SlipwayError",
    "TimedOutError",
    "UnexpectedResponseError",
    "User",
    "UserEvent",
    "ValidationError",
]
