"""Wait for a registry that is starting. The API does not import this module, so it does not load tenacity."""

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from slipway_core.errors import RegistryUnavailableError
from slipway_core.registry.base import RegisteredModel, Registry

POLL_SECONDS = 0.1


def list_models_within(registry: Registry, seconds: float) -> list[RegisteredModel]:
    """Return the registered models; while the registry is unavailable, retry for some seconds."""
    retrying = Retrying(
        retry=retry_if_exception_type(RegistryUnavailableError),
        stop=stop_after_delay(seconds),
        wait=wait_fixed(POLL_SECONDS),
        reraise=True,
    )
    return retrying(registry.list_models)
