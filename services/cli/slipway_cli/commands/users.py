"""`slipway users`: manage accounts with the API."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.table import Column, Table

from slipway_cli.api_client import api_client
from slipway_cli.commands.accounts import PasswordFromInput, prompts, read_password
from slipway_cli.errors import ApiError
from slipway_cli.identity import identify, keep_token
from slipway_cli.output import echo, print_json, print_table
from slipway_cli.settings import ClientSettings
from slipway_client import Client, PermissionDeniedError, UserEvent
from slipway_core.policy import why_name_is_refused
from slipway_core.settings import load_settings

users = typer.Typer(
    no_args_is_help=True, help="List, add, change and delete accounts. Most commands require the role admin."
)
Name = Annotated[str, typer.Argument(help="The account's name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class Role(StrEnum):
    """An account's role."""

    ADMIN = "admin"
    USER = "user"
    VIEWER = "viewer"


@users.command("list")
def list_users(as_json: AsJson = False) -> None:  # a flag
    """List the accounts. Example: `slipway users list`."""
    with _client() as client:
        found = list(client.users())
    if as_json:
        print_json(found)
        return
    table = Table("name", "role", "state", "since", "id", box=SIMPLE)
    for user in found:
        state = "disabled" if user["disabled"] else "active"
        table.add_row(user["username"], user["role"], state, user["created_at"][:10], user["id"])
    print_table(table)


@users.command()
def add(
    name: Annotated[str, typer.Argument(help="The new account's name.")],
    role: Annotated[Role, typer.Option(help="admin: everything; user: predict; viewer: read models.")] = Role.USER,
    password_stdin: PasswordFromInput = False,
) -> None:
    """Add an account (as an admin). Example: `slipway users add alice --role viewer`."""
    with _client() as client:
        if why := why_name_is_refused(name.strip().lower()):
            raise ApiError(f"the account {name!r} cannot be added: {why}")
        if prompts(from_input=password_stdin):
            _check_is_new(client, name)
        password = read_password(from_input=password_stdin, confirm=True)
        user = client.add_user(name, password, role)
    name = user["username"]
    echo(f"Added {name} with the role {user['role']}. To log in: slipway login {client.url} --username {name}")


@users.command()
def disable(name: Name) -> None:
    """Disable an account: revoke its tokens and block its login. Example: `slipway users disable alice`."""
    with _client() as client:
        user = client.change_user(name, disabled=True)
    echo(f"{user['username']} is disabled and can no longer log in.")


@users.command()
def enable(name: Name) -> None:
    """Enable a disabled account. Example: `slipway users enable alice`."""
    with _client() as client:
        user = client.change_user(name, disabled=False)
    echo(f"{user['username']} is enabled and can log in.")


@users.command()
def role(name: Name, role: Annotated[Role, typer.Argument(help="admin, user or viewer.")]) -> None:
    """Change an account's role and revoke its tokens. Example: `slipway users role alice viewer`."""
    with _client() as client:
        user = client.change_user(name, role=role)
    echo(f"{user['username']} has the role {user['role']}. A change of the role revokes earlier tokens.")


@users.command()
def password(
    name: Annotated[str | None, typer.Argument(help="Another account, as an admin. Defaults to your own.")] = None,
    password_stdin: PasswordFromInput = False,
) -> None:
    """Change a password and revoke the account's tokens. Example: `slipway users password`.

    `--password-stdin` reads two lines: the current password and the new one.
    With a name, it reads one line: the new password.
    """
    identity = identify(load_settings(ClientSettings))
    with api_client(identity.url, identity.token) as client:
        if prompts(from_input=password_stdin):
            _check_exists(client, name)
        current = None if name else read_password(from_input=password_stdin, confirm=False, prompt="Current password")
        new = read_password(from_input=password_stdin, confirm=True, prompt="New password")
        if name is not None:
            user = client.change_user(name, password=new)
            echo(f"{user['username']} has a new password and must log in again.")
            return
        token = client.change_password(current or "", new)
    if keep_token(identity, token):
        echo("Your password is changed, and you are logged in with the new one.")
    else:
        echo("Your password is changed. SLIPWAY_TOKEN is revoked: run `slipway login URL`.")


@users.command()
def delete(
    name: Name,
    erase: Annotated[
        bool, typer.Option("--erase", help="Also delete the account's predictions, and its name in the audit log.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Skip the confirmation prompt.")] = False,
) -> None:
    """Delete an account permanently. Example: `slipway users delete alice`."""
    with _client() as client:
        if not yes and sys.stdin.isatty():
            typer.confirm(f"Delete {name} permanently?", abort=True)
        client.delete_user(name, erase=erase)
    if erase:
        echo(f"Deleted {name}, the predictions of this account, and its name in the audit log.")
    else:
        echo(f"Deleted {name}. The predictions of this account are kept, without a name.")


@users.command()
def events(
    limit: Annotated[int, typer.Option(min=1, help="The number of events, newest first.")] = 50, as_json: AsJson = False
) -> None:
    """List changes to accounts and who made them. Example: `slipway users events --limit 10`."""
    with _client() as client:
        found = list(client.user_events(limit))
        # A deleted account has no name; the JSON has the ids.
        names = {} if as_json else {user["id"]: user["username"] for user in client.users()}
    if as_json:
        print_json(found)
        return
    table = Table(
        *(Column("when", no_wrap=True), "what", Column("account", overflow="fold"), Column("by", overflow="fold")),
        "address",
        box=SIMPLE,
    )
    for event in found:
        details = " → ".join(str(value) for value in event["details"].values())
        what = _action(event) + (f" ({details})" if details else "")
        subject = event["subject_name"] or event["subject_id"]
        by = names.get(event["actor_id"] or "") or event["actor_id"] or "–"
        table.add_row(event["at"][:19].replace("T", " "), what, subject, by, event["address"] or "–")
    print_table(table)


def _action(event: UserEvent) -> str:
    """Return what an event did, in words."""
    if event["action"] == "registered" and event["actor_id"]:
        return "added"  # by an admin
    if event["action"] == "first_admin_made":
        return "first admin created"
    return str(event["action"]).replace("_", " ")


def _check_is_new(client: Client, name: str) -> None:
    """Raise ApiError if an account of that name exists, before the user types its password."""
    try:
        names = {user["username"] for user in client.users()}
    except PermissionDeniedError:
        # Only admins can list accounts; others can add one while registration is open.
        return
    if name.strip().lower() in names:
        raise ApiError(f"an account named {name} exists: choose another name, or see `slipway users list`")


def _check_exists(client: Client, name: str | None) -> None:
    """Raise ApiError if the account cannot be changed, before the user types its new password."""
    if name is None:
        client.me()
    elif name.strip().lower() not in {user["username"] for user in client.users()}:
        raise ApiError(f"no account is named {name}: `slipway users list` lists the accounts")


@contextmanager
def _client() -> Iterator[Client]:
    identity = identify(load_settings(ClientSettings))
    with api_client(identity.url, identity.token) as client:
        yield client
