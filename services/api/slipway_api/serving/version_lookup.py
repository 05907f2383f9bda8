"""How the Open Inference Protocol finds a model: its versions are all that are served, and its metadata lists them."""

from slipway_api.serving.model_store import ModelStore
from slipway_api.serving.served_model import ServedModel


def find(models: ModelStore, name: str, version: str | None = None) -> ServedModel:
    """Return the model that is served under a name, or the version of it that is served by alias or pinned.

    Raises:
        NotReadyError: it should be served and is not yet.
        NotFoundError: it is not served.
    """
    if version is not None and not models.is_named(name, version):
        model = models.get(name)
        if model.version == version:
            return model
    return models.get(name, version)


def versions(models: ModelStore, name: str) -> list[str]:
    """Return the versions of a model that are served, in the order of their numbers."""
    served = [model.version for model in models.pinned if model.name == name]
    if name in models.served:
        served.append(models.served[name].version)
    return sorted(set(served), key=int)
