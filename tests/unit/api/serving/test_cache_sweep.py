"""The cache's sweep: it removes leftovers of deleted models and downloads, and keeps bundles that may be served."""

import os
import tempfile
from pathlib import Path

import pytest

from slipway_api.serving.bundle_cache import PARTIAL_SECONDS, PRUNED_AFTER_SECONDS
from slipway_api.serving.loader import TEMPORARY_PREFIX
from slipway_api.serving.model_ref import ModelRef
from slipway_api.serving.model_store import SWEEP_SECONDS
from slipway_core.atomic_file import PART_PREFIX
from slipway_core.registry import PRODUCTION
from support.bundles import bundle_files, register
from support.serving import Serving, age

OLD = PARTIAL_SECONDS + 60.0


@pytest.fixture
def two(tmp_path: Path) -> Serving:
    """Create a process that serves iris and rose."""
    serving = Serving(tmp_path / "cache")
    for name in ("iris", "rose"):
        register(serving.registry, bundle_files(name), name, promote=True)
    serving.sync()
    return serving


def bundles(serving: Serving, name: str) -> list[Path]:
    return [path for path in (serving.cache / name).iterdir() if path.is_dir()]


def sweep(serving: Serving) -> None:
    serving.clock.now += SWEEP_SECONDS
    serving.sync()


@pytest.mark.parametrize("restarted", [False, True])
def test_deleted_model_leaves_nothing(two: Serving, restarted: bool) -> None:
    two.registry.delete_model("rose")
    for bundle in bundles(two, "rose"):
        age(bundle, PRUNED_AFTER_SECONDS + 60)
    if restarted:
        two.start()
        two.sync()
    else:
        two.sync()
        sweep(two)

    assert sorted(path.name for path in two.cache.iterdir() if path.is_dir()) == ["iris"]
    assert len(bundles(two, "iris")) == 1


def test_recent_bundle_is_kept_for_the_process_that_loads_it(two: Serving) -> None:
    two.registry.delete_model("rose")
    two.sync()

    sweep(two)

    assert len(bundles(two, "rose")) == 1


def test_model_without_an_alias_keeps_its_bundle(two: Serving) -> None:
    two.registry.delete_alias("rose", PRODUCTION)
    for bundle in bundles(two, "rose"):
        age(bundle, OLD)

    sweep(two)

    assert len(bundles(two, "rose")) == 1
    assert two.served() == {"iris": "1", "rose": "1"}


def test_unreachable_registry_keeps_every_bundle(two: Serving) -> None:
    two.registry.reachable = False
    for name in ("iris", "rose"):
        age(bundles(two, name)[0], OLD)

    two.start()
    sweep(two)

    assert two.served() == {"iris": "1", "rose": "1"}


@pytest.mark.parametrize("name", ["iris", "rose", "never served"])
@pytest.mark.parametrize(("seconds", "stays"), [(OLD, False), (60.0, True)])
def test_interrupted_downloads_of_any_model_are_removed(two: Serving, name: str, seconds: float, stays: bool) -> None:
    partial = two.cache / name / f"{PART_PREFIX}abc"
    partial.mkdir(parents=True)
    (partial / "model.onnx").write_bytes(b"the first half")
    age(partial, seconds)

    sweep(two)

    assert partial.exists() is stays
    assert partial.parent.exists() is (stays or name != "never served")


def test_temporary_folders_of_killed_processes_are_removed(
    two: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    names = {f"{TEMPORARY_PREFIX}old": OLD, f"{TEMPORARY_PREFIX}new": 60.0, "other-old": OLD}
    for name, seconds in names.items():
        (temporary / name).mkdir(parents=True)
        age(temporary / name, seconds)

    sweep(two)

    assert sorted(path.name for path in temporary.iterdir()) == ["other-old", f"{TEMPORARY_PREFIX}new"]


def test_symbolic_link_in_the_cache_is_not_followed(two: Serving, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").touch()
    link = two.cache / "iris" / f"{PART_PREFIX}link"
    link.symlink_to(elsewhere)
    os.utime(link, (0, 0), follow_symlinks=False)

    sweep(two)

    assert not link.is_symlink()
    assert (elsewhere / "file").exists()


def test_unrelated_files_are_kept(two: Serving) -> None:
    other = two.cache / "somebody" / "else"
    other.mkdir(parents=True)
    (other / "file").touch()
    age(other, OLD)

    sweep(two)

    assert (other / "file").exists()


def test_pinned_bundle_is_kept_until_its_model_is_deleted(tmp_path: Path) -> None:
    serving = Serving(tmp_path / "cache", models=("iris@1", "rose@1", "lily@1"))
    for name in ("iris", "rose", "lily"):
        register(serving.registry, bundle_files(name), name)
    serving.sync()
    for name in ("iris", "rose", "lily"):
        age(bundles(serving, name)[0], OLD)
    serving.registry.delete_model("rose")

    # Another process may share the cache, and pin other versions.
    serving.restart(("iris@1",))

    assert serving.pinned() == ["iris@1"]
    assert serving.bundle_cache.last_served(ModelRef("lily", "1")) is not None
    assert sorted(path.name for path in serving.cache.iterdir() if path.is_dir()) == ["iris", "lily"]
