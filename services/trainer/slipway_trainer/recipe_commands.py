"""`slipway-trainer recipes` and `slipway-trainer recipe new`: list the recipes, and write a new one."""

import json
import shlex
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated

import typer

from slipway_core.printable import printable
from slipway_core.startup import quick_imports

if TYPE_CHECKING:
    from slipway_trainer.recipes import Recipe

app = typer.Typer(help="Write a recipe.", no_args_is_help=True)
STANDARD_OUTPUT = "-"


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


@app.callback()
def _group() -> None:
    """Write a recipe."""


@app.command("new")
def new_recipe(
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

    Never overwrites another file.
    """
    with quick_imports():
        from slipway_trainer.inference.files import default_path, name_of, read_data, write_new  # noqa: PLC0415
        from slipway_trainer.inference.reading import infer_recipe  # noqa: PLC0415
        from slipway_trainer.inference.writing import source_of, summary_of  # noqa: PLC0415

    model = name_of(data, name)
    draft = infer_recipe(read_data(data), PurePosixPath(data).name, target, model)
    if output == STANDARD_OUTPUT:
        source = source_of(draft)  # kept unchanged for a file
        typer.echo(printable(source) if sys.stdout.isatty() else source, nl=False)
        return
    path = Path(output) if output else default_path(data, model)
    write_new(path, source_of(draft))
    command = shlex.join(["slipway", "train", str(path), "--data", data])
    typer.echo(printable(f"Wrote {path}: {summary_of(draft)}.\nCheck its comments, then train it: {command}"))
