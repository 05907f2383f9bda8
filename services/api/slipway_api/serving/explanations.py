"""Explain why a model is not served, and what to do."""

from typing import TYPE_CHECKING

from slipway_api.serving.model_ref import VERSION_PATTERN, ModelRef
from slipway_core.registry import PRODUCTION

if TYPE_CHECKING:
    from slipway_api.serving.model_store import ModelStore


def why_missing(models: "ModelStore", ref: ModelRef) -> str:
    """Explain in one sentence why a model that should be served is not."""
    name = ref.name
    failure, registry = models.failure(*ref), models.registry_status
    if failure is not None:
        return f"version {failure.version} of {name} cannot be loaded: {failure.reason}"
    if models.is_loading(ref):
        return f"{ref} is being loaded"
    if not registry.reachable:
        return f"{ref} is not loaded yet: {registry.reason}"
    if ref.is_pinned:
        return f"no model named {name} is registered; register it, or remove {ref} from SLIPWAY_MODELS"
    if hint := models.near_miss(name):
        return hint
    return f"{name} has no version with the alias {PRODUCTION} yet; train and promote one"


def why_not_found(models: "ModelStore", ref: ModelRef) -> str:
    """Explain in one sentence why a model is not served although the settings do not require it."""
    name, version = ref
    if version is None:
        if models.is_named(name) and (miss := models.near_miss(name)):
            return f"no model named {name} is served: {miss}"
        is_default = name == models.default_model
        hint = "; set SLIPWAY_DEFAULT_MODEL to the model for /predict" if is_default else ""
        return f"no model named {name} is served; GET /models lists the served models{hint}"
    served = models.served.get(name)
    if served is not None and served.version == version:
        return (
            f"version {version} of {name} is not named in SLIPWAY_MODELS: use /models/{name}, which serves it now, "
            f"or set {name}@{version} there"
        )
    how = f"; to serve it, set {name}@{version} in SLIPWAY_MODELS" if VERSION_PATTERN.fullmatch(version) else ""
    return f"no version {version} of a model named {name} is served; GET /models lists the served versions{how}"
