"""`slipway recipes` and `slipway recipe new`: list the available recipes, and write a new one."""

import json
import subprocess
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.table import Table

from slipway_cli.commands.trainer_process import trainer_command
from slipway_cli.output import print_json, print_table

app = typer.Typer(help="Write a recipe.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Write a recipe."""


@app.command()
def new(
    context: typer.Context,
    data: Annotated[str, typer.Option(help="The CSV file; `s3://bucket/…` works too.")],
    target: Annotated[str, typer.Option(help="The column to predict.")],
    name: Annotated[str | None, typer.Option(help="The model's name. Defaults to the name of the file.")] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="The file to write; `-` is standard output. Defaults to NAME.py beside the CSV file.",
        ),
    ] = None,
) -> None:
    """Write a recipe with columns, classes and candidates that are inferred from a CSV file.

    Never overwrites another file. Example: `slipway recipe new --data churn.csv --target churned`
    """
    arguments = ["--debug"] if context.find_root().params.get("debug") else []
    arguments += ["recipe", "new", "--data", data, "--target", target]
    for option, value in (("--name", name), ("--output", output)):
        if value is not None:
            arguments += [option, value]
    raise typer.Exit(subprocess.call(trainer_command(*arguments)))  # noqa: S603  # our own module


def recipes(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:  # a flag
    """List the recipes that `slipway train` accepts by name. Example: `slipway recipes`."""
    done = subprocess.run(  # noqa: S603  # our own module, its arguments one by one
        trainer_command("recipes", "--json"), stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != 0:
        raise typer.Exit(done.returncode)  # the trainer has printed the reason
    found = json.loads(done.stdout)
    if as_json:
        print_json(found)
        return
    table = Table("name", "task", "data", "candidates", "metric", box=SIMPLE)
    for recipe in found:
        candidates = ", ".join(recipe["candidates"])
        table.add_row(recipe["name"], recipe["task"], recipe["data"], candidates, recipe["metric"])
    print_table(table)
