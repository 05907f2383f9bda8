"""The trainer's own command, `slipway-trainer`: run by hand, by `slipway train`, by a job or a pipeline."""

import getpass
import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from slipway_core.errors import RegistryUnavailableError, SlipwayError
from slipway_core.logging import configure_logging
from slipway_core.registry.mlflow import MlflowRegistry
from slipway_core.settings import load_settings
from slipway_core.startup import quick_imports
from slipway_trainer.settings import TrainerSettings

app = typer.Typer(
    help="Train a model by its recipe, register it and promote it if the gate agrees.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
DATA_HELP = "The data, a CSV file; else SLIPWAY_DATA_DIR is looked at, then it is fetched."


@app.callback()
def _app() -> None:
    """Keep `train` a command of its own, though it is the only one."""


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="The recipe's name, such as `iris`.")],
    data: Annotated[Path | None, typer.Option(help=DATA_HELP)] = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait for the registry to come up.", min=0)] = 0.0,
) -> None:
    """Extract, validate, train, evaluate, register and promote.

    Ends with 0 if the new version is Production, with 1 if a step or the gate refused.
    """
    settings = load_settings(TrainerSettings)
    configure_logging(settings.log_level, settings.log_format)
    console = Console(highlight=False)
    if settings.mlflow_tracking_password:
        # MLflow's own client reads the password from the environment only; ours may be from a file.
        os.environ["MLFLOW_TRACKING_PASSWORD"] = settings.mlflow_tracking_password.get_secret_value()
    with settings.open_registry() as registry:
        if wait == 0:
            registry.list_models()  # fail before the work, not after it
        # These take seconds to import, and the errors above need none of them.
        with quick_imports():
            from slipway_trainer.pipeline import run_pipeline  # noqa: PLC0415
            from slipway_trainer.recipes import find_recipe  # noqa: PLC0415
            from slipway_trainer.tracking import Tracker  # noqa: PLC0415

        def open_registry() -> tuple[Tracker, MlflowRegistry]:
            _wait_for(registry, wait)
            return Tracker(settings.mlflow_tracking_uri), registry

        outcome = run_pipeline(
            find_recipe(recipe),
            data=data,
            data_dir=settings.data_dir,
            open_registry=open_registry,
            by=_user(),
            tell=lambda sentence: console.print(sentence, markup=False, soft_wrap=True),
        )
    table = Table("candidate", "cv", "accuracy", "F1", "log loss", "chosen", title=outcome.recipe.title)
    for item in outcome.evaluations:
        values = [item.metrics[name] for name in ("cv_mean", "accuracy", "f1_macro", "log_loss")]
        chosen = "✓" if item is outcome.best else ""
        table.add_row(item.fitted.candidate.name, *(f"{value:.4f}" for value in values), chosen)
    console.print(table)
    if not outcome.decision.promote:
        raise typer.Exit(1)


def _wait_for(registry: MlflowRegistry, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            registry.list_models()
        except RegistryUnavailableError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.1)
        else:
            return


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id need not have a name
        return f"uid {os.getuid()}"


def main() -> None:
    """Run the command; an error of ours is one sentence on standard error and exit code 1."""
    # Before MLflow is imported: it reports its use to its makers, and prints an address for every run.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    try:
        app()
    except SlipwayError as error:
        print(f"Error: {error}", file=sys.stderr)
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
