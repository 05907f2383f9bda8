"""The one place where a request's model name and version become a served model."""

from slipway_api.errors import NotFoundError
from slipway_api.serving.model_store import ModelStore
from slipway_api.serving.served_model import ServedModel


def find(models: ModelStore, name: str, version: str | None = None) -> ServedModel:
    """Return the model that is served under a name; with a version, only if that version is the one.

    Raises:
        NotReadyError: it should be served and is not yet.
        NotFoundError: it is not served.
    """
    model = models.get(name)
    if version is not None and version != model.version:
        raise NotFoundError(f"version {version} of {name} is not served; GET /models lists what is")
    return model
