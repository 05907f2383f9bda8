"""Versions that the settings name: served for good beside Production's, told, retried, and gone with their version."""

from pathlib import Path

import pytest
from structlog.typing import EventDict

from slipway_api.errors import NotFoundError, NotReadyError
from slipway_api.serving.bundle_cache import LAST_SERVED_FILE
from slipway_api.serving.slot import FIRST_RETRY_SECONDS, PINNED_LOOK_SECONDS
from slipway_core.bundle import MODEL_FILE
from slipway_core.registry import PRODUCTION
from support.bundles import BIAS, bundle_files, linear_classifier, register
from support.serving import Serving

OTHER = linear_classifier(BIAS[::-1].copy())


@pytest.fixture
def pinned(tmp_path: Path, logs: list[EventDict]) -> Serving:
    """A process that serves iris, whose Production is version 2, and its version 1 for good."""
    serving = Serving(tmp_path / "cache", models=("iris", "iris@1"))
    for _ in range(2):
        register(serving.registry, bundle_files(), promote=True)
    register(serving.registry, bundle_files("rose"), "rose")
    serving.sync()
    logs.clear()
    return serving


def test_a_pinned_version_is_served_beside_productions(pinned: Serving) -> None:
    assert pinned.store.get("iris").version == "2"
    assert pinned.store.get("iris", "1").version == "1"
    assert (pinned.served(), pinned.pinned()) == ({"iris": "2"}, ["iris@1"])
    assert [pinned.sample("slipway_model_info", model="iris", version=version) for version in "12"] == [1, 1]
    assert pinned.sample("slipway_model_loads_total", model="iris@1") == 1


def test_a_pinned_version_stays_when_production_moves(pinned: Serving) -> None:
    held = pinned.store.get("iris", "1")
    register(pinned.registry, bundle_files(), promote=True)

    pinned.sync()

    assert pinned.store.get("iris").version == "3"
    assert pinned.store.get("iris", "1") is held


def test_a_version_may_be_pinned_and_productions_at_once(pinned: Serving) -> None:
    pinned.registry.set_alias("iris", PRODUCTION, "1")
    pinned.sync()
    assert (pinned.served(), pinned.pinned()) == ({"iris": "1"}, ["iris@1"])

    pinned.registry.set_alias("iris", PRODUCTION, "2")
    pinned.sync()

    assert pinned.store.get("iris", "1").version == "1"
    assert pinned.sample("slipway_model_info", model="iris", version="1") == 1


def test_productions_version_that_is_not_named_is_answered_with_where_it_is(pinned: Serving) -> None:
    with pytest.raises(NotFoundError) as caught:
        pinned.store.get("iris", "2")

    assert str(caught.value) == (
        "version 2 of iris is not named in SLIPWAY_MODELS: use /models/iris, which serves it now, or set iris@2 there"
    )


