"""`slipway train`: run the trainer, in a process of its own."""

import importlib.util
import subprocess
import sys
from typing import Annotated

import typer

from slipway_core.errors import ConfigurationError
from slipway_core.registry.gate_result import PromoteMode


def train(
    context: typer.Context,
    recipe: Annotated[
        str, typer.Argument(help="The recipe's name, such as `iris` or `bike-demand`, or the path of its Python file.")
    ],
    data: Annotated[
        str | None,
        typer.Option(
            help="The data: a CSV file or the folder that holds it, `s3://bucket/…` too; else SLIPWAY_DATA_DIR is "
            "looked at, then it is fetched."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Change a parameter (`random-forest.max_depth=8`) or a value of the recipe (`split=time`, `seed=7`); "
            "may be repeated.",
        ),
    ] = None,
    promote: Annotated[
        PromoteMode,
        typer.Option(help="auto: if the gate agrees; never: register only; force: whatever the gate says."),
    ] = "auto",
) -> None:
    """Train a recipe's model: extract → validate → train → evaluate → register → promote.

    Needs MLFLOW_TRACKING_URI. Ends with 1 if a step or the gate refuses; what is served stays as it is.
    Example: `slipway train bike-demand --set split=time --promote never`
    """
    arguments = ["--debug"] if context.find_root().params.get("debug") else []
    arguments += ["train", recipe]
    if data:
        arguments += ["--data", data]
    if promote != "auto":
        arguments += ["--promote", promote]
    for setting in settings or []:
        arguments += ["--set", setting]
    command = trainer_command(*arguments)
    raise typer.Exit(subprocess.call(command))  # noqa: S603  # our own module, its arguments one by one


def trainer_command(*arguments: str) -> list[str]:
    """Return the command that runs the trainer with these arguments.

    Raises:
        ConfigurationError: the trainer is not installed here.
    """
    if any(importlib.util.find_spec(name) is None for name in ("slipway_trainer", "mlflow", "sklearn")):
        raise ConfigurationError("the trainer is not installed here: run `pip install 'slipway[trainer]'`")
    # Its usage errors then name the command that was typed.
    return [sys.executable, "-m", "slipway_trainer", "--called-as", "slipway", *arguments]
