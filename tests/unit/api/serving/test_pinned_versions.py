"""Versions that the settings pin: served beside Production's, reported, retried, and unloaded when deleted."""

from pathlib import Path

import pytest
from structlog.typing import EventDict

from slipway_api.errors import NotFoundError, NotReadyError
from slipway_api.serving.bundle_cache import LAST_SERVED_FILE
from slipway_api.serving.slot import FIRST_RETRY_SECONDS, PINNED_LOOK_SECONDS
from slipway_core.manifest import MODEL_FILE
from slipway_core.registry import PRODUCTION
from support.bundles import BIAS, bundle_files, linear_classifier, register
from support.serving import Serving

OTHER = linear_classifier(BIAS[::-1].copy())


@pytest.fixture
def pinned(tmp_path: Path, logs: list[EventDict]) -> Serving:
    """Create a process that serves iris, whose Production is version 2, with version 1 pinned."""
    serving = Serving(tmp_path / "cache", models=("iris", "iris@1"))
    for _ in range(2):
        register(serving.registry, bundle_files(), promote=True)
    register(serving.registry, bundle_files("rose"), "rose")
    serving.sync()
    logs.clear()
    return serving


def test_pinned_version_is_served_beside_production(pinned: Serving) -> None:
    assert pinned.store.get("iris").version == "2"
    assert pinned.store.get("iris", "1").version == "1"
    assert (pinned.served(), pinned.pinned()) == ({"iris": "2"}, ["iris@1"])
    assert [pinned.sample("slipway_model_info", model="iris", version=version) for version in "12"] == [1, 1]
    assert pinned.sample("slipway_model_loads_total", model="iris@1") == 1


def test_pinned_version_is_kept_if_production_moves(pinned: Serving) -> None:
    held = pinned.store.get("iris", "1")
    register(pinned.registry, bundle_files(), promote=True)

    pinned.sync()

    assert pinned.store.get("iris").version == "3"
    assert pinned.store.get("iris", "1") is held


def test_version_may_be_pinned_and_production(pinned: Serving) -> None:
    pinned.registry.set_alias("iris", PRODUCTION, "1")
    pinned.sync()
    assert (pinned.served(), pinned.pinned()) == ({"iris": "1"}, ["iris@1"])

    pinned.registry.set_alias("iris", PRODUCTION, "2")
    pinned.sync()

    assert pinned.store.get("iris", "1").version == "1"
    assert pinned.sample("slipway_model_info", model="iris", version="1") == 1


def test_unlisted_production_version_error_names_its_path(pinned: Serving) -> None:
    with pytest.raises(NotFoundError) as caught:
        pinned.store.get("iris", "2")

    assert str(caught.value) == (
        "version 2 of iris is not named in SLIPWAY_MODELS: use /models/iris, which serves it now, or set iris@2 there"
    )


