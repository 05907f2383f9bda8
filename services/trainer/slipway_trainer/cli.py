"""The trainer's own command, `slipway-trainer`: run by users, by `slipway train`, or by a job or pipeline."""

import logging
import os
import shlex
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from slipway_core.current_user import current_user
from slipway_core.printable import printable
from slipway_core.program import exit_on_error, print_error
from slipway_core.registry import RegisteredModel
from slipway_core.registry.availability import list_models_within
from slipway_core.registry.gate_result import PromoteMode
from slipway_core.registry.mlflow import MlflowRegistry
from slipway_core.registry.promotion import require_signer
from slipway_core.startup import quick_imports
from slipway_core.terminal import SafeConsole
from slipway_trainer.errors import OverrideError
from slipway_trainer.recipe_commands import app as recipe_app
from slipway_trainer.recipe_commands import recipes
from slipway_trainer.register_command import register
from slipway_trainer.settings import TrainerSettings, start

if TYPE_CHECKING:
    from slipway_trainer.pipeline import Outcome
    from slipway_trainer.terminal import Terminal

app = typer.Typer(
    help="Train models by their recipes, register models of other programs, and promote them if the gate passes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(recipes)
app.command()(register)
app.add_typer(recipe_app, name="recipe")

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
def train(
    recipe: Annotated[
        str,
        typer.Argument(
            help="The recipe's name, such as `iris`, or the path of its Python file; with --target, that of a CSV file."
        ),
    ],
    target: Annotated[str | None, typer.Option(help="With a CSV file: the column to predict.")] = None,
    name: Annotated[
        str | None, typer.Option(help="With a CSV file: the model's name. Defaults to the name of the file.")
    ] = None,
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
    password_file: Annotated[
        str | None, typer.Option(hidden=True, help="The file with the administrator's password, to print its use.")
    ] = None,
) -> None:
    """Extract, validate, train, evaluate, register and promote.

    Exits with 1 if a step or the gate failed. With `--promote never`, only a failed step does.
    """
    target = _target_of(recipe, target, name, data)
    own = start()
    if target is None:
        outcome = _train(own, lambda _terminal, _registered: (recipe, data), settings or [], promote, wait)
    else:
        outcome = _train_csv(own, recipe, target, name, settings or [], promote, wait, password_file)
    is_promoted = outcome.gate_result.promote
    if promote != "never" and not is_promoted:
        raise typer.Exit(1)


def _target_of(recipe: str, target: str | None, name: str | None, data: str | None) -> str | None:
    """Return the target of a CSV file; None for a recipe.

    Raises:
        typer.BadParameter: the options do not belong together.
    """
    shown = printable(recipe)
    if not recipe.lower().endswith(".csv"):
        for option, value in (("--target", target), ("--name", name)):
            if value is not None:
                raise typer.BadParameter(
                    f"it requires a CSV file, as in `slipway train churn.csv --target churned`, and {shown} is not one",
                    param_hint=option,
                )
        return None
    if data is not None:
        raise typer.BadParameter(f"the data is {shown}; remove this option", param_hint="--data")
    if target is None:
        raise typer.BadParameter(
            f"name the column of {shown} to predict, such as --target churned", param_hint="--target"
        )
    return target


def _train_csv(
    settings: TrainerSettings,
    data: str,
    target: str,
    name: str | None,
    overrides: list[str],
    promote: PromoteMode,
    wait: float,
    password_file: str | None,
) -> "Outcome":
    """Write a recipe for a CSV file unless it has one, train it, and print the commands for predictions."""
    with quick_imports():
        from slipway_trainer.first_request import example_row, is_in_container, next_steps  # noqa: PLC0415
        from slipway_trainer.inference.files import read_data, recipe_for  # noqa: PLC0415
        from slipway_trainer.steps.extract import mount_hint  # noqa: PLC0415

    content = read_data(data, mount_hint(settings.data_dir))

    def choose(terminal: "Terminal", registered: set[str]) -> tuple[str, str]:
        path, sentence = recipe_for(data, content, target, name, registered)
        if is_in_container(settings):
            given = ["--name", name] if name else []
            command = shlex.join(["recipe", "new", "--data", data, "--target", target, *given])
            sentence += (
                "\nthe container deletes it when it ends; to keep it: docker compose run --rm trainer "
                f"{command} --output - > {path.name}"
            )
        terminal.step_finished("recipe", sentence)
        return str(path), data

    outcome = _train(settings, choose, overrides, promote, wait)
    if outcome.gate_result.promote:
        row = example_row(outcome.recipe, content)
        typer.echo(printable(f"\n{next_steps(settings, outcome.recipe.name, row, data, password_file)}"))
    return outcome


def _train(
    settings: TrainerSettings,
    choose: Callable[["Terminal", set[str]], tuple[str, str | None]],
    overrides: list[str],
    promote: PromoteMode,
    wait: float,
) -> "Outcome":
    """Run the pipeline.

    Args:
        settings: the trainer's settings.
        choose: returns the recipe's name or path, and the data, given the models of the registry; may report a step.
        overrides: changes of the recipe, as `name=value`.
        promote: whether to promote.
        wait: seconds to wait for the registry.
    """
    signer = settings.signer()
    with settings.open_registry() as registry:
        registered: dict[str, RegisteredModel] = {}
        if wait == 0:  # fail before the work, not after it
            registered = {model.name: model for model in registry.list_models()}
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

        with Terminal(SafeConsole()) as terminal:
            recipe, data = choose(terminal, set(registered))
            try:
                chosen = override(find_recipe(recipe), overrides)
            except OverrideError as error:
                raise typer.BadParameter(printable(str(error)), param_hint="--set") from error
            if promote != "never" and chosen.name in registered:
                require_signer(registered[chosen.name], signer)
            outcome = run_pipeline(
                chosen,
                data=data,
                data_dir=settings.data_dir,
                mode=promote,
                open_registry=open_registry,
                by=current_user(),
                commit=commit_of_code(settings),
                reporter=terminal,
                signer=signer,
                trusted=settings.read_trusted_keys(),
            )
    return outcome


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
        command = "register" if "register" in sys.argv else "train"
        hint = f"unexpected error: `slipway --debug {command} …` shows its traceback"
        print_error(f"{type(error).__name__}: {message} ({hint})")
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
