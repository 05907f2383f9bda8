"""`slipway login`, and how commands are given a password."""

import sys
from typing import Annotated

import typer

from slipway_cli.client import ApiClient
from slipway_cli.errors import NotLoggedInError
from slipway_cli.identity import Credentials, store_credentials
from slipway_cli.output import echo
from slipway_cli.settings import ClientSettings
from slipway_core.settings import load_settings

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
    with ApiClient(url) as client:
        if prompts(from_input=password_stdin):
            client.check()  # before a person types a password for a wrong address
        password = read_password(from_input=password_stdin, confirm=False)
        token = client.token(username, password)
    path = store_credentials(Credentials(url=url.rstrip("/"), username=username, token=token))
    echo(f"Logged in to {url} as {username}; the token is kept in {path}.")


def prompts(*, from_input: bool) -> bool:
    """Return whether a person will be prompted for the password: then check everything else before."""
    return not from_input and sys.stdin.isatty()


def read_password(*, from_input: bool, confirm: bool, prompt: str = "Password") -> str:
    """Return a password: the next line of standard input, or what is typed at the prompt.

    Raises:
        NotLoggedInError: there is no terminal to ask at.
    """
    if from_input:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise NotLoggedInError("there is no terminal to ask for the password: give it with --password-stdin")
    answer: str = typer.prompt(prompt, hide_input=True, confirmation_prompt=confirm)
    return answer
