"""Promote: a version that somebody rolled back from does not come back by training it again."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from slipway_core.bundle import MODEL_FILE, digest
from slipway_core.registry import PRODUCTION, promotion
from slipway_core.registry.gate_result import GateResult
from slipway_core.registry.memory import InMemoryRegistry
from slipway_trainer.steps.promote import promote
from support.bundles import bundle_files, linear_classifier, register
from support.iris import IRIS, trained_iris

# A classifier that finds setosa in every row.
ALWAYS_SETOSA = linear_classifier(np.array([1e3, 0, 0], dtype=np.float32))


@pytest.fixture
def registry() -> InMemoryRegistry:
    return InMemoryRegistry()


def duplicate(registry: InMemoryRegistry) -> str:
    """Register a version whose tag tells the digest of its graph, as the trainer does."""
    files = bundle_files()
    number = register(registry, files)
    registry.set_version_tag("iris", number, promotion.MODEL_DIGEST_TAG, digest(files[MODEL_FILE]))
    return number


def judged(registry: InMemoryRegistry, number: str) -> GateResult:
    """Ask the gate for a version that is registered, which is as good as can be."""
    version = registry.get_version("iris", number)
    evaluation = trained_iris().evaluations["random-forest"]
    perfect = replace(evaluation, metrics={**evaluation.metrics, "accuracy": 1.0})
    return promote(IRIS, version, perfect, trained_iris().split, registry=registry, by="ada")


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
    registry.set_version_tag("iris", other, promotion.MODEL_DIGEST_TAG, digest(b"another graph"))

    assert judged(registry, other).passed
