"""Poll the registry in the background and keep the served models up to date."""

import asyncio
import random

from slipway_api.serving.model_store import ModelStore
from slipway_core.logging import get_logger

JITTER = 0.1
STARTUP_POLL_SECONDS = 0.5

log = get_logger("slipway.watcher")


async def watch(store: ModelStore, poll_seconds: float, polled: asyncio.Event) -> None:
    """Synchronize a store with the registry until cancelled.

    Args:
        store: the store to synchronize.
        poll_seconds: the pause between two polls; a random tenth is added or subtracted, so that replicas spread out.
        polled: set after the first poll, even if it failed.
    """
    jitter = random.Random()  # noqa: S311  # not a secret
    while True:
        try:
            await asyncio.to_thread(store.sync)
        except Exception:  # keep serving the loaded models; the next poll may succeed
            log.exception("registry_watch_failed")
        polled.set()
        # A starting container waits for its required models: poll often until they are loaded.
        pause = min(poll_seconds, STARTUP_POLL_SECONDS) if store.missing() else poll_seconds
        await asyncio.sleep(pause * jitter.uniform(1 - JITTER, 1 + JITTER))
