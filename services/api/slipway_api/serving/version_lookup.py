"""Find models for the Open Inference Protocol, which addresses every served version and lists them in its metadata."""

from slipway_api.serving.model_ref import ModelRef
from slipway_api.serving.model_store import ModelStore
from slipway_api.serving.served_model import ServedModel


def find(models: ModelStore, name: str, version: str | None = None) -> ServedModel:
    """Return the served model of a name, or its given version, whether it is pinned or has the Production alias.

    Raises:
        NotReadyError: the model should be served and is not loaded.
        NotFoundError: the model is not served.
    """
    if version is not None and not models.followed.includes(ModelRef(name, version)):
        model = models.get(name)
        if model.version == version:
            return model
    return models.get(name, version)


def versions(models: ModelStore, name: str) -> list[str]:
    """Return the served versions of a model in numeric order."""
    served = [model.version for ref, model in models.loaded.items() if ref.is_pinned and ref.name == name]
    if name in models.served:
        served.append(models.served[name].version)
    return sorted(set(served), key=int)
