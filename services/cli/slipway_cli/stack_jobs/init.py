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
from slipway_core.registry.sign_existing import sign_models
from slipway_core.storage.s3 import S3Storage

REGISTRY_SECONDS = 180.0
# Beside the signing key, in the folder of the volume that only this job sees.
SIGNED_FILE = "existing-versions-are-signed"

# All ports except the API's are published on this address.
LOOPBACK = "127.0.0.1"
# The default port of https:// URLs.
HTTPS_PORT = 443
SHOW_GRAFANA = "docker compose exec grafana cat /run/slipway/grafana-password"
SHOW_S3 = "docker compose exec mlflow cat /run/slipway/aws-credentials"


def prepare(
    settings: InitSettings, *, buckets: Sequence[str], recipes: Sequence[str], echo: Callable[[str], None]
) -> None:
    """Create missing tables, buckets and models, and sign the models that an earlier release registered.

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
        sign_once(settings, echo)
        for recipe in _without_production(settings, recipes):
            echo(f"{recipe} has no Production version yet: training it.")
            _train(recipe)
    finally:
        # Also after a failed training: the next start is not the first, and does not show the password.
        echo(summary(settings, is_first=is_first))


def sign_once(settings: InitSettings, echo: Callable[[str], None]) -> None:
    """Sign the existing versions, unless an earlier start of the stack did.

    Later starts must not: an attacker with access to MLflow could leave a version there to be signed.

    Raises:
        SlipwayError: the registry does not respond, or a key file cannot be used.
    """
    if settings.signing_key_file is None:
        return
    marker = settings.signing_key_file.with_name(SIGNED_FILE)
    if marker.exists():
        return
    sign_registry(settings, echo=echo, replace=False, unsigned=True)
    try:
        marker.touch()
    except OSError as error:
        raise StackError(f"the volume of secrets cannot be written: {error.strerror}") from error


def sign_registry(
    settings: InitSettings, *, echo: Callable[[str], None], replace: bool, unsigned: bool = False
) -> None:
    """Sign the Production versions, and those that a rollback can restore.

    Args:
        settings: the registry and the keys.
        echo: prints a line for the user.
        replace: whether to replace signatures of other keys.
        unsigned: whether to sign models without a signed promotion, too, although more keys than this one are trusted.

    Raises:
        SlipwayError: the registry does not respond, or a key file cannot be used.
    """
    signer = settings.signer()
    if signer is None:
        raise StackError("this job has no signing key: set SLIPWAY_SIGNING_KEY_FILE")
    with settings.open_registry() as registry:
        models = list_models_within(registry, REGISTRY_SECONDS)
        sign_models(
            registry,
            signer,
            by="init",
            echo=echo,
            trusted=settings.read_trusted_keys(),
            replace=replace,
            names=sorted(model.name for model in models if PRODUCTION in model.aliases) if unsigned else (),
        )


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
