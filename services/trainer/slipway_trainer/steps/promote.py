"""Evaluate the gate, store its result on the version, and promote the version if it passes or is forced."""

import contextlib
from datetime import UTC, datetime

import numpy as np

from slipway_core.bundle import MANIFEST_TAG, Bundle
from slipway_core.columns import is_matrix
from slipway_core.errors import BundleError, RegistryNotFoundError
from slipway_core.graph import Graph
from slipway_core.registry import PRODUCTION, ModelVersion, Registry, promotion
from slipway_core.registry.bundle_download import fetch_bundle
from slipway_core.registry.gate_result import GATE_TAG, GateResult, PromoteMode
from slipway_core.registry.signatures import checked_events, newest_event, signed_digest
from slipway_core.registry.withdrawals import MODEL_DIGEST_TAG, withdrawals
from slipway_core.signing import Signer, TrustedKeys
from slipway_trainer.features import for_graph, graph_inputs
from slipway_trainer.gate import Challenger, Champion, decide
from slipway_trainer.recipes import Recipe
from slipway_trainer.recipes.base import NOT_SPLIT
from slipway_trainer.step_results import Evaluation, Split
from slipway_trainer.tasks import task_of


def promote(
    recipe: Recipe,
    version: ModelVersion,
    evaluation: Evaluation,
    split: Split,
    *,
    mode: PromoteMode = "auto",
    registry: Registry,
    by: str,
    signer: Signer | None = None,
    trusted: TrustedKeys | None = None,
) -> GateResult:
    """Promote a version if it meets its limits and does not regress from the champion on the same test rows.

    Args:
        recipe: the recipe with the floors and ceilings, the metric and the allowed regression. Its threshold applies to
            both versions, so that the comparison is one of the graphs.
        version: the challenger.
        evaluation: the challenger's metrics on the test rows.
        split: the rows on which it and the champion are scored.
        mode: `never` stores the gate's result only; `force` promotes regardless of it.
        registry: the model registry.
        by: the user or service that promotes, for the history.
        signer: signs the promotion.
        trusted: compare only with a version that one of these keys signed, and that a signed event promoted.

    Raises:
        RegistryError: the registry rejected a call or failed.
    """
    alias = _alias(recipe, registry)
    champion = _champion(recipe, split, registry, trusted)
    gate_result = decide(
        Challenger(
            evaluation.metrics,
            split.n_rows,
            withdrawn_duplicate(registry, version),
            promote_command=f"slipway models promote {recipe.name} {version.version}",
            is_registered=recipe.split_summary == NOT_SPLIT,
        ),
        champion,
        metric=recipe.metric,
        floors=recipe.floors,
        ceilings=recipe.ceilings,
        max_regression=recipe.max_regression,
        min_rows_share=recipe.min_rows_share,
        mode=mode,
    )
    apply_gate(gate_result, version, registry=registry, by=by, expected=alias, signer=signer)
    return gate_result


def apply_gate(
    gate_result: GateResult,
    version: ModelVersion,
    *,
    registry: Registry,
    by: str,
    expected: str | None,
    signer: Signer | None,
) -> None:
    """Store the gate's result on a version, and promote the version if the gate passed or is forced.

    Args:
        gate_result: the result of the gate.
        version: the version.
        registry: the model registry.
        by: the user or service that promotes, for the history.
        expected: the Production version that it was compared with. A promotion by someone else in the meantime takes
            precedence.
        signer: signs the promotion.

    Raises:
        ProductionMovedError: Production points to another version than `expected`.
        RegistryError: the registry rejected a call or failed.
    """
    registry.set_version_tag(version.name, version.version, GATE_TAG, gate_result.to_tag())
    if gate_result.promote:
        word = "gate" if gate_result.passed else "forced, although the gate failed"
        promotion.promote(
            registry,
            version.name,
            version.version,
            by=by,
            at=datetime.now(UTC),
            reason=f"{word}: {gate_result.summary}",
            expected=expected,
            signer=signer,
        )


def _alias(recipe: Recipe, registry: Registry) -> str | None:
    return registry.get_model(recipe.name).aliases.get(PRODUCTION)


def _champion(recipe: Recipe, split: Split, registry: Registry, trusted: TrustedKeys | None) -> Champion | None:
    """Score the Production version's graph on the test rows; with trusted keys, as the signed history names it."""
    number = _alias(recipe, registry)
    if number is None:
        return None
    if trusted is not None:
        event = newest_event(checked_events(registry.get_model(recipe.name), trusted))
        if event is None:
            return Champion(number, None, "no trusted key signed its promotion")
        number = event.version
    try:
        champion = registry.get_version(recipe.name, number)
        if trusted is not None:
            signed_digest(champion, trusted)
        bundle = fetch_bundle(registry, champion, champion.tags.get(MANIFEST_TAG, ""))
        if why_not := _why_not_comparable(recipe, bundle):
            return Champion(number, None, why_not, rows=bundle.manifest.data.rows)
        outputs = Graph(bundle.model, bundle.manifest.graph).run(for_graph(split.test_features))
        if not np.isfinite(outputs.prediction if outputs.scores is None else outputs.scores).all():
            return Champion(number, None, "it does not return a number for each row", rows=bundle.manifest.data.rows)
        score = task_of(recipe).score(outputs, split.test_target)[recipe.metric]
        data = bundle.manifest.data
        caveat = ""
        if data.split != recipe.split_summary and NOT_SPLIT in {data.split, recipe.split_summary}:
            caveat = f"but version {number} may have been trained on some of them"
        elif data.split != recipe.split_summary:
            caveat = (
                f"but version {number} was trained on some of them, because its split was {data.split}, not "
                f"{recipe.split_summary}"
            )
        return Champion(number, score, caveat=caveat, rows=data.rows)
    except (BundleError, RegistryNotFoundError) as error:
        # A damaged or missing champion cannot be served, either: only the floors decide.
        return Champion(number, None, str(error))


def _why_not_comparable(recipe: Recipe, bundle: Bundle) -> str | None:
    manifest = bundle.manifest
    if manifest.task != recipe.task:
        return f"its task is {manifest.task}"
    if [column.name for column in manifest.columns] != recipe.feature_names:
        return "its features differ in name or order"
    if not recipe.is_matrix and manifest.inputs != graph_inputs(recipe.columns):
        return "its features differ in type"
    if recipe.is_matrix and not is_matrix(manifest.columns, manifest.inputs):
        return "its features differ in type"
    if (manifest.classes or ()) != recipe.classes:
        return "its classes differ in name or order"
    return None


def withdrawn_duplicate(registry: Registry, version: ModelVersion) -> str | None:
    """Return the withdrawn version with the same graph, unless Production serves that graph."""
    twins = withdrawals(registry, version)
    if not twins:
        return None
    production = registry.get_model(version.name).aliases.get(PRODUCTION)
    graph = version.tags.get(MODEL_DIGEST_TAG)
    with contextlib.suppress(RegistryNotFoundError):
        served = registry.get_version(version.name, production) if production else None
        if served is not None and served.tags.get(MODEL_DIGEST_TAG) == graph:
            return None
    return twins[0].version
