"""Promote: the gate against the champion in the registry, its reasons kept, Production moved or left."""

import json
from dataclasses import replace

import numpy as np
import pytest

from slipway_core.bundle import GOLDEN_FILE, MANIFEST_FILE, MODEL_FILE, InputColumn
from slipway_core.errors import RegistryUnavailableError
from slipway_core.graph import Graph
from slipway_core.registry import PRODUCTION, promotion
from slipway_core.registry.memory import InMemoryRegistry
from slipway_trainer.gate import Decision
from slipway_trainer.recipes import Recipe
from slipway_trainer.recipes.iris import IRIS
from slipway_trainer.steps.evaluate import Evaluation
from slipway_trainer.steps.promote import GATE_TAG, promote
from support.bundles import (
    CLASSES,
    FEATURES,
    NAMES,
    bundle_files,
    linear_classifier,
    register,
    regression_files,
)
from support.iris import trained_iris

NO_CHAMPION = "there is no champion to compare with"
# A classifier that finds setosa in every row: 10 of the 30 test rows are right.
ALWAYS_SETOSA = linear_classifier(np.array([1e3, 0, 0], dtype=np.float32))


@pytest.fixture
def registry() -> InMemoryRegistry:
    return InMemoryRegistry()


def challenger(accuracy: float) -> Evaluation:
    evaluation = trained_iris().evaluations["random-forest"]
    return replace(evaluation, metrics={**evaluation.metrics, "accuracy": accuracy})


def ask(registry: InMemoryRegistry, accuracy: float = 1.0, recipe: Recipe = IRIS) -> tuple[str, Decision]:
    """Register a new version and ask the gate for it."""
    number = register(registry, bundle_files())
    version = registry.get_version("iris", number)
    decision = promote(recipe, version, challenger(accuracy), trained_iris().split, registry=registry, by="ada")
    return number, decision


def production(registry: InMemoryRegistry) -> str | None:
    return registry.get_model("iris").aliases.get(PRODUCTION)


