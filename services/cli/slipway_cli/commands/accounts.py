"""`slipway login` and `slipway users`: accounts, over the API."""

import sys
from typing import Annotated, Literal

import typer

from slipway_cli.client import ApiClient
from slipway_cli.errors import NotLoggedInError
from slipway_cli.identity import Credentials, identify, keep
from slipway_cli.settings import ClientSettings
from slipway_core.settings import load_settings

users = typer.Typer(no_args_is_help=True, help="Accounts: add one.")
PasswordFromInput = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input instead of asking.")
]


def login(
    url: Annotated[str, typer.Argument(help="The API's address, such as http://127.0.0.1:8000.")],
    username: Annotated[
        str | None, typer.Option("--username", "-u", help="The account's name; asked for where it is left out.")
    ] = None,
    password_stdin: PasswordFromInput = False,  # a flag
) -> None:
    """Log in to an API and keep the token in your configuration folder, for your eyes only.

    Example: `slipway login http://127.0.0.1:8000 --username admin`
    """
    load_settings(ClientSettings)  # a misspelt variable is told before the password is asked for
    if username is None:
        if password_stdin or not sys.stdin.isatty():
            raise NotLoggedInError("there is no terminal to ask for the account's name: give it with --username")
        username = str(typer.prompt("Username"))
    password = _password(from_input=password_stdin, confirm=False)
    with ApiClient(url) as client:
        token = client.token(username, password)
    path = keep(Credentials(url=url.rstrip("/"), username=username, token=token))
    typer.echo(f"Logged in to {url} as {username}; the token is kept in {path}.")


@users.command()
def add(
    name: Annotated[str, typer.Argument(help="The new account's name.")],
    role: Annotated[
        Literal["admin", "user", "viewer"],
        typer.Option(help="admin does all, user predicts, viewer reads models."),
    ] = "user",
    password_stdin: PasswordFromInput = False,
) -> None:
    """Add an account (as an admin). Example: `slipway users add alice --role viewer`."""
    identity = identify(load_settings(ClientSettings))
    password = _password(from_input=password_stdin, confirm=True)
    with ApiClient.of(identity) as client:
        user = client.add_user(name, password, role)
    typer.echo(f"Added {user['username']} with the role {user['role']}.")


def _password(*, from_input: bool, confirm: bool) -> str:
    if from_input:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise NotLoggedInError("there is no terminal to ask for the password: give it with --password-stdin")
    answer: str = typer.prompt("Password", hide_input=True, confirmation_prompt=confirm)
    return answer
