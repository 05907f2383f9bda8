"""`slipway train`: run the trainer, in a process of its own."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from slipway_core.errors import ConfigurationError


def train(
    recipe: Annotated[str, typer.Argument(help="The recipe's name, such as `iris`.")],
    data: Annotated[
        Path | None,
        typer.Option(help="The data, a CSV file; else SLIPWAY_DATA_DIR is looked at, then it is fetched."),
    ] = None,
) -> None:
    """Train a recipe's model: extract → validate → train → evaluate → register → promote.

    Needs MLFLOW_TRACKING_URI. Ends with 1 if a step or the gate refuses; what is served stays as it is.
    Example: `slipway train iris`
    """
    command = trainer_command("train", recipe, *(["--data", str(data)] if data else []))
    raise typer.Exit(subprocess.call(command))  # noqa: S603  # our own module, its arguments one by one


def trainer_command(*arguments: str) -> list[str]:
    """Return the command that runs the trainer with these arguments.

    Raises:
        ConfigurationError: the trainer is not installed here.
    """
    if any(importlib.util.find_spec(name) is None for name in ("slipway_trainer", "mlflow", "sklearn")):
        raise ConfigurationError("the trainer is not installed here: run `pip install 'slipway[trainer]'`")
    return [sys.executable, "-m", "slipway_trainer", *arguments]
