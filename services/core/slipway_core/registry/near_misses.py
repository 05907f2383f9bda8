"""Models that were promoted in a way that Slipway does not read: another spelling of the alias, or an MLflow stage."""

from slipway_core.registry.base import PRODUCTION, RegisteredModel


def near_miss(model: RegisteredModel) -> str | None:
    """Return a sentence about a mistaken promotion and the command that corrects it.

    Return None if the model has the alias Production, or nothing that resembles it.
    """
    if PRODUCTION in model.aliases:
        return None
    for alias, version in sorted(model.aliases.items()):
        if alias.strip().casefold() == PRODUCTION.casefold():
            what = f"has the alias {alias!r}, but Slipway serves the alias {PRODUCTION!r} (capital P)"
            return f"the model {model.name} {what}: {_command(model.name, version)}"
    for stage, version in sorted(model.stages.items()):
        if stage.strip().casefold() == PRODUCTION.casefold():
            what = f"has version {version} in MLflow's stage {stage!r}, but Slipway serves the alias {PRODUCTION!r}"
            return f"the model {model.name} {what}: {_command(model.name, version)}"
    return None


def _command(name: str, version: str) -> str:
    quoted = name if name.replace("-", "").replace("_", "").isalnum() else f'"{name}"'
    return f"run 'slipway models promote {quoted} {version}'"
