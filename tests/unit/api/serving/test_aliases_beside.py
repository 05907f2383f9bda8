"""Staging and candidates: aliases beside Production, which are followed, loaded later, limited and unloaded."""

from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.typing import EventDict

from slipway_api.errors import NotFoundError, NotReadyError
from slipway_api.serving.model_ref import ModelRef
from slipway_core.manifest import MODEL_FILE
from slipway_core.registry import PRODUCTION, STAGING
from slipway_core.registry.base import candidate_alias
from support.bundles import bundle_files, register
from support.serving import Serving

LINEAR, FOREST = candidate_alias("linear"), candidate_alias("forest")


@pytest.fixture
def serving(tmp_path: Path, logs: list[EventDict]) -> Serving:
    """Create a process whose iris has Production at version 1, Staging at 2, linear at 3 and forest at 1."""
    serving = Serving(tmp_path)
    for _ in range(3):
        register(serving.registry, bundle_files())
    for alias, version in ((PRODUCTION, "1"), (STAGING, "2"), (LINEAR, "3"), (FOREST, "1")):
        serving.registry.set_alias("iris", alias, version)
    serving.sync()
    logs.clear()
    return serving


def beside(serving: Serving) -> dict[str, str]:
    """Return the version of each loaded reference beside Production."""
    return {ref.alias: model.version for ref, model in serving.store.loaded.items() if ref.is_beside}


ALL = {STAGING: "2", LINEAR: "3", FOREST: "1"}


def test_aliases_beside_production_are_served(serving: Serving) -> None:
    assert serving.served() == {"iris": "1"}
    assert beside(serving) == ALL
    assert serving.store.get("iris", alias=LINEAR).version == "3"
    assert serving.sample("slipway_model_info", model="iris", version="3") == 1
    # An unused candidate has no series of predictions, so that trainings do not multiply them.
    assert serving.sample("slipway_prediction_rows_total", model="iris", version="3") is None
    assert serving.sample("slipway_prediction_rows_total", model="iris", version="1") == 0


def test_version_with_two_aliases_is_loaded_once(serving: Serving) -> None:
    assert serving.store.get("iris", alias=FOREST).graph is serving.store.get("iris").graph
    assert [call for call in serving.registry.fetched if call[1:] == ("1", MODEL_FILE)] == [("iris", "1", MODEL_FILE)]


def test_moved_and_removed_aliases_are_followed(serving: Serving, logs: list[EventDict]) -> None:
    serving.registry.set_alias("iris", FOREST, "2")
    serving.registry.delete_alias("iris", LINEAR)
    serving.registry.delete_alias("iris", STAGING)

    serving.sync()

    assert beside(serving) == {FOREST: "2"}
    assert serving.served() == {"iris": "1"}
    assert serving.sample("slipway_model_info", model="iris", version="3") is None
    [told] = [one["reason"] for one in logs if one["event"] == "model_unloaded" and one["version"] == "3"]
    assert told == "its alias candidate-linear is no longer followed"
    with pytest.raises(NotFoundError, match="iris has no candidate named linear; GET /models/iris/candidates lists"):
        serving.store.get("iris", alias=LINEAR)
    with pytest.raises(NotFoundError, match="to set it: slipway models stage iris VERSION"):
        serving.store.get("iris", alias=STAGING)


def test_damaged_candidate_does_not_affect_readiness(tmp_path: Path) -> None:
    serving = Serving(tmp_path, ("iris",))
    register(serving.registry, bundle_files(), promote=True)
    damaged = register(serving.registry, bundle_files())
    serving.registry.replace_file("iris", damaged, MODEL_FILE, b"damaged")
    serving.registry.set_alias("iris", LINEAR, damaged)

    serving.sync()

    assert (serving.served(), serving.store.missing()) == ({"iris": "1"}, [])
    with pytest.raises(NotReadyError, match=r"version 2 of iris cannot be loaded: model\.onnx has the digest"):
        serving.store.get("iris", alias=LINEAR)
    assert serving.sample("slipway_model_load_failing", model="iris@candidate-linear") == 1


def test_only_the_newest_candidates_are_loaded(tmp_path: Path) -> None:
    serving = Serving(tmp_path)
    serving.max_candidates = 2
    serving.start()
    for name in ("a", "b", "c"):
        serving.registry.set_alias("iris", candidate_alias(name), register(serving.registry, bundle_files()))
    serving.sync()

    assert beside(serving) == {"candidate-b": "2", "candidate-c": "3"}
    with pytest.raises(NotFoundError, match="set SLIPWAY_MAX_CANDIDATES to serve more"):
        serving.store.get("iris", alias="candidate-a")


@pytest.mark.parametrize(("models", "served"), [(("iris@1",), {}), (("rose",), {}), (("iris",), ALL)])
def test_aliases_are_served_only_for_models_that_follow_production(
    serving: Serving, models: tuple[str, ...], served: dict[str, str]
) -> None:
    serving.restart(models)

    assert beside(serving) == served


def test_restart_without_the_registry_serves_aliases_from_the_cache(serving: Serving) -> None:
    serving.restart(offline=True)
    serving.sync()

    assert (serving.served(), beside(serving)) == ({"iris": "1"}, ALL)
    assert {model.source for model in serving.store.loaded.values()} == {"cache"}


def test_lowered_limit_also_applies_to_the_cache(serving: Serving) -> None:
    serving.max_candidates = 1

    serving.restart(offline=True)
    serving.sync()

    assert sorted(beside(serving)) == ["Staging", "candidate-forest"]


def test_alias_removed_unseen_is_not_served_in_a_later_outage(serving: Serving) -> None:
    serving.registry.delete_alias("iris", LINEAR)
    serving.restart()
    serving.restart(offline=True)
    serving.sync()

    assert beside(serving) == {STAGING: "2", FOREST: "1"}


def test_deleted_model_takes_its_aliases_along(serving: Serving) -> None:
    register(serving.registry, bundle_files("lily"), "lily")
    serving.sync()
    serving.registry.delete_model("iris")
    serving.sync()
    assert beside(serving) == {}
    serving.restart(offline=True)

    assert beside(serving) == {}


def test_aliases_load_after_production(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    serving.start()
    started = []
    start = serving.store._loads.start

    def note(ref: ModelRef, load: Callable[[], None]) -> None:
        started.append(str(ref))
        start(ref, load)

    monkeypatch.setattr(serving.store._loads, "start", note)

    serving.sync()

    assert started[0] == "iris"
    assert sorted(started[1:]) == ["iris@Staging", "iris@candidate-forest", "iris@candidate-linear"]
