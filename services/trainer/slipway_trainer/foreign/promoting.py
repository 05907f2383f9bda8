"""Promote a registered version that has no score: only if no other version is Production, or if forced."""

from slipway_core.registry import PRODUCTION, ModelVersion, Registry
from slipway_core.registry.gate_result import GateCheck, GateResult, PromoteMode
from slipway_core.registry.signatures import has_bundle
from slipway_core.signing import Signer
from slipway_trainer.steps.promote import apply_gate, withdrawn_duplicate


def promote_without_score(
    version: ModelVersion, *, mode: PromoteMode, registry: Registry, by: str, signer: Signer | None = None
) -> GateResult:
    """Store the gate's result on a version, and promote the version if the gate passes or is forced.

    Args:
        version: the registered version.
        mode: the value of `--promote`.
        registry: the model registry.
        by: the user or service that promotes, for the history.
        signer: signs the promotion.

    Raises:
        RegistryError: the registry rejected a call or failed.
    """
    alias = production = registry.get_model(version.name).aliases.get(PRODUCTION)
    # A version of another tool is what this command replaces.
    if production is not None and not has_bundle(registry.get_version(version.name, production)):
        production = None
    reason = "no Production version to compare with; the version has no score"
    if production is not None:
        reason = (
            f"the version has no score, so it cannot be compared with Production (version {production}); pass rows "
            "with their true values, --data rows.csv --target COLUMN, or promote it with --promote force"
        )
    checks = [GateCheck(name="score against Production", passed=production is None, reason=reason)]
    if (withdrawn := withdrawn_duplicate(registry, version)) is not None:
        checks.append(
            GateCheck(
                name="not withdrawn",
                passed=False,
                reason=f"its graph is the same as that of version {withdrawn}, which a rollback withdrew; to lift the "
                f"withdrawal and promote it: slipway models promote {version.name} {version.version}",
            )
        )
    gate_result = GateResult(checks=tuple(checks), mode=mode)
    apply_gate(gate_result, version, registry=registry, by=by, expected=alias, signer=signer)
    return gate_result
