"""The composition root: from the environment to a running server."""

import argparse
import os
import re
import socket
import sys
from collections.abc import Mapping, Sequence

import uvicorn

from slipway_api.accounts import Accounts, AccountStore
from slipway_api.app import create_app
from slipway_api.front import Front
from slipway_api.metrics import Metrics
from slipway_api.passwords import Passwords
from slipway_api.rates import PredictionRate
from slipway_api.routers.scoring import SAGEMAKER_PATHS
from slipway_api.serving.bundle_cache import BundleCache
from slipway_api.serving.loader import Loader
from slipway_api.serving.model_store import ModelStore
from slipway_api.serving.predictor import Predictor
from slipway_api.serving.work_pool import WorkPool
from slipway_api.settings import ApiSettings
from slipway_api.state import Services
from slipway_api.tokens import Tokens
from slipway_core.errors import ConfigurationError, SlipwayError
from slipway_core.logging import configure_logging
from slipway_core.policy import new_key
from slipway_core.registry import Registry
from slipway_core.settings import load_settings

REGISTRY_TIMEOUT_SECONDS = 5.0
SHUTDOWN_SECONDS = 10


def build(settings: ApiSettings, registry: Registry, tokenless: frozenset[str] = frozenset()) -> Front:
    """Build the services over a registry, and what answers requests over the services.

    Args:
        settings: the API's settings.
        registry: what models come from.
        tokenless: paths that need no token here, though they do elsewhere.
    """
    metrics = Metrics()
    loader = Loader(registry, BundleCache(settings.cache_dir))

    def open_store() -> AccountStore:
        # The database's toolkit is half of the API's import time, and the first model does not need it.
        from slipway_api.account_store import SqlAccountStore  # noqa: PLC0415
        from slipway_core.database import connect  # noqa: PLC0415

        return SqlAccountStore(connect(settings.database_url.get_secret_value()))

    services = Services(
        settings=settings,
        metrics=metrics,
        models=ModelStore(registry, loader, metrics, models=settings.models, default_model=settings.default_model),
        accounts=Accounts(open_store, settings.auth_stale_seconds),
        passwords=Passwords(),
        tokens=Tokens(settings.secret_key.get_secret_value(), settings.token_ttl_seconds),
        predictor=Predictor(metrics),
        pool=WorkPool(settings.max_waiting),
        rate=PredictionRate(settings.predictions_per_minute),
        tokenless=tokenless,
    )
    return Front(create_app(services), services)


def serve(settings: ApiSettings, tokenless: frozenset[str] = frozenset()) -> None:
    """Listen until a signal ends it; requests under way are answered first.

    Raises:
        ConfigurationError: the address cannot be listened on.
    """
    registry = settings.open_registry(REGISTRY_TIMEOUT_SECONDS)
    config = uvicorn.Config(
        build(settings, registry, tokenless),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    listener = _listen(settings.host, settings.port)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        listener.close()
        registry.close()


def sagemaker_overrides(environ: Mapping[str, str]) -> dict[str, object]:
    """Return the settings that SageMaker's contract fixes, and a key for this process where none is given.

    See "Use Your Own Inference Code with Hosting Services" in Amazon SageMaker's guide; a pipeline of containers names
    another port than 8080.

    Raises:
        ConfigurationError: that port is none.
    """
    port = environ.get("SAGEMAKER_BIND_TO_PORT") or "8080"
    if not re.fullmatch("[0-9]{1,5}", port):
        raise ConfigurationError("SAGEMAKER_BIND_TO_PORT is no port: leave it out, or write a number")
    overrides: dict[str, object] = {"host": "0.0.0.0", "port": port}  # noqa: S104  # as the contract asks
    if not environ.get("SECRET_KEY") and not environ.get("SECRET_KEY_FILE"):
        overrides["secret_key"] = new_key()
    return overrides


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
    """Run `slipway-api serve`, `slipway-api sagemaker`, `slipway-api migrate` or `slipway-api check`."""
    parser = argparse.ArgumentParser(prog="slipway-api", description="Slipway's inference API.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="Listen and answer.")
    commands.add_parser("sagemaker", help="Listen where SageMaker asks: it authenticates /ping and /invocations.")
    commands.add_parser("migrate", help="Bring the database's tables up to date.")
    commands.add_parser("check", help="Say whether the settings are right, and start nothing.")
    command = parser.parse_args(arguments).command
    try:
        is_sagemaker = command == "sagemaker"
        settings = load_settings(ApiSettings, **(sagemaker_overrides(os.environ) if is_sagemaker else {}))
        configure_logging(settings.log_level, settings.log_format)
        if command == "check":
            print("The settings are right.")
        elif command == "migrate":
            from slipway_core.migrations import upgrade  # noqa: PLC0415  # serving does not need Alembic

            upgrade(settings.database_url.get_secret_value())
        else:
            serve(settings, SAGEMAKER_PATHS if is_sagemaker else frozenset())
    except SlipwayError as error:
        print(f"Error: {error}", file=sys.stderr)
        raise SystemExit(1) from error
    except KeyboardInterrupt:
        raise SystemExit(os.EX_OK) from None
