"""The loop that looks at the registry again and again, beside the requests."""

import asyncio
import random

from slipway_api.serving.model_store import ModelStore
from slipway_core.logging import get_logger

JITTER = 0.1
IMPATIENT_SECONDS = 0.5

log = get_logger("slipway.watcher")


async def watch(store: ModelStore, poll_seconds: float, looked: asyncio.Event) -> None:
    """Keep a store in step with the registry until cancelled.

    Args:
        store: what to keep in step.
        poll_seconds: the pause between two looks, give or take a tenth, so that replicas do not look all at once.
        looked: set after the first look, whatever came of it.
    """
    jitter = random.Random()  # noqa: S311  # no secret; and not everybody's, whose state is others' business
    while True:
        try:
            await asyncio.to_thread(store.sync)
        except Exception:  # a fault of ours must not end the watch: what is served stays, and the next look may do
            log.exception("registry_watch_failed")
        looked.set()
        # While something required is missing, a start waits for us.
        pause = min(poll_seconds, IMPATIENT_SECONDS) if store.missing() else poll_seconds
        await asyncio.sleep(pause * jitter.uniform(1 - JITTER, 1 + JITTER))
