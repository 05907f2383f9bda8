"""Promote: the gate compares with the champion, its result is stored, and Production moves or stays."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import pytest

from slipway_core.bundle import MANIFEST_FILE, digest
from slipway_core.columns import InputColumn
from slipway_core.errors import RegistryUnavailableError
from slipway_core.graph import Graph
from slipway_core.manifest import GOLDEN_FILE, MODEL_FILE, DataLineage
from slipway_core.registry import PRODUCTION, promotion
from slipway_core.registry.gate_result import GateResult, gate_result_of
from slipway_core.registry.memory import InMemoryRegistry
from slipway_core.registry.withdrawals import MODEL_DIGEST_TAG
from slipway_trainer.recipes import Recipe
from slipway_trainer.recipes.iris import RECIPE as IRIS
from slipway_trainer.step_results import Evaluation
from slipway_trainer.steps.promote import promote
from support.bundles import (
    CLASSES,
    FEATURES,
    NAMES,
    bundle_files,
    golden_of,
    linear_classifier,
    register,
    regression_files,
)
from support.iris import trained_iris

NO_CHAMPION = "no Production version to compare with"
# A classifier that always predicts setosa: correct for 11 of the 33 test rows.
ALWAYS_SETOSA = linear_classifier(np.array([1e3, 0, 0], dtype=np.float32))


@pytest.fixture
def registry() -> InMemoryRegistry:
    return InMemoryRegistry()


def challenger(accuracy: float) -> Evaluation:
    evaluation = trained_iris().evaluations["random-forest"]
    return replace(evaluation, metrics={**evaluation.metrics, "accuracy": accuracy})


def ask(
    registry: InMemoryRegistry,
    accuracy: float = 1.0,
    recipe: Recipe = IRIS,
    mode: Literal["auto", "never", "force"] = "auto",
) -> tuple[str, GateResult]:
    """Register a new version and run the gate on it."""
    number = register(registry, bundle_files())
    version = registry.get_version("iris", number)
    return number, promote(
        recipe, version, challenger(accuracy), trained_iris().split, mode=mode, registry=registry, by="ada"
    )


def production(registry: InMemoryRegistry) -> str | None:
    return registry.get_model("iris").aliases.get(PRODUCTION)


def kept(registry: InMemoryRegistry, version: str) -> GateResult | None:
    """Return the gate result in the tags of a version."""
    return gate_result_of(registry.get_version("iris", version).tags)


def accuracy_of(model: bytes) -> float:
    split = trained_iris().split
    return float(np.mean(Graph(model, NAMES).run(split.test_features).prediction == split.test_target))


def test_first_version_above_the_floors_becomes_production(registry: InMemoryRegistry) -> None:
    number, gate_result = ask(registry, 0.95)

    assert gate_result.promote
    assert production(registry) == number
    assert kept(registry, number) == gate_result
    assert gate_result.summary == f"accuracy 0.9500 meets the floor 0.9000; {NO_CHAMPION}"


def test_promotion_is_in_the_history_with_its_reason(registry: InMemoryRegistry) -> None:
    number, gate_result = ask(registry, 0.95)

    event = json.loads(registry.get_model("iris").tags["slipway.event.000001"])

    assert event.keys() == {"action", "version", "from", "by", "at", "reason", "metrics", "data_version"}
    assert (event["action"], event["version"], event["from"], event["by"]) == ("promote", number, None, "ada")
    assert event["reason"] == f"gate: {gate_result.summary}"
    assert event["at"].endswith("Z")


def test_version_below_floor_is_not_promoted_and_keeps_reasons(registry: InMemoryRegistry) -> None:
    number, gate_result = ask(registry, 0.85)

    assert not gate_result.promote
    assert production(registry) is None
    assert kept(registry, number) == gate_result
    assert gate_result.summary == (
        "accuracy 0.8500 is below the floor 0.9000; --set floors.accuracy=VALUE changes the floor"
    )
    assert not registry.get_model("iris").tags


def test_champion_is_scored_on_the_rows_of_the_challenger(registry: InMemoryRegistry) -> None:
    register(registry, bundle_files(), promote=True)
    champion = accuracy_of(linear_classifier())
    assert champion != 0.97  # what its manifest says

    _, gate_result = ask(registry, 1.0)

    assert gate_result.promote
    assert f"accuracy 1.0000 is better than Production's {champion:.4f} (version 1) on the same rows" in (
        gate_result.summary
    )


def test_version_worse_than_champion_leaves_it_in_production(registry: InMemoryRegistry) -> None:
    before = register(registry, bundle_files(), promote=True)
    lenient = IRIS.model_copy(update={"floors": {}})

    _, gate_result = ask(registry, accuracy_of(linear_classifier()) - 0.01, lenient)

    assert not gate_result.promote
    assert "is worse than Production's" in gate_result.summary
    assert production(registry) == before


def test_tie_moves_production_to_the_new_version(registry: InMemoryRegistry) -> None:
    before = register(registry, bundle_files(), promote=True)
    lenient = IRIS.model_copy(update={"floors": {}})

    number, _ = ask(registry, accuracy_of(linear_classifier()), lenient)

    assert production(registry) == number
    assert json.loads(registry.get_model("iris").tags["slipway.event.000001"])["from"] == before


def test_a_weak_champion_does_not_lower_the_floors(registry: InMemoryRegistry) -> None:
    before = register(registry, bundle_files(model=ALWAYS_SETOSA), promote=True)
    assert accuracy_of(ALWAYS_SETOSA) == pytest.approx(1 / 3)

    _, gate_result = ask(registry, 0.8)

    assert not gate_result.promote
    assert production(registry) == before


def damaged(registry: InMemoryRegistry, file: str) -> str:
    number = register(registry, bundle_files())
    registry.replace_file("iris", number, file, b"damaged")
    return number


def incomplete(registry: InMemoryRegistry, missing: str) -> str:
    files = bundle_files()
    tags = registry.get_version("iris", register(registry, files)).tags
    return registry.add_version("iris", {n: c for n, c in files.items() if n != missing}, tags=tags).version


def without_manifest(registry: InMemoryRegistry, file: str) -> str:
    return registry.add_version("iris", {file: linear_classifier()}).version


@pytest.mark.parametrize(
    ("add_champion", "file"),
    [
        *((damaged, file) for file in (MODEL_FILE, MANIFEST_FILE, GOLDEN_FILE)),
        *((incomplete, file) for file in (MODEL_FILE, MANIFEST_FILE)),
        (without_manifest, MODEL_FILE),
    ],
)
def test_unreadable_champion_leaves_the_decision_to_the_floors(
    registry: InMemoryRegistry, add_champion: Callable[[InMemoryRegistry, str], str], file: str
) -> None:
    champion = add_champion(registry, file)
    registry.set_alias("iris", PRODUCTION, champion)

    number, gate_result = ask(registry, 0.95)

    assert gate_result.promote
    assert f"Production (version {champion}) cannot be compared: " in gate_result.summary
    assert production(registry) == number


NAN_CLASSIFIER = linear_classifier(np.array([np.nan, 0, 0], dtype=np.float32))


@pytest.mark.parametrize(
    ("files", "recipe", "reason"),
    [
        (regression_files("iris"), IRIS, "its task is regression"),
        (bundle_files(), IRIS.model_copy(update={"classes": (*IRIS.classes, "tulip")}), ""),
        (
            bundle_files(model=NAN_CLASSIFIER, golden=golden_of(linear_classifier())),
            IRIS,
            "it does not return a number for each row",
        ),
    ],
    ids=["another task", "other classes", "NaN"],
)
def test_incomparable_champion_does_not_stop_the_gate(
    registry: InMemoryRegistry, files: dict[str, bytes], recipe: Recipe, reason: str
) -> None:
    register(registry, files, promote=True)

    _, gate_result = ask(registry, 0.95, recipe)

    assert gate_result.promote
    assert f"Production (version 1) cannot be compared: {reason}" in gate_result.summary


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(bundle_files(classes=CLASSES[::-1]), id="classes"),
        pytest.param(bundle_files(columns=[InputColumn(name=n, dtype="float32") for n in FEATURES[::-1]]), id="inputs"),
    ],
)
def test_champion_with_reordered_classes_is_matched_by_name(
    registry: InMemoryRegistry, files: dict[str, bytes]
) -> None:
    register(registry, files, promote=True)

    _, gate_result = ask(registry, 0.95)

    assert f"Production's {accuracy_of(linear_classifier()):.4f}" not in gate_result.summary


def test_unavailable_registry_raises_without_gate_result(registry: InMemoryRegistry) -> None:
    version = registry.get_version("iris", register(registry, bundle_files()))
    registry.reachable = False

    with pytest.raises(RegistryUnavailableError):
        promote(IRIS, version, challenger(1.0), trained_iris().split, registry=registry, by="ada")


def test_event_has_the_metrics_of_the_registration(registry: InMemoryRegistry) -> None:
    ask(registry)

    event = json.loads(registry.get_model("iris").tags["slipway.event.000001"])
    version = registry.get_version("iris", "1")

    assert event["metrics"] == json.loads(version.tags[promotion.METRICS_TAG])
    assert event["data_version"] == version.tags[promotion.DATA_VERSION_TAG]


def test_mode_never_stores_the_result_and_leaves_production(registry: InMemoryRegistry) -> None:
    before = register(registry, bundle_files(), promote=True)

    number, gate_result = ask(registry, 1.0, mode="never")

    assert gate_result.passed
    assert not gate_result.promote
    assert kept(registry, number) == gate_result
    assert production(registry) == before
    assert not registry.get_model("iris").tags


def test_force_promotes_a_rejected_version_and_states_it(registry: InMemoryRegistry) -> None:
    register(registry, bundle_files(), promote=True)

    number, gate_result = ask(registry, 0.5, mode="force")

    assert not gate_result.passed
    assert production(registry) == number
    event = json.loads(registry.get_model("iris").tags["slipway.event.000001"])
    assert event["reason"].startswith("forced, although the gate failed: accuracy 0.5000 is below the floor 0.9000; ")


def test_force_with_passed_checks_is_a_normal_promotion(registry: InMemoryRegistry) -> None:
    ask(registry, 0.95, mode="force")

    assert json.loads(registry.get_model("iris").tags["slipway.event.000001"])["reason"].startswith("gate: ")


@pytest.mark.parametrize(
    ("champion", "key", "caveat"),
    [
        ("stratified by row", None, ""),
        ("stratified by 'patient'", "patient", ""),
        ("stratified by row", "patient", "its split was stratified by row, not stratified by 'patient'"),
        # The split of an earlier version, which kept repeated rows together.
        ("stratified", None, "its split was stratified, not stratified by row"),
    ],
)
def test_comparison_states_another_split(
    registry: InMemoryRegistry, champion: str, key: str | None, caveat: str
) -> None:
    lineage = DataLineage(version="sha256:" + "0" * 64, rows=150, split=champion)
    register(registry, bundle_files(data=lineage), promote=True)

    _, gate_result = ask(registry, 1.0, IRIS.model_copy(update={"split_key": key}))

    [reason] = [check.reason for check in gate_result.checks if "on the same rows" in check.reason]
    because = f"; but version 1 was trained on some of them, because {caveat}" if caveat else ""
    assert reason.endswith(f" on the same rows{because}")


def test_data_with_far_fewer_rows_is_rejected(registry: InMemoryRegistry) -> None:
    lineage = DataLineage(version="sha256:" + "0" * 64, rows=301, split="stratified")
    before = register(registry, bundle_files(data=lineage), promote=True)

    _, gate_result = ask(registry, 1.0)

    assert gate_result.summary == (
        "150 rows of data, and version 1 had 301: 49.8%, less than min_rows_share 0.8; "
        "check that the data is complete, or lower the limit with --set min_rows_share=VALUE"
    )
    assert production(registry) == before


def duplicate(registry: InMemoryRegistry) -> str:
    """Register a version with the digest of its graph in a tag, as the trainer does."""
    files = bundle_files()
    number = register(registry, files)
    registry.set_version_tag("iris", number, MODEL_DIGEST_TAG, digest(files[MODEL_FILE]))
    return number


def judged(registry: InMemoryRegistry, number: str) -> GateResult:
    """Run the gate on a registered version with a perfect score."""
    version = registry.get_version("iris", number)
    return promote(IRIS, version, challenger(1.0), trained_iris().split, registry=registry, by="ada")


def rolled_back(registry: InMemoryRegistry) -> str:
    """Promote two versions and roll back from the second; return its number."""
    weak = register(registry, bundle_files(model=ALWAYS_SETOSA))
    withdrawn = duplicate(registry)
    for number in (weak, withdrawn):
        promotion.promote(registry, "iris", number, by="ada", at=datetime.now(UTC), reason="by hand")
    promotion.rollback(registry, "iris", by="ada", at=datetime.now(UTC), reason="it is biased")
    return withdrawn


def test_same_graph_as_a_withdrawn_version_is_rejected(registry: InMemoryRegistry) -> None:
    withdrawn = rolled_back(registry)
    before = registry.get_model("iris").aliases[PRODUCTION]

    gate_result = judged(registry, duplicate(registry))

    assert not gate_result.promote
    reason = f"its graph is the same as that of version {withdrawn}, which a rollback withdrew"
    assert gate_result.summary.startswith(reason)
    assert registry.get_model("iris").aliases[PRODUCTION] == before


def test_repromoted_withdrawn_version_stops_no_equal_graph(registry: InMemoryRegistry) -> None:
    withdrawn = rolled_back(registry)
    promotion.promote(registry, "iris", withdrawn, by="ada", at=datetime.now(UTC), reason="it was fine")

    gate_result = judged(registry, duplicate(registry))

    assert gate_result.passed


def test_graph_unlike_the_withdrawn_one_is_accepted(registry: InMemoryRegistry) -> None:
    rolled_back(registry)
    other = duplicate(registry)
    registry.set_version_tag("iris", other, MODEL_DIGEST_TAG, digest(b"another graph"))

    assert judged(registry, other).passed
