"""`slipway models`: the registered models, their Production versions and their history."""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE
from rich.table import Table

from slipway_cli.output import console, echo, print_json, print_table
from slipway_cli.signature_table import signature_json, signature_table
from slipway_cli.signing import key_files, signature_notes
from slipway_core.bundle import MANIFEST_FILE, MANIFEST_TAG, is_digest, parse_manifest
from slipway_core.current_user import current_user
from slipway_core.errors import BundleError, RegistryError
from slipway_core.manifest import Manifest
from slipway_core.registry import PRODUCTION, STAGING, ModelVersion, RegisteredModel, Registry, promotion
from slipway_core.registry.alias_history import Move, moved_by_hand, moves
from slipway_core.registry.gate_result import gate_result_of
from slipway_core.registry.mistaken_promotions import mistaken_promotion
from slipway_core.registry.mlflow import MlflowRegistry
from slipway_core.registry.settings import RegistrySettings, SigningSettings
from slipway_core.registry.withdrawals import is_withdrawn
from slipway_core.settings import load_settings

app = typer.Typer(no_args_is_help=True, help="List and show the registered models; promote or roll back a version.")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Reason = Annotated[str, typer.Option(help="The reason to record in the history.")]
Name = Annotated[str, typer.Argument(help="The model's name, such as `iris`.")]


@app.command("list")
def list_models(as_json: AsJson = False) -> None:  # a flag
    """List the registered models. Example: `slipway models list`."""
    with _registry() as registry:
        models = sorted(registry.list_models(), key=lambda model: model.name)
    if as_json:
        print_json([{"name": model.name, **_aliases(model), "description": model.description} for model in models])
        return
    table = Table("model", "Production", "Staging", "candidates", "description")
    for model in models:
        production, staging = (model.aliases.get(alias, "–") for alias in (PRODUCTION, STAGING))
        table.add_row(model.name, production, staging, ", ".join(model.candidates) or "–", model.description)
    print_table(table if models else "No model is registered: `slipway train iris` trains one.")
    for model in models:
        _note_mistaken_promotion(model)


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show a model's versions, newest first, and the features of Production. Example: `slipway models show iris`."""
    with _registry() as registry:
        model = registry.get_model(name)
        versions = registry.list_versions(name)
        production = model.aliases.get(PRODUCTION)
        described = next((one for one in versions if one.version == production), versions[0] if versions else None)
        manifest = _manifest(registry, described) if described else None
    rows = [_describe(version, model) for version in versions]
    if as_json:
        shown = {"version": described.version, **signature_json(manifest)} if described and manifest else None
        fields = {"name": name, **_aliases(model), "description": model.description}
        print_json({**fields, "signature": shown, "versions": rows})
        return
    table = Table(
        "version", "registered", "metrics", "gate", title=f"{name}: Production is {production or 'not set'}", box=SIMPLE
    )
    marks = _gate_marks()
    for version, row in zip(versions, rows, strict=True):
        gate_result = gate_result_of(version.tags)
        gate = "\n".join(f"{marks[check.passed]} {check.reason}" for check in gate_result.checks) if gate_result else ""
        marks_of_version = [*sorted(row["aliases"]), *(["withdrawn"] if row["withdrawn"] else [])]
        table.add_row(
            "\n".join([row["version"], *marks_of_version]),
            _minute(row["registered_at"]),
            _metrics(row["metrics"], row["gate_metrics"]),
            gate or "–",
        )
    print_table(table)
    if described and manifest:
        print_table(signature_table(manifest, described.version))
    _note_mistaken_promotion(model)
    if moved_by_hand(model):
        echo(
            f"The alias Production was moved outside of Slipway; see `slipway models history {name}`. An API with "
            "trusted keys ignores the move until `slipway models promote` confirms it."
        )


@app.command()
def promote(
    name: Name,
    version: Annotated[str, typer.Argument(help="The version's number.")],
    reason: Reason = "promoted by hand",
) -> None:
    """Make a version Production, regardless of the gate. Example: `slipway models promote iris 3`.

    Promoting a withdrawn version lifts its withdrawal.
    """
    settings = load_settings(RegistrySettings)
    with _keys(settings) as keys, settings.open_registry() as registry:
        chosen = registry.get_version(name, version)
        signer, trusted = keys.signer(), keys.read_trusted_keys()
        if promotion.is_promoted(registry, chosen, signer=signer, trusted=trusted):
            echo(f"Version {chosen.version} of {name} is already Production.")
            return
        event = promotion.promote(
            registry,
            name,
            version,
            by=current_user(),
            at=datetime.now(UTC),
            reason=reason,
            signer=signer,
            trusted=trusted,
        )
    before = f"; before, it was version {event.from_version}" if event.from_version else ""
    echo(f"Production of {name} is now version {event.version}{before}.")
    if signer is None and not is_digest(chosen.tags.get(MANIFEST_TAG, "")):
        echo("The registry has no SHA-256 of its bundle, so the API keeps serving the version that it has loaded.")
    if is_withdrawn(chosen):
        echo(f"The withdrawal of this version is lifted; `slipway models history {name}` shows its reason.")


@app.command()
def rollback(name: Name, reason: Reason = "rolled back by hand") -> None:
    """Restore the previous Production version and withdraw the current one. Repeat to go further back.

    Training never promotes a withdrawn version or its graph again; `slipway models promote` lifts a withdrawal.
    Example: `slipway models rollback iris`
    """
    settings = load_settings(RegistrySettings)
    with _keys(settings) as keys, settings.open_registry() as registry:
        event = promotion.rollback(
            registry,
            name,
            by=current_user(),
            at=datetime.now(UTC),
            reason=reason,
            signer=keys.signer(),
            trusted=keys.read_trusted_keys(),
        )
    echo(
        f"Production of {name} is version {event.version} again; version {event.from_version} is withdrawn. "
        f"To lift the withdrawal: slipway models promote {name} {event.from_version}"
    )


