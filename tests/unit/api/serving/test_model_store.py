"""The model store: it follows Production, and keeps the served version if it cannot."""

from pathlib import Path

import pytest
from structlog.typing import EventDict

from slipway_api.errors import NotFoundError, NotReadyError
from slipway_core.registry import PRODUCTION
from support.bundles import bundle_files, register
from support.serving import Serving


def events(logs: list[EventDict], *names: str) -> list[str]:
    """Return the events with some names, in order."""
    return [entry["event"] for entry in logs if entry["event"] in names]


def test_store_serves_nothing_before_the_first_check(tmp_path: Path) -> None:
    serving = Serving(tmp_path / "cache")

    assert serving.served() == {}
    assert serving.store.missing() == ["iris"]
    with pytest.raises(NotReadyError, match="not been read yet"):
        serving.store.get("iris")
    with pytest.raises(NotReadyError):
        serving.store.get("rose")


def test_production_version_is_served(serving: Serving) -> None:
    assert serving.served() == {"iris": "1"}
    assert serving.store.get("iris").source == "registry"
    assert serving.store.production("iris") == "1"
    assert serving.store.missing() == []
    assert serving.sample("slipway_model_info", model="iris", version="1") == 1


def test_version_without_the_alias_is_not_served(serving: Serving) -> None:
    register(serving.registry, bundle_files())
    register(serving.registry, bundle_files("rose"), "rose")

    serving.sync()

    assert serving.served() == {"iris": "1"}
    with pytest.raises(NotFoundError, match="rose is not served: it has no Production version"):
        serving.store.get("rose")


def test_moved_alias_is_followed(serving: Serving, logs: list[EventDict]) -> None:
    register(serving.registry, bundle_files(), promote=True)

    serving.sync()

    assert serving.served() == {"iris": "2"}
    assert serving.sample("slipway_model_info", model="iris", version="1") is None
    assert serving.sample("slipway_model_info", model="iris", version="2") == 1
    assert serving.sample("slipway_model_loads_total", model="iris") == 2
    [loaded] = [entry for entry in logs if entry["event"] == "model_loaded"]
    assert (loaded["model"], loaded["version"], loaded["replaced"]) == ("iris", "2", "1")


def test_alias_that_moves_back_needs_no_download(serving: Serving) -> None:
    register(serving.registry, bundle_files(), promote=True)
    serving.sync()
    fetched = len(serving.registry.fetched)
    serving.registry.set_alias("iris", PRODUCTION, "1")

    serving.sync()

    assert serving.served() == {"iris": "1"}
    assert len(serving.registry.fetched) == fetched


def test_unchanged_alias_costs_nothing(serving: Serving) -> None:
    fetched, model = len(serving.registry.fetched), serving.store.get("iris")

    serving.sync()

    assert len(serving.registry.fetched) == fetched
    assert serving.store.get("iris") is model


def test_request_keeps_its_model_during_a_swap(serving: Serving) -> None:
    held = serving.store.get("iris")
    register(serving.registry, bundle_files(), promote=True)

    serving.sync()

    assert held.version == "1"
    assert serving.store.get("iris") is not held


def test_removed_alias_keeps_the_version_and_is_logged_once(serving: Serving, logs: list[EventDict]) -> None:
    serving.registry.delete_alias("iris", PRODUCTION)

    for _ in range(3):
        serving.sync()

    assert serving.served() == {"iris": "1"}
    assert serving.store.production("iris") is None
    assert serving.sample("slipway_model_alias_missing", model="iris") == 1
    assert events(logs, "production_alias_missing") == ["production_alias_missing"]


def test_restored_alias_is_no_longer_missing(serving: Serving) -> None:
    serving.registry.delete_alias("iris", PRODUCTION)
    serving.sync()
    serving.registry.set_alias("iris", PRODUCTION, "1")

    serving.sync()

    assert serving.sample("slipway_model_alias_missing", model="iris") == 0


def test_deleted_model_is_unloaded(serving: Serving, logs: list[EventDict]) -> None:
    register(serving.registry, bundle_files("rose"), "rose", promote=True)
    serving.sync()
    serving.registry.delete_model("rose")

    serving.sync()

    assert serving.served() == {"iris": "1"}
    with pytest.raises(NotFoundError):
        serving.store.get("rose")
    assert serving.sample("slipway_model_info", model="rose", version="1") is None
    assert events(logs, "model_unloaded") == ["model_unloaded"]


def test_deleted_model_stays_deleted_during_an_outage(serving: Serving) -> None:
    register(serving.registry, bundle_files("rose"), "rose", promote=True)
    serving.sync()
    serving.registry.delete_model("rose")
    serving.sync()
    serving.registry.reachable = False

    serving.sync()

    assert serving.served() == {"iris": "1"}


def test_deleted_required_model_is_reported_missing(serving: Serving) -> None:
    register(serving.registry, bundle_files("rose"), "rose")
    serving.sync()
    serving.registry.delete_model("iris")

    serving.sync()

    assert serving.store.missing() == ["iris"]
    with pytest.raises(NotReadyError, match="no version with the alias Production yet; train and promote one"):
        serving.store.get("iris")


def test_only_configured_models_are_served(tmp_path: Path) -> None:
    serving = Serving(tmp_path / "cache", models=("iris",))
    for name in ("iris", "rose"):
        register(serving.registry, bundle_files(name), name, promote=True)

    serving.sync()

    assert serving.served() == {"iris": "1"}


