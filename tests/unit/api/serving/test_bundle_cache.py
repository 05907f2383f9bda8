"""Bundles on the local disk: their folders, which are kept, and how damage is handled."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.typing import EventDict

from slipway_api.serving.bundle_cache import (
    KEPT_BUNDLES,
    LAST_SERVED_FILE,
    PARTIAL_SECONDS,
    PRUNED_AFTER_SECONDS,
    BundleCache,
    LastServed,
)
from slipway_api.serving.loader import Loader
from slipway_api.serving.model_ref import ModelRef
from slipway_core.atomic_file import PART_PREFIX
from slipway_core.bundle import MANIFEST_FILE, MANIFEST_TAG, digest
from slipway_core.errors import BundleError, RegistryNotFoundError
from slipway_core.manifest import GOLDEN_FILE, MODEL_FILE
from slipway_core.registry.memory import InMemoryRegistry
from support.bundles import bundle_files, register
from support.serving import Serving, age, no_trial

DIGEST = digest(b"a manifest")
IRIS = ModelRef("iris")
LONG_AGO = 1_000_000


def last_served(version: str = "1", name: str = "iris") -> LastServed:
    return LastServed(name=name, version=version, manifest_sha256=digest(version.encode()), run_id="r", description="d")


@pytest.fixture
def cache(tmp_path: Path) -> BundleCache:
    return BundleCache(tmp_path / "cache")


def bundle_folder(serving: Serving) -> Path:
    [folder] = [path for path in (serving.cache / "iris").iterdir() if path.is_dir()]
    return folder


@settings(deadline=None)
@given(name=st.text(min_size=1))
def test_model_folders_are_direct_children_of_the_root(name: str) -> None:
    root = Path("/cache")

    folder = Path(os.path.normpath(BundleCache(root).folder(name, "1", DIGEST)))

    assert folder.parent.parent == root
    assert not folder.parent.name.startswith(".")


@settings(deadline=None)
@given(names=st.lists(st.text(min_size=1), min_size=2, max_size=2, unique=True))
def test_models_do_not_share_folders(names: list[str]) -> None:
    one, two = (BundleCache(Path("/cache")).folder(name, "1", DIGEST) for name in names)

    assert one.parent != two.parent


def test_folder_appears_only_when_complete(cache: BundleCache) -> None:
    folder = cache.folder("iris", "1", DIGEST)

    with cache.adding(folder) as partial:
        (partial / "file").write_text("content")
        assert not folder.exists()

    assert (folder / "file").read_text() == "content"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_incomplete_folder_leaves_nothing(cache: BundleCache) -> None:
    folder = cache.folder("iris", "1", DIGEST)

    def fill_half() -> None:
        with cache.adding(folder) as partial:
            (partial / "file").write_text("content")
            raise RegistryNotFoundError("no such file")

    with pytest.raises(RegistryNotFoundError):
        fill_half()

    assert list(folder.parent.iterdir()) == []


def test_folder_added_by_another_process_is_kept(cache: BundleCache) -> None:
    folder = cache.folder("iris", "1", DIGEST)
    with cache.adding(folder) as late:
        (late / "late").touch()
        with cache.adding(folder) as early:
            (early / "early").touch()

    assert [path.name for path in folder.iterdir()] == ["early"]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_removed_folder_can_be_added_again(cache: BundleCache) -> None:
    folder = cache.folder("iris", "1", DIGEST)
    for name in ("old", "new"):
        cache.remove(folder)
        with cache.adding(folder) as partial:
            (partial / name).touch()

    assert [path.name for path in folder.iterdir()] == ["new"]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_notes_survive_a_restart(cache: BundleCache, tmp_path: Path) -> None:
    cache.remember(IRIS, last_served("7"))

    again = BundleCache(tmp_path / "cache")
    assert again.last_served(IRIS) == last_served("7")
    assert again.last_served(ModelRef("rose")) is None
    assert again.refs() == [IRIS]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"name": "iris"', b"\xff"])
def test_damaged_note_is_ignored(cache: BundleCache, tmp_path: Path, content: bytes) -> None:
    cache.remember(IRIS, last_served())
    (tmp_path / "cache" / "iris" / LAST_SERVED_FILE).write_bytes(content)

    assert cache.last_served(IRIS) is None
    assert cache.refs() == []


def test_missing_cache_has_no_notes(cache: BundleCache) -> None:
    assert cache.last_served(IRIS) is None
    assert cache.refs() == []


def add_bundles(cache: BundleCache, *versions: str, age_seconds: float = LONG_AGO) -> Path:
    """Add a bundle of each version of iris, the last one the most recent, and return the model's folder."""
    for index, version in enumerate(reversed(versions)):
        folder = cache.folder("iris", version, digest(version.encode()))
        with cache.adding(folder):
            pass
        age(folder, age_seconds + index)
    return cache.folder("iris", "1", DIGEST).parent


