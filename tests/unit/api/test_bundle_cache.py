"""Bundles on the local disk: where they lie, what is kept, and what becomes of damage."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.typing import EventDict

from slipway_api.serving.bundle_cache import KEPT_BUNDLES, LAST_SERVED_FILE, BundleCache, LastServed
from slipway_api.serving.loader import Loader
from slipway_core.bundle import GOLDEN_FILE, MANIFEST_FILE, MODEL_FILE, digest
from slipway_core.errors import BundleError, RegistryNotFoundError
from slipway_core.registry.memory import InMemoryRegistry
from support.bundles import bundle_files, register
from support.serving import Serving

DIGEST = digest(b"a manifest")


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
def test_every_models_folder_lies_right_below_the_root(name: str) -> None:
    root = Path("/cache")

    folder = Path(os.path.normpath(BundleCache(root).folder(name, "1", DIGEST)))

    assert folder.parent.parent == root
    assert not folder.parent.name.startswith(".")


@settings(deadline=None)
@given(names=st.lists(st.text(min_size=1), min_size=2, max_size=2, unique=True))
def test_no_two_models_share_a_folder(names: list[str]) -> None:
    one, two = (BundleCache(Path("/cache")).folder(name, "1", DIGEST) for name in names)

    assert one.parent != two.parent


def test_a_folder_appears_when_it_is_complete(cache: BundleCache) -> None:
    folder = cache.folder("iris", "1", DIGEST)

    with cache.adding(folder) as partial:
        (partial / "file").write_text("content")
        assert not folder.exists()

    assert (folder / "file").read_text() == "content"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_folder_that_was_not_completed_leaves_nothing(cache: BundleCache) -> None:
    folder = cache.folder("iris", "1", DIGEST)

    def fill_half() -> None:
        with cache.adding(folder) as partial:
            (partial / "file").write_text("content")
            raise RegistryNotFoundError("no such file")

    with pytest.raises(RegistryNotFoundError):
        fill_half()

    assert list(folder.parent.iterdir()) == []


def test_a_folder_that_is_added_again_is_replaced(cache: BundleCache) -> None:
    folder = cache.folder("iris", "1", DIGEST)
    for name in ("old", "new"):
        with cache.adding(folder) as partial:
            (partial / name).touch()

    assert [path.name for path in folder.iterdir()] == ["new"]


def test_what_is_remembered_is_known_after_a_restart(cache: BundleCache, tmp_path: Path) -> None:
    cache.remember(last_served("7"))

    again = BundleCache(tmp_path / "cache")
    assert again.last_served("iris") == last_served("7")
    assert again.last_served("rose") is None
    assert again.names() == ["iris"]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"name": "iris"', b"\xff"])
def test_a_damaged_note_is_as_if_there_were_none(cache: BundleCache, tmp_path: Path, content: bytes) -> None:
    cache.remember(last_served())
    (tmp_path / "cache" / "iris" / LAST_SERVED_FILE).write_bytes(content)

    assert cache.last_served("iris") is None
    assert cache.names() == []


def test_a_cache_that_is_not_there_knows_nothing(cache: BundleCache) -> None:
    assert cache.last_served("iris") is None
    assert cache.names() == []


def test_bundles_that_were_served_long_ago_are_removed(cache: BundleCache) -> None:
    for number in range(1, 6):
        folder = cache.folder("iris", str(number), digest(str(number).encode()))
        with cache.adding(folder):
            pass
        os.utime(folder, (number, number))

    cache.remember(last_served("1"))

    kept = sorted(path.name.partition("-")[0] for path in folder.parent.iterdir() if path.is_dir())
    assert kept == ["1", "4", "5"]
    assert len(kept) == KEPT_BUNDLES


def test_only_the_last_few_versions_are_kept_on_the_disk(serving: Serving) -> None:
    for _ in range(4):
        register(serving.registry, bundle_files(), promote=True)
        serving.sync()

    kept = sorted(path.name.partition("-")[0] for path in (serving.cache / "iris").iterdir() if path.is_dir())
    assert kept == ["3", "4", "5"]


@pytest.mark.parametrize("file", [MODEL_FILE, MANIFEST_FILE, GOLDEN_FILE])
@pytest.mark.parametrize("damage", ["changed", "removed"])
def test_a_bundle_that_was_damaged_in_the_cache_is_fetched_again(
    serving: Serving, logs: list[EventDict], file: str, damage: str
) -> None:
    path = bundle_folder(serving) / file
    if damage == "changed":
        path.write_bytes(b"damaged")
    else:
        path.unlink()
    fetched = len(serving.registry.fetched)

    serving.start()
    serving.sync()

    assert serving.served() == {"iris": "1"}
    assert len(serving.registry.fetched) == fetched + 3
    assert path.read_bytes() == bundle_files()[file]
    assert "cached_bundle_damaged" in [entry["event"] for entry in logs]


def test_a_bundle_that_was_damaged_in_the_cache_is_not_served_without_a_registry(
    serving: Serving, logs: list[EventDict]
) -> None:
    (bundle_folder(serving) / MODEL_FILE).write_bytes(b"damaged")
    serving.registry.reachable = False

    serving.start()
    serving.sync()

    assert serving.served() == {}
    assert "cached_bundle_damaged" in [entry["event"] for entry in logs]


def test_damage_in_the_cache_is_told_once_while_the_registry_is_away(serving: Serving, logs: list[EventDict]) -> None:
    (bundle_folder(serving) / MODEL_FILE).write_bytes(b"damaged")
    serving.registry.reachable = False
    serving.start()

    for _ in range(5):
        serving.sync()

    assert [entry["event"] for entry in logs].count("cached_bundle_damaged") == 1


def test_only_what_serving_needs_is_fetched(serving: Serving) -> None:
    assert serving.registry.fetched == [("iris", "1", file) for file in (MANIFEST_FILE, MODEL_FILE, GOLDEN_FILE)]


def test_a_cache_that_cannot_be_written_is_told_and_keeps_what_is_served(serving: Serving) -> None:
    folder = serving.cache / "iris"
    folder.rename(serving.cache / "away")
    folder.write_text("a file where a folder belongs")
    register(serving.registry, bundle_files(classes=("a", "b", "c")), promote=True)

    serving.sync()

    assert serving.served() == {"iris": "1"}
    failure = serving.store.failure("iris")
    assert failure is not None
    assert "the bundle cache cannot be written" in failure.reason
    assert "check SLIPWAY_CACHE_DIR" in failure.reason


def test_a_cache_that_can_be_written_again_is_used(serving: Serving) -> None:
    folder = serving.cache / "iris"
    folder.rename(serving.cache / "away")
    folder.write_text("a file where a folder belongs")
    register(serving.registry, bundle_files(classes=("a", "b", "c")), promote=True)
    serving.sync()
    folder.unlink()

    serving.sync(force=True)

    assert serving.served() == {"iris": "2"}


def test_a_note_that_cannot_be_written_is_logged_and_the_model_is_served(tmp_path: Path, logs: list[EventDict]) -> None:
    serving = Serving(tmp_path / "cache")
    register(serving.registry, bundle_files(), promote=True)
    (serving.cache / "iris" / LAST_SERVED_FILE).mkdir(parents=True)

    serving.sync()

    assert serving.served() == {"iris": "1"}
    [told] = [entry for entry in logs if entry["event"] == "bundle_cache_not_written"]
    assert (told["model"], told["log_level"]) == ("iris", "warning")


def test_a_bundle_that_nobody_served_is_not_served_from_the_cache(tmp_path: Path) -> None:
    loader = Loader(InMemoryRegistry(), BundleCache(tmp_path))

    assert loader.load_last_served("iris") is None
    assert loader.cached_names() == []


def test_a_note_of_a_bundle_that_is_gone_is_damage(cache: BundleCache) -> None:
    cache.remember(last_served())

    with pytest.raises(BundleError, match="the bundle has no manifest"):
        Loader(InMemoryRegistry(), cache).load_last_served("iris")
