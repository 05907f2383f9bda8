"""Run the trainer as a separate process, with the keys and the API's address of the stack on this machine."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

from slipway_cli.api_address import find_api
from slipway_cli.signing import key_files
from slipway_core.errors import ConfigurationError
from slipway_core.registry.settings import SigningSettings
from slipway_core.settings import load_settings
from slipway_core.signing.files import SIGNING_VARIABLE, TRUSTED_VARIABLE


def run_trainer(context: typer.Context, arguments: Sequence[str], environment: dict[str, str]) -> NoReturn:
    """Run the trainer with arguments and the keys of the stack, and exit with its code.

    Args:
        context: the command's context, whose `--debug` is passed on.
        arguments: those of the trainer.
        environment: that of the trainer.
    """
    debug = ["--debug"] if context.find_root().params.get("debug") else []
    command = trainer_command(*debug, *arguments)
    with key_files(environment.get("MLFLOW_TRACKING_URI", ""), load_settings(SigningSettings)) as keys:
        for variable, path in ((SIGNING_VARIABLE, keys.signing_key_file), (TRUSTED_VARIABLE, keys.trusted_keys)):
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
