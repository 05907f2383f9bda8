"""The composition root: build the service from the environment and run it."""

import argparse
import asyncio
import contextlib
import functools
import os
import re
import signal
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import TYPE_CHECKING

from slipway_api.accounts.directory import AccountDirectory
from slipway_api.accounts.key_text import KeyTexts
from slipway_api.accounts.login_throttle import Limits, LoginThrottle
from slipway_api.accounts.metrics import AccountMetrics
from slipway_api.accounts.models import FirstAdmin
from slipway_api.accounts.passwords import Passwords
from slipway_api.accounts.service import AccountService
from slipway_api.accounts.snapshot_file import SignedSnapshotFile
from slipway_api.accounts.store import AccountStore
from slipway_api.accounts.tokens import Tokens
from slipway_api.metrics import Metrics
from slipway_api.prediction_log.live_metrics import LiveMetrics
from slipway_api.prediction_log.metrics import PredictionLogMetrics
from slipway_api.prediction_log.queries import Predictions, PredictionStore
from slipway_api.prediction_log.shipper_process import ShipperProcess, ship
from slipway_api.prediction_log.writer import PredictionLog
from slipway_api.serving.bundle_cache import BundleCache
from slipway_api.serving.followed import Followed
from slipway_api.serving.loader import Loader
from slipway_api.serving.metrics import ServingMetrics
from slipway_api.serving.model_store import ModelStore
from slipway_api.serving.predictor import Predictor
from slipway_api.serving.promoter import Promoter
from slipway_api.serving.trial import ChildTrial, Trial
from slipway_api.serving.work_pool import WorkPool
from slipway_api.settings import ApiSettings
from slipway_api.web.app import create_app
from slipway_api.web.descriptors import raise_descriptor_limit
from slipway_api.web.gateway import Gateway
from slipway_api.web.lifespan import Lifespan
from slipway_api.web.prediction_endpoint import PredictionEndpoint
from slipway_api.web.routers.scoring import SAGEMAKER_PATHS
from slipway_api.web.server import listening, run
from slipway_core.errors import ConfigurationError
from slipway_core.logging import configure_logging, get_logger
from slipway_core.policy import new_key
from slipway_core.program import exit_on_error
from slipway_core.registry import Registry
from slipway_core.settings import load_settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

REGISTRY_TIMEOUT_SECONDS = 5.0

log = get_logger("slipway.server")


def build(
    settings: ApiSettings,
    registry: Registry,
    tokenless: frozenset[str] = frozenset(),
    trial: Trial | None = None,
) -> Gateway:
    """Build the services and the ASGI application.

    Args:
        settings: the API's settings.
        registry: the source of the models.
        tokenless: paths that need no token in this deployment.
        trial: tries each version before this process opens it; defaults to a child process.
    """
    metrics = Metrics()
    serving_metrics = ServingMetrics(metrics)
    trusted = settings.read_trusted_keys()
    loader = Loader(
        registry,
        BundleCache(settings.cache_dir),
        trial=trial or ChildTrial(),
        allow_unverified=settings.allow_unverified_models,
        trusted=trusted,
    )

    database = _Database(settings)
    followed = Followed(settings.models, settings.predicting_model, settings.max_candidates)
    models = ModelStore(registry, loader, serving_metrics, followed)
    accounts = _account_service(settings, metrics, database.open_accounts)
    pool = WorkPool(settings.max_waiting, serving_metrics)
    promoter = Promoter(registry, settings.signer(), trusted)
    log_metrics = PredictionLogMetrics(metrics)
    prediction_log = _prediction_log(settings, log_metrics)
    predictions = Predictions(database.open_predictions)
    live_metrics = LiveMetrics(
        predictions,
        log_metrics,
        serving_metrics.feedback_rows,
        window_seconds=settings.live_window_seconds,
        journal=settings.journal_dir,
    )
    lifespan = Lifespan(
        models, accounts, pool, promoter, prediction_log, predictions, live_metrics, settings.registry_poll_seconds
    )
    app = create_app(
        models=models,
        accounts=accounts,
        pool=pool,
        promoter=promoter,
        predictions=predictions,
        live_metrics=live_metrics,
        metrics=metrics,
        metrics_public=settings.metrics_public,
        tokenless=tokenless,
        lifespan=lifespan,
    )
    endpoint = PredictionEndpoint(
        models, accounts, prediction_log, Predictor(serving_metrics), pool, settings, tokenless=tokenless
    )
    return Gateway(app, endpoint, accounts, metrics, settings)


class _Database:
    """The stores in the database, opened on first use.

    SQLAlchemy is half of the API's import time, and loading the first model does not need it.
    """

    def __init__(self, settings: ApiSettings) -> None:
        self._url = settings.database_url

    def open_accounts(self) -> AccountStore:
        from slipway_api.accounts.repository import SqlAccountStore  # noqa: PLC0415

        return SqlAccountStore(self._engine)

    def open_predictions(self) -> PredictionStore:
        from slipway_api.prediction_log.repository import SqlPredictionStore  # noqa: PLC0415

        return SqlPredictionStore(self._engine)

    @functools.cached_property
    def _engine(self) -> "Engine":
        from slipway_core.database import connect  # noqa: PLC0415

        return connect(self._url.get_secret_value())


def _prediction_log(settings: ApiSettings, metrics: PredictionLogMetrics) -> PredictionLog:
    return PredictionLog(
        settings.journal_dir,
        metrics,
        later=lambda seconds, function: asyncio.get_running_loop().call_later(seconds, function),
        max_bytes=settings.journal_max_bytes,
        enabled=settings.prediction_log,
        redacted=settings.redacted_features,
    )


