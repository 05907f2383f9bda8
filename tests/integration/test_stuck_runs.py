"""A run that cannot be terminated does not delay the end of the process."""

import signal
import time
from pathlib import Path

import httpx
import pytest

from slipway_api.serving.bundle_cache import BundleCache
from slipway_api.serving.loader import Loader
from slipway_api.serving.model_ref import ModelRef
from slipway_core.registry.memory import InMemoryRegistry
from support.api_process import api_process
from support.bundles import bundle_files, golden_of, register
from support.serving import no_trial
from support.slow_models import one_operator_classifier
from support.waiting import wait_for

pytestmark = pytest.mark.slow


def test_process_ends_at_once_while_a_run_is_stuck(tmp_path: Path) -> None:
    graph = one_operator_classifier(3000)
    registry = InMemoryRegistry()
    loader = Loader(registry, BundleCache(tmp_path / "cache"), trial=no_trial)
    version = register(registry, bundle_files(model=graph, golden=golden_of(graph)))
    loader.remember(ModelRef("iris"), loader.load(registry.get_version("iris", version)))

    with api_process(tmp_path, environment={"SLIPWAY_REQUEST_TIMEOUT_SECONDS": "0.5"}) as api:
        answer = api.call("POST", "/predict", json={"features": [5.1, 3.5, 1.4, 210.0]})  # several seconds
        wait_for(lambda: api.call("GET", "/models/iris").json()["stuck_runs"] == 1, what="the stuck run")
        health = httpx.get(f"{api.url}/health/ready", timeout=10)
        began = time.monotonic()
        api.process.send_signal(signal.SIGTERM)
        status = api.process.wait(timeout=20)
        took = time.monotonic() - began

    assert (answer.status_code, health.status_code) == (504, 200)
    assert status == 0
    assert took < 3