def verdict(registry: InMemoryRegistry, version: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(registry.get_version("iris", version).tags[GATE_TAG])
    return found


def accuracy_of(model: bytes) -> float:
    split = trained_iris().split
    return float(np.mean(Graph(model, NAMES).run(split.test_features).prediction == split.test_target))


def test_the_first_version_that_meets_the_floors_becomes_production(registry: InMemoryRegistry) -> None:
    number, decision = ask(registry, 0.95)

    assert decision.promote
    assert production(registry) == number
    assert verdict(registry, number) == {
        "promote": True,
        "reasons": ["accuracy 0.9500 meets the floor 0.9000", NO_CHAMPION],
    }


def test_the_move_is_in_the_history_with_its_reason(registry: InMemoryRegistry) -> None:
    number, decision = ask(registry, 0.95)

    event = json.loads(registry.get_model("iris").tags["slipway.event.000001"])

    assert event.keys() == {"action", "version", "from", "by", "at", "reason", "metrics", "data_version"}
    assert (event["action"], event["version"], event["from"], event["by"]) == ("promote", number, None, "ada")
    assert event["reason"] == f"gate: {decision.summary}"
    assert event["at"].endswith("Z")


def test_a_version_below_a_floor_is_not_promoted_and_keeps_the_reasons(registry: InMemoryRegistry) -> None:
    number, decision = ask(registry, 0.85)

    assert not decision.promote
    assert production(registry) is None
    assert verdict(registry, number) == {
        "promote": False,
        "reasons": ["accuracy 0.8500 is below the floor 0.9000", NO_CHAMPION],
    }
    assert not registry.get_model("iris").tags


def test_the_champion_is_scored_on_the_rows_of_the_challenger(registry: InMemoryRegistry) -> None:
    register(registry, bundle_files(), promote=True)
    champion = accuracy_of(linear_classifier())
    assert champion != 0.97  # what its manifest says

    _, decision = ask(registry, 1.0)

    assert decision.promote
    assert decision.reasons[-1] == (f"accuracy 1.0000 is not worse than the champion's {champion:.4f} on the same rows")


def test_a_version_worse_than_the_champion_leaves_it_in_production(registry: InMemoryRegistry) -> None:
    before = register(registry, bundle_files(), promote=True)
    lenient = IRIS.model_copy(update={"floors": {}})

    _, decision = ask(registry, accuracy_of(linear_classifier()) - 0.01, lenient)

    assert not decision.promote
    assert "is worse than the champion's" in decision.summary
    assert production(registry) == before


def test_a_tie_moves_production_from_the_version_before(registry: InMemoryRegistry) -> None:
    before = register(registry, bundle_files(), promote=True)
    lenient = IRIS.model_copy(update={"floors": {}})

    number, _ = ask(registry, accuracy_of(linear_classifier()), lenient)

    assert production(registry) == number
    assert json.loads(registry.get_model("iris").tags["slipway.event.000001"])["from"] == before


def test_a_weak_champion_does_not_lower_the_floors(registry: InMemoryRegistry) -> None:
    before = register(registry, bundle_files(model=ALWAYS_SETOSA), promote=True)
    assert accuracy_of(ALWAYS_SETOSA) == pytest.approx(1 / 3)

    _, decision = ask(registry, 0.8)

    assert not decision.promote
    assert production(registry) == before


@pytest.mark.parametrize("file", [MODEL_FILE, MANIFEST_FILE, GOLDEN_FILE])
def test_a_damaged_champion_leaves_the_decision_to_the_floors(registry: InMemoryRegistry, file: str) -> None:
    before = register(registry, bundle_files(), promote=True)
    registry.replace_file("iris", before, file, b"damaged")

    number, decision = ask(registry, 0.95)

    assert decision.reasons[-1] == NO_CHAMPION
    assert production(registry) == number


@pytest.mark.parametrize("file", [MODEL_FILE, MANIFEST_FILE])
def test_a_champion_whose_files_are_gone_leaves_the_decision_to_the_floors(
    registry: InMemoryRegistry, file: str
) -> None:
    files = bundle_files()
    before = register(registry, files)
    number = registry.add_version(
        "iris",
        {name: content for name, content in files.items() if name != file},
        tags=registry.get_version("iris", before).tags,
    ).version
    registry.set_alias("iris", PRODUCTION, number)

    _, decision = ask(registry, 0.95)

    assert decision.promote
    assert decision.reasons[-1] == NO_CHAMPION


def test_a_champion_that_someone_else_registered_leaves_the_decision_to_the_floors(registry: InMemoryRegistry) -> None:
    number = registry.add_version("iris", {MODEL_FILE: linear_classifier()}).version
    registry.set_alias("iris", PRODUCTION, number)

    _, decision = ask(registry, 0.95)

    assert decision.promote
    assert decision.reasons[-1] == NO_CHAMPION


def test_a_champion_that_is_no_classifier_does_not_stop_the_gate(registry: InMemoryRegistry) -> None:
    register(registry, regression_files("iris"), promote=True)

    _, decision = ask(registry, 0.95)

    assert decision.promote


def test_a_champion_of_other_classes_does_not_stop_the_gate(registry: InMemoryRegistry) -> None:
    register(registry, bundle_files(), promote=True)
    four = IRIS.model_copy(update={"classes": (*IRIS.classes, "tulip")})

    _, decision = ask(registry, 0.95, four)

    assert decision.promote


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(bundle_files(classes=CLASSES[::-1]), id="classes"),
        pytest.param(bundle_files(inputs=[InputColumn(name=n, dtype="float32") for n in FEATURES[::-1]]), id="inputs"),
    ],
)
def test_a_champion_with_its_names_in_another_order_is_not_taken_by_their_places(
    registry: InMemoryRegistry, files: dict[str, bytes]
) -> None:
    register(registry, files, promote=True)

    _, decision = ask(registry, 0.95)

    assert f"the champion's {accuracy_of(linear_classifier()):.4f}" not in decision.summary


def test_a_registry_that_is_away_is_an_error_and_no_decision(registry: InMemoryRegistry) -> None:
    version = registry.get_version("iris", register(registry, bundle_files()))
    registry.reachable = False

    with pytest.raises(RegistryUnavailableError):
        promote(IRIS, version, challenger(1.0), trained_iris().split, registry=registry, by="ada")


def test_the_history_keeps_the_metrics_that_the_version_was_registered_with(registry: InMemoryRegistry) -> None:
    ask(registry)

    event = json.loads(registry.get_model("iris").tags["slipway.event.000001"])
    version = registry.get_version("iris", "1")

    assert event["metrics"] == json.loads(version.tags[promotion.METRICS_TAG])
    assert event["data_version"] == version.tags[promotion.DATA_VERSION_TAG]