@pytest.mark.parametrize(
    ("version", "hint"), [("9", "; to serve it, set iris@9 in SLIPWAY_MODELS"), ("01", ""), ("x", ""), ("", "")]
)
def test_a_version_that_is_not_named_is_not_served(pinned: Serving, version: str, hint: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        pinned.store.get("iris", version)

    assert str(caught.value) == (
        f"no version {version} of a model named iris is served; GET /models lists the served versions{hint}"
    )


def test_a_version_may_be_named_alone(tmp_path: Path) -> None:
    serving = Serving(tmp_path / "cache", models=("iris@1",))
    register(serving.registry, bundle_files(), promote=True)

    serving.sync()

    assert (serving.served(), serving.pinned(), serving.store.missing()) == ({}, ["iris@1"], [])
    with pytest.raises(NotFoundError, match="no model named iris is served"):
        serving.store.get("iris")


def test_a_version_needs_no_alias(tmp_path: Path) -> None:
    serving = Serving(tmp_path / "cache", models=("iris@1",))
    register(serving.registry, bundle_files())

    serving.sync()

    assert serving.pinned() == ["iris@1"]
    assert serving.sample("slipway_model_alias_missing", model="iris") is None


def test_ready_needs_every_pinned_version_and_says_which_is_missing(tmp_path: Path) -> None:
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


def test_a_pinned_version_that_is_registered_later_is_served(tmp_path: Path) -> None:
    serving = Serving(tmp_path / "cache", models=("iris@1",))
    serving.sync()
    register(serving.registry, bundle_files())

    serving.sync()

    assert serving.pinned() == ["iris@1"]
    assert serving.store.missing() == []


def test_a_damaged_pinned_version_is_told_and_holds_up_no_other(tmp_path: Path, logs: list[EventDict]) -> None:
    serving = Serving(tmp_path / "cache", models=("iris@1", "iris"))
    for _ in range(2):
        register(serving.registry, bundle_files(), promote=True)
    serving.registry.replace_file("iris", "1", MODEL_FILE, b"damaged")

    serving.sync()

    assert serving.served() == {"iris": "2"}
    failure = serving.store.failure("iris", "1")
    assert failure is not None
    assert (failure.version, failure.attempts) == ("1", 1)
    assert serving.store.failure("iris") is None
    assert serving.sample("slipway_model_load_failing", model="iris@1") == 1
    assert serving.sample("slipway_model_load_failures_total", model="iris@1") == 1
    [told] = [entry for entry in logs if entry["event"] == "model_load_failed"]
    assert (told["model"], told["version"], told["pinned"], told["kept"]) == ("iris", "1", True, None)


def test_a_pinned_version_that_failed_is_tried_again_in_time(tmp_path: Path) -> None:
    serving = Serving(tmp_path / "cache", models=("iris@1",))
    register(serving.registry, bundle_files())
    serving.registry.replace_file("iris", "1", MODEL_FILE, b"damaged")
    serving.sync()
    serving.mend("1")
    serving.sync()
    assert serving.pinned() == []
    serving.clock.now += FIRST_RETRY_SECONDS

    serving.sync()

    assert serving.pinned() == ["iris@1"]
    assert serving.store.failure("iris", "1") is None
    assert serving.sample("slipway_model_load_failing", model="iris@1") == 0


def test_a_pinned_version_that_failed_is_tried_at_once_by_a_forced_look(tmp_path: Path) -> None:
    serving = Serving(tmp_path / "cache", models=("iris@1",))
    register(serving.registry, bundle_files())
    serving.registry.replace_file("iris", "1", MODEL_FILE, b"damaged")
    serving.sync()
    serving.mend("1")

    serving.sync(force=True)

    assert serving.pinned() == ["iris@1"]


def test_a_model_that_was_deleted_and_made_again_has_its_pinned_version_loaded_anew(pinned: Serving) -> None:
    pinned.registry.delete_model("iris")
    for _ in range(2):
        register(pinned.registry, bundle_files(model=OTHER), promote=True)

    pinned.sync()

    assert pinned.store.get("iris", "1").manifest_sha256 == pinned.store.get("iris").manifest_sha256
    assert pinned.sample("slipway_model_loads_total", model="iris@1") == 2


def test_a_pinned_version_goes_with_its_model(pinned: Serving, logs: list[EventDict]) -> None:
    pinned.registry.delete_model("iris")

    pinned.sync()

    assert (pinned.served(), pinned.pinned()) == ({}, [])
    assert pinned.store.missing() == ["iris", "iris@1"]
    assert [entry["version"] for entry in logs if entry["event"] == "model_unloaded"] == ["2", "1"]


@pytest.mark.parametrize("force", [True, False])
def test_a_pinned_version_goes_when_it_is_deleted(pinned: Serving, logs: list[EventDict], force: bool) -> None:
    pinned.registry.delete_version("iris", "1")
    if not force:
        pinned.clock.now += PINNED_LOOK_SECONDS

    pinned.sync(force=force)

    assert (pinned.served(), pinned.pinned()) == ({"iris": "2"}, [])
    assert pinned.store.missing() == ["iris@1"]
    assert pinned.sample("slipway_model_info", model="iris", version="1") is None
    assert [entry["version"] for entry in logs if entry["event"] == "model_unloaded"] == ["1"]


@pytest.mark.parametrize("deleted", ["model", "version"])
def test_a_deleted_pinned_version_does_not_come_back_while_the_registry_is_away(pinned: Serving, deleted: str) -> None:
    if deleted == "model":
        pinned.registry.delete_model("iris")
    else:
        pinned.registry.delete_version("iris", "1")
    pinned.sync(force=True)
    pinned.registry.reachable = False

    pinned.start(models=("iris@1",))
    pinned.sync()

    assert pinned.pinned() == []


def test_what_was_deleted_while_nobody_looked_does_not_come_back_in_an_outage(pinned: Serving) -> None:
    pinned.registry.delete_model("iris")
    pinned.start(models=("iris", "iris@1"))
    pinned.sync()
    pinned.registry.reachable = False

    pinned.sync()

    assert (pinned.served(), pinned.pinned()) == ({}, [])


def test_a_pinned_version_that_stands_still_is_not_fetched_again(pinned: Serving) -> None:
    fetched, held = len(pinned.registry.fetched), pinned.store.get("iris", "1")
    pinned.clock.now += PINNED_LOOK_SECONDS

    pinned.sync()
    pinned.sync(force=True)

    assert len(pinned.registry.fetched) == fetched
    assert pinned.store.get("iris", "1") is held


def test_a_restart_without_a_registry_serves_the_pinned_version_from_the_cache(pinned: Serving) -> None:
    pinned.registry.reachable = False

    pinned.start(models=("iris", "iris@1"))
    pinned.sync()

    assert (pinned.served(), pinned.pinned(), pinned.store.missing()) == ({"iris": "2"}, ["iris@1"], [])
    assert pinned.store.get("iris", "1").source == "cache"


def test_a_pinned_version_of_the_cache_is_the_registrys_once_it_answers(pinned: Serving) -> None:
    pinned.registry.reachable = False
    pinned.start(models=("iris@1",))
    pinned.sync()
    pinned.registry.reachable = True

    pinned.sync()

    assert pinned.store.get("iris", "1").source == "registry"


def test_a_version_that_left_the_settings_is_not_served_after_a_restart(pinned: Serving) -> None:
    pinned.start(models=("iris",))
    pinned.sync()

    assert pinned.pinned() == []
    assert [path.name for path in (pinned.cache / "iris").glob("*.json")] == [LAST_SERVED_FILE]


def test_a_first_start_without_a_registry_says_which_version_it_waits_for(tmp_path: Path) -> None:
    serving = Serving(tmp_path / "cache", models=("iris@7",))
    serving.registry.reachable = False

    serving.sync()

    assert serving.store.reasons_missing() == {
        "iris@7": "iris@7 is not loaded yet: the model registry cannot be reached"
    }


def test_a_registry_that_fails_while_a_pinned_version_is_looked_at_changes_nothing(
    pinned: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = pinned.registry.list_models()
    monkeypatch.setattr(pinned.registry, "list_models", lambda: listed)
    pinned.registry.reachable = False

    pinned.sync(force=True)

    assert pinned.pinned() == ["iris@1"]
    assert pinned.store.failure("iris", "1") is None
