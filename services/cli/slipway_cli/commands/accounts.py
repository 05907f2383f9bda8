"""`slipway login` and `slipway logout`, and reading passwords from a terminal or standard input."""

import sys
from http import HTTPStatus
from typing import Annotated

import typer

from slipway_cli.api_client import api_client
from slipway_cli.errors import ApiError, NotLoggedInError
from slipway_cli.identity import Credentials, forget_credentials, store_credentials, stored_credentials
from slipway_cli.output import echo
from slipway_cli.settings import ClientSettings
from slipway_core.settings import load_settings

NO_PROMPT = "standard input is not a terminal, so no prompt can be shown"
PasswordFromInput = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input instead of prompting for it.")
]


def login(
    url: Annotated[str, typer.Argument(help="The API's address, such as http://127.0.0.1:8000.")],
    username: Annotated[
        str | None, typer.Option("--username", "-u", help="The account's name. Prompts for it by default.")
    ] = None,
    password_stdin: PasswordFromInput = False,  # a flag
) -> None:
    """Log in to an API and store the token in your configuration folder, readable by you only.

    Example: `slipway login http://127.0.0.1:8000 --username admin`
    """
    load_settings(ClientSettings)  # report a misspelled variable before prompting for the password
    if username is None:
        if password_stdin or not sys.stdin.isatty():
            raise NotLoggedInError(f"{NO_PROMPT}: pass the account's name with --username")
        username = str(typer.prompt("Username"))
    with api_client(url) as client:
        if prompts(from_input=password_stdin):
            client.check()  # before the user types a password for a wrong address
        password = read_password(from_input=password_stdin, confirm=False)
        token = client.login(username, password).token
    path = store_credentials(Credentials(url=client.url, username=username, token=str(token)))
    echo(f"Logged in to {url} as {username}. The token is stored in {path}.")


def logout(
    every: Annotated[
        bool, typer.Option("--all", help="Revoke every token of your account, also those of other machines.")
    ] = False,
) -> None:
    """Revoke the token of `slipway login`, and delete it from your configuration folder.

    API keys stay valid. Example: `slipway logout`
    """
    load_settings(ClientSettings)  # report a misspelled variable
    stored = stored_credentials()
    if stored is None:
        raise NotLoggedInError("you are not logged in, so no token is stored")
    try:
        with api_client(stored.url, stored.token) as client:
            client.logout(every=every)
    except ApiError as error:
        forget_credentials()
        if error.status != HTTPStatus.UNAUTHORIZED:  # otherwise, the token is no longer valid
            raise ApiError(f"{error}. The token is deleted here, but it stays valid until it expires") from error
    else:
        forget_credentials()
    echo(f"Logged out of {stored.url}." + (" Every token of your account is revoked." if every else ""))


def prompts(*, from_input: bool) -> bool:
    """Return whether a prompt will ask for the password. If so, check everything else first."""
    return not from_input and sys.stdin.isatty()


def read_password(*, from_input: bool, confirm: bool, prompt: str = "Password") -> str:
    """Return a password: the next line of standard input, or the input at the prompt.

    Raises:
        NotLoggedInError: no terminal is available for the prompt.
    """
    if from_input:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise NotLoggedInError(f"{NO_PROMPT}: write the password to standard input, and add --password-stdin")
    answer: str = typer.prompt(prompt, hide_input=True, confirmation_prompt=confirm)
    return answer