def kept(folder: Path) -> list[str]:
    """Return the versions whose bundles are in a model's folder."""
    return sorted(path.name.partition("-")[0] for path in folder.iterdir() if path.is_dir())


def test_old_bundles_are_removed(cache: BundleCache) -> None:
    folder = add_bundles(cache, "1", "2", "3", "4", "5")
    cache.remember(IRIS, last_served("1"))

    cache.prune("iris")

    assert kept(folder) == ["1", "4", "5"]
    assert len(kept(folder)) == KEPT_BUNDLES


def test_recent_bundles_are_kept_for_other_processes(cache: BundleCache) -> None:
    folder = add_bundles(cache, "1", "2", "3", "4", "5", age_seconds=PRUNED_AFTER_SECONDS - 60)

    cache.prune("iris")

    assert kept(folder) == ["1", "2", "3", "4", "5"]


def test_loading_a_bundle_resets_its_age(cache: BundleCache) -> None:
    folder = add_bundles(cache, "1", "2", "3", "4", "5")

    assert cache.holds(cache.folder("iris", "1", digest(b"1")))
    cache.prune("iris")

    assert kept(folder) == ["1", "4", "5"]


@pytest.mark.parametrize(
    ("pinned", "left", "note"), [("1", ["1", "3", "4", "5"], last_served("1")), ("5", ["3", "4", "5"], None)]
)
def test_old_bundle_is_kept_while_its_version_is_pinned(
    cache: BundleCache, pinned: str, left: list[str], note: LastServed | None
) -> None:
    folder = add_bundles(cache, "1", "2", "3", "4", "5")
    cache.remember(ModelRef("iris", "1"), last_served("1"))
    age(cache.folder("iris", "1", digest(b"1")), LONG_AGO * 2)

    cache.prune("iris", [pinned])

    assert kept(folder) == left
    assert cache.last_served(ModelRef("iris", "1")) == note


def test_leftovers_of_a_killed_process_are_removed(cache: BundleCache) -> None:
    folder = add_bundles(cache, "1")
    for name, seconds in [("old", PARTIAL_SECONDS + 60), ("new", 60.0)]:
        partial, note = folder / f"{PART_PREFIX}{name}", folder / f"{PART_PREFIX}{name}-note"
        partial.mkdir()
        note.touch()
        for path in (partial, note):
            age(path, seconds)

    cache.prune("iris")

    left = sorted(path.name for path in folder.glob(f"{PART_PREFIX}*"))
    assert left == [f"{PART_PREFIX}new", f"{PART_PREFIX}new-note"]


def test_only_recent_versions_are_kept_on_disk(serving: Serving) -> None:
    for number in range(2, 6):
        register(serving.registry, bundle_files(), promote=True)
        for path in (serving.cache / "iris").iterdir():
            age(path, LONG_AGO - number)
        serving.sync()

    assert len(kept(serving.cache / "iris")) == KEPT_BUNDLES
    assert "5" in kept(serving.cache / "iris")


@pytest.mark.parametrize("file", [MODEL_FILE, MANIFEST_FILE, GOLDEN_FILE])
@pytest.mark.parametrize("damage", ["changed", "removed"])
def test_damaged_bundle_is_downloaded_again(serving: Serving, logs: list[EventDict], file: str, damage: str) -> None:
    path = bundle_folder(serving) / file
    if damage == "changed":
        path.write_bytes(b"damaged")
    else:
        path.unlink()
    fetched = len(serving.registry.fetched)

    serving.restart()

    assert serving.served() == {"iris": "1"}
    assert len(serving.registry.fetched) == fetched + 3
    assert path.read_bytes() == bundle_files()[file]
    assert "cached_bundle_damaged" in [entry["event"] for entry in logs]


def test_damaged_bundle_is_not_served_without_a_registry(serving: Serving, logs: list[EventDict]) -> None:
    (bundle_folder(serving) / MODEL_FILE).write_bytes(b"damaged")
    serving.restart(offline=True)

    assert serving.served() == {}
    assert "cached_bundle_damaged" in [entry["event"] for entry in logs]


def test_damage_during_an_outage_is_logged_once(serving: Serving, logs: list[EventDict]) -> None:
    (bundle_folder(serving) / MODEL_FILE).write_bytes(b"damaged")
    serving.registry.reachable = False
    serving.start()

    for _ in range(5):
        serving.sync()

    assert [entry["event"] for entry in logs].count("cached_bundle_damaged") == 1


