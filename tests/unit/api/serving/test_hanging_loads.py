"""Loads that hang: cached models are served, other versions are loaded, and every slot is freed."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.typing import EventDict

from slipway_api.serving import load_threads
from slipway_api.serving.bundle_cache import TRIAL_FILE
from slipway_api.serving.trial import Candidate, ChildTrial, TrialError
from slipway_core.atomic_file import PART_PREFIX
from slipway_core.errors import BundleError
from slipway_core.registry.limits import Limits
from slipway_core.registry.mlflow import MlflowRegistry
from support.bundles import bundle_files, linear_classifier, register
from support.hostile import HostileMlflow, endless_loop, expanding, hostile_files
from support.serving import Serving, no_trial
from support.waiting import wait_for

GOOD = ("iris", "rose")
BAD = ("loop", "memory", "endless", "drip")
LIMITS = Limits(other_file_bytes=50_000_000, fetch_seconds=3.0, free_bytes=0)


@pytest.fixture
def mlflow() -> Iterator[HostileMlflow]:
    with HostileMlflow().running() as server:
        yield server


@pytest.fixture
def serving(tmp_path: Path, mlflow: HostileMlflow) -> Iterator[Serving]:
    """Create a process that served version 1 of six models; of four, version 2 is promoted and hangs."""
    with MlflowRegistry(mlflow.url, limits=LIMITS) as registry:
        serving = Serving(tmp_path / "cache")
        serving.registry = registry  # type: ignore[assignment]
        serving.start()
        for name in (*GOOD, *BAD):
            register(mlflow.registry, bundle_files(name), name, promote=True)
        serving.sync()
        assert len(serving.served()) == len(GOOD + BAD)
        graphs = {"loop": endless_loop(), "memory": expanding()}
        for name in BAD:
            files = hostile_files(graphs.get(name, linear_classifier()), name)
            register(mlflow.registry, files, name, promote=True)
        mlflow.endless, mlflow.dripping = {"endless"}, {"drip"}
        serving.load_wait_seconds = 5.0
        serving.trial = ChildTrial(seconds=4.0)
        yield serving


@pytest.mark.slow
def test_restart_serves_cached_models_while_four_hang(serving: Serving, mlflow: HostileMlflow) -> None:
    began = time.monotonic()
    serving.restart()

    assert serving.served() == dict.fromkeys((*GOOD, *BAD), "1")
    assert time.monotonic() - began < 2.0

    # Meanwhile, a new version of another model is not delayed.
    register(mlflow.registry, bundle_files(recipe="second"), promote=True)

    def is_followed() -> bool:
        serving.sync()
        return serving.served()["iris"] == "2"

    wait_for(is_followed, seconds=15, what="version 2 of iris")
    wait_for(lambda: all(serving.store.failure(name) for name in BAD), seconds=30, what="the failures")
    reasons = {name: failure.reason for name in BAD if (failure := serving.store.failure(name))}
    assert "did not finish its golden rows within 4 s" in reasons["loop"]
    assert "needs more than 1024 MiB" in reasons["memory"]
    assert "larger than 50000000 bytes" in reasons["endless"]
    assert "in time" in reasons["drip"]
    assert serving.served() == {**dict.fromkeys((*GOOD, *BAD), "1"), "iris": "2"}
    # The failed downloads leave no files.
    assert not list(serving.cache.glob(f"*/{PART_PREFIX}*"))


def test_failed_version_does_not_delay_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_threads, "TURN_SECONDS", 30.0)
    threads = load_threads.LoadThreads()
    began = time.monotonic()

    for _ in range(load_threads.CONCURRENT_RETRIES):
        threads.turn(is_retry=True).__enter__()
    with threads.turn(is_retry=False):
        assert time.monotonic() - began < 5


def test_load_waits_for_hanging_loads_only_until_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_threads, "TURN_SECONDS", 0.05)
    threads = load_threads.LoadThreads()
    for _ in range(load_threads.CONCURRENT_LOADS):
        threads.turn(is_retry=False).__enter__()

    with threads.turn(is_retry=False):
        pass
    with threads.turn(is_retry=False):
        pass


class CountingTrial:
    """A trial that counts its calls, and fails on demand."""

    def __init__(self) -> None:
        self.tried: list[str] = []
        self.error: BundleError | None = None

    def __call__(self, candidate: Candidate) -> None:
        self.tried.append(candidate.known.name)
        if self.error is not None:
            raise self.error


@pytest.fixture
def counted(tmp_path: Path) -> Serving:
    serving = Serving(tmp_path / "cache")
    serving.trial = CountingTrial()
    serving.start()
    register(serving.registry, bundle_files(), promote=True)
    return serving


def tried(serving: Serving) -> int:
    assert isinstance(serving.trial, CountingTrial)
    return len(serving.trial.tried)


@pytest.mark.parametrize("reachable", [True, False])
def test_tested_bundle_is_not_tested_again_after_a_restart(counted: Serving, reachable: bool) -> None:
    counted.sync()
    assert tried(counted) == 1
    counted.registry.reachable = reachable
    counted.restart()

    assert counted.served() == {"iris": "1"}
    assert tried(counted) == 1


@pytest.mark.parametrize("note", [None, "", "sha256:0 onnxruntime 0.1\n", "\udcff"])
def test_cached_bundle_without_a_valid_note_is_tested(counted: Serving, note: str | None) -> None:
    counted.sync()
    [path] = (counted.cache / "iris").glob(f"*/{TRIAL_FILE}")
    if note is None:
        path.unlink()
    else:
        path.write_bytes(note.encode(errors="surrogateescape"))
    counted.restart()

    assert counted.served() == {"iris": "1"}
    assert tried(counted) == 2
    counted.restart()
    assert tried(counted) == 2


def test_bundle_that_fails_its_trial_is_not_opened_or_cached(counted: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(counted.trial, CountingTrial)
    counted.trial.error = TrialError("it takes too much memory")
    monkeypatch.setattr("slipway_api.serving.loader.open_bundle", None)

    counted.sync()

    failure = counted.failure()
    assert failure.reason == "it takes too much memory"
    assert not list(counted.cache.glob("iris/*"))


def test_cached_bundle_that_times_out_is_not_retried_every_time(counted: Serving) -> None:
    counted.sync()
    for path in (counted.cache / "iris").glob(f"*/{TRIAL_FILE}"):
        path.unlink()
    assert isinstance(counted.trial, CountingTrial)
    counted.trial.error = TrialError("it never ends")
    counted.registry.reachable = False
    counted.start()

    for _ in range(5):
        counted.sync()

    assert tried(counted) == 2
    assert counted.served() == {}


def test_cached_version_is_confirmed_without_opening_it(counted: Serving, logs: list[EventDict]) -> None:
    counted.sync()
    counted.restart()

    model = counted.store.get("iris")
    assert model.source == "registry"
    assert counted.sample("slipway_model_loads_total", model="iris") == 1
    assert replace(model, source="cache").graph is model.graph
    counted.trial = no_trial
    assert [entry["event"] for entry in logs].count("model_loaded") == 2