def worker(tokenless: frozenset[str] = frozenset()) -> Gateway:
    """Build the application of a worker process from its environment."""
    settings = load_settings(ApiSettings)
    configure_logging(settings.log_level, settings.log_format)
    return build(settings, settings.open_registry(REGISTRY_TIMEOUT_SECONDS), tokenless)


def sagemaker_worker() -> Gateway:
    """Build the application of a worker process in a SageMaker container."""
    return worker(SAGEMAKER_PATHS)


def serve(settings: ApiSettings, tokenless: frozenset[str] = frozenset()) -> None:
    """Serve until a signal arrives, then finish the requests in progress.

    Raises:
        ConfigurationError: the address is unavailable, or a file of keys cannot be used.
    """
    _check_keys(settings)
    shipper = ShipperProcess(settings.journal_dir)
    # uvicorn re-raises the signal at its end; the default handler would end this process before the shipper stops.
    signal.signal(signal.SIGTERM, _end)
    with (
        contextlib.closing(settings.open_registry(REGISTRY_TIMEOUT_SECONDS)) as registry,
        listening(settings.host, settings.port) as listener,
    ):
        log.info("listening", host=settings.host, port=listener.getsockname()[1], workers=settings.workers)
        raise_descriptor_limit()
        shipper.start()
        try:
            make_worker = sagemaker_worker if tokenless else worker
            run(settings, listener, lambda: build(settings, registry, tokenless), make_worker)
        finally:
            shipper.stop()


def _check_keys(settings: ApiSettings) -> None:
    """Reject unusable files of keys before the workers start; warn of a signing key that may sign more than events."""
    trusted, signer = settings.read_trusted_keys(), settings.signer()
    for key in trusted or ():
        if signer is not None and key.key_id == signer.key_id and not key.events_only:
            log.warning("signing_key_not_restricted", key=key.name)


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(os.EX_OK)


def _account_service(settings: ApiSettings, metrics: Metrics, open_store: Callable[[], AccountStore]) -> AccountService:
    key = settings.secret_key.get_secret_value()
    limits = Limits(
        per_name=settings.login_max_failures,
        per_address=settings.login_max_failures_per_address,
        window_seconds=settings.login_window_seconds,
    )
    password = settings.admin_password
    first_admin = None
    if password is not None:
        first_admin = FirstAdmin(settings.admin_username, password.get_secret_value(), settings.env == "development")
    return AccountService(
        AccountDirectory(open_store, settings.auth_stale_seconds, file=SignedSnapshotFile(settings.cache_dir, key)),
        Passwords(),
        LoginThrottle(key, limits),
        Tokens(key, settings.token_ttl_seconds),
        KeyTexts(key),
        AccountMetrics(metrics),
        registration_is_open=settings.registration == "open",
        first_admin=first_admin,
        key_max_days=settings.api_key_max_days,
    )


def sagemaker_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that SageMaker's contract fixes, with a generated SECRET_KEY if none is set.

    See "Use Your Own Inference Code with Hosting Services" in Amazon SageMaker's guide; a container in a pipeline may
    get another port than 8080.

    Raises:
        ConfigurationError: the port is not a number.
    """
    port = environ.get("SAGEMAKER_BIND_TO_PORT") or "8080"
    if not re.fullmatch("[0-9]{1,5}", port):
        raise ConfigurationError("SAGEMAKER_BIND_TO_PORT must be a port number")
    variables = {"SLIPWAY_HOST": "0.0.0.0", "SLIPWAY_PORT": port}  # noqa: S104  # as the contract asks
    if not environ.get("SECRET_KEY") and not environ.get("SECRET_KEY_FILE"):
        variables["SECRET_KEY"] = new_key()
    return variables


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `slipway-api serve`, `sagemaker`, `migrate`, `ship` or `check`; `__main__` handles the options of `ship`."""
    parser = argparse.ArgumentParser(prog="slipway-api", description="Slipway's inference API.")
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="Start the server.")
    serving.add_argument("--workers", help="Number of worker processes (SLIPWAY_WORKERS).")
    serving.add_argument(
        "--forwarded-allow-ips", help="Trusted proxies for X-Forwarded-* headers (FORWARDED_ALLOW_IPS)."
    )
    commands.add_parser("sagemaker", help="Start the server for SageMaker, without tokens for /ping and /invocations.")
    commands.add_parser("migrate", help="Migrate the database to the current schema.")
    commands.add_parser(
        "ship", help="Load the journal of predictions into the database; `serve` does this in the background."
    )
    commands.add_parser("check", help="Check the settings without starting the server.")
    options = vars(parser.parse_args(arguments))
    command = options.pop("command")
    # Workers and the shipper also read the environment.
    for name, variable in {"workers": "SLIPWAY_WORKERS", "forwarded_allow_ips": "FORWARDED_ALLOW_IPS"}.items():
        if options.get(name) is not None:
            os.environ[variable] = options[name]
    try:
        with exit_on_error():
            if command == "sagemaker":
                os.environ.update(sagemaker_variables(os.environ))
            settings = load_settings(ApiSettings)
            configure_logging(settings.log_level, settings.log_format)
            if command == "check":
                settings.require_safe_admin_password()
                _check_keys(settings)
                print("The settings are valid.")
            elif command == "migrate":
                from slipway_core.migrations import upgrade  # noqa: PLC0415  # serving does not need Alembic

                upgrade(settings.database_url.get_secret_value())
            elif command == "ship":  # `__main__` handles this command with options
                ship(settings)
            else:
                serve(settings, SAGEMAKER_PATHS if command == "sagemaker" else frozenset())
    except KeyboardInterrupt:
        raise SystemExit(os.EX_OK) from None
