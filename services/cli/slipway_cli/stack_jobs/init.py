"""Prepare the stack for its first prediction: tables, buckets and models. Print the addresses and passwords."""

import subprocess
import sys
from collections.abc import Callable, Sequence

from sqlalchemy.exc import SQLAlchemyError

from slipway_cli.addresses import MLFLOW_RUNS, reachable_url
from slipway_cli.errors import StackError
from slipway_cli.stack_jobs.settings import InitSettings
from slipway_core.database import connect
from slipway_core.migrations import state_of, upgrade
from slipway_core.registry import PRODUCTION
from slipway_core.registry.availability import list_models_within
from slipway_core.storage.s3 import S3Storage

REGISTRY_SECONDS = 180.0

# All ports except the API's are published on this address.
LOOPBACK = "127.0.0.1"
# The default port of https:// URLs.
HTTPS_PORT = 443
SHOW_GRAFANA = "docker compose exec grafana cat /run/slipway/grafana-password"
SHOW_S3 = "docker compose exec mlflow cat /run/slipway/aws-credentials"


def prepare(
    settings: InitSettings, *, buckets: Sequence[str], recipes: Sequence[str], echo: Callable[[str], None]
) -> None:
    """Create missing tables, buckets and models; existing ones are not changed.

    Args:
        settings: the addresses of the database and the registry.
        buckets: the buckets to create in the object store.
        recipes: the recipes whose models are trained if they have no Production version.
        echo: prints a line for the user.

    Raises:
        SlipwayError: a service does not respond, or a training failed.
    """
    url = settings.database_url.get_secret_value()
    is_first = _is_empty(url)
    upgrade(url)
    try:
        for bucket in buckets:
            S3Storage(bucket).make_bucket()
        for recipe in _without_production(settings, recipes):
            echo(f"{recipe} has no Production version yet: training it.")
            _train(recipe)
    finally:
        # Also after a failed training: the next start is not the first, and does not show the password.
        echo(summary(settings, is_first=is_first))


def _train(recipe: str) -> None:
    trained = subprocess.run([sys.executable, "-m", "slipway_trainer", "train", recipe], check=False)  # noqa: S603
    if trained.returncode != 0:
        raise StackError(f"the training of {recipe} failed; see its output above")


def _is_empty(url: str) -> bool:
    engine = connect(url)
    try:
        with engine.connect() as connection:
            return state_of(connection) == "missing"
    except SQLAlchemyError as error:
        raise StackError(
            "Slipway's database cannot be opened: see `docker compose logs postgres`; if its volume is older than the "
            "volume of secrets, restore that one, or start over with `docker compose down --volumes`"
        ) from error
    finally:
        engine.dispose()


def _without_production(settings: InitSettings, recipes: Sequence[str]) -> list[str]:
    with settings.open_registry() as registry:
        models = list_models_within(registry, REGISTRY_SECONDS)
    served = {model.name for model in models if PRODUCTION in model.aliases}
    return [recipe for recipe in recipes if recipe not in served]


def _api_url(settings: InitSettings) -> str:
    if settings.domain is None:
        return reachable_url(settings.bind_address or LOOPBACK, settings.port)
    return f"https://{settings.domain}" + ("" if settings.https_port == HTTPS_PORT else f":{settings.https_port}")


def summary(settings: InitSettings, *, is_first: bool) -> str:
    """Return the addresses of the services, and how to log in."""
    api_password = (
        f"{settings.admin_password.get_secret_value()} (shown only once)"
        if is_first
        else "see the first start, unless it was changed"
    )
    lines = {
        "API": (
            f"{_api_url(settings)}/docs",
            f"{settings.admin_username}, password: {api_password}",
        ),
        "MLflow": (f"{reachable_url(LOOPBACK, settings.mlflow_port)}{MLFLOW_RUNS}", ""),
        "Grafana": (reachable_url(LOOPBACK, settings.grafana_port), f"admin, password: {SHOW_GRAFANA}"),
        "Prometheus": (reachable_url(LOOPBACK, settings.prometheus_port), ""),
        "Alertmanager": (reachable_url(LOOPBACK, settings.alertmanager_port), ""),
        "MinIO": (
            reachable_url(LOOPBACK, settings.minio_console_port),
            f"S3 on port {settings.minio_port}; keys: {SHOW_S3}",
        ),
    }
    return "\n".join(f"{name:<13} {url:<28} {more}".rstrip() for name, (url, more) in lines.items())