@app.command()
def stage(name: Name, version: Annotated[str, typer.Argument(help="The version's number.")]) -> None:
    """Serve a version beside Production, at `/models/NAME/staging/predict`. Example: `slipway models stage iris 3`."""
    with _registry() as registry:
        chosen = registry.get_version(name, version)
        registry.set_alias(name, STAGING, chosen.version)
    echo(f"{STAGING} of {name} is now version {chosen.version}.")


@app.command()
def unstage(name: Name) -> None:
    """Remove the alias Staging from a model. Example: `slipway models unstage iris`."""
    with _registry() as registry:
        staged = registry.get_model(name).aliases.get(STAGING)
        if staged is not None:
            registry.delete_alias(name, STAGING)
    echo(
        f"{name} has no {STAGING} version." if staged is None else f"{STAGING} of {name} is removed: version {staged}."
    )


@app.command()
def history(name: Name, as_json: AsJson = False) -> None:
    """List every change of a model's Production alias, newest first. Example: `slipway models history iris`.

    `external`: the alias was moved by something other than Slipway, such as MLflow's web interface. With trusted keys,
    events that none of them signed are marked: the API ignores them.
    """
    settings = load_settings(RegistrySettings)
    with _keys(settings) as keys, settings.open_registry() as registry:
        model, trusted = registry.get_model(name), keys.read_trusted_keys()
    alias_moves = moves(model)[::-1]
    signatures = signature_notes(model, alias_moves, trusted) if trusted is not None else [None] * len(alias_moves)
    if as_json:
        print_json(
            [{**_describe_move(move), "signature": note} for move, note in zip(alias_moves, signatures, strict=True)]
        )
        return
    table = Table("when", "move", "by", "metrics", "why", title=f"{name}: history of Production", box=SIMPLE)
    for move, note in zip(alias_moves, signatures, strict=True):
        described = _describe_move(move)
        table.add_row(
            _minute(described["at"] or "–"),
            f"{move.action}\n{move.from_version or '–'} → {move.version or '–'}",
            (described["by"] or "–") + (f"\n{note}" if note else ""),
            _metrics(described["metrics"]),
            # The reason of a promotion by the gate has a part for each check.
            (described["reason"] or "the alias was moved outside of Slipway").replace("; ", ";\n"),
        )
    print_table(table if alias_moves else f"Production of {name} has never been set.")


def _gate_marks() -> dict[bool, str]:
    """Return the marks of failed and passed checks: words if the output's encoding lacks the characters."""
    if console().options.ascii_only:
        return {False: "failed:", True: "passed:"}
    return {False: "✗", True: "✓"}


def _note_mistaken_promotion(model: RegisteredModel) -> None:
    if (miss := mistaken_promotion(model)) is not None:
        echo(f"{model.name} {miss.what}: promote it with `{miss.command}`.")


def _keys(settings: RegistrySettings) -> AbstractContextManager[SigningSettings]:
    return key_files(settings.mlflow_tracking_uri, settings)


def _registry() -> MlflowRegistry:
    return load_settings(RegistrySettings).open_registry()


def _manifest(registry: Registry, version: ModelVersion) -> Manifest | None:
    """Return a version's manifest; None if it has none, or, with a note, if it cannot be read."""
    expected = version.tags.get(MANIFEST_TAG, "")
    if not is_digest(expected):
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / MANIFEST_FILE
        try:
            registry.fetch(version, MANIFEST_FILE, path)
            return parse_manifest(path.read_bytes(), expected)
        except (RegistryError, BundleError) as error:
            echo(f"Note: the features of version {version.version} cannot be read: {error}", err=True)
            return None


def _aliases(model: RegisteredModel) -> dict[str, Any]:
    production, staging = (model.aliases.get(alias) for alias in (PRODUCTION, STAGING))
    return {"production": production, "staging": staging, "candidates": model.candidates}


def _describe(version: ModelVersion, model: RegisteredModel) -> dict[str, Any]:
    gate_result = gate_result_of(version.tags)
    return {
        "version": version.version,
        "production": model.aliases.get(PRODUCTION) == version.version,
        "aliases": [alias for alias, number in model.aliases.items() if number == version.version],
        "registered_at": datetime.fromtimestamp(version.created_at, UTC).isoformat(),
        "description": version.description,
        "run_id": version.run_id,
        "metrics": promotion.metrics_of(version),
        "data_version": version.tags.get(promotion.DATA_VERSION_TAG),
        "withdrawn": is_withdrawn(version),
        "gate_metrics": list(gate_result.metrics) if gate_result else [],
        "gate": [check.reason for check in gate_result.checks] if gate_result else [],
    }


def _describe_move(move: Move) -> dict[str, Any]:
    event = move.event.model_dump(mode="json") if move.event else {}
    return {
        "action": move.action,
        "version": move.version,
        "from": move.from_version,
        **{key: event.get(key) for key in ("at", "by", "reason", "metrics", "data_version")},
    }


def _metrics(metrics: Mapping[str, float] | None, of_the_gate: Sequence[str] = ()) -> str:
    """Return the gate's metrics, then the others with one-word names, one a line. The JSON has all of them.

    The trainer writes the metric of the comparison first.
    """
    found = metrics or {}
    names = [*of_the_gate, *islice(found, 1), *(name for name in found if "_" not in name)]
    return "\n".join(f"{name} {found[name]:.4f}" for name in dict.fromkeys(names) if name in found) or "–"


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")
