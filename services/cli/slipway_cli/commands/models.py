"""`slipway models`: the registry's models, and what Production points to."""

import getpass
import json
import os
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from slipway_cli.output import console, print_json
from slipway_core.registry import PRODUCTION, ModelVersion, promotion
from slipway_core.registry.mlflow import MlflowRegistry
from slipway_core.registry.settings import RegistrySettings
from slipway_core.settings import load_settings

GATE_TAG = "slipway.gate"

app = typer.Typer(no_args_is_help=True, help="The registry: list models, show versions, promote one.")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="The model's name, such as `iris`.")]


@app.command("list")
def list_models(as_json: AsJson = False) -> None:  # a flag
    """List the registered models. Example: `slipway models list`."""
    with _registry() as registry:
        models = sorted(registry.list_models(), key=lambda model: model.name)
    if as_json:
        print_json(
            [{"name": m.name, "production": m.aliases.get(PRODUCTION), "description": m.description} for m in models]
        )
        return
    table = Table("model", "Production", "description")
    for model in models:
        table.add_row(model.name, model.aliases.get(PRODUCTION, "–"), model.description)
    console().print(table if models else "No model is registered yet: `slipway train iris` trains the first.")


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show a model's versions, the newest first. Example: `slipway models show iris`."""
    with _registry() as registry:
        model = registry.get_model(name)
        versions = registry.list_versions(name)
    production = model.aliases.get(PRODUCTION)
    rows = [_describe(version, production) for version in versions]
    if as_json:
        print_json({"name": name, "production": production, "description": model.description, "versions": rows})
        return
    table = Table("version", "registered", "metrics", "gate", title=f"{name}: Production is {production or 'not set'}")
    for row in rows:
        mark = " ← Production" if row["production"] else ""
        metrics = ", ".join(f"{key} {value:.4f}" for key, value in row["metrics"].items() if "_" not in key)
        table.add_row(row["version"] + mark, row["registered_at"][:19], metrics or "–", "\n".join(row["gate"]) or "–")
    console().print(table)


@app.command()
def promote(
    name: Name,
    version: Annotated[str, typer.Argument(help="The version's number.")],
    reason: Annotated[str, typer.Option(help="Why, for the history.")] = "promoted by hand",
) -> None:
    """Make a version Production, whatever the gate said. Example: `slipway models promote iris 3`."""
    with _registry() as registry:
        event = promotion.promote(registry, name, version, by=_user(), at=datetime.now(UTC), reason=reason)
    before = f", it was {event.from_version}" if event.from_version else ""
    typer.echo(f"Production of {name} is version {event.version} now{before}.")


def _registry() -> MlflowRegistry:
    return load_settings(RegistrySettings).open_registry()


def _describe(version: ModelVersion, production: str | None) -> dict[str, Any]:
    return {
        "version": version.version,
        "production": version.version == production,
        "registered_at": datetime.fromtimestamp(version.created_at, UTC).isoformat(),
        "description": version.description,
        "run_id": version.run_id,
        "metrics": promotion.metrics_of(version),
        "data_version": version.tags.get(promotion.DATA_VERSION_TAG),
        "gate": _reasons(version.tags.get(GATE_TAG, "{}")),
    }


def _reasons(tag: str) -> list[str]:
    """Return the gate's reasons from a version's tag; none where somebody wrote something else into it."""
    try:
        return [str(reason) for reason in json.loads(tag)["reasons"]]
    except (ValueError, TypeError, KeyError):
        return []


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id need not have a name
        return f"uid {os.getuid()}"
