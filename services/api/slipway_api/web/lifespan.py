"""Run the background tasks of the service, and close its parts after the last request."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fastapi import FastAPI

from slipway_api.accounts.service import AccountService
from slipway_api.prediction_log.live_metrics import LiveMetrics
from slipway_api.prediction_log.queries import Predictions
from slipway_api.prediction_log.writer import PredictionLog
from slipway_api.serving.model_store import ModelStore
from slipway_api.serving.promoter import Promoter
from slipway_api.serving.registry_watcher import watch
from slipway_api.serving.work_pool import WorkPool

# Threads for calls to the database and the registry: more than the concurrent logins, plus background polls.
BLOCKING_THREADS = 32


@dataclass(frozen=True)
class Lifespan:
    """The lifespan of the app: what runs in the background, and what is closed at the end."""

    models: ModelStore
    accounts: AccountService
    pool: WorkPool
    promoter: Promoter
    prediction_log: PredictionLog
    predictions: Predictions
    live_metrics: LiveMetrics
    registry_poll_seconds: float

    @contextlib.asynccontextmanager
    async def __call__(self, _app: FastAPI) -> AsyncIterator[None]:
        """Run the background tasks while the app serves, then close everything."""
        asyncio.get_running_loop().set_default_executor(_Unawaited(BLOCKING_THREADS, "blocking"))
        polled = asyncio.Event()
        tasks = [
            asyncio.create_task(watch(self.models, self.registry_poll_seconds, polled)),
            asyncio.create_task(self._watch_accounts(polled)),
            asyncio.create_task(self._watch_live_metrics(polled)),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.accounts.close()
            self.pool.close()
            self.promoter.close()
            # After the last request, so that all its records are written.
            await asyncio.to_thread(self.prediction_log.close)
            self.predictions.close()

    async def _watch_accounts(self, polled: asyncio.Event) -> None:
        """Refresh the accounts periodically, and create the first administrator once the database responds."""
        # Importing the database's libraries blocks for half a second: load the first model before.
        await polled.wait()
        await self.accounts.watch()

    async def _watch_live_metrics(self, polled: asyncio.Event) -> None:
        await polled.wait()
        await self.accounts.directory.first_refresh_done.wait()
        await self.live_metrics.watch()


class _Unawaited(ThreadPoolExecutor):
    """Threads that do not delay the shutdown: one may be blocked by an unresponsive database."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002
        super().shutdown(wait=False, cancel_futures=True)