@pytest.mark.parametrize(
    ("version", "hint"), [("9", "; to serve it, set iris@9 in SLIPWAY_MODELS"), ("01", ""), ("x", ""), ("", "")]
)
def test_unlisted_version_is_not_served(pinned: Serving, version: str, hint: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        pinned.store.get("iris", version)

    assert str(caught.value) == (
        f"no version {version} of a model named iris is served; GET /models lists the served versions{hint}"
    )


def test_version_may_be_listed_without_its_model(tmp_path: Path) -> None:
    serving = Serving(tmp_path / "cache", models=("iris@1",))
    register(serving.registry, bundle_files(), promote=True)

    serving.sync()

    assert (serving.served(), serving.pinned(), serving.store.missing()) == ({}, ["iris@1"], [])
    with pytest.raises(NotFoundError, match="iris is not served: SLIPWAY_MODELS does not name it"):
        serving.store.get("iris")


def test_pinned_version_needs_no_alias(tmp_path: Path) -> None:
    serving = Serving(tmp_path / "cache", models=("iris@1",))
    register(serving.registry, bundle_files())

    serving.sync()

    assert serving.pinned() == ["iris@1"]
    assert serving.sample("slipway_model_alias_missing", model="iris") is None


def test_readiness_names_each_missing_pinned_version(tmp_path: Path) -> None:
    serving = Serving(tmp_path / "cache", models=("iris", "iris@7", "rose@1"))
    register(serving.registry, bundle_files(), promote=True)

    serving.sync()

    assert serving.store.missing() == ["iris@7", "rose@1"]
    assert serving.store.reasons_missing() == {
        "iris@7": "version 7 of iris cannot be loaded: iris has no such version; remove iris@7 from SLIPWAY_MODELS",
        "rose@1": "no model named rose is registered; register it, or remove rose@1 from SLIPWAY_MODELS",
    }
    with pytest.raises(NotReadyError, match="iris has no such version"):
        serving.store.get("iris", "7")


def test_pinned_version_registered_later_is_served(tmp_path: Path) -> None:
    serving = Serving(tmp_path / "cache", models=("iris@1",))
    serving.sync()
    register(serving.registry, bundle_files())

    serving.sync()

    assert serving.pinned() == ["iris@1"]
    assert serving.store.missing() == []


def test_damaged_pinned_version_is_logged_and_blocks_no_other(tmp_path: Path, logs: list[EventDict]) -> None:
    serving = Serving(tmp_path / "cache", models=("iris@1", "iris"))
    for _ in range(2):
        register(serving.registry, bundle_files(), promote=True)
    serving.registry.replace_file("iris", "1", MODEL_FILE, b"damaged")

    serving.sync()

    assert serving.served() == {"iris": "2"}
    failure = serving.failure("iris", "1")
    assert (failure.version, failure.attempts) == ("1", 1)
    assert serving.store.failure("iris") is None
    assert serving.sample("slipway_model_load_failing", model="iris@1") == 1
    assert serving.sample("slipway_model_load_failures_total", model="iris@1") == 1
    [told] = [entry for entry in logs if entry["event"] == "model_load_failed"]
    assert (told["model"], told["version"], told["pinned"], told["kept"]) == ("iris", "1", True, None)


@pytest.mark.parametrize("force", [False, True])
def test_failed_pinned_version_is_retried(tmp_path: Path, force: bool) -> None:
    serving = Serving(tmp_path / "cache", models=("iris@1",))
    register(serving.registry, bundle_files())
    serving.registry.replace_file("iris", "1", MODEL_FILE, b"damaged")
    serving.sync()
    serving.mend("1")
    serving.sync()
    assert serving.pinned() == []
    if not force:
        serving.clock.now += FIRST_RETRY_SECONDS

    serving.sync(force=force)

    assert serving.pinned() == ["iris@1"]
    assert serving.store.failure("iris", "1") is None
    assert serving.sample("slipway_model_load_failing", model="iris@1") == 0


def test_pinned_version_of_a_recreated_model_is_reloaded(pinned: Serving) -> None:
    pinned.registry.delete_model("iris")
    for _ in range(2):
        register(pinned.registry, bundle_files(model=OTHER), promote=True)

    pinned.sync()

    assert pinned.store.get("iris", "1").manifest_sha256 == pinned.store.get("iris").manifest_sha256
    assert pinned.sample("slipway_model_loads_total", model="iris@1") == 2


def test_pinned_version_is_unloaded_with_its_model(pinned: Serving, logs: list[EventDict]) -> None:
    pinned.registry.delete_model("iris")

    pinned.sync()

    assert (pinned.served(), pinned.pinned()) == ({}, [])
    assert pinned.store.missing() == ["iris", "iris@1"]
    assert [entry["version"] for entry in logs if entry["event"] == "model_unloaded"] == ["2", "1"]


@pytest.mark.parametrize("force", [True, False])
def test_deleted_pinned_version_is_unloaded(pinned: Serving, logs: list[EventDict], force: bool) -> None:
    pinned.registry.delete_version("iris", "1")
    if not force:
        pinned.clock.now += PINNED_LOOK_SECONDS

    pinned.sync(force=force)

    assert (pinned.served(), pinned.pinned()) == ({"iris": "2"}, [])
    assert pinned.store.missing() == ["iris@1"]
    assert pinned.sample("slipway_model_info", model="iris", version="1") is None
    assert [entry["version"] for entry in logs if entry["event"] == "model_unloaded"] == ["1"]


@pytest.mark.parametrize("deleted", ["model", "version"])
def test_deleted_pinned_version_stays_deleted_during_an_outage(pinned: Serving, deleted: str) -> None:
    if deleted == "model":
        pinned.registry.delete_model("iris")
    else:
        pinned.registry.delete_version("iris", "1")
    pinned.sync(force=True)
    pinned.restart(("iris@1",), offline=True)

    assert pinned.pinned() == []


def test_version_deleted_unseen_stays_deleted_in_an_outage(pinned: Serving) -> None:
    pinned.registry.delete_model("iris")
    pinned.restart(("iris", "iris@1"))
    pinned.registry.reachable = False

    pinned.sync()

    assert (pinned.served(), pinned.pinned()) == ({}, [])


def test_unchanged_pinned_version_is_not_downloaded_again(pinned: Serving) -> None:
    fetched, held = len(pinned.registry.fetched), pinned.store.get("iris", "1")
    pinned.clock.now += PINNED_LOOK_SECONDS

    pinned.sync()
    pinned.sync(force=True)

    assert len(pinned.registry.fetched) == fetched
    assert pinned.store.get("iris", "1") is held


def test_restart_without_a_registry_serves_the_cached_version(pinned: Serving) -> None:
    pinned.restart(("iris", "iris@1"), offline=True)

    assert (pinned.served(), pinned.pinned(), pinned.store.missing()) == ({"iris": "2"}, ["iris@1"], [])
    assert pinned.store.get("iris", "1").source == "cache"


def test_cached_pinned_version_is_confirmed_by_the_registry(pinned: Serving) -> None:
    pinned.restart(("iris@1",), offline=True)
    pinned.registry.reachable = True

    pinned.sync()

    assert pinned.store.get("iris", "1").source == "registry"


def test_version_removed_from_settings_is_not_served_again(pinned: Serving) -> None:
    pinned.restart(("iris",))

    assert pinned.pinned() == []
    assert [path.name for path in (pinned.cache / "iris").glob("*.json")] == [LAST_SERVED_FILE]


def test_first_start_without_registry_names_missing_version(tmp_path: Path) -> None:
    serving = Serving(tmp_path / "cache", models=("iris@7",))
    serving.registry.reachable = False

    serving.sync()

    assert serving.store.reasons_missing() == {
        "iris@7": "iris@7 is not loaded yet: the model registry cannot be reached"
    }


def test_registry_error_for_a_pinned_version_changes_nothing(pinned: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = pinned.registry.list_models()
    monkeypatch.setattr(pinned.registry, "list_models", lambda: listed)
    pinned.registry.reachable = False

    pinned.sync(force=True)

    assert pinned.pinned() == ["iris@1"]
    assert pinned.store.failure("iris", "1") is None
