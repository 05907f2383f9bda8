"""Find promotions that Slipway ignores: an alias in another spelling, or an MLflow stage."""

import shlex
from dataclasses import dataclass

from slipway_core.registry.base import PRODUCTION, RegisteredModel


@dataclass(frozen=True)
class MistakenPromotion:
    """A mistaken promotion.

    Attributes:
        model: the model's name.
        what: the mistake, as the end of a sentence about the model.
        command: the command that corrects it.
    """

    model: str
    what: str
    command: str

    def __str__(self) -> str:
        """Return a sentence with the command that corrects the mistake."""
        return f"the model {self.model} {self.what}: run '{self.command}'"


def mistaken_promotion(model: RegisteredModel) -> MistakenPromotion | None:
    """Return the mistaken promotion of a model without the alias Production; None if none is found."""
    if PRODUCTION in model.aliases:
        return None
    for alias, version in sorted(model.aliases.items()):
        if alias.strip().casefold() == PRODUCTION.casefold():
            what = f"has the alias {alias!r} at version {version}, but Slipway serves {PRODUCTION!r} (capital P)"
            return MistakenPromotion(model.name, what, _promote(model.name, version))
    for stage, version in sorted(model.stages.items()):
        if stage.strip().casefold() == PRODUCTION.casefold():
            what = f"has version {version} in MLflow's stage {stage!r}, but Slipway serves the alias {PRODUCTION!r}"
            return MistakenPromotion(model.name, what, _promote(model.name, version))
    return None


def _promote(name: str, version: str) -> str:
    return f"slipway models promote {shlex.quote(name)} {version}"
