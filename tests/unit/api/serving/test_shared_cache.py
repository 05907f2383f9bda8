"""One bundle cache for several processes: concurrent loads succeed, and the cache stays consistent."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from slipway_api.serving.bundle_cache import BundleCache, LastServed
from slipway_api.serving.loader import Loader
from slipway_api.serving.model_ref import ModelRef
from slipway_core.bundle import MANIFEST_TAG, digest
from slipway_core.manifest import MODEL_FILE
from slipway_core.registry import ModelVersion
from slipway_core.registry.memory import InMemoryRegistry
from support.bundles import bundle_files, register
from support.serving import no_trial

AT_ONCE = 8


class Meeting(InMemoryRegistry):
    """A registry that returns files only after all clients asked, so that no client finds another's download."""

    def __init__(self) -> None:
        super().__init__()
        self.barrier = threading.Barrier(AT_ONCE)

    def fetch(self, version: ModelVersion, file: str, destination: Path) -> None:
        if file == MODEL_FILE:
            self.barrier.wait(30)
        super().fetch(version, file, destination)


def at_once(work: Callable[[int], object]) -> None:
    """Call a function in many threads; raise the first error of any."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for future in [pool.submit(work, number) for number in range(AT_ONCE)]:
            future.result(timeout=60)


@pytest.mark.parametrize("is_damaged", [False, True])
def test_concurrent_downloads_of_a_bundle_succeed(tmp_path: Path, is_damaged: bool) -> None:
    registry = Meeting()
    register(registry, bundle_files(), promote=True)
    [version] = registry.list_versions("iris")
    folder = BundleCache(tmp_path).folder("iris", "1", version.tags[MANIFEST_TAG])
    if is_damaged:
        folder.mkdir(parents=True)
        (folder / MODEL_FILE).write_bytes(b"damaged")

    def load(_number: int) -> None:
        loader = Loader(registry, BundleCache(tmp_path), trial=no_trial)
        assert loader.remember(ModelRef("iris"), loader.load(version))

    at_once(load)

    assert {path.name for path in folder.parent.iterdir()} == {folder.name, "production.json"}
    served = Loader(registry, BundleCache(tmp_path), trial=no_trial).load_last_served(ModelRef("iris"))
    assert served is not None
    assert served.version == "1"


def test_concurrently_written_notes_are_complete(tmp_path: Path) -> None:
    ref = ModelRef("iris")
    torn = []

    def note(number: int) -> None:
        cache = BundleCache(tmp_path)
        for _ in range(50):
            text = str(number)
            served = LastServed(
                name="iris", version=text, manifest_sha256=digest(b""), run_id=text, description=text * 999
            )
            cache.remember(ref, served)
            found = cache.last_served(ref)
            if found is None or found.run_id != found.version:
                torn.append(found)

    at_once(note)

    assert torn == []
    assert [path.name for path in (tmp_path / "iris").iterdir()] == ["production.json"]


def test_concurrent_pruning_succeeds(tmp_path: Path) -> None:
    cache = BundleCache(tmp_path)
    for number in range(30):
        folder = cache.folder("iris", str(number), digest(str(number).encode()))
        with cache.adding(folder) as partial:
            (partial / "file").touch()
        os.utime(folder, (number, number))

    at_once(lambda _number: BundleCache(tmp_path).prune("iris"))

    assert sorted(path.name.partition("-")[0] for path in (tmp_path / "iris").iterdir()) == ["27", "28", "29"]


@pytest.mark.slow
def test_processes_sharing_a_damaged_cache_always_have_the_model(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "support.shared_cache", str(tmp_path / "cache"), "20"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    told = [process.communicate(timeout=60)[1] for process in processes]

    assert [process.returncode for process in processes] == [0, 0, 0], told
    left = [path.name for path in (tmp_path / "cache" / "iris").iterdir() if path.name.startswith(".")]
    assert left == []