def test_recreated_version_with_the_same_number_is_loaded(serving: Serving) -> None:
    before = serving.store.served["iris"].manifest_sha256
    restored = bundle_files(recipe="the same number, and another bundle")
    for file, content in restored.items():
        serving.registry.replace_file("iris", "1", file, content)
    serving.registry.set_version_tag("iris", "1", MANIFEST_TAG, digest(restored[MANIFEST_FILE]))

    # The API may start before the registry, and then serves the cached version.
    serving.restart(offline=True)
    assert serving.store.served["iris"].manifest_sha256 == before
    serving.registry.reachable = True
    serving.sync()

    assert serving.store.served["iris"].manifest_sha256 == digest(restored[MANIFEST_FILE])
    note = serving.bundle_cache.last_served(IRIS)
    assert note is not None
    assert note.manifest_sha256 == digest(restored[MANIFEST_FILE])


def test_only_files_needed_for_serving_are_downloaded(serving: Serving) -> None:
    assert serving.registry.fetched == [("iris", "1", file) for file in (MANIFEST_FILE, MODEL_FILE, GOLDEN_FILE)]


def block(serving: Serving) -> Path:
    """Make the cache unwritable: a file has the name of iris' folder."""
    folder = serving.cache / "iris"
    folder.rename(serving.cache / "away")
    folder.write_text("a file where a folder belongs")
    return folder


def test_version_is_served_and_logged_if_cache_is_read_only(serving: Serving, logs: list[EventDict]) -> None:
    block(serving)
    register(serving.registry, bundle_files(), promote=True)

    for _ in range(3):
        serving.sync()

    assert serving.served() == {"iris": "2"}
    assert serving.store.failure("iris") is None
    assert serving.sample("slipway_model_not_cached", model="iris") == 1
    [told] = [entry for entry in logs if entry["event"] == "bundle_cache_not_written"]
    assert (told["model"], told["log_level"]) == ("iris", "warning")


def test_cache_that_is_writable_again_is_used_at_a_reload(serving: Serving) -> None:
    folder = block(serving)
    register(serving.registry, bundle_files(), promote=True)
    serving.sync()
    folder.unlink()

    serving.sync(force=True)

    assert serving.sample("slipway_model_not_cached", model="iris") == 0
    serving.restart(offline=True)
    assert serving.served() == {"iris": "2"}


def test_version_is_not_served_if_no_folder_is_writable(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    block(serving)
    register(serving.registry, bundle_files(), promote=True)
    monkeypatch.setattr(tempfile, "tempdir", str(serving.cache / "nowhere"))

    serving.sync()

    assert serving.served() == {"iris": "1"}
    failure = serving.failure()
    assert "neither the bundle cache nor a temporary folder can be written" in failure.reason
    assert "check SLIPWAY_CACHE_DIR" in failure.reason


def test_uncached_version_keeps_the_previous_one_for_a_restart(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def full(folder: Path, **_options: object) -> Iterator[Path]:
        raise OSError(errno.ENOSPC, "No space left on device")
        yield folder

    monkeypatch.setattr(serving.bundle_cache, "adding", full)
    register(serving.registry, bundle_files(), promote=True)
    serving.sync()
    assert serving.served() == {"iris": "2"}
    serving.restart(offline=True)

    assert serving.served() == {"iris": "1"}


def test_unwritable_note_is_logged_and_the_model_is_served(tmp_path: Path, logs: list[EventDict]) -> None:
    serving = Serving(tmp_path / "cache")
    register(serving.registry, bundle_files(), promote=True)
    (serving.cache / "iris" / LAST_SERVED_FILE).mkdir(parents=True)

    serving.sync()

    assert serving.served() == {"iris": "1"}
    [told] = [entry for entry in logs if entry["event"] == "bundle_cache_not_written"]
    assert (told["model"], told["log_level"]) == ("iris", "warning")


def test_never_served_bundle_is_not_served_from_the_cache(tmp_path: Path) -> None:
    loader = Loader(InMemoryRegistry(), BundleCache(tmp_path), trial=no_trial)

    assert loader.load_last_served(IRIS) is None


def test_note_of_a_missing_bundle_counts_as_damage(cache: BundleCache) -> None:
    cache.remember(IRIS, last_served())

    with pytest.raises(BundleError, match="the bundle has no manifest"):
        Loader(InMemoryRegistry(), cache, trial=no_trial).load_last_served(IRIS)
