"""`slipway train`: run the trainer as a separate process."""

import importlib.util
import os
import subprocess
import sys
from typing import Annotated

import typer

from slipway_cli.api_address import find_api
from slipway_cli.signing import key_files
from slipway_core.errors import ConfigurationError
from slipway_core.registry.gate_result import PromoteMode
from slipway_core.registry.settings import SigningSettings
from slipway_core.settings import load_settings
from slipway_core.signing.files import SIGNING_VARIABLE, TRUSTED_VARIABLE


def train(
    context: typer.Context,
    recipe: Annotated[
        str,
        typer.Argument(
            help="The recipe's name, such as `iris` or `bike-demand`, or the path of its Python file; with --target, "
            "that of a CSV file."
        ),
    ],
    target: Annotated[str | None, typer.Option(help="With a CSV file: the column to predict.")] = None,
    name: Annotated[
        str | None, typer.Option(help="With a CSV file: the model's name. Defaults to the name of the file.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="The data: a CSV file, or the folder that contains it; `s3://bucket/…` works too. By default, "
            "the recipe's file in SLIPWAY_DATA_DIR (`data`); without such a file, the download of the recipe."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Set a parameter (`random-forest.max_depth=8`) or a value of the recipe (`split=time`, `seed=7`); "
            "may be repeated.",
        ),
    ] = None,
    promote: Annotated[
        PromoteMode,
        typer.Option(help="auto: promote if the gate passes; never: only register; force: promote in any case."),
    ] = "auto",
) -> None:
    """Train a recipe's model: extract → validate → train → evaluate → register → promote.

    Requires MLFLOW_TRACKING_URI. Exits with 1 if a step fails, or if the gate rejects the version and `--promote` is
    `auto`; the served model then does not change.
    With a CSV file, it first writes a recipe beside the file, unless one exists.
    Example: `slipway train churn.csv --target churned`, or `slipway train bike-demand --set split=time --promote never`
    """
    arguments = ["--debug"] if context.find_root().params.get("debug") else []
    arguments += ["train", recipe]
    environment = dict(os.environ)
    for option, value in (("--target", target), ("--name", name)):
        if value is not None:
            arguments += [option, value]
    if target is not None:
        arguments += api_arguments(environment)
    if data:
        arguments += ["--data", data]
    if promote != "auto":
        arguments += ["--promote", promote]
    for setting in settings or []:
        arguments += ["--set", setting]
    command = trainer_command(*arguments)
    with key_files(environment.get("MLFLOW_TRACKING_URI", ""), load_settings(SigningSettings)) as keys:
        for variable, path in ((SIGNING_VARIABLE, keys.signing_key), (TRUSTED_VARIABLE, keys.trusted_keys)):
            if path is not None:
                environment[variable] = str(path)
        code = subprocess.call(command, env=environment)  # noqa: S603  # our own module, its arguments one by one
    raise typer.Exit(code)


def api_arguments(environment: dict[str, str]) -> list[str]:
    """Return the arguments with which the trainer prints commands for predictions, and set the API's address.

    Args:
        environment: the trainer's environment, which is changed.
    """
    api = find_api(os.environ.get("MLFLOW_TRACKING_URI", ""))
    if api.url is not None:
        environment["SLIPWAY_URL"] = api.url
    return [] if api.password_file is None else ["--password-file", str(api.password_file)]


def trainer_command(*arguments: str) -> list[str]:
    """Return the command that runs the trainer with these arguments.

    Raises:
        ConfigurationError: the trainer is not installed here.
    """
    if any(importlib.util.find_spec(name) is None for name in ("slipway_trainer", "mlflow", "sklearn")):
        raise ConfigurationError("the trainer is not installed here: run `pip install 'slipway[trainer]'`")
    # The trainer's usage errors then name the command that the user typed.
    return [sys.executable, "-m", "slipway_trainer", "--called-as", "slipway", *arguments]