@pytest.mark.parametrize("reachable", [True, False])
def test_model_removed_from_settings_is_not_served_after_restart(serving: Serving, reachable: bool) -> None:
    register(serving.registry, bundle_files("rose"), "rose", promote=True)
    serving.sync()
    serving.registry.reachable = reachable

    serving.restart(("rose",))

    assert serving.served() == {"rose": "1"}


def test_readiness_needs_every_configured_model(tmp_path: Path) -> None:
    serving = Serving(tmp_path / "cache", models=("iris", "rose"))
    register(serving.registry, bundle_files(), promote=True)

    serving.sync()

    assert serving.store.missing() == ["rose"]
    with pytest.raises(NotReadyError):
        serving.store.get("rose")


def test_outage_keeps_all_models_and_is_logged_once(serving: Serving, logs: list[EventDict]) -> None:
    serving.registry.reachable = False

    for _ in range(3):
        serving.sync()

    assert serving.served() == {"iris": "1"}
    status = serving.store.registry_status
    assert (status.reachable, status.answered, status.reason) == (False, True, "the model registry cannot be reached")
    assert serving.sample("slipway_registry_up") == 0
    assert serving.sample("slipway_registry_failures_total") == 3
    assert events(logs, "registry_unreachable") == ["registry_unreachable"]


def test_reachable_registry_is_followed_again_and_logged(serving: Serving, logs: list[EventDict]) -> None:
    serving.registry.reachable = False
    serving.sync()
    serving.registry.reachable = True
    register(serving.registry, bundle_files(), promote=True)

    serving.sync()

    assert serving.served() == {"iris": "2"}
    assert (serving.store.registry_status.reachable, serving.store.registry_status.reason) == (True, None)
    assert serving.sample("slipway_registry_up") == 1
    assert events(logs, "registry_unreachable", "registry_reachable") == ["registry_unreachable", "registry_reachable"]


def test_outage_reports_its_start(serving: Serving) -> None:
    serving.registry.reachable = False
    serving.sync()
    began = serving.store.registry_status.since
    serving.sync()

    assert serving.store.registry_status.since == began


def test_restart_without_a_registry_serves_last_served_version(serving: Serving) -> None:
    serving.restart(offline=True)

    model = serving.store.get("iris")
    assert (model.version, model.source, model.run_id) == ("1", "cache", "0" * 32)
    assert serving.store.missing() == []


def test_restart_without_a_registry_serves_the_newest_version(serving: Serving) -> None:
    for _ in range(2):
        register(serving.registry, bundle_files(), promote=True)
        serving.sync()
    serving.restart(offline=True)

    assert serving.served() == {"iris": "3"}


def test_cached_version_is_confirmed_once_the_registry_answers(serving: Serving) -> None:
    serving.restart(offline=True)
    serving.registry.reachable = True
    fetched = len(serving.registry.fetched)

    serving.sync()

    assert serving.store.get("iris").source == "registry"
    assert len(serving.registry.fetched) == fetched


def test_first_start_without_a_registry_names_missing_models(tmp_path: Path) -> None:
    serving = Serving(tmp_path / "cache")
    serving.registry.reachable = False

    serving.sync()

    assert serving.store.why_missing("iris") == "iris is not loaded yet: the model registry cannot be reached"


@pytest.mark.parametrize("name", ["../x", "..", ".", "/etc/x", "x/../../y", "a b", "é", "a\\b", "C:x", "x" * 200])
def test_unusual_model_name_stays_inside_the_cache(tmp_path: Path, name: str) -> None:
    serving = Serving(tmp_path / "deep" / "cache")
    register(serving.registry, bundle_files(name), name, promote=True)

    serving.sync()
    serving.restart(offline=True)

    assert serving.served() == {name: "1"}
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["cache"]
    [folder] = [path for path in (tmp_path / "deep" / "cache").iterdir() if path.is_dir()]
    assert len([path for path in folder.iterdir() if path.is_dir()]) == 1


def test_model_with_an_impossible_folder_name_is_served_uncached(serving: Serving) -> None:
    for name in ("é" * 100, "rose"):
        register(serving.registry, bundle_files(name), name, promote=True)

    serving.sync()

    assert serving.served() == {"iris": "1", "rose": "1", "é" * 100: "1"}
    assert serving.sample("slipway_model_not_cached", model="é" * 100) == 1


def test_misspelled_alias_hint_has_the_right_command(tmp_path: Path) -> None:
    serving = Serving(tmp_path / "cache")
    for name in ("iris", "rose"):
        register(serving.registry, bundle_files(name), name)
        serving.registry.set_alias(name, "production", "1")

    serving.sync()

    with pytest.raises(NotReadyError, match=r"alias 'production'.*run 'slipway models promote iris 1'"):
        serving.store.get("iris")
    with pytest.raises(NotFoundError, match=r"alias 'production'.*run 'slipway models promote rose 1'"):
        serving.store.get("rose")
    serving.registry.set_alias("rose", PRODUCTION, "1")
    serving.sync()
    assert serving.served() == {"rose": "1"}


def test_model_excluded_by_settings_gets_no_hint(tmp_path: Path) -> None:
    serving = Serving(tmp_path / "cache", models=("iris",))
    register(serving.registry, bundle_files("rose"), "rose")
    serving.registry.set_alias("rose", "production", "1")

    serving.sync()

    with pytest.raises(NotFoundError, match="rose is not served: SLIPWAY_MODELS does not name it"):
        serving.store.get("rose")
