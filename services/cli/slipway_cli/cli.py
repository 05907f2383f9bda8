"""The command `slipway`, assembled from the modules in `commands/`."""

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import slipway_core
from slipway_cli.commands.accounts import login, logout
from slipway_cli.commands.backup import backup, restore
from slipway_cli.commands.doctor import doctor
from slipway_cli.commands.env import env
from slipway_cli.commands.keys import keys
from slipway_cli.commands.models import app as models
from slipway_cli.commands.predict import predict
from slipway_cli.commands.recipes import app as recipe
from slipway_cli.commands.recipes import recipes
from slipway_cli.commands.register import register
from slipway_cli.commands.signing import app as signing
from slipway_cli.commands.train import train
from slipway_cli.commands.up import up
from slipway_cli.commands.users import users
from slipway_cli.output import echo
from slipway_core.printable import printable
from slipway_core.program import exit_on_error

DEBUG_FLAG = "--debug"


class _Commands(TyperGroup):
    """The commands. Usage errors are printed without Pydantic's prefix."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401  # its types are not public
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = printable(error.message.removeprefix("Value error, "))
            raise


app = typer.Typer(
    name="slipway",
    cls=_Commands,
    help="Train, serve, monitor and retrain models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(up)
app.command()(train)
app.command()(register)
app.command()(recipes)
app.add_typer(recipe, name="recipe")
app.add_typer(models, name="models")
app.add_typer(signing, name="signing")
app.command()(login)
app.command()(logout)
app.add_typer(users, name="users")
app.add_typer(keys, name="keys")
app.command()(predict)
app.command()(backup)
app.command()(restore)
app.command()(env)
app.command()(doctor)


def _show_version(is_requested: bool) -> None:  # Typer's callback
    if is_requested:
        echo(f"slipway {slipway_core.__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option(DEBUG_FLAG, help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Train, serve, monitor and retrain models."""


def main() -> None:
    """Run the command. Print a Slipway error as one sentence on standard error and exit with 1."""
    with exit_on_error(show_traceback=DEBUG_FLAG in sys.argv, hint_at_registry=True):
        app()


if __name__ == "__main__":
    main()
