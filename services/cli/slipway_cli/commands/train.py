"""`slipway train`: run the trainer as a separate process."""

import os
from typing import Annotated

import typer

from slipway_cli.commands.trainer_process import api_arguments, run_trainer
from slipway_core.registry.gate_result import PromoteMode


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
    arguments = ["train", recipe]
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
    run_trainer(context, arguments, environment)
