"""`slipway recipes`: list the available recipes."""

import json
import subprocess
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.table import Table

from slipway_cli.commands.train import trainer_command
from slipway_cli.output import print_json, print_table


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
