"""Models that were promoted in a way that Slipway does not read: another spelling of the alias, or an MLflow stage."""

import shlex
from dataclasses import dataclass

from slipway_core.registry import PRODUCTION, RegisteredModel


@dataclass(frozen=True)
class NearMiss:
    """A mistaken promotion.

    Attributes:
        what: what was found, as the end of a sentence about the model.
        command: what corrects it.
    """

    what: str
    command: str


def near_miss(model: RegisteredModel) -> NearMiss | None:
    """Return the mistaken promotion of a model without the alias Production; None if there is none."""
    if PRODUCTION in model.aliases:
        return None
    for alias, version in sorted(model.aliases.items()):
        if alias.strip().casefold() == PRODUCTION.casefold():
            what = f"has the alias {alias!r} at version {version}, and Slipway serves the alias {PRODUCTION!r}"
            return NearMiss(what, _promote(model.name, version))
    # Set by registries that report MLflow's stages.
    stages: dict[str, str] = getattr(model, "stages", {})
    for stage, version in sorted(stages.items()):
        if stage.strip().casefold() == PRODUCTION.casefold():
            what = f"has version {version} in MLflow's stage {stage!r}, and Slipway serves the alias {PRODUCTION!r}"
            return NearMiss(what, _promote(model.name, version))
    return None


def _promote(name: str, version: str) -> str:
    return f"slipway models promote {shlex.quote(name)} {version}"
