"""The composition root: from the environment to a running server."""

import argparse
import os
import signal
import socket
import sys
from collections.abc import Sequence
from types import FrameType

import uvicorn
from fastapi import FastAPI

from slipway_api.accounts import Accounts, AccountStore
from slipway_api.app import create_app
from slipway_api.live_metrics import LiveMetrics
from slipway_api.metrics import Metrics
from slipway_api.passwords import Passwords
from slipway_api.predictions import Predictions, PredictionStore
from slipway_api.serving.bundle_cache import BundleCache
from slipway_api.serving.loader import Loader
from slipway_api.serving.model_store import ModelStore
from slipway_api.serving.prediction_log import PredictionLog
from slipway_api.settings import ApiSettings
from slipway_api.shipping import ShipperProcess, ship
from slipway_api.state import Services
from slipway_api.tokens import Tokens
from slipway_core.errors import ConfigurationError, SlipwayError
from slipway_core.logging import configure_logging
from slipway_core.registry import Registry
from slipway_core.settings import load_settings

REGISTRY_TIMEOUT_SECONDS = 5.0
SHUTDOWN_SECONDS = 10


def build(settings: ApiSettings, registry: Registry) -> FastAPI:
    """Build the services over a registry, and the app over the services."""
    metrics = Metrics()
    loader = Loader(registry, BundleCache(settings.cache_dir))

    def open_store() -> AccountStore:
        # The database's toolkit is half of the API's import time, and the first model does not need it.
        from slipway_api.account_store import SqlAccountStore  # noqa: PLC0415
        from slipway_core.database import connect  # noqa: PLC0415

        return SqlAccountStore(connect(settings.database_url.get_secret_value()))

    def open_predictions() -> PredictionStore:
        from slipway_api.prediction_store import SqlPredictionStore  # noqa: PLC0415
        from slipway_core.database import connect  # noqa: PLC0415

        return SqlPredictionStore(connect(settings.database_url.get_secret_value()))

    predictions = Predictions(open_predictions)
    services = Services(
        settings=settings,
        metrics=metrics,
        models=ModelStore(registry, loader, metrics, models=settings.models, default_model=settings.default_model),
        accounts=Accounts(open_store, settings.auth_stale_seconds),
        passwords=Passwords(),
        tokens=Tokens(settings.secret_key.get_secret_value(), settings.token_ttl_seconds),
        prediction_log=PredictionLog(
            settings.journal_dir,
            metrics,
            max_bytes=settings.journal_max_bytes,
            enabled=settings.prediction_log,
            redacted=settings.redacted_features,
        ),
        predictions=predictions,
        live_metrics=LiveMetrics(
            predictions, metrics, window_seconds=settings.live_window_seconds, journal=settings.journal_dir
        ),
    )
    return create_app(services)


def serve(settings: ApiSettings) -> None:
    """Listen until a signal ends it; requests under way are answered first.

    Raises:
        ConfigurationError: the address cannot be listened on.
    """
    registry = settings.open_registry(REGISTRY_TIMEOUT_SECONDS)
    config = uvicorn.Config(
        build(settings, registry),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    listener = _listen(settings.host, settings.port)
    shipper = ShipperProcess(settings.journal_dir)
    # uvicorn raises the signal that ended it once more, and the default would end us before the shipper is.
    signal.signal(signal.SIGTERM, _end)
    shipper.start()
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        shipper.stop()
        listener.close()
        registry.close()


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(os.EX_OK)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        reason = (error.strerror or "").partition(" (")[0]  # Python adds the address once more
        raise ConfigurationError(
            f"cannot listen on {host} port {port} ({reason}): set SLIPWAY_HOST and SLIPWAY_PORT"
        ) from error


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `slipway-api serve`, `slipway-api migrate` or `slipway-api check`; `__main__` runs `slipway-api ship`."""
    parser = argparse.ArgumentParser(prog="slipway-api", description="Slipway's inference API.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="Listen and answer.")
    commands.add_parser("migrate", help="Bring the database's tables up to date.")
    commands.add_parser("ship", help="Take the journal of predictions to the database; `serve` does so by itself.")
    commands.add_parser("check", help="Say whether the settings are right, and start nothing.")
    command = parser.parse_args(arguments).command
    try:
        settings = load_settings(ApiSettings)
        configure_logging(settings.log_level, settings.log_format)
        if command == "check":
            print("The settings are right.")
        elif command == "migrate":
            from slipway_core.migrations import upgrade  # noqa: PLC0415  # serving does not need Alembic

            upgrade(settings.database_url.get_secret_value())
        elif command == "ship":  # without its options, which `__main__` hands over before it imports all of this
            ship(settings)
        else:
            serve(settings)
    except SlipwayError as error:
        print(f"Error: {error}", file=sys.stderr)
        raise SystemExit(1) from error
    except KeyboardInterrupt:
        raise SystemExit(os.EX_OK) from None
