"""Explain why a model is not served, and what to do."""

from typing import TYPE_CHECKING

from slipway_api.serving.model_ref import VERSION_PATTERN, ModelRef
from slipway_core.registry import PRODUCTION, STAGING
from slipway_core.registry.base import CANDIDATE_PREFIX

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
    if ref.is_production:
        return (
            models.aliases.near_miss(name)
            or f"{name} has no version with the alias {PRODUCTION} yet; train and promote one"
        )
    return f"{ref} is not loaded yet: it is loaded after the Production versions"


def why_not_found(models: "ModelStore", ref: ModelRef) -> str:
    """Explain in one sentence why a model is not served although the settings do not require it."""
    name, version, _ = ref
    if version is not None:
        return _why_no_version(models, name, version)
    is_known = name in models.served or bool(models.aliases.of(name))
    if not ref.is_production and is_known and models.followed.includes(ref):
        return _why_no_alias(models, ref)
    if models.followed.includes(ref) and (miss := models.aliases.near_miss(name)):
        return f"no model named {name} is served: {miss}"
    if ref.is_production and models.aliases.is_registered(name):
        if not models.followed.includes(ref):
            return f"{name} is not served: SLIPWAY_MODELS does not name it"
        if PRODUCTION not in models.aliases.of(name):
            return f"{name} is not served: it has no Production version; see `slipway models show {name}`"
    is_default = name == models.default_model
    hint = "; set SLIPWAY_DEFAULT_MODEL to the model for /predict" if is_default else ""
    return f"no model named {name} is served; GET /models lists the served models{hint}"


def _why_no_version(models: "ModelStore", name: str, version: str) -> str:
    served = models.served.get(name)
    if served is not None and served.version == version:
        return (
            f"version {version} of {name} is not named in SLIPWAY_MODELS: use /models/{name}, which serves it now, "
            f"or set {name}@{version} there"
        )
    how = f"; to serve it, set {name}@{version} in SLIPWAY_MODELS" if VERSION_PATTERN.fullmatch(version) else ""
    return f"no version {version} of a model named {name} is served; GET /models lists the served versions{how}"


def _why_no_alias(models: "ModelStore", ref: ModelRef) -> str:
    name, alias = ref.name, ref.alias
    if alias == STAGING:
        return f"{name} has no version with the alias {STAGING}; to set it: slipway models stage {name} VERSION"
    candidate = alias.removeprefix(CANDIDATE_PREFIX)
    if alias in models.aliases.of(name):
        return why_not_followed(models, name, candidate)
    return f"{name} has no candidate named {candidate}; GET /models/{name}/candidates lists them"


def why_not_followed(models: "ModelStore", name: str, candidate: str) -> str:
    """Explain why a registered candidate is not loaded."""
    return (
        f"the candidate {candidate} of {name} is not loaded: the API serves the {models.followed.max_candidates} "
        "newest candidates of a model; set SLIPWAY_MAX_CANDIDATES to serve more"
    )
