"""The trainer's own command, `slipway-trainer`: run by users, by `slipway train`, or by a job or pipeline."""

import json
import logging
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from slipway_core.current_user import current_user
from slipway_core.logging import configure_logging
from slipway_core.printable import printable
from slipway_core.program import exit_on_error, print_error
from slipway_core.registry.availability import list_models_within
from slipway_core.registry.gate_result import PromoteMode
from slipway_core.registry.mlflow import MlflowRegistry
from slipway_core.settings import load_settings
from slipway_core.startup import quick_imports
from slipway_core.terminal import SafeConsole
from slipway_trainer.errors import OverrideError
from slipway_trainer.settings import TrainerSettings

if TYPE_CHECKING:
    from slipway_trainer.recipes import Recipe

app = typer.Typer(
    help="Train a model by its recipe, register it, and promote it if the gate passes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


DEBUG_FLAG = "--debug"


@app.callback()
def options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option(DEBUG_FLAG, help="Show the traceback of an error.")] = False,  # noqa: ARG001
    called_as: Annotated[str | None, typer.Option(hidden=True, help="The program's name in usage errors.")] = None,
) -> None:
    """Train a model by its recipe, register it, and promote it if the gate passes."""
    if called_as is not None:
        context.info_name = called_as


@app.command()
def recipes(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:  # a flag
    """List the recipes."""
    with quick_imports():
        from slipway_trainer.recipes import find_recipe, recipe_names  # noqa: PLC0415

    found = [find_recipe(name) for name in recipe_names()]
    if as_json:
        typer.echo(printable(json.dumps([_described(recipe) for recipe in found], ensure_ascii=False)))
        return
    for recipe in found:
        typer.echo(printable(f"{recipe.name:<16} {recipe.title}"))


def _described(recipe: "Recipe") -> dict[str, object]:
    return {
        "name": recipe.name,
        "title": recipe.title,
        "task": recipe.task,
        "data": recipe.data_file,
        "candidates": [candidate.name for candidate in recipe.candidates],
        "metric": recipe.metric,
    }


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="The recipe's name, such as `iris`, or the path of its Python file.")],
    data: Annotated[
        str | None,
        typer.Option(
            help="The data: a CSV file, or the folder that contains it; `s3://bucket/…` works too. Defaults to "
            "SLIPWAY_DATA_DIR, then to downloading it."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Change a parameter or a value of the recipe; may be repeated."
        ),
    ] = None,
    promote: Annotated[
        PromoteMode,
        typer.Option(help="auto: promote if the gate passes; never: only register; force: promote in any case."),
    ] = "auto",
    wait: Annotated[float, typer.Option(help="Seconds to wait for the registry to come up.", min=0)] = 0.0,
) -> None:
    """Extract, validate, train, evaluate, register and promote.

    Exits with 1 if a step or the gate failed. With `--promote never`, only a failed step does.
    """
    own = load_settings(TrainerSettings)
    configure_logging(own.log_level, own.log_format)
    if own.mlflow_tracking_password:
        # MLflow's client reads the password from the environment only; Slipway's setting may come from a file.
        os.environ["MLFLOW_TRACKING_PASSWORD"] = own.mlflow_tracking_password.get_secret_value()
    is_promoted = _train(own, recipe, data, settings or [], promote, wait)
    if promote != "never" and not is_promoted:
        raise typer.Exit(1)


def _train(
    settings: TrainerSettings, recipe: str, data: str | None, overrides: list[str], promote: PromoteMode, wait: float
) -> bool:
    """Run the pipeline; return whether the gate or `--promote force` promoted the new version."""
    with settings.open_registry() as registry:
        if wait == 0:
            registry.list_models()  # fail before the work, not after it
        # MLflow reads this variable on import.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        # These modules take seconds to import, and the errors above do not need them.
        with quick_imports():
            from slipway_trainer.lineage import commit_of_code  # noqa: PLC0415
            from slipway_trainer.overrides import override  # noqa: PLC0415
            from slipway_trainer.pipeline import run_pipeline  # noqa: PLC0415
            from slipway_trainer.recipes import find_recipe  # noqa: PLC0415
            from slipway_trainer.terminal import Terminal  # noqa: PLC0415
            from slipway_trainer.tracking import Tracker  # noqa: PLC0415

        def open_registry() -> tuple[Tracker, MlflowRegistry]:
            list_models_within(registry, wait)
            return Tracker(settings.mlflow_tracking_uri, settings.mlflow_public_url), registry

        try:
            chosen = override(find_recipe(recipe), overrides)
        except OverrideError as error:
            raise typer.BadParameter(printable(str(error)), param_hint="--set") from error
        with Terminal(SafeConsole()) as terminal:
            outcome = run_pipeline(
                chosen,
                data=data,
                data_dir=settings.data_dir,
                mode=promote,
                open_registry=open_registry,
                by=current_user(),
                commit=commit_of_code(settings),
                reporter=terminal,
            )
    return outcome.gate_result.promote


def main() -> None:
    """Run the command. Print a Slipway error as one sentence on standard error and exit with 1."""
    # Before the import of MLflow, which would otherwise send telemetry and print an address for every run.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # Before the import of Pandera, which would otherwise recommend a package that Slipway does not use.
    os.environ.setdefault("DISABLE_PANDERA_IMPORT_WARNING", "True")
    show_traceback = DEBUG_FLAG in sys.argv
    try:
        with exit_on_error(show_traceback=show_traceback, hint_at_registry=True):
            # It logs the fonts while it builds its list of them.
            logging.getLogger("matplotlib").setLevel(logging.WARNING)
            app(prog_name="slipway-trainer")
    except Exception as error:  # from a recipe's own code, or a bug in Slipway
        if show_traceback:
            raise
        message = printable(str(error)).partition("\n")[0]
        hint = "unexpected error: `slipway --debug train …` shows its traceback"
        print_error(f"{type(error).__name__}: {message} ({hint})")
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
