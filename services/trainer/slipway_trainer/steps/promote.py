"""Ask the gate, keep its reasons on the version, and move Production if it agrees."""

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from slipway_core.bundle import MANIFEST_FILE, MANIFEST_TAG, SERVED_FILES, Manifest, read_bundle
from slipway_core.errors import BundleError, RegistryNotFoundError
from slipway_core.graph import Graph
from slipway_core.registry import PRODUCTION, ModelVersion, Registry, promotion
from slipway_trainer.gate import Decision, decide
from slipway_trainer.recipes import Recipe
from slipway_trainer.steps.evaluate import Evaluation, classification_metrics
from slipway_trainer.steps.train import Split

GATE_TAG = "slipway.gate"


def promote(
    recipe: Recipe,
    version: ModelVersion,
    evaluation: Evaluation,
    split: Split,
    *,
    registry: Registry,
    by: str,
) -> Decision:
    """Promote a version if it meets the floors and is not worse than the champion on the same test rows.

    Raises:
        RegistryError: the registry refused or failed.
    """
    champion = _champion_score(recipe, split, registry)
    decision = decide(evaluation.metrics, recipe.floors, metric=recipe.metric, champion=champion)
    verdict = {"promote": decision.promote, "reasons": decision.reasons}
    registry.set_version_tag(recipe.name, version.version, GATE_TAG, json.dumps(verdict))
    if decision.promote:
        promotion.promote(
            registry,
            recipe.name,
            version.version,
            by=by,
            at=datetime.now(UTC),
            reason=f"gate: {decision.summary}",
        )
    return decision


def _is_comparable(recipe: Recipe, manifest: Manifest) -> bool:
    """Tell whether a champion takes the recipe's features and gives its classes, each in the same order."""
    inputs = [column.name for column in manifest.inputs]
    return manifest.task == recipe.task and inputs == recipe.feature_names and manifest.classes == recipe.classes


def _champion_score(recipe: Recipe, split: Split, registry: Registry) -> float | None:
    """Score Production's graph on the test rows; None where none can be compared with."""
    number = registry.get_model(recipe.name).aliases.get(PRODUCTION)
    if number is None:
        return None
    try:
        champion = registry.get_version(recipe.name, number)
        with tempfile.TemporaryDirectory(prefix="slipway-champion-") as folder:
            for name in (MANIFEST_FILE, *SERVED_FILES):
                registry.fetch(champion, name, Path(folder) / name)
            bundle = read_bundle(Path(folder), champion.tags.get(MANIFEST_TAG, ""))
        if not _is_comparable(recipe, bundle.manifest):
            return None
        outputs = Graph(bundle.model, bundle.manifest.graph).run(split.test_features)
        return classification_metrics(outputs, split.test_target, len(recipe.classes))[recipe.metric]
    except (BundleError, RegistryNotFoundError):
        # A champion that is damaged or gone cannot be served either: the floors alone decide.
        return None
