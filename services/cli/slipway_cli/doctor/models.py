"""Check the models in the registry: Production, its history, and withdrawn versions."""

import shlex
from collections.abc import Iterator

from slipway_cli.doctor.context import DoctorContext
from slipway_cli.doctor.findings import Finding, broken, ok, warning
from slipway_cli.doctor.foreign_models import check_foreign_model
from slipway_cli.doctor.http_probe import ANSWER_SECONDS
from slipway_core.bundle import MANIFEST_TAG, is_digest
from slipway_core.errors import RegistryError, RegistryNotFoundError
from slipway_core.registry import PRODUCTION, RegisteredModel, Registry
from slipway_core.registry.alias_history import moved_by_hand, moves
from slipway_core.registry.mistaken_promotions import mistaken_promotion
from slipway_core.registry.withdrawals import is_withdrawn


def check_models(context: DoctorContext) -> Iterator[Finding]:
    """Check each model that has a Production version."""
    settings = context.settings.model_copy(update={"mlflow_tracking_uri": context.tracking_uri})
    with settings.open_registry(ANSWER_SECONDS) as registry:
        yield from check_content(
            registry,
            context.settings.default_model or "iris",
            allows_unverified=context.allows_unverified_models,
        )


def check_content(registry: Registry, default_model: str, *, allows_unverified: bool = False) -> Iterator[Finding]:
    """Check each model that has a Production version, and the model of /predict.

    Args:
        registry: the registry.
        default_model: the model of /predict.
        allows_unverified: whether the API serves versions that Slipway's trainer did not register.
    """
    try:
        models = sorted(registry.list_models(), key=lambda model: model.name)
    except RegistryError as error:
        yield broken("models", str(error), "see the MLflow server's log")
        return
    served = [model for model in models if PRODUCTION in model.aliases]
    misses = {model.name: miss for model in models if (miss := mistaken_promotion(model)) is not None}
    for name, miss in misses.items():
        yield warning(f"model {name}", f"it {miss.what}", f"promote it with `{miss.command}`")
    if default_model not in {model.name for model in served} | misses.keys():
        yield warning(
            "models",
            f"{default_model}, the model of /predict, has no Production version",
            f"train it with `slipway train {shlex.quote(default_model)}`, or change SLIPWAY_DEFAULT_MODEL",
        )
    for model in served:
        yield from _check_model(registry, model, allows_unverified=allows_unverified)


def _check_model(registry: Registry, model: RegisteredModel, *, allows_unverified: bool) -> Iterator[Finding]:
    check, number = f"model {model.name}", model.aliases[PRODUCTION]
    name = shlex.quote(model.name)
    another = f"choose another with `slipway models promote {name} VERSION`; `slipway models show {name}` lists them"
    try:
        version = registry.get_version(model.name, number)
    except RegistryNotFoundError:
        yield broken(check, f"Production points to version {number}, which does not exist", another)
        return
    except RegistryError as error:
        yield broken(check, f"version {number} cannot be read: {error}", "see the MLflow server's log")
        return
    findings = []
    if not is_digest(version.tags.get(MANIFEST_TAG, "")):
        findings.append(check_foreign_model(registry, version, check, another, allows_unverified=allows_unverified))
    if is_withdrawn(version):
        findings.append(warning(check, f"version {number}, Production, was withdrawn earlier", another))
    if moved_by_hand(model):
        before = moves(model)[-1].from_version
        last = f"the last version in its history is {before}" if before else "its history is empty"
        findings.append(
            warning(
                check,
                f"Production was moved to version {number} outside of Slipway: {last}",
                f"if this is intended, record it with `slipway models promote {name} {number}`; otherwise go back with "
                f"`slipway models rollback {name}`, or {another}",
            )
        )
    yield from findings or [ok(check, f"Production is version {number}")]
